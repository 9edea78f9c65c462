"""What may be reached: the internet, and what is allowed besides; whatever a name stands for a moment later."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from ipaddress import ip_address, ip_network
from typing import Any

import httpx
import pytest

from execution_ledger.domain import InvalidInput
from execution_ledger.infrastructure.webhooks import Target, make_secret
from execution_ledger.projections.webhooks import Guard, Message, Sender, check_url
from execution_ledger.projections.webhooks.addresses import is_public
from support.receiver import LOOPBACK, Receiver

MESSAGE = Message("msg_1", b"{}", None)
REFUSED = [
    "127.0.0.1", "127.255.255.254", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
    "169.254.169.254", "100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1",
    "255.255.255.255", "168.63.129.16", "::ffff:168.63.129.16",
    "::1", "::", "fe80::1", "fc00::1", "fd12:3456::1", "fec0::1", "ff02::1", "ff0e::1", "2001:db8::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1",
    "64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "2002:7f00:1::", "2002:a00:1::1", "2001:0:7f00:1::",
]  # fmt: skip
PASSED = ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"]


def answering(*answers: Iterable[str]) -> Any:
    """Names stand for one list of addresses after the other; the last one stays."""
    waiting = list(answers)

    async def resolve(_: str) -> Iterable[str]:
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]

    return resolve


async def find(addresses: Iterable[str], *allowed: str, refused: Iterable[str] = ()) -> list[str]:
    guard = Guard(map(ip_network, allowed), map(ip_network, refused), resolve=answering(addresses))
    return await guard.find(httpx.URL("https://hooks.example/x"), "default")


@pytest.mark.parametrize("address", REFUSED)
async def test_what_is_not_on_the_internet_is_refused(address: str) -> None:
    with pytest.raises(InvalidInput, match=r"'hooks\.example' is not on the internet") as refused:
        await find([address])
    assert refused.value.field == "url"
    assert address not in str(refused.value), "whoever asks need not know what an inner name stands for"
    literal = f"[{address}]" if ":" in address else address
    with pytest.raises(InvalidInput, match="is not on the internet"):
        await Guard().find(check_url(f"http://{literal}/"), "default")


@pytest.mark.parametrize("address", PASSED)
async def test_what_is_on_the_internet_passes(address: str) -> None:
    assert await find([address]) == [address]


@pytest.mark.parametrize("url", ["http://2130706433/", "http://0x7f000001/", "http://127.1/", "http://localhost/"])
async def test_other_spellings_of_this_machine_are_looked_up_like_names(url: str) -> None:
    with pytest.raises(InvalidInput, match=r"is not on the internet|cannot be looked up"):
        await Guard().find(check_url(url), "default")


async def test_of_several_addresses_only_good_ones_are_used() -> None:
    assert await find(["10.0.0.1", "8.8.8.8", "::1", "8.8.8.8"]) == ["8.8.8.8"]


async def test_networks_can_be_allowed_by_the_operator() -> None:
    assert await find(["10.1.2.3", "10.2.0.1"], "10.1.0.0/16") == ["10.1.2.3"]
    assert await find(["::ffff:10.1.2.3"], "10.1.0.0/16") == ["::ffff:10.1.2.3"]
    assert await find(["fd00::7"], "10.0.0.0/8", "fd00::/8") == ["fd00::7"]
    with pytest.raises(InvalidInput):
        await find(["127.0.0.1"], "10.0.0.0/8")


async def test_networks_can_be_refused_by_the_operator_whatever_else_is_allowed() -> None:
    assert await find(["8.8.8.8", "8.8.4.4"], refused=["8.8.4.0/24"]) == ["8.8.8.8"]
    assert await find(["10.0.0.1", "10.1.0.1"], "10.0.0.0/8", refused=["10.1.0.0/16"]) == ["10.0.0.1"]
    for address in ("8.8.4.4", "::ffff:8.8.4.4", "64:ff9b::8.8.4.4"):
        with pytest.raises(InvalidInput, match="is not on the internet, or refused by the operator"):
            await find([address], refused=["8.8.4.0/24"])
    assert await find(["168.63.129.16"], "168.63.129.16/32") == ["168.63.129.16"], "allowed by name"


def test_multicast_is_never_public() -> None:
    assert not any(is_public(ip_address(each)) for each in ("224.0.0.251", "ff0e::fb"))


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("ftp://example.com/", "begins neither with"),
        ("file:///etc/passwd", "begins neither with"),
        ("gopher://example.com/", "begins neither with"),
        ("example.com/hooks", "begins neither with"),
        ("", "begins neither with"),
        ("http://", "has no host"),
        ("https:///hooks", "has no host"),
        ("https://ada:secret@example.com/", "has credentials in it"),
        ("https://ada@example.com/", "has credentials in it"),
        ("http://[::1", "is no URL"),
        ("http://example.com:99999999/", "port 99999999 does not exist"),
        ("http://example.com:0/", "port 0 does not exist"),
        ("http://example.com:0x50/", "is no URL"),
        ("http://example.com/\x00", "is no URL"),
        ("http://" + "a" * 64 + "ü.com/", "is no URL"),
    ],
)
def test_what_is_no_url_to_deliver_to_is_refused_by_field(url: str, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem) as refused:
        check_url(url)
    assert refused.value.field == "url"
    assert "secret" not in str(refused.value)


async def test_a_host_that_cannot_be_looked_up_is_told() -> None:
    async def fail(_: str) -> Iterable[str]:
        raise socket.gaierror(-2, "Name or service not known")

    with pytest.raises(InvalidInput, match=r"'hooks\.example' cannot be looked up"):
        await Guard(resolve=fail).find(httpx.URL("https://hooks.example/"), "default")


async def test_a_name_that_stands_for_another_address_at_the_delivery_reaches_nothing(receiver: Receiver) -> None:
    guard = Guard(resolve=answering(["93.184.216.34"], ["127.0.0.1"]))
    url = receiver.url.replace("127.0.0.1", "rebind.example")
    assert await guard.find(check_url(url), "default") == ["93.184.216.34"], "it is good when the webhook is made"
    attempt = await Sender(guard, timeout=1.0).send_one(
        Target(ledger="default", url=url, secrets=(make_secret(),)), MESSAGE
    )
    assert (attempt.delivered, attempt.error) == (False, "the host 'rebind.example' is not on the internet")
    assert receiver.connections == 0


async def test_the_connection_goes_to_the_address_that_was_looked_at(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: list[Any] = []
    look_up = socket.getaddrinfo

    def note(host: Any, *rest: Any, **more: Any) -> Any:
        looked_up.append(host)
        return look_up(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", note)
    guard = Guard([ip_network(LOOPBACK)], resolve=answering(["127.0.0.1"], ["10.0.0.1"]))
    url = receiver.url.replace("127.0.0.1", "pinned.example")
    attempt = await Sender(guard).send_one(Target(ledger="default", url=url, secrets=(make_secret(),)), MESSAGE)
    assert attempt.delivered
    assert "pinned.example" not in map(str, looked_up), "nobody asked what the name stands for a second time"
    assert receiver.deliveries[0].headers["host"] == url.split("/")[2]


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The hosts that are looked up: a name server never answers for those that begin with `hang`."""
    looked_up: list[str] = []
    answer, look_up = threading.Event(), socket.getaddrinfo

    def hang(host: Any, *rest: Any, **more: Any) -> Any:
        looked_up.append(str(host))
        if str(host).startswith("hang"):
            answer.wait(60)
            raise socket.gaierror(-3, "Temporary failure in name resolution")
        return look_up(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    yield looked_up
    answer.set()


async def test_names_that_nobody_answers_for_hold_up_no_address_and_no_other_ledger(hanging: list[str]) -> None:
    guard, local = Guard([ip_network(LOOPBACK)]), check_url("http://localhost/")
    waiting = [
        asyncio.create_task(guard.find(check_url(f"http://hang{number}.example/"), "noisy")) for number in range(40)
    ]
    async with asyncio.timeout(10):
        while len(hanging) < 16:
            await asyncio.sleep(0.01)
        assert await guard.find(check_url("http://127.0.0.1/"), "noisy") == ["127.0.0.1"]
        assert await guard.find(local, "quiet") == ["127.0.0.1"]
    assert hanging == [*hanging[:16], "localhost"], "an address is not looked up, and a ledger has so many at once"
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    with pytest.raises(TimeoutError):  # who gives up does not end the look-up
        await asyncio.wait_for(guard.find(local, "noisy"), 0.1)


def test_a_process_ends_while_a_look_up_hangs() -> None:
    script = """
import asyncio, socket, time
from execution_ledger.projections.webhooks import Guard, check_url
socket.getaddrinfo = lambda *_, **__: time.sleep(600)
async def main():
    try:
        await asyncio.wait_for(Guard().find(check_url("http://hooks.example/"), "default"), 0.2)
    except TimeoutError:
        print("gave up")
asyncio.run(main())
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "gave up\n", "")
