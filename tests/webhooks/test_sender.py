"""One request: what is in it, what counts as taken, and what a receiver can do to us."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_network
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from standardwebhooks import Webhook, WebhookVerificationError

from execution_ledger.infrastructure.webhooks import Target, make_secret, sign
from execution_ledger.projections.webhooks import Guard, Message, Retries, Sender, event_message, make_test
from support.projecting import make_event
from support.receiver import LOOPBACK, Answer, Receiver, receiving

SECRET = make_secret()
MESSAGE = Message("msg_1", b'{"n":1}', None)


def target(url: str, *secrets: str) -> Target:
    return Target(ledger="default", url=url, secrets=secrets or (SECRET,))


async def test_a_message_is_a_cloud_event_that_the_library_of_the_standard_verifies(
    sender: Sender, receiver: Receiver
) -> None:
    event = make_event(7, "größe", "completed", data={"result": "é"}, trace_id="4bf92f3577b34da6a3ce929d0e0e4736")
    attempt = await sender.send_one(target(receiver.url), event_message("e1", event, "urn:x:"))
    assert (attempt.delivered, attempt.status, attempt.error) == (True, 204, None)
    (delivery,) = receiver.deliveries
    assert delivery.verify(SECRET) == delivery.event
    assert delivery.headers["webhook-id"] == "msg_e1_7"
    assert delivery.headers["content-type"] == "application/cloudevents+json"
    assert delivery.headers["traceparent"] == delivery.event["traceparent"]
    assert abs(int(delivery.headers["webhook-timestamp"]) - time.time()) < 60
    assert (delivery.event["subject"], delivery.event["data"]) == ("größe", {"result": "é"})
    with pytest.raises(WebhookVerificationError):
        delivery.verify(make_secret())


async def test_while_a_secret_is_replaced_both_verify(sender: Sender, receiver: Receiver) -> None:
    old = make_secret()
    await sender.send_one(target(receiver.url, SECRET, old), make_test("e1", "red", "urn:x:"))
    (delivery,) = receiver.deliveries
    assert delivery.verify(SECRET) == delivery.verify(old)
    assert (delivery.event["type"], delivery.event["source"]) == ("org.executionledger.webhook.test", "urn:x:red")


def test_a_signature_is_that_of_the_standard() -> None:
    now = datetime(2021, 2, 25, 15, 2, 10, tzinfo=UTC)
    given = Webhook(SECRET).sign("msg_p5jXN8AQM9LWM0D4loKWxJek", now, '{"test": 2432232314}')
    assert sign([SECRET], "msg_p5jXN8AQM9LWM0D4loKWxJek", int(now.timestamp()), b'{"test": 2432232314}') == given


def test_a_secret_shows_in_no_representation() -> None:
    assert SECRET not in repr(target("https://example.com/"))


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_any_2xx_is_taken(sender: Sender, receiver: Receiver, status: int) -> None:
    receiver.answer = lambda _: Answer(status, body=b"" if status == 204 else b"thanks")
    attempt = await sender.send_one(target(receiver.url), MESSAGE)
    assert (attempt.delivered, attempt.status, attempt.response) == (True, status, None)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (302, "answered 302 Found, and redirects are not followed"),
        (307, "answered 307 Temporary Redirect, and redirects are not followed"),
        (400, "answered 400 Bad Request"),
        (410, "answered 410 Gone"),
        (500, "answered 500 Internal Server Error"),
        (599, "answered 599"),
    ],
)
async def test_all_else_is_not(sender: Sender, receiver: Receiver, status: int, error: str) -> None:
    elsewhere = {"Location": receiver.url.replace("hooks", "elsewhere")}
    receiver.answer = lambda _: Answer(status, elsewhere, b"no, \x00\xff")
    attempt = await sender.send_one(target(receiver.url), MESSAGE)
    assert (attempt.delivered, attempt.status, attempt.error) == (False, status, error)
    assert attempt.response == "no, ��"
    assert [each.path for each in receiver.deliveries] == ["/hooks"]


async def test_only_the_beginning_of_an_answer_is_read_and_kept(sender: Sender, receiver: Receiver) -> None:
    receiver.answer = lambda _: Answer(500, body=b"x" * 10_000_000)
    attempt = await sender.send_one(target(receiver.url), MESSAGE)
    assert (attempt.status, attempt.response) == (500, "x" * 1_000)


async def test_who_does_not_answer_in_time_has_not_taken_it(hasty: Sender, receiver: Receiver) -> None:
    receiver.answer = lambda _: Answer(200, wait=1.5)
    attempt = await hasty.send_one(target(receiver.url), MESSAGE)
    assert (attempt.delivered, attempt.status, attempt.error) == (False, None, "no answer within 1 s")


@pytest.mark.parametrize(("status", "delivered"), [(200, True), (500, False)])
async def test_a_body_that_never_ends_keeps_nobody(
    hasty: Sender, receiver: Receiver, status: int, delivered: bool
) -> None:
    receiver.answer = lambda _: Answer(status, body=b"slow" * 100, drip=0.1)
    attempt = await hasty.send_one(target(receiver.url), MESSAGE)
    assert (attempt.delivered, attempt.status) == (delivered, status)
    assert attempt.seconds < 30, "the whole of it takes 40"


async def test_a_connection_that_is_cut_or_refused_is_told(sender: Sender, receiver: Receiver) -> None:
    receiver.answer = lambda _: Answer(None)
    cut = await sender.send_one(target(receiver.url), MESSAGE)
    assert (cut.delivered, cut.status) == (False, None)
    assert cut.error is not None
    assert cut.error.startswith(("RemoteProtocolError", "ReadError"))
    with receiving() as gone:
        nobody = gone.url
    refused = await sender.send_one(target(nobody), MESSAGE)
    assert (refused.error or "").startswith("ConnectError")


async def test_what_is_no_http_is_told(sender: Sender, receiver: Receiver) -> None:
    attempt = await sender.send_one(target(receiver.url.replace("http:", "https:")), MESSAGE)
    assert not attempt.delivered
    assert "SSL" in (attempt.error or "")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        ("0", 0),
        ("99999999999999", 9_999_999_999),
        ("soon", None),
        ("", None),
        ("-1", None),
        ("Wed, 21 Oct 99999999999999999999 07:28:00 GMT", None),
        ("Wed, 21 Oct 2015 99:28:00 GMT", None),
        ("Wed, 21 Oct 2015 07:28:00 +99999999999999", None),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 0),
    ],
)
async def test_an_endpoint_may_ask_to_be_left_alone(
    sender: Sender, receiver: Receiver, header: str, seconds: float | None
) -> None:
    receiver.answer = lambda _: Answer(429, {"Retry-After": header})
    assert (await sender.send_one(target(receiver.url), MESSAGE)).retry_after == seconds


async def test_it_may_name_a_time(sender: Sender, receiver: Receiver) -> None:
    until = datetime.now(UTC) + timedelta(minutes=5)
    receiver.answer = lambda _: Answer(503, {"Retry-After": format_datetime(until, usegmt=True)})
    attempt = await sender.send_one(target(receiver.url), MESSAGE)
    assert 290 < (attempt.retry_after or 0) <= 300
    receiver.answer = lambda _: Answer(503, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"})
    assert (await sender.send_one(target(receiver.url), MESSAGE)).retry_after == 0


def test_delays_double_up_to_a_bound_with_chance_in_them() -> None:
    retries = Retries(12, 5.0, 3600.0)
    for failures in range(1, 100):
        planned = min(5.0 * 2 ** (failures - 1), 3600.0)
        delays = {retries.delay(failures) for _ in range(50)}
        assert len(delays) > 10
        assert all(planned / 2 <= delay <= planned for delay in delays)
    assert retries.delay(1, 600.0) == 600.0
    assert retries.delay(1, 1e9) == 86_400.0
    assert retries.delay(10, 1.0) > 1_000


async def test_messages_on_one_line_share_a_connection_and_lines_share_none(sender: Sender, receiver: Receiver) -> None:
    async with sender.line() as line:
        for _ in range(5):
            assert (await sender.send(line, target(receiver.url), MESSAGE)).delivered
    assert receiver.connections == 1
    await sender.send_one(target(receiver.url), MESSAGE)
    assert receiver.connections == 2


async def test_of_several_addresses_the_next_is_tried_where_one_does_not_answer(receiver: Receiver) -> None:
    async def resolve(_: str) -> list[str]:
        return ["127.9.9.9", "127.0.0.1"]  # nobody listens at the first

    sender = Sender(Guard([ip_network(LOOPBACK)], resolve=resolve), timeout=5)
    attempt = await sender.send_one(target(receiver.url.replace("127.0.0.1", "two.example")), MESSAGE)
    assert (attempt.delivered, len(receiver.deliveries)) == (True, 1)


async def test_proxies_of_the_environment_are_not_used(
    sender: Sender, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert (await sender.send_one(target(receiver.url), MESSAGE)).delivered


@pytest.fixture
def certified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A receiver with a certificate for `hooks.example`, which the environment says to trust."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("hooks.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "certificate.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    with receiving(context) as receiver:
        yield receiver


async def test_the_certificate_must_be_that_of_the_name_not_of_the_address(certified: Receiver) -> None:
    async def resolve(_: str) -> list[str]:
        return ["127.0.0.1"]

    sender = Sender(Guard([ip_network(LOOPBACK)], resolve=resolve), timeout=5)
    good = await sender.send_one(target(certified.url.replace("127.0.0.1", "hooks.example")), MESSAGE)
    assert (good.delivered, good.error) == (True, None)
    assert certified.deliveries[0].verify(SECRET) == {"n": 1}
    for other in ("other.example", "127.0.0.1"):
        wrong = await sender.send_one(target(certified.url.replace("127.0.0.1", other)), MESSAGE)
        assert not wrong.delivered
        assert "CERTIFICATE_VERIFY_FAILED" in (wrong.error or "")
    assert len(certified.deliveries) == 1
