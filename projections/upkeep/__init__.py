"""Whether what is derived is what the events say, and what to do where it is not."""

from .auditor import Audited, AuditedLedger, BackgroundAuditor
from .differences import Difference
from .rebuild import Rebuild, RebuildProgress, RebuildReport
from .repair import repair_execution, repair_head
from .row_sets import TableDifference
from .verify import VerifyProgress, verify

__all__ = [
    "Audited",
    "AuditedLedger",
    "BackgroundAuditor",
    "Difference",
    "Rebuild",
    "RebuildProgress",
    "RebuildReport",
    "TableDifference",
    "VerifyProgress",
    "repair_execution",
    "repair_head",
    "verify",
]
