"""The composition root of the command line and the service: settings in, an open ledger out."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, event
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from ..domain import InvalidInput, LedgerError, SchemaNotReady
from ..infrastructure import (
    Announcer,
    EventStore,
    ExecutionRepository,
    GroupWriter,
    Settings,
    check_schema,
    create_engine,
    create_sync_engine,
    migrate,
)
from ..infrastructure.connections import IDLE_TIMEOUT, parse_url
from ..infrastructure.database_errors import translated
from ..projections import Audited, BackgroundAuditor, ExecutionSnapshots, Heads, Projector, RunStatistics, TimeMarks

if TYPE_CHECKING:
    from ..projections.webhooks import Sender
    from ..projections.webhooks.deliverer import Outcome

_CONNECT_TIMEOUT = 10
"""Seconds to reach a server, unless the URL says `?connect_timeout=…`; the driver's own are more than two minutes."""


PROJECTIONS = (RunStatistics(), TimeMarks(), ExecutionSnapshots())
"""What a service keeps up to date beside the history, which is written with the events."""


class NothingRecorded(LedgerError):
    """Nothing is recorded yet: there is no file {path}. Begin with `execution-ledger record -- COMMAND`."""

    path: str


@dataclass(frozen=True, slots=True)
class Ledger:
    """What serves every request: the database and the store over it."""

    settings: Settings
    engine: AsyncEngine
    sessions: async_sessionmaker[AsyncSession]
    store: EventStore

    def executions(
        self, session: AsyncSession, *, commit: bool = True, actor: str | None = None
    ) -> ExecutionRepository:
        """The executions of the ledger that the settings name."""
        name = self.settings.ledger
        return ExecutionRepository(session, commit=commit, ledger=name, store=self.store, actor=actor)


@asynccontextmanager
async def open_ledger(settings: Settings, *, create: bool = True) -> AsyncIterator[Ledger]:
    """Open the database that the settings name, its schema checked.

    With `create` a missing or older SQLite file is brought up to date first; a server's schema never changes by itself.
    """
    file = sqlite_file(settings.database_url)
    if file is not None and not create and not file.exists():
        raise NothingRecorded(path=str(file))
    check_folder(settings.database_url)
    engine = create_engine(settings.database_url, pool_size=settings.pool_size, **_connect_options(settings))
    _bound_idle_transactions(engine, min(IDLE_TIMEOUT, settings.lease_ttl))
    try:
        await _check_schema(engine, settings, migrating=create and file is not None)
        sessions = async_sessionmaker(engine, expire_on_commit=False)
        yield Ledger(settings, engine, sessions, EventStore(limits=settings.limits))
    finally:
        await engine.dispose()


@contextmanager
def engine_for_threads(settings: Settings) -> Iterator[Engine]:
    """The same database for what a service does in threads: one connection, more only while they are needed."""
    engine = create_sync_engine(settings.database_url, pool_size=1, **_connect_options(settings))
    try:
        yield engine
    finally:
        engine.dispose()


@asynccontextmanager
async def projecting(ledger: Ledger, engine: Engine) -> AsyncIterator[Heads]:
    """Keep the projections up to date, and know the sizes of ledgers as they grow; the store tells of its commits."""
    settings = ledger.settings
    announcer = ledger.store.announcer = Announcer(engine)
    heads = Heads(ledger.engine, announcer=announcer, poll=settings.projection_interval)
    projector = Projector(
        settings.database_url, PROJECTIONS, heads, workers=settings.projectors, poll=settings.projection_interval
    )
    try:
        async with heads.watching(), projector.running():
            yield heads
    finally:
        await asyncio.to_thread(announcer.close)


@asynccontextmanager
async def auditing(ledger: Ledger, engine: Engine) -> AsyncIterator[Audited]:
    """Verify samples meanwhile, unless the settings say not to; what was found is counted."""
    settings = ledger.settings
    if not settings.audit_interval:
        yield Audited()
        return
    auditor = BackgroundAuditor(engine, sample=settings.audit_sample, every=settings.audit_interval)
    async with auditor.running():
        yield auditor.audited


def make_sender(settings: Settings) -> Sender:
    """What sends to webhooks."""
    from ..projections.webhooks import Guard, Sender  # here, since an HTTP client takes long to import

    return Sender(Guard(settings.webhook_allow, settings.webhook_refuse), timeout=settings.webhook_timeout)


@asynccontextmanager
async def delivering(
    ledger: Ledger, heads: Heads, sender: Sender, tell: Callable[[Outcome], object]
) -> AsyncIterator[None]:
    """Deliver to webhooks meanwhile, unless the settings say not to; what came of each try is told."""
    from ..projections.webhooks import Deliverer, Retries

    settings = ledger.settings
    if not settings.webhook_deliveries:
        yield
        return
    deliverer = Deliverer(
        ledger.engine,
        heads,
        sender,
        source=settings.event_source,
        retries=Retries(settings.webhook_tries, settings.webhook_retry_delay, settings.webhook_longest_delay),
        turns=settings.webhook_deliveries,
        poll=settings.projection_interval,
        tell=tell,
    )
    async with deliverer.running():
        yield


def tune_interpreter() -> None:
    """Set Python up for a process that serves: for itself alone, so a library may not.

    The garbage collector runs rarely, and past what was loaded at the start. By default it runs after every 700
    objects, which a group of commands makes many times over, and looks at each of them; a third of the time to decide
    on a command went there. And threads pass the interpreter on after half a millisecond in place of five, for which a
    writer whose commit was acknowledged waited until another thread had decided on the next group.
    """
    sys.setswitchinterval(0.0005)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def open_writer(ledger: Ledger) -> GroupWriter:
    """The writer of a service: a context that ends once all that was taken in is written."""
    settings = ledger.settings
    return GroupWriter(
        settings.database_url, store=ledger.store, workers=settings.writers, patience=settings.write_patience
    )


async def shorten_waits(ledger: Ledger, seconds: float) -> None:
    """From now on SQLite tells after so many seconds that another process writes, for callers that try again."""
    if ledger.engine.dialect.name != "sqlite":
        return

    def shorten(connection: Any, _: Any) -> None:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")
        cursor.close()

    event.listen(ledger.engine.sync_engine, "connect", shorten)
    await ledger.engine.dispose()  # connections that wait for longer


def sqlite_file(url: str) -> Path | None:
    """The file of a SQLite database; None for a server."""
    parsed = parse_url(url)
    if parsed.get_backend_name() != "sqlite":
        return None
    if not parsed.database or parsed.database == ":memory:":
        raise InvalidInput(
            field="database_url",
            problem="names no file",
            remedy="Use sqlite:///file.db: memory forgets what it is told.",
        )
    return Path(parsed.database)


def check_folder(url: str) -> Path | None:
    """The file of a SQLite database, in a folder that exists; None for a server."""
    file = sqlite_file(url)
    if file is not None and not file.parent.is_dir():
        raise InvalidInput(
            field="database_url", problem=f"there is no folder {file.parent}", remedy="Make it, or name another file."
        )
    if file is not None and file.is_dir():
        raise InvalidInput(field="database_url", problem=f"{file} is a folder", remedy="Name a file.")
    return file


def _connect_options(settings: Settings) -> dict[str, Any]:
    url = parse_url(settings.database_url)
    if url.get_backend_name() == "sqlite" or "connect_timeout" in url.query:
        return {}
    return {"connect_args": {"connect_timeout": _CONNECT_TIMEOUT}}


def _bound_idle_transactions(engine: AsyncEngine, seconds: float) -> None:
    """Let nobody who is stopped halfway keep the head of a ledger locked, nor a run that a reaper should end."""
    if engine.dialect.name != "postgresql":
        return

    def bound(connection: Any, _: Any) -> None:
        cursor = connection.cursor()
        cursor.execute(f"SET idle_in_transaction_session_timeout = {round(seconds * 1000)}")
        cursor.close()
        connection.commit()

    event.listen(engine.sync_engine, "connect", bound)


async def _check_schema(engine: AsyncEngine, settings: Settings, *, migrating: bool) -> None:
    try:
        await ask_schema(engine)
    except SchemaNotReady:
        if not migrating:
            raise
        await asyncio.to_thread(migrate, settings.database_url)
        await ask_schema(engine)


async def ask_schema(engine: AsyncEngine) -> None:
    """Whether the database answers, and its schema is that of this version."""
    with translated():  # connecting may fail, too
        async with engine.connect() as connection:
            await connection.run_sync(check_schema)
