"""The clients: one for programs that wait, one for asyncio. Both have the same methods."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from types import TracebackType
from typing import Any, Generic, ParamSpec, Self, TypeVar, Unpack, overload

import httpx

from ...domain import InvalidInput, UnknownExecution
from ...infrastructure.tls import verifying
from ...projections import EventFilters, RecordedEvent
from . import operations as op
from . import webhook_operations as hooks
from .calls import Call, event_of, utf8
from .problems import error_of, foreign_answer, no_answer
from .retries import Retries
from .streams import MessageReader, is_stream

P = ParamSpec("P")
T = TypeVar("T")

_PREFIX = "/api/v1/"
_SILENCE = 45.0
"""Seconds of silence after which a stream is taken to be dead; the service says something every 15."""


class Operation(Generic[P, T]):
    """A method of both clients, made from the function that makes its call."""

    def __init__(self, make: Callable[P, Call[T]]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    @overload
    def __get__(self, client: LedgerClient, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: AsyncLedgerClient, owner: type) -> Callable[P, Awaitable[T]]: ...
    @overload
    def __get__(self, client: None, owner: type) -> Operation[P, T]: ...
    def __get__(self, client: Any, owner: type) -> Any:
        """The method of a client."""
        if client is None:
            return self

        def call(*args: P.args, **kwargs: P.kwargs) -> Any:
            return client.send(self._make(*args, **kwargs))

        call.__doc__ = self.__doc__
        return call


class _Operations:
    """What can be asked: `operations` says what each takes and gives."""

    get = Operation(op.get)
    get_execution_by_job_id = Operation(op.get_execution_by_job_id)
    get_execution_at = Operation(op.get_execution_at)
    get_execution_history = Operation(op.get_execution_history)
    get_execution_page = Operation(op.get_execution_page)
    create_execution = Operation(op.create_execution)
    create_executions = Operation(op.create_executions)
    update_execution = Operation(op.update_execution)
    mark_execution_completed = Operation(op.mark_execution_completed)
    mark_execution_failed = Operation(op.mark_execution_failed)
    transition = Operation(op.transition)
    correct_execution = Operation(op.correct_execution)
    report_late_outcome = Operation(op.report_late_outcome)
    delete = Operation(op.delete)
    send_commands = Operation(op.send_commands)
    send_lineage = Operation(op.send_lineage)

    start_step = Operation(op.start_step)
    finish_step = Operation(op.finish_step)
    add_note = Operation(op.add_note)

    take_lease = Operation(op.take_lease)
    renew_lease = Operation(op.renew_lease)
    release_lease = Operation(op.release_lease)

    execution_events = Operation(op.execution_events)
    frames = Operation(op.frames)
    spans = Operation(op.spans)
    diff = Operation(op.diff)
    explain = Operation(op.explain)
    compare = Operation(op.compare)

    audit = Operation(op.audit)
    count_events = Operation(op.count_events)
    last_change = Operation(op.last_change)
    touched_runs = Operation(op.touched_runs)

    statistics = Operation(op.statistics)
    most_failing = Operation(op.most_failing)
    failure_reasons = Operation(op.failure_reasons)
    longest_runs = Operation(op.longest_runs)
    most_retried = Operation(op.most_retried)

    events = Operation(op.events)
    summary = Operation(op.summary)
    root = Operation(op.root)
    projections = Operation(op.projections)
    retry_projection = Operation(op.retry_projection)

    webhooks = Operation(hooks.webhooks)
    webhook = Operation(hooks.webhook)
    add_webhook = Operation(hooks.add_webhook)
    change_webhook = Operation(hooks.change_webhook)
    remove_webhook = Operation(hooks.remove_webhook)
    rotate_webhook_secret = Operation(hooks.rotate_webhook_secret)
    test_webhook = Operation(hooks.test_webhook)
    dead_letters = Operation(hooks.dead_letters)
    replay_dead_letter = Operation(hooks.replay_dead_letter)
    drop_dead_letter = Operation(hooks.drop_dead_letter)

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        ledger: str | None = None,
        actor: str | None = None,
        timeout: float = 10.0,
        patience: float = 30.0,
    ) -> None:
        """For the service at `url`, as `http://127.0.0.1:8470`.

        `key` is an API key or a token; `ledger` and `actor` are for services that ask for none. A request may take
        `timeout` seconds, one for which a webhook has to answer as long as that may take; what the network lost, and
        what the service cannot do now (429, 502, 503, 504), is sent again for `patience` seconds, always with the
        same Idempotency-Key.
        """
        parsed = httpx.URL(url)
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise InvalidInput(
                field="url", problem=f"{url[:80]!r} is no address", remedy="Use http://host:port or https://host."
            )
        self._base = parsed.copy_with(path=parsed.path.rstrip("/").removesuffix(_PREFIX.rstrip("/")) + _PREFIX)
        self._address = parsed.netloc.decode()
        given = {"X-Ledger": ledger, "X-Actor": actor, "Authorization": None if key is None else f"Bearer {key}"}
        self._headers = {name: _header(name, value) for name, value in given.items() if value is not None}
        self._timeout = timeout
        self.patience = patience
        """Seconds for which requests are sent again."""
        self.position: int | None = None
        """Of the last event that this client wrote: what it reads afterwards is not older."""

    def _request(self, call: Call[Any]) -> dict[str, Any]:
        """What httpx is to send."""
        headers = self._headers | {name: _header(name, value) for name, value in call.headers.items()}
        if call.method == "GET" and self.position is not None:
            headers["X-Min-Position"] = str(self.position).encode()
        content = call.content()
        if content is not None:
            headers["Content-Type"] = b"application/json"
        url = self._base.copy_with(raw_path=self._base.raw_path + call.path.encode(), query=None)
        parameters = call.parameters()
        if parameters:
            url = url.copy_merge_params(parameters)
        return {"method": call.method, "url": url, "headers": headers, "content": content}

    def _timeout_of(self, call: Call[Any]) -> httpx.Timeout:
        """What keeps the service from answering is no reason to connect to it more slowly."""
        return httpx.Timeout(self._timeout, read=max(self._timeout, call.seconds))

    def _answer(self, call: Call[T], response: httpx.Response) -> T:
        """What the answer says."""
        if response.is_success:
            position = response.headers.get("X-Position", "")
            self.position = int(position) if position.isdecimal() else self.position
            try:
                return call.read(response)
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                raise foreign_answer(response) from error
        error = error_of(response)
        if call.missing and isinstance(error, UnknownExecution):
            return call.or_else
        raise error

    def _following(self, after: int, type: Any, job_id: str | None) -> Call[Any]:
        return Call("GET", "events/stream", lambda _: None, {"after": after, "type": type, "job_id": job_id})


class LedgerClient(_Operations):
    """The service, for programs that wait for each answer. Threads may share one; close it, or use it as a context."""

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(url, **options)
        self._http = httpx.Client(timeout=self._timeout, verify=verifying())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def send(self, call: Call[T]) -> T:
        """Send a call, again where that may help, and read its answer."""
        retries, request, timeout = Retries(self.patience), self._request(call), self._timeout_of(call)
        while True:
            try:
                outcome: httpx.Response | httpx.TransportError = self._http.request(**request, timeout=timeout)
            except httpx.TransportError as error:
                outcome = error
            delay = retries.delay(outcome) if _may_repeat(call, outcome) else None
            if delay is None:
                if isinstance(outcome, httpx.TransportError):
                    raise no_answer(outcome, self._address) from outcome
                return self._answer(call, outcome)
            time.sleep(delay)

    def follow(
        self, after: int | None = None, *, type: str | list[str] | None = None, job_id: str | None = None
    ) -> Iterator[RecordedEvent]:
        """The events of the ledger behind a position (without one: those to come), each once and in order, without end.

        Connects again, where it was, whenever the stream breaks.
        """
        # From a position in any case: else what is written while the stream is broken would be lost.
        resuming = _Resuming(self.summary().size if after is None else after, self.patience)
        while True:
            reader = MessageReader()
            try:
                request = self._request(self._following(resuming.after, type, job_id))
                timeout = httpx.Timeout(self._timeout, read=_SILENCE)
                with self._http.stream(**request, timeout=timeout) as response:
                    if is_stream(response):
                        for data in response.iter_bytes():
                            for message in reader.feed(data):
                                event = event_of(message.data)
                                resuming.seen(event.position)
                                yield event
                    else:
                        response.read()
                        resuming.refused(response)
            except httpx.TransportError as error:
                resuming.failed(error, self._address)
            time.sleep(resuming.pause())


class AsyncLedgerClient(_Operations):
    """The service, for asyncio: every method is to be awaited. Close it, or use it as a context."""

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(url, **options)
        self._http = httpx.AsyncClient(timeout=self._timeout, verify=verifying())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def send(self, call: Call[T]) -> T:
        """Send a call, again where that may help, and read its answer."""
        retries, request, timeout = Retries(self.patience), self._request(call), self._timeout_of(call)
        while True:
            try:
                outcome: httpx.Response | httpx.TransportError = await self._http.request(**request, timeout=timeout)
            except httpx.TransportError as error:
                outcome = error
            delay = retries.delay(outcome) if _may_repeat(call, outcome) else None
            if delay is None:
                if isinstance(outcome, httpx.TransportError):
                    raise no_answer(outcome, self._address) from outcome
                return self._answer(call, outcome)
            await asyncio.sleep(delay)

    async def follow(
        self, after: int | None = None, *, type: str | list[str] | None = None, job_id: str | None = None
    ) -> AsyncGenerator[RecordedEvent]:
        """The events of the ledger behind a position (without one: those to come), each once and in order, without end.

        Connects again, where it was, whenever the stream breaks.
        """
        resuming = _Resuming((await self.summary()).size if after is None else after, self.patience)
        while True:
            reader = MessageReader()
            try:
                request = self._request(self._following(resuming.after, type, job_id))
                timeout = httpx.Timeout(self._timeout, read=_SILENCE)
                async with self._http.stream(**request, timeout=timeout) as response:
                    if is_stream(response):
                        async for data in response.aiter_bytes():
                            for message in reader.feed(data):
                                event = event_of(message.data)
                                resuming.seen(event.position)
                                yield event
                    else:
                        await response.aread()
                        resuming.refused(response)
            except httpx.TransportError as error:
                resuming.failed(error, self._address)
            await asyncio.sleep(resuming.pause())

    async def export(
        self, write: Callable[[bytes], object], format: str = "jsonl", **filters: Unpack[EventFilters]
    ) -> int:
        """Download the events that pass every filter, piece by piece; how many the ledger had when it began.

        `summary` and `root` tell what it holds. What breaks off is raised, not sent again: start anew.
        """
        call = Call("GET", "audit/export", lambda _: None, {"format": format, **filters})
        try:
            async with self._http.stream(**self._request(call)) as response:
                size = response.headers.get("X-Ledger-Size", "")
                if not (response.is_success and size.isdecimal()):
                    await response.aread()
                    raise error_of(response)
                async for data in response.aiter_bytes():
                    write(data)
                return int(size)
        except httpx.TransportError as error:
            raise no_answer(error, self._address) from error


class _Resuming:
    """Where a stream that broke goes on, and for how long it is tried without hearing anything."""

    def __init__(self, after: int, patience: float) -> None:
        self.after = after
        self._patience = patience
        self._retries = Retries(patience)
        self._pause = 0.0

    def seen(self, position: int) -> None:
        """An event came."""
        self.after, self._retries, self._pause = position, Retries(self._patience), 0.0

    def refused(self, response: httpx.Response) -> None:
        """The service did not give the stream: raises where that stands."""
        delay = self._retries.delay(response)
        if delay is None:
            raise error_of(response)
        self._pause = delay

    def failed(self, error: httpx.TransportError, address: str) -> None:
        """The stream broke: raises where that has lasted too long."""
        delay = self._retries.delay(error)
        if delay is None:
            raise no_answer(error, address) from error
        self._pause = delay

    def pause(self) -> float:
        """Seconds to wait before the next try; a little also where the service ended the stream itself."""
        pause, self._pause = self._pause or random.uniform(0.05, 0.2), 0.0
        return pause


def _may_repeat(call: Call[Any], outcome: httpx.Response | httpx.TransportError) -> bool:
    """Whether sending it again can do no harm: nothing was done, or it is told apart by its key."""
    if call.repeatable or isinstance(outcome, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)):
        return True
    return isinstance(outcome, httpx.Response) and outcome.status_code == 429


def _header(name: str, value: str) -> bytes:
    if any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise InvalidInput(field=name, problem="holds a control character", remedy="Leave it out.")
    return utf8(name, value)
