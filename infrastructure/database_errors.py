"""The one place where database errors become domain errors; the driver's error stays attached as the cause."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, InvalidRequestError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from ..domain import LedgerBusy, LedgerError, OutcomeUnknown, SchemaNotReady, StoreError, StoreFull, StoreUnavailable

_BUSY = {
    "40001": "another transaction changed the same rows first",
    "40P01": "two transactions waited for each other",
    "55P03": "a lock could not be had in time",
}
_UNAVAILABLE = ("08", "53", "57P", "58", "25006", "25P03")  # a server demoted to a standby; we were silent for too long
_LOST = ("08", "53300", "57P", "25006", "25P03")
_OPEN = ("08", "57P")
"""Of these, what may come after the server did what it was asked to."""
_FULL = ("53100", "SQLITE_FULL")
_POOL_GAVE_UP = "This connection is closed"
"""What SQLAlchemy says once the connections that it took from the pool were dead three times in a row."""
_UNDEFINED = ("42P01", "42703", "3F000")


class UniqueViolation(Exception):
    """Somebody else wrote the same key first: read and decide again."""


@contextmanager
def translated() -> Iterator[None]:
    """Raise domain errors in place of database errors."""
    try:
        yield
    except LedgerError:
        raise
    except (SQLAlchemyError, OSError) as error:
        raise translate(error) from error


def translate(error: Exception) -> LedgerError:
    """The domain error for a database error."""
    if isinstance(error, InvalidRequestError) and str(error) == _POOL_GAVE_UP:
        return StoreUnavailable(problem="one connection after the other had been ended")
    if isinstance(error, PoolTimeout):
        return LedgerBusy(problem="every connection of the pool is in use", remedy="Try again, or allow a larger pool.")
    original = getattr(error, "orig", None) or error
    problem = " ".join(str(original).split()).rstrip(" .:?!") or type(original).__name__
    state = sqlstate(error)
    if state is not None:
        if state in _BUSY:
            return LedgerBusy(problem=_BUSY[state], remedy="Roll back and try the whole transaction again.")
        if state in _FULL:
            return StoreFull(problem=problem)
        if state.startswith(_UNAVAILABLE):
            return StoreUnavailable(problem=problem)
        if state in _UNDEFINED:
            return SchemaNotReady(problem=f"The tables are missing or old ({problem})")
        return StoreError(problem=problem)
    return _translate_sqlite(_sqlite_name(error), problem, error)


def _translate_sqlite(name: str, problem: str, error: Exception) -> LedgerError:
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return LedgerBusy(
            problem="another connection writes to the database, or wrote after this transaction first read",
            remedy="Roll back and try the whole transaction again; write before you read, or read in another session.",
        )
    if name in _FULL:
        return StoreFull(problem=problem)
    if name.startswith("SQLITE_READONLY"):
        return StoreError(problem=problem, remedy="Let this user write to the file and to its folder.")
    if "no such table" in problem or "no such column" in problem:
        return SchemaNotReady(problem=f"The tables are missing or old ({problem})")
    if name == "SQLITE_NOTADB":
        return StoreError(problem="the file is no SQLite database", remedy="Name another one.")
    if name.startswith("SQLITE_CORRUPT"):
        return StoreError(problem=problem, remedy="Restore it from a backup.")
    if name.startswith("SQLITE_IOERR"):
        return StoreUnavailable(problem=f"{problem}; its disk fails, or a quota is used up")
    if name.startswith("SQLITE_CANTOPEN"):
        return StoreUnavailable(problem=problem)
    if isinstance(error, OSError) or (isinstance(error, DBAPIError) and error.connection_invalidated):
        return StoreUnavailable(problem=problem)
    kinds = {kind.__name__ for kind in type(getattr(error, "orig", None)).__mro__}
    if not name and kinds & {"OperationalError", "ConnectionDoesNotExistError"}:
        return StoreUnavailable(problem=problem)  # a driver that could not connect gives no SQLSTATE
    return StoreError(problem=problem)


def is_unique_violation(error: DBAPIError) -> bool:
    """Whether a key existed: by SQLSTATE, since constraint names differ on a cluster."""
    if sqlstate(error) == "23505":
        return True
    name = getattr(error.orig, "sqlite_errorname", "")
    return name in {"SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"}


def is_conflict(error: DBAPIError) -> bool:
    """Whether PostgreSQL gave up a transaction for the sake of another one: the same one may succeed now."""
    return sqlstate(error) in ("40001", "40P01")


def is_held(error: Exception) -> bool:
    """Whether a lock could not be had in time on PostgreSQL."""
    return sqlstate(error) == "55P03"


def is_lost(error: Exception) -> bool:
    """Whether the connection is of no more use, or there was none to be had: another one may do better."""
    state = sqlstate(error)
    if state is not None:
        return state.startswith(_LOST)
    return isinstance(translate(error), StoreUnavailable) and not _sqlite_name(error)


def leaves_doubt(error: Exception) -> bool:
    """Whether what was sent last may have been done all the same: no server said that it was not."""
    if (state := sqlstate(error)) is not None:
        return state.startswith(_OPEN)
    return is_lost(error) or _sqlite_name(error) == "SQLITE_IOERR_FSYNC"


@contextmanager
def committing() -> Iterator[None]:
    """Around a commit: tell where nobody knows whether it happened."""
    try:
        yield
    except (DBAPIError, OSError) as error:
        if leaves_doubt(error):
            raise OutcomeUnknown(problem=str(translate(error))) from error
        raise


def _sqlite_name(error: Exception) -> str:
    return getattr(getattr(error, "orig", error), "sqlite_errorname", "")


def sqlstate(error: Exception) -> str | None:
    """The five characters that PostgreSQL gives an error, from whichever driver."""
    original = getattr(error, "orig", None) or error
    for name in ("sqlstate", "pgcode"):
        if isinstance(state := getattr(original, name, None), str):
            return state
    return None
