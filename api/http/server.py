"""The HTTP service as a process."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

import uvicorn

from ...domain import InvalidInput
from ...infrastructure import Settings
from ..runtime import open_ledger, tune_interpreter
from .app import PREFIX, create_app
from .ending import GRACE, Watchdog
from .logs import configure_log
from .loopback import check_loopback
from .workers import serve_with_workers


class Server(uvicorn.Server):
    """Uvicorn that tells its address once it listens."""

    def __init__(self, settings: Settings, announce: Callable[[str], object], watchdog: Watchdog | None = None) -> None:
        self.app = create_app(settings)
        super().__init__(uvicorn.Config(self.app, **_options(settings)))
        self._announce = announce
        self._watchdog = watchdog

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal that asks for the end."""
        if self._watchdog is not None:
            self._watchdog.tell(sig)
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[Any] | None = None) -> None:
        """End the streams first: they would be waited for."""
        self.app.state.stopping.set()
        await super().shutdown(sockets)

    async def startup(self, sockets: list[Any] | None = None) -> None:
        """Listen, then tell where: with port 0 nobody knew before."""
        await super().startup(sockets)
        if self.started:
            self._announce(_address(self.config.host, self.servers[0].sockets[0]))


def _options(settings: Settings) -> dict[str, Any]:
    return {
        "host": settings.host,
        "port": settings.port,
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,
        "ws": "none",
        "lifespan": "on",
        "timeout_graceful_shutdown": GRACE,
    }


def serve(settings: Settings, tell: Callable[[str], object] | None = None) -> None:
    """Serve until SIGTERM or Ctrl-C, which let requests under way finish; `tell` is told where the API is.

    A process that has not ended 20 seconds later, or at a second Ctrl-C of a terminal, is ended by force.

    Raises a `LedgerError` of one line where it cannot begin: another machine could reach it, the database does not
    answer or its schema does not fit (a SQLite file is migrated instead).
    """
    tune_interpreter()
    if not settings.auth:
        check_loopback(settings.host)
    asyncio.run(_check_database(settings))

    def announce(address: str) -> None:
        api = f"{address}{PREFIX}"
        if tell is None:
            print(f"execution-ledger listens on {api} (ledger {settings.ledger!r}; Ctrl-C ends it)", flush=True)
        else:
            tell(api)

    with _quiet_end(), _listen(settings) as listener:
        configure_log(settings)
        if settings.workers == 1:
            with closing(Watchdog(status=3)) as watchdog:
                Server(settings, announce, watchdog).run(sockets=[listener])
        else:
            address = _address(settings.host, listener)
            serve_with_workers(settings, _options(settings), listener, lambda: announce(address))


def _address(host: str, listener: socket.socket) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as error:
        raise InvalidInput(
            field="port",
            problem=f"{settings.port} on {settings.host} cannot be had: {error.strerror}",
            remedy="Choose another one, or 0 for a free one.",
        ) from error


async def _check_database(settings: Settings) -> None:
    """Fail here in one line rather than inside the server in fifty."""
    async with open_ledger(settings):
        pass


@contextmanager
def _quiet_end() -> Iterator[None]:
    """Uvicorn repeats the signal after it has shut down; that is a good end, not a killed process."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_: Any) -> NoReturn:
        raise SystemExit(0)

    before = signal.signal(signal.SIGTERM, end)
    try:
        with suppress(KeyboardInterrupt):
            yield
    finally:
        signal.signal(signal.SIGTERM, before)
