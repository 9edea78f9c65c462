"""What really goes over the wire to PostgreSQL: a proxy that notes every statement, and can lose or delay it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import psycopg
from sqlalchemy import URL, make_url

_STARTUP = b""
"""The first message of a connection has no type."""
_ENDS_A_ROUND = (b"Q", b"S", b"H", b"X", b"p")
"""Messages after which a client waits for an answer, or for none any more."""

Act = Callable[["Link", bytes], Awaitable[None]]
"""What is done with a round of messages in place of forwarding it."""


@dataclass
class Wire:
    """A proxied server; `url` leads through the proxy."""

    url: str
    statements: list[str] = field(default_factory=list)
    """The texts of simple queries and of executed prepared statements, in order."""
    held: list[tuple[Link, bytes]] = field(default_factory=list)
    """Rounds that the server has not seen yet."""
    acts: list[tuple[str, Act]] = field(default_factory=list)
    down: bool = False
    """Whether nobody gets through any more."""

    def once(self, start: str, act: Act) -> None:
        """Do this with the next round that executes a statement which begins like this."""
        self.acts.append((start, act))

    def act_on(self, statements: list[str]) -> Act | None:
        """What is to be done with these, if anything."""
        for at, (start, act) in enumerate(self.acts):
            if any(statement.startswith(start) for statement in statements):
                del self.acts[at]
                return act
        return None

    async def hold(self, link: Link, messages: bytes) -> None:
        """Hang up, but keep what the client sent last: the network delivers it later."""
        link.released.clear()
        link.hang_up()
        self.held.append((link, messages))

    async def deliver(self, or_until: Awaitable[object] | None = None) -> None:
        """Send on what was held, and wait for the server's answer, or until something else happened."""
        for link, messages in self.held:
            answered = asyncio.ensure_future(link.send(messages))
            others = [] if or_until is None else [asyncio.ensure_future(or_until)]
            await asyncio.wait([answered, *others], return_when=asyncio.FIRST_COMPLETED)
            for other in others:
                other.cancel()
                with suppress(asyncio.CancelledError):
                    await other
            link.released_by(answered)
        self.held.clear()


class Link:
    """One connection through the proxy."""

    def __init__(self, wire: Wire, client: _Streams, server: _Streams) -> None:
        self._wire = wire
        self._from_client, self._to_client = client
        self._from_server, self._to_server = server
        self._ready = asyncio.Condition()
        self._answers = 0
        self._deaf = False
        self.released = asyncio.Event()
        """Whether the server's side may end with the client's."""
        self.released.set()

    async def send(self, messages: bytes) -> None:
        """Forward a round, and wait until the server is ready for the next one, or gone."""
        async with self._ready:
            before = self._answers
            self._to_server.write(messages)
            await self._ready.wait_for(lambda: self._answers > before)

    async def forward(self, messages: bytes) -> None:
        """Forward a round, as if nothing was."""
        self._to_server.write(messages)
        await self._to_server.drain()

    def hang_up(self) -> None:
        """Drop the client; what the server says from now on is lost."""
        self._deaf = True
        self._to_client.transport.abort()

    def close(self) -> None:
        """Drop both."""
        self.hang_up()
        self._to_server.transport.abort()

    def released_by(self, sent: asyncio.Future[None]) -> None:
        """Let the server's side end once this was answered."""
        sent.add_done_callback(lambda _: self.released.set())

    async def lose(self, messages: bytes) -> None:
        """The connection breaks before the server sees this."""
        self.close()

    async def lose_answer(self, messages: bytes) -> None:
        """It breaks after the server has done this."""
        self._deaf = True
        await self.send(messages)
        self.close()

    async def run(self) -> None:
        """Forward until one side ends."""
        back = asyncio.create_task(self._copy_back())
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                await self._listen()
            await self.released.wait()
        finally:
            self.close()
            await back

    async def _copy_back(self) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await self._from_server.readexactly(5)
                body = await self._from_server.readexactly(int.from_bytes(head[1:]) - 4)
                if not self._deaf:
                    self._to_client.write(head + body)
                    await self._to_client.drain()
                if head[:1] == b"Z":
                    await self._count_answer()
        self.hang_up()
        await self._count_answer()

    async def _count_answer(self) -> None:
        async with self._ready:
            self._answers += 1
            self._ready.notify_all()

    async def _listen(self) -> None:
        prepared: dict[bytes, str] = {}
        portals: dict[bytes, bytes] = {}
        messages, executed = b"", list[str]()
        kind = _STARTUP
        while True:
            head = await self._from_client.readexactly(4 if kind == _STARTUP else 5)
            body = await self._from_client.readexactly(int.from_bytes(head[-4:]) - 4)
            messages += head + body
            ends = kind == _STARTUP or head[:1] in _ENDS_A_ROUND
            kind = head[:1] if kind != _STARTUP else b"startup"
            parts = body.split(b"\x00")
            if kind == b"Q":
                executed.append(parts[0].decode())
            elif kind == b"P":
                prepared[parts[0]] = parts[1].decode()
            elif kind == b"B":
                portals[parts[0]] = parts[1]
            elif kind == b"E":
                executed.append(prepared[portals[parts[0]]])
            if ends:
                self._wire.statements += executed
                if (act := self._wire.act_on(executed)) is not None:
                    await act(self, messages)
                else:
                    await self.forward(messages)
                messages, executed = b"", []


_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def tapped(url: str) -> AsyncIterator[Wire]:
    """Open a proxy before the server at `url`."""
    target = make_url(url)
    wire = Wire("")
    tasks: set[asyncio.Task[None]] = set()

    async def serve(client: _Streams) -> None:
        try:
            if wire.down:
                raise ConnectionError
            server = await asyncio.open_connection(target.host, target.port or 5432)
        except OSError:
            client[1].transport.abort()
        else:
            await Link(wire, client, server).run()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(serve((reader, writer))))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    plain = {"sslmode": "disable", "gssencmode": "disable"}
    through: URL = target.set(host="127.0.0.1", port=port).update_query_dict(plain)
    wire.url = through.render_as_string(hide_password=False)
    try:
        yield wire
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def some_lock_is_waited_for(url: str) -> None:
    """Until some connection to the database waits for a lock."""
    statement = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    conninfo = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as connection:
        while (await (await connection.execute(statement)).fetchone()) == (0,):
            pass
