"""What really goes over the wire to PostgreSQL: a proxy that notes every statement that a client sends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from sqlalchemy import URL, make_url

_STARTUP = b""
"""The first message of a connection has no type."""


@dataclass
class Wire:
    """A proxied server; `url` leads through the proxy."""

    url: str
    statements: list[str] = field(default_factory=list)
    """The texts of simple queries and of executed prepared statements, in order."""


@asynccontextmanager
async def tapped(url: str) -> AsyncIterator[Wire]:
    """Open a proxy before the server at `url`."""
    target = make_url(url)
    wire = Wire("")
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        server_reader, server_writer = await asyncio.open_connection(target.host, target.port or 5432)
        back = asyncio.create_task(_copy(server_reader, writer))
        try:
            await _listen(reader, server_writer, wire.statements)
        finally:
            server_writer.close()
            await back
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
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


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def _listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, statements: list[str]) -> None:
    prepared: dict[bytes, str] = {}
    portals: dict[bytes, bytes] = {}
    kind = _STARTUP
    while True:
        try:
            head = await reader.readexactly(4 if kind == _STARTUP else 5)
            body = await reader.readexactly(int.from_bytes(head[-4:]) - 4)
        except asyncio.IncompleteReadError:
            return
        kind = head[:1] if kind != _STARTUP else b"startup"
        parts = body.split(b"\x00")
        if kind == b"Q":
            statements.append(parts[0].decode())
        elif kind == b"P":
            prepared[parts[0]] = parts[1].decode()
        elif kind == b"B":
            portals[parts[0]] = parts[1]
        elif kind == b"E":
            statements.append(prepared[portals[parts[0]]])
        writer.write(head + body)
        await writer.drain()
