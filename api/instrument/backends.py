"""Where what is recorded goes: to a database, or to a service. Both are called with the repository's methods."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from typing import Any, NamedTuple, Protocol

from ...domain import Context, Create, LedgerError, UnknownExecution, make_context
from ...infrastructure import ExecutionRepository, Request, Settings
from ..client import LedgerClient
from ..http.commands import make_command
from ..runtime import open_ledger, open_writer


class Write(NamedTuple):
    """One write as data: a command of a batch of the service, or `create`."""

    job_id: str
    command: str
    fields: dict[str, Any]
    """Its own fields, and `occurred_at`."""
    key: str
    """The same key with the same write records it once."""
    trace_id: str | None = None


class Backend(Protocol):
    """Calls methods of the repository by name; from any thread."""

    def call(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Call one, and wait for its answer."""
        ...

    def send(self, writes: Sequence[Write]) -> list[Exception | None]:
        """Write together what is to be written in this order; of each, why it was refused, or None."""
        ...

    def close(self) -> None:
        """Let go of it, once all is written."""
        ...


class ServiceBackend:
    """A service, by its client."""

    def __init__(self, url: str, ledger: str | None, actor: str | None, key: str | None) -> None:
        self._client = LedgerClient(url, ledger=ledger, actor=actor, key=key)
        # Who sends in groups tries again by itself, and is to know at once when that is needed.
        self._hasty = LedgerClient(url, ledger=ledger, actor=actor, key=key, patience=0)

    def call(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Over HTTP."""
        return getattr(self._client, method)(*arguments, **options)

    def send(self, writes: Sequence[Write]) -> list[Exception | None]:
        """In two requests: executions are created before anything else is said of them."""
        created = [write for write in writes if write.command == "create"]
        others = [write for write in writes if write.command != "create"]
        answers: dict[str, Any] = {}
        if created:
            items = [{**write.fields, "job_id": write.job_id, "trace_id": write.trace_id} for write in created]
            told = self._hasty.create_executions(items, command_id=created[0].key)
            answers |= zip((write.key for write in created), told, strict=True)
        if others:
            told = self._hasty.send_commands(
                {
                    "execution_id": write.job_id,
                    "command": write.command,
                    "body": {**write.fields, "trace_id": write.trace_id},
                    "idempotency_key": write.key,
                }
                for write in others
            )
            answers |= zip((write.key for write in others), told, strict=True)
        return [answer if isinstance(answer := answers[write.key], Exception) else None for write in writes]

    def close(self) -> None:
        """Close its connections."""
        self._client.close()
        self._hasty.close()


class DatabaseBackend:
    """A database, on an event loop in a thread of its own; writes go in groups."""

    def __init__(self, url: str, ledger: str | None, actor: str | None) -> None:
        given = {"database_url": url, "ledger": ledger, "actor": actor}
        self._settings = Settings(**{name: value for name, value in given.items() if value is not None})
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="execution-ledger", daemon=True)
        self._thread.start()
        self._stack = AsyncExitStack()
        try:
            self._wait(self._open())
        except BaseException:
            self._end()
            raise

    def call(self, method: str, *arguments: Any, **options: Any) -> Any:
        """On the loop."""
        return self._wait(self._call(method, arguments, options))

    def send(self, writes: Sequence[Write]) -> list[Exception | None]:
        """In one transaction, as a rule."""
        return self._wait(self._send(writes))

    def close(self) -> None:
        """Write what waits, and end the thread."""
        if not self._loop.is_closed():
            self._wait(self._stack.aclose())
            self._end()

    async def _open(self) -> None:
        self._ledger = await self._stack.enter_async_context(open_ledger(self._settings))
        self._writer = await self._stack.enter_async_context(open_writer(self._ledger))

    async def _call(self, method: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        async with self._ledger.sessions() as session:
            repository = ExecutionRepository(
                session, ledger=self._settings.ledger, writer=self._writer, actor=self._settings.actor
            )
            return await getattr(repository, method)(*arguments, **options)

    async def _send(self, writes: Sequence[Write]) -> list[Exception | None]:
        answers: list[Exception | None] = []
        asked: list[Request] = []
        for write in writes:
            try:
                asked.append(self._request(write))
                answers.append(None)
            except LedgerError as refused:
                answers.append(refused)
        told = iter(await self._writer.execute_together(asked))
        for at, write in enumerate(writes):
            if answers[at] is None:
                answer = next(told)
                if answer is None:
                    answer = UnknownExecution(ledger=self._settings.ledger, target=write.job_id)
                answers[at] = answer if isinstance(answer, Exception) else None
        return answers

    def _request(self, write: Write) -> Request:
        fields = dict(write.fields)
        said = {"occurred_at": fields.pop("occurred_at", None), "trace_id": write.trace_id}
        if write.command == "create":
            command = Create.of({**fields, "job_id": write.job_id})
        else:
            command = make_command(write.command, fields)
        return Request(
            ledger=self._settings.ledger,
            target=write.job_id,
            command=command,
            context=make_context(Context(), actor=self._settings.actor, **said),
            command_id=write.key,
        )

    def _wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        try:
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError as error:
            work.close()
            raise RuntimeError("The ledger is closed.") from error
        try:
            return future.result()
        except BaseException:
            future.cancel()  # by Ctrl-C, say: what waits to be written is taken back
            raise

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
