"""The group-commit writer: many commands of a ledger in one transaction."""

from .bulk import BulkReport
from .writer import GroupWriter

__all__ = ["BulkReport", "GroupWriter"]
