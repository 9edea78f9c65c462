"""A whole ledger as one file, and back: see docs/backup.md."""

from .back_up import BackUp, back_up_to_file
from .restoring import Restored, restore

__all__ = ["BackUp", "Restored", "back_up_to_file", "restore"]
