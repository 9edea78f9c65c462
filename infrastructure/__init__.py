"""The event store, its tables and migrations, and the repositories that stand over them."""

from .base_repository import BaseRepository, WriteOptions
from .connections import configure_sqlite, create_engine, create_sync_engine
from .entity import EXECUTIONS, Entity
from .event_store import EventStore, Outcome, Request
from .execution_repository import ExecutionRepository, HistoryPage
from .execution_service import ExecutionReceipt, ExecutionService, StatusReport
from .history_query import HistoryFilters
from .mapper import LedgerMapper
from .recorder import LedgerApplication, LedgerRecorder
from .root import Root, compute_root
from .run_names import describe_run
from .schema import check_schema, create_schema, migrate, migrate_engine
from .settings import Settings
from .tables import Base, ExecutionHistory, metadata
from .writing import BulkReport, GroupWriter

__all__ = [
    "EXECUTIONS",
    "Base",
    "BaseRepository",
    "BulkReport",
    "Entity",
    "EventStore",
    "ExecutionHistory",
    "ExecutionReceipt",
    "ExecutionRepository",
    "ExecutionService",
    "GroupWriter",
    "HistoryFilters",
    "HistoryPage",
    "LedgerApplication",
    "LedgerMapper",
    "LedgerRecorder",
    "Outcome",
    "Request",
    "Root",
    "Settings",
    "StatusReport",
    "WriteOptions",
    "check_schema",
    "compute_root",
    "configure_sqlite",
    "create_engine",
    "create_schema",
    "create_sync_engine",
    "describe_run",
    "metadata",
    "migrate",
    "migrate_engine",
]
