"""The seam to the `eventsourcing` library: its applications and projections read a ledger, none of them writes one.

As `PERSISTENCE_MODULE` this module serves any application of the library, with `LEDGER_URL`, `LEDGER_ID` ("default")
and `LEDGER_POLL_INTERVAL` (seconds) in its environment. `LedgerApplication` needs no `PERSISTENCE_MODULE`, so that in
one `env` the plain name is left to the view that a projection fills:

    env = {"LEDGER_URL": "sqlite:///ledger.db", "PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": "v.db"}
    ProjectionRunner(application_class=LedgerApplication, projection_class=…, view_class=…, env=env)

With an application class of your own, each name gets its prefix: `MYAPPLICATION_PERSISTENCE_MODULE` is this module,
`MYPROJECTION_PERSISTENCE_MODULE` that of the view.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar, NoReturn
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.persistence import (
    ApplicationRecorder,
    EventStore,
    InfrastructureFactory,
    ListenNotifySubscription,
    Notification,
    ProcessRecorder,
    ShutDown,
    StoredEvent,
    TrackingRecorder,
    Transcoder,
)
from eventsourcing.utils import Environment, EnvType
from sqlalchemy import Engine, Select, select

from ..domain import EXECUTION_CATALOG, Catalog, Context, InvalidInput, ReadOnly, check_ledger
from .connections import create_sync_engine
from .database_errors import translated
from .mapper import LedgerMapper, encode_envelope, option_refused, to_uuid
from .tables import execution_events, ledgers

POLL_INTERVAL = 0.2
"""Seconds between two looks at the head of a ledger in which nothing happens."""

_PAGE = 100
"""Events in one read of a subscription; ten pages wait for a slow reader, and payloads may be large."""


class LedgerRecorder(ApplicationRecorder):
    """Reads one ledger. Notification ids are its positions: 1, 2, 3 … without gaps, visible in that order."""

    def __init__(self, engine: Engine, ledger: str = "default", *, poll_interval: float = POLL_INTERVAL) -> None:
        # Each read is one statement: no transaction around it, no snapshot held.
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self.ledger = check_ledger(ledger)
        if not 0 < poll_interval < float("inf"):
            raise InvalidInput(field="poll_interval", problem="is not a time", remedy="Give seconds, more than 0.")
        self.poll_interval = poll_interval

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> NoReturn:
        """Refuse: nothing but the ledger's own append writes one."""
        raise _write_refused()

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> list[StoredEvent]:
        """Events of one execution by version."""
        column = execution_events.c
        query = self._select().where(column.execution_id == to_uuid(originator_id))
        if gt is not None:
            query = query.where(column.version > gt)
        if lte is not None:
            query = query.where(column.version <= lte)
        query = query.order_by(column.version.desc() if desc else column.version).limit(limit)
        return [StoredEvent(**_stored(row)) for row in self._fetch(query)]

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> list[Notification]:
        """Events of the ledger by position, of all types or of those in `topics`."""
        column = execution_events.c
        query = self._select()
        if start is not None:
            query = query.where(column.position >= start if inclusive_of_start else column.position > start)
        if stop is not None:
            query = query.where(column.position <= stop)
        if topics:
            query = query.where(column.type.in_(topics))
        query = query.order_by(column.position).limit(limit)
        return [Notification(**_stored(row), id=row.position) for row in self._fetch(query)]

    def max_notification_id(self) -> int | None:
        """The last position: the size of the ledger, which its head knows."""
        rows = self._fetch(select(ledgers.c.size).where(ledgers.c.ledger_id == self.ledger))
        return rows[0].size or None if rows else None

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> LedgerSubscription:
        """All events after position `gt`, and those to come. Leave its context, or stop it, to end its thread."""
        return LedgerSubscription(self, gt, topics)

    def _select(self) -> Select[Any]:
        return select(*(execution_events.c[name] for name in _COLUMNS)).where(
            execution_events.c.ledger_id == self.ledger
        )

    def _fetch(self, query: Select[Any]) -> Sequence[Any]:
        with translated(), self._engine.connect() as connection:
            return connection.execute(query).all()


class LedgerSubscription(ListenNotifySubscription[LedgerRecorder]):
    """Follows a ledger by polling its head, on both databases alike."""

    def __init__(self, recorder: LedgerRecorder, gt: int | None = None, topics: Sequence[str] = ()) -> None:
        self._interval = recorder.poll_interval  # first: the base class starts the thread
        super().__init__(recorder=recorder, gt=gt, topics=topics)

    def _loop_on_pull(self) -> None:
        try:
            while not self._has_been_stopped:
                self._pull()
                # Set by `stop`, so that it need not wait for the end of the interval.
                self._has_been_notified.wait(self._interval)
                self._has_been_notified.clear()
        except BaseException as error:
            self._thread_error = error
            self.stop()

    def _pull(self) -> None:
        # An idle look costs one row. Positions become visible in order and without gaps, so events of other types up to
        # the head are done with, too, and are not scanned again at every look.
        head = self._recorder.max_notification_id() or 0
        last = self._last_notification_id or 0
        while last < head and not self._has_been_stopped:
            page = self._recorder.select_notifications(last + 1, _PAGE, head, self._topics)
            if page:
                try:
                    self._notifications_queue.put(page)
                except ShutDown:
                    return
            last = self._last_notification_id = page[-1].id if len(page) == _PAGE else head


class ReadOnlyEventStore(EventStore[UUID]):
    """Refuses before it maps: events of other kinds have no place in the codec."""

    def put(self, domain_events: Sequence[Any], **kwargs: Any) -> NoReturn:
        """Refuse: nothing but the ledger's own append writes one."""
        raise _write_refused()


class Factory(InfrastructureFactory[TrackingRecorder]):
    """Builds what an application needs to read a ledger, from its environment."""

    LEDGER_URL = "LEDGER_URL"
    LEDGER_ID = "LEDGER_ID"
    LEDGER_POLL_INTERVAL = "LEDGER_POLL_INTERVAL"

    catalog: ClassVar[Catalog] = EXECUTION_CATALOG
    """Override it for ledgers of another kind of entity, and name your class: `PERSISTENCE_MODULE="module:Class"`."""

    def mapper(self, transcoder: Transcoder | None = None, mapper_class: Any = None) -> Any:
        """The ledger's own; options that would make another one are refused rather than passed over."""
        for option in ("CIPHER_TOPIC", "CIPHER_KEY", "COMPRESSOR_TOPIC", "TRANSCODER_TOPIC", "MAPPER_TOPIC"):
            if self.env.get(option):
                raise option_refused(option)
        return LedgerMapper(transcoder, catalog=self.catalog)

    def event_store(self, mapper: Any = None, recorder: Any = None) -> Any:
        """A store that reads."""
        return ReadOnlyEventStore(mapper or self.mapper(), recorder or self.application_recorder())

    def application_recorder(self) -> LedgerRecorder:
        """The recorder of the ledger that the environment names."""
        given = self.env.get(self.LEDGER_POLL_INTERVAL) or str(POLL_INTERVAL)
        try:
            interval = float(given)
        except ValueError:
            raise InvalidInput(
                field=self.LEDGER_POLL_INTERVAL, problem=f"{given!r} is not a number", remedy="Give seconds, as in 0.2."
            ) from None
        return LedgerRecorder(self._engine, self.env.get(self.LEDGER_ID) or "default", poll_interval=interval)

    def aggregate_recorder(self, purpose: str = "events") -> LedgerRecorder:
        """The same recorder; a ledger keeps no snapshots."""
        if purpose != "events":
            raise option_refused(self.IS_SNAPSHOTTING_ENABLED)
        return self.application_recorder()

    def tracking_recorder(self, tracking_recorder_class: type[TrackingRecorder] | None = None) -> NoReturn:
        """Refuse: a view is kept elsewhere."""
        raise self._view_refused()

    def process_recorder(self) -> ProcessRecorder:
        """Refuse likewise."""
        raise self._view_refused()

    def close(self) -> None:
        """Close the database connections."""
        if "_engine" in self.__dict__:
            self._engine.dispose()

    @cached_property
    def _engine(self) -> Engine:
        url = self.env.get(self.LEDGER_URL)
        if not url:
            raise InvalidInput(
                field=self.LEDGER_URL,
                problem="is not set",
                remedy="Set it to the ledger's database: sqlite:///file.db or postgresql://user:password@host/name.",
            )
        # A follower runs for weeks: a connection that died meanwhile is replaced.
        return create_sync_engine(url, pool_pre_ping=True)

    def _view_refused(self) -> ReadOnly:
        name = self.env.create_keys(self.PERSISTENCE_MODULE)[0]
        return ReadOnly(what="A ledger", remedy=f"Give the view a store of its own, as in {name}=eventsourcing.sqlite.")


class LedgerApplication(Application[UUID]):
    """A ledger as an application of the library: `repository.get(execution_id)`, `notification_log`, projections.

    Always reads a ledger, whatever `PERSISTENCE_MODULE` says. Its name holds that of the ledger, so that a view that
    follows two ledgers tracks each of them.
    """

    factory_class: ClassVar[type[Factory]] = Factory

    def __init__(self, env: EnvType | None = None) -> None:
        super().__init__(env)
        assert isinstance(self.recorder, LedgerRecorder)
        self.name = f"{self.name}:{self.recorder.ledger}"

    def construct_factory(self, env: Environment) -> Factory:
        """The factory of this module."""
        return self.factory_class(env)


_CONTEXT = Context.__struct_fields__
_COLUMNS = ("position", "execution_id", "version", "type", "schema_version", "data", "recorded_at", *_CONTEXT)


def _stored(row: Any) -> dict[str, Any]:
    context = Context(*(getattr(row, name) for name in _CONTEXT))
    return {
        "originator_id": row.execution_id,
        "originator_version": row.version,
        "topic": row.type,
        "state": encode_envelope(row.recorded_at, row.schema_version, row.data, context),
    }


def _write_refused() -> ReadOnly:
    return ReadOnly(
        what="A ledger seen through the eventsourcing library",
        remedy="Record executions with ExecutionRepository; give applications of your own a store of their own.",
    )
