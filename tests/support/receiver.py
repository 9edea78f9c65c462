"""An HTTP server that takes webhooks, verifies them as any receiver would, and misbehaves as it is told."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
from standardwebhooks import Webhook

LOOPBACK = "127.0.0.0/8"


@dataclass(frozen=True)
class Delivery:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        return msgspec.json.decode(self.body)

    @property
    def position(self) -> int:
        return int(self.event["position"])

    def verify(self, secret: str) -> dict[str, Any]:
        """By the library of the standard: raises where the signature is not good."""
        return Webhook(secret).verify(self.body, self.headers)


@dataclass(frozen=True)
class Answer:
    """What is done with a request."""

    status: int | None = 204
    """None: the connection is cut without an answer."""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    wait: float = 0.0
    """Seconds before the answer."""
    drip: float = 0.0
    """Seconds between two bytes of the body."""


OK = Answer()


class Receiver:
    """What came, in the order in which it came; `answer` decides what becomes of each."""

    def __init__(self) -> None:
        self.answer: Callable[[Delivery], Answer] = lambda _: OK
        self.deliveries: list[Delivery] = []
        self.accepted: list[Delivery] = []
        self.connections = 0
        self.failure: BaseException | None = None
        """What went wrong in here, which the sender must not be blamed for."""
        self._changed = threading.Condition()
        self.url = ""

    def take(self, delivery: Delivery) -> Answer:
        with self._changed:
            self.deliveries.append(delivery)
            self._changed.notify_all()
        try:
            answer = self.answer(delivery)
        except BaseException as error:
            self.failure = error
            raise
        if answer.status is not None and 200 <= answer.status < 300:
            self.accepted.append(delivery)
        return answer

    def check_order(self) -> None:
        """No event came before the one before it was taken."""
        accepted, taken = {id(each) for each in self.accepted}, 0
        for delivery in self.deliveries:
            assert delivery.position <= taken + 1
            if id(delivery) in accepted:
                taken = max(taken, delivery.position)

    def wait(self, enough: Callable[[Receiver], Any], timeout: float = 60.0) -> None:
        """Until what came is enough."""
        with self._changed:
            assert self._changed.wait_for(lambda: enough(self), timeout), [
                (each.path, each.event.get("position")) for each in self.deliveries[-20:]
            ]

    def wait_for(self, number: int, timeout: float = 60.0) -> list[int]:
        """The positions of what came, once there are so many."""
        self.wait(lambda _: len(self.deliveries) >= number, timeout)
        return [each.position for each in self.deliveries]


@contextmanager
def receiving(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A receiver that listens on a free port of this machine."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def setup(self) -> None:
            receiver.connections += 1
            super().setup()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = receiver.take(Delivery(self.path, headers, body))
            time.sleep(answer.wait)
            if answer.status is None:
                self.close_connection = True
                with suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RDWR)
                return
            with suppress(OSError):  # who was to be answered has gone
                self.send_response(answer.status)
                for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                for byte in answer.body if answer.drip else ():
                    self.wfile.write(bytes([byte]))
                    time.sleep(answer.drip)
                if not answer.drip:
                    self.wfile.write(answer.body)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            pass  # a client that went away, or that did not trust us

    server = Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    scheme = "http" if tls is None else "https"
    receiver.url = f"{scheme}://127.0.0.1:{server.server_address[1]}/hooks"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        if receiver.failure is not None:
            raise receiver.failure
