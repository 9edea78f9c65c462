"""The event store, its tables and migrations, and the repositories that stand over them."""

from .announcer import Announcer
from .api_keys import SCOPES, ApiKey, NewKey, create_key, find_key, list_keys, revoke_key, rotate_key
from .base_repository import BaseRepository, WriteOptions
from .connections import configure_sqlite, create_engine, create_sync_engine
from .entity import EXECUTIONS, Entity
from .event_store import EventStore
from .execution_repository import ExecutionRepository, HistoryPage
from .execution_service import ExecutionReceipt, ExecutionService, StatusReport
from .group_reader import GroupReader
from .held_lease import HeldLease, LeaseKeeper, StoredLeases
from .history_query import HistoryFilters
from .leases import Lease, Leases
from .mapper import LedgerMapper
from .reaper import Reaped, count_expired_leases, reap_expired_leases
from .recorder import LedgerApplication, LedgerRecorder
from .requests import Outcome, Request
from .root import Root, compute_root
from .run_names import describe_run
from .schema import check_schema, create_schema, migrate, migrate_engine
from .settings import Settings
from .tables import Base, ExecutionHistory, metadata
from .writing import BulkReport, GroupWriter

__all__ = [
    "EXECUTIONS",
    "SCOPES",
    "Announcer",
    "ApiKey",
    "Base",
    "BaseRepository",
    "BulkReport",
    "Entity",
    "EventStore",
    "ExecutionHistory",
    "ExecutionReceipt",
    "ExecutionRepository",
    "ExecutionService",
    "GroupReader",
    "GroupWriter",
    "HeldLease",
    "HistoryFilters",
    "HistoryPage",
    "Lease",
    "LeaseKeeper",
    "Leases",
    "LedgerApplication",
    "LedgerMapper",
    "LedgerRecorder",
    "NewKey",
    "Outcome",
    "Reaped",
    "Request",
    "Root",
    "Settings",
    "StatusReport",
    "StoredLeases",
    "WriteOptions",
    "check_schema",
    "compute_root",
    "configure_sqlite",
    "count_expired_leases",
    "create_engine",
    "create_key",
    "create_schema",
    "create_sync_engine",
    "describe_run",
    "find_key",
    "list_keys",
    "metadata",
    "migrate",
    "migrate_engine",
    "reap_expired_leases",
    "revoke_key",
    "rotate_key",
]
