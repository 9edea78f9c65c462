"""Which hosts may be sent anything: those of the internet, and of networks that the operator allows.

Whoever may make a webhook must not reach what only this machine reaches (SSRF). So a host is looked up for each
delivery, and the connection goes to an address that was looked at, whatever the name stands for a moment later.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import httpx

from ...domain import InvalidInput
from .look_ups import LookUps, Resolve, look_up

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NAT64 = IPv6Network("64:ff9b::/96")
_INNER = IPv4Address("168.63.129.16")
"""A public address by which a machine in Azure reaches the host that it runs on, and nobody else anything."""


class Guard:
    """Finds the addresses of a URL's host, and lets none pass that is refused, or not of the internet nor allowed."""

    def __init__(
        self, allowed: Iterable[Network] = (), refused: Iterable[Network] = (), *, resolve: Resolve | None = None
    ) -> None:
        """`refused` are networks that are not reached though they are of the internet, or part of what is allowed."""
        self._allowed = tuple(allowed)
        self._refused = tuple(refused)
        self._or_refused = ", or refused by the operator" if self._refused else ""
        self._look_ups = LookUps(resolve or look_up)

    async def find(self, url: httpx.URL, ledger: str) -> list[str]:
        """The addresses to connect to, in the order of the system's preference; refused where there is none.

        The look-ups of a ledger hold up those of no other one.
        """
        host = host_of(url)
        try:
            found = [host] if is_address(host) else dict.fromkeys(await self._look_ups.find(host, ledger))
        except (OSError, UnicodeError) as error:
            raise InvalidInput(
                field="url", problem=f"the host {host!r} cannot be looked up", remedy="Is it spelled right?"
            ) from error
        good = [address for address in found if self._may_reach(address)]
        if not good:
            raise InvalidInput(
                field="url",
                problem=f"the host {host!r} is not on the internet{self._or_refused}",
                remedy="Use a public address; EXECUTION_LEDGER_WEBHOOK_ALLOW names networks that are allowed besides.",
            )
        return good

    def _may_reach(self, text: str) -> bool:
        address = ip_address(text)
        both = (address, _meant(address))
        if _within(both, self._refused):
            return False
        return is_public(both[1]) or _within(both, self._allowed)


def _within(addresses: Iterable[Address], networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks for address in addresses)


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
    if url.port is not None and not 1 <= url.port <= 65_535:
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


def is_address(host: str) -> bool:
    """Whether it is an IP address, which stands for itself, rather than a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_public(address: Address) -> bool:
    """Whether an address is one of the internet's, of a single host."""
    odd = address.is_multicast or address.is_reserved or (isinstance(address, IPv6Address) and address.is_site_local)
    return address.is_global and not odd and address != _INNER


def _meant(address: Address) -> Address:
    """The IPv4 address that an IPv6 address only wraps."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
