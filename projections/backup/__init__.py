"""A whole ledger as one file, and back: see docs/backup.md."""

from .back_up import BackUp, back_up_to_file, back_up_to_stream
from .checking import WholeBackup, check_backup
from .restoring import Restored, restore

__all__ = ["BackUp", "Restored", "WholeBackup", "back_up_to_file", "back_up_to_stream", "check_backup", "restore"]
