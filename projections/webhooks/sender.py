"""One request to an endpoint: signed, bounded in time and in what is read, to an address that was looked at."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import cast

import httpx

from ...domain import InvalidInput
from ...infrastructure.stopwatch import Stopwatch
from ...infrastructure.tls import verifying
from ...infrastructure.webhooks import Attempt, Target, failed, sign
from ..cloud_events import STRUCTURED
from .addresses import Guard, check_url, host_of, is_address
from .messages import Message

_KEPT = 1_000
"""Bytes of an answer that are kept."""
_READ = 64 * 1024
"""Bytes of an answer that are read, so that its connection can be used again; what is longer is cut off."""


class Sender:
    """Sends messages. Redirects are not followed, proxies of the environment not used: both would go elsewhere."""

    def __init__(self, guard: Guard, *, timeout: float = 15.0) -> None:
        """`timeout` bounds a whole request, in seconds, from the look-up of the host to the end of the answer."""
        self.guard = guard
        self.timeout = timeout
        self._tls = verifying()  # here, so that a wrong file stops a service at its start

    @asynccontextmanager
    async def line(self) -> AsyncIterator[httpx.AsyncClient]:
        """Connections for the messages to one endpoint: another one may share its address, and must not share these."""
        async with httpx.AsyncClient(verify=self._tls, trust_env=False, follow_redirects=False) as client:
            yield client

    async def send_one(self, target: Target, message: Message) -> Attempt:
        """Send a single message."""
        async with self.line() as line:
            return await self.send(line, target, message)

    async def send(self, line: httpx.AsyncClient, target: Target, message: Message) -> Attempt:
        """Send a message; whatever goes wrong is told."""
        watch, answer, error = Stopwatch(), _Answer(), None
        try:
            async with asyncio.timeout(self.timeout):
                await self._post(line, target, message, answer)
        except (TimeoutError, httpx.TimeoutException):
            error = f"no answer within {self.timeout:g} s"
        except InvalidInput as refused:
            error = refused.problem
        except (httpx.TransportError, OSError) as lost:
            error = f"{type(lost).__name__}: {lost}".rstrip(": ")
        return answer.attempt(error, watch.seconds)

    async def _post(self, line: httpx.AsyncClient, target: Target, message: Message, answer: _Answer) -> None:
        url = check_url(target.url)
        addresses = await self.guard.find(url, target.ledger)
        for address in addresses:
            try:
                await self._post_to(line, url, address, self.timeout / len(addresses), target, message, answer)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if address == addresses[-1]:
                    raise
            else:
                return

    async def _post_to(
        self,
        line: httpx.AsyncClient,
        url: httpx.URL,
        address: str,
        patience: float,
        target: Target,
        message: Message,
        answer: _Answer,
    ) -> None:
        host, now = host_of(url), int(time.time())
        headers = {
            "Host": url.netloc.decode("ascii"),
            "Content-Type": STRUCTURED,
            "User-Agent": "execution-ledger",
            "Accept-Encoding": "identity",
            "webhook-id": message.id,
            "webhook-timestamp": str(now),
            "webhook-signature": sign(target.secrets, message.id, now, message.body),
        }
        if message.traceparent is not None:
            headers["traceparent"] = message.traceparent
        async with line.stream(
            "POST",
            url.copy_with(host=address),  # the name is not looked up once more
            headers=headers,
            content=message.body,
            timeout=httpx.Timeout(self.timeout, connect=patience),
            extensions={} if is_address(host) else {"sni_hostname": host},  # whose certificate is asked for
        ) as response:
            answer.begin(response)
            async with aclosing(cast(AsyncGenerator[bytes], response.aiter_raw())) as chunks:
                async for chunk in chunks:
                    if not answer.take(chunk):
                        break


class _Answer:
    """What came back so far. The status is the answer, whatever becomes of the body."""

    def __init__(self) -> None:
        self._response: httpx.Response | None = None
        self._size = 0
        self._beginning = b""

    def begin(self, response: httpx.Response) -> None:
        self._response = response

    def take(self, chunk: bytes) -> bool:
        """Another part of the body; False where no more is wanted."""
        self._size += len(chunk)
        self._beginning += chunk[: _KEPT - len(self._beginning)]
        return self._size < _READ

    def attempt(self, error: str | None, seconds: float) -> Attempt:
        """What it came to."""
        if self._response is None:
            return failed(error or "no answer", seconds)
        status = self._response.status_code
        if 200 <= status < 300:
            return Attempt(delivered=True, status=status, error=None, response=None, retry_after=None, seconds=seconds)
        later = _retry_after(self._response)
        return failed(_refusal(status), seconds, status=status, response=self._beginning, retry_after=later)


def _refusal(status: int) -> str:
    try:
        phrase = f" {HTTPStatus(status).phrase}"
    except ValueError:
        phrase = ""
    return f"answered {status}{phrase}{', and redirects are not followed' if 300 <= status < 400 else ''}"


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds or a date; None where it is neither."""
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:10])
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
