"""Both side by side: the old repository answers, the ledger is written to as well, and the two are compared."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import sqlalchemy
from sqlalchemy.exc import NoInspectionAvailable
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from ...domain import FIELDS, Context, Limits, check_ledger, make_context
from ...domain.values import check_seconds
from ..event_store import EventStore, utc_now
from ..execution_repository import ExecutionRepository
from ..loading import load_events, lock_head
from ..short_transactions import transact
from .genesis import Maker
from .mapping import ColumnMapping, MappedRow
from .plans import new_plan

_log = logging.getLogger("execution_ledger.shadow")


class Mismatch(NamedTuple):
    """Where the two differ."""

    operation: str
    """The method that was called."""
    id: Any
    """Of the execution, as far as it is known."""
    field: str | None
    """That differs; None where it is not about one."""
    primary: Any
    """What the old repository has."""
    ledger: Any
    """What the ledger has, or why it refused."""


class Shadow:
    """What the repositories of all sessions share. Make one for the process; `over` wraps a repository.

    Nothing that happens to the ledger reaches the caller: what it refuses, and that it does not answer, is a mismatch.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        ledger: str = "default",
        actor: str | None = None,
        fields: Mapping[str, str] | None = None,
        statuses: Mapping[str, str] | None = None,
        timeout: float = 2.0,
        on_mismatch: Callable[[Mismatch], object] | None = None,
    ) -> None:
        """`engine` is of the ledger's database; `fields` and `statuses` are as in `ColumnMapping`.

        A call waits for the ledger for `timeout` seconds at most. A mismatch is logged, unless `on_mismatch` takes it.
        """
        self._timeout = check_seconds(timeout, "timeout")
        self._tasks: set[asyncio.Future[None]] = set()
        self._engine = engine
        self._ledger = check_ledger(ledger)
        self._context = make_context(Context(), actor=actor)
        self._fields = dict(fields or {})
        self._statuses = {name.lower(): value for name, value in (statuses or {}).items()}
        self._on_mismatch = on_mismatch or _log_mismatch
        self.compared = 0
        """Calls that were compared."""
        self.mismatches = 0

    def over(self, primary: Any) -> ShadowRepository:
        """A repository with the methods of `primary`, which answers, and whose writes the ledger gets as well."""
        return ShadowRepository(primary, self)

    async def wait(self, task: asyncio.Future[None]) -> None:
        """Wait for a task as long as a caller may; one that takes longer is given up, and not waited for."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            done, _ = await asyncio.wait({task}, timeout=self._timeout)
            if not done:
                raise TimeoutError(f"the ledger did not answer within {self._timeout:g} seconds")
            task.result()
        finally:
            task.cancel()

    def tell(self, *found: Any) -> None:
        """Of a mismatch."""
        self.mismatches += 1
        with suppress(Exception):  # nor is what the watcher does of it the caller's affair
            self._on_mismatch(Mismatch(*found))

    async def ask(self, question: Callable[[ExecutionRepository], Awaitable[Any]]) -> Any:
        """Ask the ledger, in a session of its own."""
        async with AsyncSession(self._engine, expire_on_commit=False) as session:
            return await question(ExecutionRepository(session, ledger=self._ledger, actor=self._context.actor))

    def map(self, entity: Any) -> MappedRow:
        """What an entity of the old repository tells."""
        return self.mapping(entity).map(columns_of(entity))

    def mapping(self, entity: Any) -> ColumnMapping:
        """Which of its columns is what."""
        names = tuple(columns_of(entity))
        # What an object has are values, and no text of JSON.
        return ColumnMapping(names, fields=self._fields, statuses=self._statuses, decoded=names)

    def rename(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """What the old repository was given, by our names; what is no field of ours is left out."""
        names = {column: name for name, column in self._fields.items()}
        told = {names.get(column, column): value for column, value in data.items()}
        if "status" in told:
            raw = getattr(told["status"], "value", told["status"])
            told["status"] = self._statuses.get(str(raw).lower(), raw)
        return {name: value for name, value in told.items() if name in FIELDS and name != "job_id"}

    async def adopt(self, entity: Any) -> None:
        """Begin an execution with what the old repository has of it, and with its number."""
        row = self.map(entity)
        maker = Maker(self._ledger, type(entity).__name__, new_plan(utc_now()), self._context, Limits())

        def load(connection: Any) -> None:
            EventStore().ensure_ledgers(connection, [self._ledger])
            head = lock_head(connection, self._ledger)
            arrival = maker.make(row, {}, lambda known: True)
            assert not isinstance(arrival, str), "nothing is known, so it begins"
            load_events(connection, self._ledger, [arrival], head)

        await transact(self._engine, load)


class ShadowRepository:
    """The seed's repository, over two: see `Shadow`. Other methods and attributes are the old repository's own."""

    def __init__(self, primary: Any, shadow: Shadow) -> None:
        self._primary = primary
        self._shadow = shadow

    def __getattr__(self, name: str) -> Any:
        return getattr(self._primary, name)

    async def create(self, data: dict[str, Any]) -> Any:
        """Create in both."""
        return await self._created("create", await self._primary.create(data))

    async def create_execution(self, data: dict[str, Any]) -> Any:
        """Create in both."""
        return await self._created("create_execution", await self._primary.create_execution(data))

    async def update(self, id: int, data: dict[str, Any]) -> Any:
        """Update both."""
        return await self._updated("update", id, data, await self._primary.update(id, data))

    async def update_execution(self, execution_id: int, data: dict[str, Any]) -> Any:
        """Update both."""
        entity = await self._primary.update_execution(execution_id, data)
        return await self._updated("update_execution", execution_id, data, entity)

    async def mark_execution_completed(self, execution_id: int, result: Any = None) -> Any:
        """Complete in both."""
        entity = await self._primary.mark_execution_completed(execution_id, result)
        data = {"status": "completed"} | ({"result": result} if result else {})
        return await self._updated("mark_execution_completed", execution_id, data, entity)

    async def mark_execution_failed(self, execution_id: int, error: str) -> Any:
        """Fail in both."""
        entity = await self._primary.mark_execution_failed(execution_id, error)
        data = {"status": "failed", "error": error}
        return await self._updated("mark_execution_failed", execution_id, data, entity)

    async def delete(self, id: int) -> bool:
        """Delete in both; the ledger keeps the events."""
        deleted = await self._primary.delete(id)

        async def compare() -> None:
            also = await self._shadow.ask(lambda executions: executions.delete(id))
            if also != deleted:
                self._shadow.tell("delete", id, None, deleted, also)

        await self._quietly("delete", id, compare)
        return deleted

    async def get(self, id: int) -> Any:
        """As the old repository has it."""
        return await self._read("get", await self._primary.get(id), lambda executions: executions.get(id))

    async def get_execution_by_job_id(self, job_id: str) -> Any:
        """As the old repository has it."""
        entity = await self._primary.get_execution_by_job_id(job_id)
        return await self._read(
            "get_execution_by_job_id", entity, lambda executions: executions.get_execution_by_job_id(job_id)
        )

    async def get_all(self) -> Any:
        """As the old repository has them."""
        entities = await self._primary.get_all()

        async def compare() -> None:
            self._compare_ids("get_all", entities, await self._shadow.ask(lambda executions: executions.get_all()))

        await self._quietly("get_all", None, compare)
        return entities

    async def get_execution_history(self, limit: int = 100, offset: int = 0) -> Any:
        """As the old repository has it."""
        entities, total = await self._primary.get_execution_history(limit=limit, offset=offset)

        async def compare() -> None:
            ours, counted = await self._shadow.ask(
                lambda executions: executions.get_execution_history(limit=limit, offset=offset)
            )
            if counted != total:
                self._shadow.tell("get_execution_history", None, "total", total, counted)
            self._compare_ids("get_execution_history", entities, ours)

        await self._quietly("get_execution_history", None, compare)
        return entities, total

    async def _created(self, operation: str, entity: Any) -> Any:
        async def follow() -> None:
            await self._shadow.adopt(entity)
            await self._compare_with_ledger(operation, entity)

        await self._quietly(operation, entity, follow)
        return entity

    async def _updated(self, operation: str, id: int, data: Mapping[str, Any], entity: Any) -> Any:
        async def follow() -> None:
            if entity is not None:
                # The times that the old repository took are the ones that happened.
                changes = self._shadow.map(entity).details.changes()
                told = self._shadow.rename(data)
                if "status" in told:
                    told |= {name: changes[name] for name in ("started_at", "completed_at") if name in changes}
                if data.keys() & set(self._shadow.mapping(entity).attributes):
                    told["attributes"] = changes.get("attributes")
                ours = await self._shadow.ask(lambda executions: executions.update_execution(id, told))
                if ours is None:
                    await self._shadow.adopt(entity)
            await self._compare_with_ledger(operation, entity, id)

        await self._quietly(operation, id, follow)
        return entity

    async def _read(self, operation: str, entity: Any, ask: Callable[[ExecutionRepository], Awaitable[Any]]) -> Any:
        async def compare() -> None:
            self._compare(operation, _id_of(entity), entity, await self._shadow.ask(ask))

        await self._quietly(operation, entity, compare)
        return entity

    async def _compare_with_ledger(self, operation: str, entity: Any, id: Any = None) -> None:
        number = id if entity is None else _id_of(entity)
        ours = await self._shadow.ask(lambda executions: executions.get(number))
        self._compare(operation, number, entity, ours)

    def _compare(self, operation: str, id: Any, entity: Any, ours: Any) -> None:
        if entity is None or ours is None:
            if entity is not ours:
                there = ("is there" if each is not None else "is not there" for each in (entity, ours))
                self._shadow.tell(operation, id, None, *there)
            return
        expected = self._shadow.map(entity).details.changes()
        for name in sorted(self._shadow.mapping(entity).fields.keys() | {"attributes"}):
            theirs, found = expected.get(name), getattr(ours, name)
            if theirs != found:
                self._shadow.tell(operation, id, name, theirs, found)

    def _compare_ids(self, operation: str, entities: Any, ours: Any) -> None:
        theirs, found = [_id_of(each) for each in entities], [each.id for each in ours]
        if theirs != found:
            self._shadow.tell(operation, None, "ids", theirs, found)

    async def _quietly(self, operation: str, of: Any, follow: Callable[[], Awaitable[None]]) -> None:
        """The caller's work is done: whatever the ledger makes of it is a matter for those who watch."""
        task = asyncio.ensure_future(follow())
        try:
            await self._shadow.wait(task)
        except Exception as error:
            id = None
            with suppress(Exception):  # of an object that its session has expired
                id = of if isinstance(of, int) else _id_of(of)
            self._shadow.tell(operation, id, None, "done", f"{type(error).__name__}: {error}")
        self._shadow.compared += 1


def _log_mismatch(found: Mismatch) -> None:
    _log.warning("%s", found, extra={"action": "shadow.mismatch"})


def columns_of(entity: Any) -> dict[str, Any]:
    """The values of an entity by column: a mapped object's, or a plain object's attributes."""
    try:
        names = [attribute.key for attribute in sqlalchemy.inspect(entity).mapper.column_attrs]
    except NoInspectionAvailable:
        return {name: value for name, value in vars(entity).items() if not name.startswith("_")}
    return {name: getattr(entity, name) for name in names}


def _id_of(entity: Any) -> Any:
    return getattr(entity, "id", None)
