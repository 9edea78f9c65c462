"""Clients that write without end, in all the ways that there are, and say what they send and what was acknowledged.

Every command gives one event that carries the command's marker as its correlation id.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from execution_ledger.domain import (
    Command,
    Context,
    Create,
    Delete,
    FinishStep,
    LedgerBusy,
    Note,
    OutcomeUnknown,
    StartStep,
    StoreUnavailable,
    Update,
)
from execution_ledger.infrastructure import ExecutionRepository, GroupWriter, Outcome, Request, create_engine

LEDGERS = ("default", "blue", "green")
SHARED = ("shared-0", "shared-1", "shared-2")
"""Executions that every client writes to; `prepare` makes them."""
PATIENCE = 120.0
"""Seconds: longer than any restart takes, so that nobody is told of one."""

Spec = dict[str, Any]
"""A command in plain JSON: marker, ledger, kind, target, and whether it is named, that is, has a command id."""
Say = Callable[..., None]

_COMMANDS: dict[str, Callable[[Spec], Command]] = {
    "create": lambda spec: Create.of({"job_id": spec["marker"]}),
    "create without a job id": lambda spec: Create.of({"run_name": spec["marker"]}),
    "change": lambda spec: Update.of({"message": spec["marker"]}),
    "note": lambda spec: Note.of(spec["marker"]),
    "begin": lambda spec: StartStep.of(spec["marker"]),
    "finish": lambda spec: FinishStep.of(spec["step"]),
    "delete": lambda spec: Delete(),
}


def client_of(spec: Spec) -> str:
    """Who sends it."""
    return spec["marker"].rsplit("-", 1)[0]


def to_request(spec: Spec) -> Request:
    """The command, the same each time."""
    command_id = spec["marker"] if spec["named"] else None
    context = Context(actor=client_of(spec), correlation_id=spec["marker"])
    return Request(spec["ledger"], spec["target"], _COMMANDS[spec["kind"]](spec), context, command_id=command_id)


async def prepare(url: str) -> None:
    """Make what the clients share."""
    async with GroupWriter(url) as writer:
        for ledger in LEDGERS:
            for job_id in SHARED:
                await writer.execute(Request(ledger, job_id, Create.of({"job_id": job_id})))


async def run(url: str, name: str, again: Sequence[Spec], say: Say, stop: asyncio.Event) -> None:
    """Send the commands of `again`, whose answers were lost, and new ones until told to stop."""
    engine = create_engine(url, pool_size=4, max_overflow=0, pool_timeout=PATIENCE)
    async with GroupWriter(url, patience=PATIENCE) as writer:
        load = Load(engine, writer, say, stop)
        await asyncio.gather(*(load.deliver(spec, load.by_writer) for spec in again))
        async with asyncio.TaskGroup() as group:
            for at in range(12):
                group.create_task(load.client(f"{name}-writer{at}", load.by_writer))
            for at in range(2):
                group.create_task(load.client(f"{name}-session{at}", load.by_session))
            group.create_task(load.units(f"{name}-unit"))
            group.create_task(load.bulks(f"{name}-bulk"))
    await engine.dispose()


class Load:
    """What the clients of one process share."""

    def __init__(self, engine: Any, writer: GroupWriter, say: Say, stop: asyncio.Event) -> None:
        self._engine = engine
        self._writer = writer
        self._say = say
        self._stop = stop

    async def client(self, name: str, send: Callable[[Spec], Awaitable[dict[str, Any]]]) -> None:
        """One command after the other, about its own executions and those of all."""
        specs = Specs(name)
        while not self._stop.is_set():
            spec = specs.next()
            await self.deliver(spec, send)
            specs.done(spec)

    async def units(self, name: str) -> None:
        """A few commands in each transaction of a session."""
        specs = Specs(name)
        while not self._stop.is_set():
            unit = [specs.change(named=True) for _ in range(3)]
            for spec in unit:
                spec["unit"] = unit[0]["marker"]
            await self.deliver_together(unit, self.by_unit)

    async def bulks(self, name: str) -> None:
        """Many at once."""
        specs = Specs(name)
        while not self._stop.is_set():
            await self.deliver_together([specs.create(named=True) for _ in range(40)], self.by_bulk)

    async def deliver(self, spec: Spec, send: Callable[[Spec], Awaitable[dict[str, Any]]]) -> None:
        """Send a command until it is answered; not again where it may have been done and has no id."""
        answer: dict[str, Any] = {}

        async def one(_: Sequence[Spec]) -> None:
            answer.update(await send(spec))

        await self.deliver_together([spec], one, answer)

    async def deliver_together(
        self,
        specs: Sequence[Spec],
        send: Callable[[Sequence[Spec]], Awaitable[None]],
        answer: dict[str, Any] | None = None,
    ) -> None:
        self._say(sent=specs)
        while True:
            try:
                await send(specs)
            except (StoreUnavailable, LedgerBusy) as error:
                self._say(trouble=type(error).__name__, client=client_of(specs[0]))
                if isinstance(error, OutcomeUnknown) and not all(spec["named"] for spec in specs):
                    return
                await asyncio.sleep(0.02)  # as a client does that tries again
            else:
                self._say(done=[spec["marker"] for spec in specs], **(answer or {}))
                return

    async def by_writer(self, spec: Spec) -> dict[str, Any]:
        outcome = await self._writer.execute(to_request(spec), row=False)
        assert isinstance(outcome, Outcome), spec
        return {"version": outcome.version, "position": outcome.first_position}

    async def by_session(self, spec: Spec) -> dict[str, Any]:
        options: Any = {"correlation_id": spec["marker"], "command_id": spec["marker"] if spec["named"] else None}
        async with AsyncSession(self._engine) as session:
            repository = ExecutionRepository(session, ledger=spec["ledger"], actor=client_of(spec))
            row: Any
            match spec["kind"]:
                case "create":
                    row = await repository.create({"job_id": spec["marker"]}, **options)
                case "create without a job id":
                    row = await repository.create({"run_name": spec["marker"]}, **options)
                case "change":
                    row = await repository.update(spec["target"], {"message": spec["marker"]}, **options)
                case "note":
                    row = await repository.add_note(spec["target"], spec["marker"], **options)
                case "begin":
                    row = await repository.start_step(spec["target"], spec["marker"], **options)
                case "finish":
                    row = await repository.finish_step(spec["target"], spec["step"], **options)
                case _:
                    assert await repository.delete(spec["target"], **options), spec
                    return {}
            assert row is not None, spec
            return {"version": row.version}

    async def by_unit(self, specs: Sequence[Spec]) -> None:
        async with AsyncSession(self._engine) as session:
            repository = ExecutionRepository(
                session, commit=False, ledger=specs[0]["ledger"], actor=client_of(specs[0])
            )
            for spec in specs:
                options: Any = {"correlation_id": spec["marker"], "command_id": spec["marker"]}
                assert await repository.update(spec["target"], {"message": spec["marker"]}, **options) is not None
            await repository.flush()
            try:
                await session.commit()
            except DBAPIError as error:  # the commit is the caller's own: nobody translates it
                raise OutcomeUnknown(problem=str(error)) from error

    async def by_bulk(self, specs: Sequence[Spec]) -> None:
        report = await self._writer.execute_many(to_request(spec) for spec in specs)
        assert report == (len(specs), 0, 0)


class Specs:
    """Makes the commands of one client."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._chance = random.Random(name)
        self._ledger = self._chance.choice(LEDGERS)
        self._count = 0
        self._mine: list[str] = []
        self._begun: list[Spec] = []

    def next(self) -> Spec:
        """Anything that can be done now."""
        kinds = ["create", "create without a job id", "change", "change", "note"]
        kinds += ["begin", "delete"] if len(self._mine) > 2 else []
        kinds += ["finish"] * 2 if self._begun else []
        kind = self._chance.choice(kinds)
        if kind == "create":
            return self.create()
        if kind == "create without a job id":
            return self._spec(kind, None)
        if kind == "change":
            return self.change()
        if kind == "finish":
            begun = self._begun.pop()
            return self._spec(kind, begun["target"]) | {"step": begun["marker"]}
        target = self._chance.choice(self._mine or SHARED)
        if kind == "delete":
            self._mine.remove(target)
            self._begun = [each for each in self._begun if each["target"] != target]
        return self._spec(kind, target)

    def create(self, named: bool | None = None) -> Spec:
        spec = self._spec("create", None, named)
        return spec | {"target": spec["marker"]}

    def change(self, named: bool | None = None) -> Spec:
        return self._spec("change", self._chance.choice([*SHARED, *self._mine[-3:]]), named)

    def done(self, spec: Spec) -> None:
        """It was done, or nobody knows: then what follows could be refused, and does not follow."""
        if spec["kind"] == "create" and spec["named"]:
            self._mine.append(spec["marker"])
        elif spec["kind"] == "begin" and spec["named"]:
            self._begun.append(spec)

    def _spec(self, kind: str, target: str | None, named: bool | None = None) -> Spec:
        self._count += 1
        named = self._chance.random() < 0.6 if named is None else named
        marker = f"{self._name}-{self._count}"
        return {"marker": marker, "ledger": self._ledger, "kind": kind, "target": target, "named": named}
