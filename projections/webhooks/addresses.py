"""Which hosts may be sent anything: those of the internet, and of networks that the operator allows.

Whoever may make a webhook must not reach what only this machine reaches (SSRF). So a host is looked up for each
delivery, and the connection goes to an address that was looked at, whatever the name stands for a moment later.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import httpx

from ...domain import InvalidInput

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[[str], Awaitable[Iterable[str]]]
"""The addresses of a host."""

_NAT64 = IPv6Network("64:ff9b::/96")
_LOOK_UPS = 16
"""Hosts that are looked up at once."""


class Guard:
    """Finds the addresses of a URL's host, and lets none pass that is not of the internet and not allowed."""

    def __init__(self, allowed: Iterable[Network] = (), *, resolve: Resolve | None = None) -> None:
        self._allowed = tuple(allowed)
        self._resolve = resolve or self._look_up
        # Of its own: a name server that never answers must not keep the threads of the rest.
        self._threads = ThreadPoolExecutor(_LOOK_UPS, thread_name_prefix="look-up")

    async def find(self, url: httpx.URL) -> list[str]:
        """The addresses to connect to, in the order of the system's preference; refused where there is none."""
        host = host_of(url)
        try:
            found = dict.fromkeys(await self._resolve(host))
        except (OSError, UnicodeError) as error:
            raise InvalidInput(
                field="url", problem=f"the host {host!r} cannot be looked up", remedy="Is it spelled right?"
            ) from error
        good = [address for address in found if self._may_reach(address)]
        if not good:
            raise InvalidInput(
                field="url",
                problem=f"the host {host!r} is not on the internet",
                remedy="Use a public address; EXECUTION_LEDGER_WEBHOOK_ALLOW names networks that are allowed besides.",
            )
        return good

    async def _look_up(self, host: str) -> list[str]:
        look_up = partial(socket.getaddrinfo, host, None, type=socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, look_up)
        return [str(entry[4][0]) for entry in found]

    def _may_reach(self, text: str) -> bool:
        address = ip_address(text)
        meant = _meant(address)
        return is_public(meant) or any(each in network for network in self._allowed for each in (address, meant))


def check_url(text: str) -> httpx.URL:
    """A URL to deliver to; its host is not looked up."""
    try:
        url = httpx.URL(text)
        host = host_of(url)
    except (httpx.InvalidURL, UnicodeError, ValueError) as error:
        raise InvalidInput(field="url", problem=f"is no URL: {error}".rstrip("."), remedy=_EXAMPLE) from error
    if url.scheme not in ("http", "https"):
        raise InvalidInput(field="url", problem="begins neither with https:// nor with http://", remedy=_EXAMPLE)
    if not host:
        raise InvalidInput(field="url", problem="has no host", remedy=_EXAMPLE)
    if not 1 <= (url.port or 80) <= 65_535:
        raise InvalidInput(field="url", problem=f"port {url.port} does not exist", remedy=_EXAMPLE)
    if url.userinfo:
        raise InvalidInput(
            field="url",
            problem="has credentials in it",
            remedy="Leave them out: deliveries are known by their signature.",
        )
    return url


_EXAMPLE = "Send one like https://example.com/hooks."


def host_of(url: httpx.URL) -> str:
    """The host as it is looked up: in ASCII, an IPv6 address without brackets."""
    return url.raw_host.decode("ascii")


def is_public(address: Address) -> bool:
    """Whether an address is one of the internet's, of a single host."""
    odd = address.is_multicast or address.is_reserved or (isinstance(address, IPv6Address) and address.is_site_local)
    return address.is_global and not odd


def _meant(address: Address) -> Address:
    """The IPv4 address that an IPv6 address only wraps."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
