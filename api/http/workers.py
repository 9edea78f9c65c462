"""Several processes that serve on one socket."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from socket import socket
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr
from uvicorn.supervisors.multiprocess import Multiprocess, Process

from ...infrastructure import Settings
from ..runtime import tune_interpreter
from .app import create_app
from .ending import Watchdog
from .logs import configure_log
from .metrics import MULTIPROCESS

_READY = 60.0
"""Seconds in which a process has to be ready."""


class Workers(Multiprocess):
    """Uvicorn's supervisor, which starts processes anew that died. It tells the address once all of them listen."""

    def __init__(self, config: uvicorn.Config, listener: socket, announce: Callable[[], object]) -> None:
        super().__init__(config, [listener])
        self._announce = announce

    def init_processes(self) -> None:
        """Start all of them, and wait until they can serve."""
        super().init_processes()
        if all(map(self._is_ready, self.processes)):
            self._announce()

    def _is_ready(self, process: Process) -> bool:
        """Whether it is in time; not waited for where a signal asks for the end meanwhile."""
        deadline = time.monotonic() + _READY
        asked = {signal.SIGINT, signal.SIGTERM}
        while process.process.is_alive() and time.monotonic() < deadline and asked.isdisjoint(self.signal_queue):
            if process.wait_until_ready(0.5):
                return True
        return False


def serve_with_workers(
    settings: Settings, options: dict[str, Any], listener: socket, announce: Callable[[], object]
) -> None:
    """Serve until SIGTERM or Ctrl-C. Each process reads its settings from the environment, and migrates nothing."""
    with TemporaryDirectory(prefix="execution-ledger-metrics-") as folder, _environment(settings, folder):
        config = uvicorn.Config(f"{__name__}:make_app", factory=True, workers=settings.workers, **options)
        Workers(config, listener, announce).run()


def make_app() -> FastAPI:
    """The app of one process."""
    tune_interpreter()
    settings = Settings()
    configure_log(settings)
    app = create_app(settings)
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Any]:
        _heed_signals(app.state.stopping)
        async with inner(app) as state:
            yield state

    app.router.lifespan_context = lifespan
    return app


def _heed_signals(stopping: asyncio.Event) -> None:
    """End the streams before uvicorn is told, which waits for them; and the process in time."""
    loop = asyncio.get_running_loop()
    watchdog = Watchdog(status=1)  # what uvicorn takes for a start that failed is 3
    for number in (signal.SIGINT, signal.SIGTERM):
        before = signal.getsignal(number)

        def end(number: int, frame: FrameType | None, before: Any = before) -> None:
            watchdog.tell(number)
            loop.call_soon_threadsafe(stopping.set)
            if callable(before):
                before(number, frame)

        signal.signal(number, end)


@contextmanager
def _environment(settings: Settings, folder: str) -> Iterator[None]:
    """The settings where the processes find them, with those of the command line."""
    if settings.session_secret is None:  # all of them must know a session that one began
        settings = settings.model_copy(update={"session_secret": SecretStr(secrets.token_hex(32))})
    given = {name: value for name, value in settings if value is not None}
    prefix = settings.model_config.get("env_prefix", "")
    texts = {f"{prefix}{name}".upper(): _text(value) for name, value in given.items()} | {MULTIPROCESS: folder}
    before = {name: os.environ.get(name) for name in texts}
    os.environ.update(texts)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _text(value: Any) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return json.dumps(value, default=str) if isinstance(value, list) else str(value)
