"""A ledger for programs that record what they do."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextvars import Context
from functools import partial, wraps
from typing import Any, ParamSpec, Self, TypeVar, overload

from ...domain import InvalidInput
from .backends import Backend, DatabaseBackend, ServiceBackend
from .forks import ForkedBackend
from .outbox import Outbox
from .runs import Run
from .values import plain

P = ParamSpec("P")
T = TypeVar("T")


class Ledger:
    """Where runs are recorded: a database (`sqlite:///ledger.db`, `postgresql://…`) or a service (`http://…`).

    Threads, event loops and forked processes may share one. Close it, or use it as a context.
    """

    def __init__(
        self, url: str, *, ledger: str | None = None, actor: str | None = None, key: str | None = None
    ) -> None:
        self.backend: Backend = ForkedBackend(
            partial(ServiceBackend, url, ledger, actor, key)
            if url.startswith(("http://", "https://"))
            else partial(DatabaseBackend, url, ledger, actor)
        )
        # In a context of its own: what is logged there is no part of a run, nor what is traced.
        self.outbox = Outbox(self.backend, context=Context())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of it, once all is written, or a few seconds later."""
        self.outbox.close()
        self.backend.close()

    def execution(
        self,
        run_name: str,
        *,
        job_id: str | None = None,
        inputs: Any = None,
        attributes: Mapping[str, Any] | None = None,
        execution_type: str | None = None,
        reason: str | None = None,
    ) -> Run:
        """A run, for `with` and `async with`: it starts there, and ends as the block does.

        Inside another run of this ledger it is a part of that one. What the block raises fails it, with the traceback
        as a note; a cancellation cancels it. Set `run.result` to what it gave.
        """
        data = {
            "run_name": run_name,
            "job_id": job_id,
            "inputs": inputs,
            "attributes": attributes,
            "execution_type": execution_type,
        }
        given = {name: value for name, value in data.items() if value is not None}
        return Run(self.backend, self.outbox, given, reason)

    @overload
    def recorded(self, function: Callable[P, T], /) -> Callable[P, T]: ...
    @overload
    def recorded(
        self, function: None = None, /, *, name: str | None = None, inputs: bool = True, result: bool = True
    ) -> Callable[[Callable[P, T]], Callable[P, T]]: ...
    def recorded(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        name: str | None = None,
        inputs: bool = True,
        result: bool = True,
    ) -> Any:
        """Make each call of a function a run, of coroutine functions as well: `@ledger.recorded`.

        `inputs` are its arguments, `result` what it returns: as JSON where they are and not too much, else as text.
        """
        if function is None:
            return lambda function: self.recorded(function, name=name, inputs=inputs, result=result)
        kinds = (function, type(function).__call__)  # an instance that can be called is what that method is
        if any(inspect.isgeneratorfunction(each) or inspect.isasyncgenfunction(each) for each in kinds):
            raise InvalidInput(
                field="function",
                problem="is a generator, which has done nothing yet when its call returns",
                remedy="Use `with ledger.execution(…)` around what goes through it.",
            )
        signature = inspect.signature(function)
        named = name or _name_of(function)

        def run_of(arguments: tuple[Any, ...], options: dict[str, Any]) -> Run:
            given = None
            if inputs:
                bound = signature.bind(*arguments, **options)
                given = {each: plain(value) for each, value in bound.arguments.items() if each not in ("self", "cls")}
            return self.execution(named, inputs=given, execution_type="function")

        if any(inspect.iscoroutinefunction(each) for each in kinds):

            @wraps(function)
            async def call_later(*arguments: Any, **options: Any) -> Any:
                async with run_of(arguments, options) as run:
                    returned = await function(*arguments, **options)
                    run.result = plain(returned) if result else None
                    return returned

            return call_later

        @wraps(function)
        def call(*arguments: Any, **options: Any) -> Any:
            with run_of(arguments, options) as run:
                returned = function(*arguments, **options)
                run.result = plain(returned) if result else None
                return returned

        return call


def _name_of(function: Any) -> str:
    while isinstance(function, partial):
        function = function.func
    return getattr(function, "__qualname__", None) or type(function).__qualname__
