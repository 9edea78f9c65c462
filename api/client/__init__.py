"""The service from Python: the repository's methods and the queries, over HTTP."""

from .clients import AsyncLedgerClient, LedgerClient
from .problems import ServiceError

__all__ = ["AsyncLedgerClient", "LedgerClient", "ServiceError"]
