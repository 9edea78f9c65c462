"""Clients that cost next to nothing, so that what they measure is the server: HTTP/1.1 on connections kept open."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter

from .scale import Scale


class Connection:
    """One connection, on which one request is under way at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> None:
        self._reader, self._writer, self._host = reader, writer, host

    @classmethod
    async def open(cls, address: str) -> Connection:
        """To an address, as `http://127.0.0.1:8470`."""
        host = address.removeprefix("http://")
        name, _, port = host.partition(":")
        return cls(*await asyncio.open_connection(name, int(port)), host)

    async def request(self, method: str, path: str, body: bytes = b"") -> bytes:
        """The body of an answer that is a success."""
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\nAccept: */*\r\n"
        if body:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        self._writer.write(f"{head}\r\n".encode() + body)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        assert answer[9:10] == b"2", answer
        lower = answer.lower()
        at = lower.index(b"content-length:") + 15
        return await self._reader.readexactly(int(lower[at : lower.index(b"\r", at)]))

    async def events(self, path: str, begun: Callable[[], None], arrived: Callable[[int], None]) -> None:
        """Follow server-sent events without end: tells that the stream began, and the id of each."""
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())
        answer = await self._reader.readuntil(b"\r\n\r\n")
        assert answer[9:10] == b"2", answer
        begun()
        while line := await self._reader.readline():
            if line.startswith(b"id: "):
                arrived(int(line[4:]))

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


class Load:
    """Requests of many clients at once, each without a pause."""

    def __init__(self, address: str, scale: Scale, request: Callable[[int], tuple[str, str, bytes]]) -> None:
        """`request` makes the method, the path and the body of the n-th one."""
        self._address, self._request = address, request
        self._clients, self._seconds = scale.most_clients, scale.seconds
        self.p99: list[float] = []
        """Milliseconds, of each round."""

    async def measure(self) -> float:
        """Requests per second of one round."""
        connections = [await Connection.open(self._address) for _ in range(self._clients)]
        times: list[float] = []
        begin = perf_counter()
        ends = begin + self._seconds

        async def go(number: int, connection: Connection) -> None:
            at, now = number, perf_counter()
            while now < ends:
                await connection.request(*self._request(at))
                before, now = now, perf_counter()
                times.append(now - before)
                at += self._clients

        await asyncio.gather(*(go(*each) for each in enumerate(connections)))
        taken = perf_counter() - begin
        for connection in connections:
            connection.close()
        self.p99.append(percentile(times, 0.99) * 1000)
        return len(times) / taken


def percentile(values: list[float], share: float) -> float:
    """The value that so many are not above."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]
