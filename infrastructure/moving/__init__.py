"""From a table that was changed in place to the ledger: see docs/moving-from-crud.md."""

from .crud_import import CrudImport, ImportReport, RowReport
from .mapping import ColumnMapping
from .shadow import Mismatch, Shadow, ShadowRepository
from .source import CrudTable

__all__ = [
    "ColumnMapping",
    "CrudImport",
    "CrudTable",
    "ImportReport",
    "Mismatch",
    "RowReport",
    "Shadow",
    "ShadowRepository",
]
