"""The hashes of an event: golden values fixed here, and an implementation of RFC 8785 that shares nothing with ours."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from execution_ledger.domain import EventRow, canonical_form, leaf_hash, payload_digest
from execution_ledger.domain.leaf import new_salt

SALT = bytes(range(16))
DATA = '{"status":"running"}'
ROW = EventRow(
    execution_id=UUID("1b4e28ba-2fa1-51d2-883f-0016d3cca427"),
    version=2,
    type="execution.started",
    schema_version=1,
    data=DATA,
    salt=SALT,
    payload_digest=payload_digest(SALT, DATA.encode()),
    leaf_hash=b"",
    recorded_at=datetime(2026, 1, 31, 8, 0, 0, 120, tzinfo=UTC),
    occurred_at=datetime(2026, 1, 31, 9, 59, 59, tzinfo=timezone(timedelta(hours=2))),
    actor='ada "the first"',
    reason="line\nbreak\ttab \\ é \u2028 \x1f \x7f 𝄞",
    correlation_id=None,
    causation_id="c-1",
    trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
    command_id=None,
)
CANONICAL = (
    '{"actor":"ada \\"the first\\"","causation_id":"c-1","command_id":null,"correlation_id":null,'
    '"execution_id":"1b4e28ba-2fa1-51d2-883f-0016d3cca427","ledger_id":"défaut",'
    '"occurred_at":"2026-01-31T07:59:59.000000Z",'
    '"payload_digest":"18e5e9333dcb255f227f3ff4b7c182928239ced846a447260241ac5b9978275f",'
    '"reason":"line\\nbreak\\ttab \\\\ é \u2028 \\u001f \x7f 𝄞","recorded_at":"2026-01-31T08:00:00.000120Z",'
    '"schema_version":1,"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","type":"execution.started","version":2}'
).encode()
LEAF = "4a834c17cb15c6cc0afa9bde1838383dcbfc3469ff947a88a19a81caecb6631e"


def jcs(value: Any) -> str:
    """RFC 8785 for the values that occur here: text, integers, null, and one object of them."""
    if value is None:
        return "null"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        short = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}
        return '"' + "".join(short.get(c) or (f"\\u{ord(c):04x}" if c < " " else c) for c in value) + '"'
    members = sorted(value.items(), key=lambda item: item[0].encode("utf-16-be"))
    return "{" + ",".join(f"{jcs(name)}:{jcs(each)}" for name, each in members) + "}"


def stamp(time: datetime | None) -> str | None:
    if time is None:
        return None
    utc = time.astimezone(UTC)
    return f"{utc.year:04d}-{utc.month:02d}-{utc:%dT%H:%M:%S.%f}Z"  # %Y does not fill up to four digits everywhere


def independent_form(ledger: str, row: EventRow) -> bytes:
    columns = row._asdict()
    for left_out in ("data", "salt", "leaf_hash"):
        del columns[left_out]
    columns |= {
        "ledger_id": ledger,
        "execution_id": str(row.execution_id),
        "payload_digest": row.payload_digest.hex(),
        "recorded_at": stamp(row.recorded_at),
        "occurred_at": stamp(row.occurred_at),
    }
    return jcs(columns).encode()


def test_the_payload_digest_is_sha_256_of_salt_and_payload() -> None:
    assert payload_digest(SALT, DATA.encode()) == sha256(SALT + DATA.encode()).digest()
    assert json.loads(CANONICAL)["payload_digest"] == ROW.payload_digest.hex()


def test_the_canonical_form_of_a_fixed_event_never_changes() -> None:
    assert canonical_form("défaut", ROW) == CANONICAL


def test_the_leaf_hash_of_a_fixed_event_never_changes() -> None:
    assert leaf_hash("défaut", ROW).hex() == LEAF == sha256(b"\x00" + CANONICAL).hexdigest()


def test_the_example_of_the_documentation_holds() -> None:
    row = EventRow(
        UUID(int=1), 2, "execution.started", 1, DATA, bytes(16), payload_digest(bytes(16), DATA.encode()), b"",
        datetime(2026, 1, 31, 8, tzinfo=UTC), None, "ada", *[None] * 5,
    )  # fmt: skip
    assert leaf_hash("default", row).hex() == "ed22bd2e389453ff8f0fd52c6069cfa6e59f02f7fba7a0bd300f3dc1d42de053"


text = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=30)
zones = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45))])
times = st.datetimes(timezones=zones, min_value=datetime(1, 1, 2))
names = ("actor", "reason", "correlation_id", "causation_id", "trace_id", "command_id")
rows = st.builds(
    EventRow,
    execution_id=st.uuids(),
    version=st.integers(1, 2**63 - 1),
    type=text,
    schema_version=st.integers(1, 99),
    data=st.none(),
    salt=st.none(),
    payload_digest=st.binary(min_size=32, max_size=32),
    leaf_hash=st.just(b""),
    recorded_at=times,
    occurred_at=st.none() | times,
    **{name: st.none() | text for name in names},
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a slow machine is no failure
@given(text, rows)
@example("default", ROW._replace(actor="".join(map(chr, range(1, 0x300))), reason="\u2028\u2029\ufeff\U0010ffff\ue000"))
def test_the_canonical_form_is_rfc_8785_for_any_text(ledger: str, row: EventRow) -> None:
    assert canonical_form(ledger, row) == independent_form(ledger, row)
    assert leaf_hash(ledger, row) == sha256(b"\x00" + independent_form(ledger, row)).digest()


def test_an_erased_payload_keeps_its_leaf() -> None:
    assert leaf_hash("l", ROW._replace(data=None, salt=None)) == leaf_hash("l", ROW)


@pytest.mark.parametrize("column", [name for name in EventRow._fields if name not in ("data", "salt", "leaf_hash")])
def test_a_change_of_any_column_changes_the_leaf(column: str) -> None:
    value = getattr(ROW, column)
    other: Any
    if isinstance(value, datetime):
        other = value + timedelta(microseconds=1)
    elif isinstance(value, (UUID, bytes)):
        other = UUID(int=0) if isinstance(value, UUID) else b"\x00" * 32
    else:
        other = value + 1 if isinstance(value, int) else f"{value or ''}x"
    assert leaf_hash("l", ROW._replace(**{column: other})) != leaf_hash("l", ROW)
    assert leaf_hash("other", ROW) != leaf_hash("l", ROW)


def test_nothing_and_empty_text_are_told_apart() -> None:
    assert leaf_hash("l", ROW._replace(actor=None)) != leaf_hash("l", ROW._replace(actor=""))


def test_salts_are_sixteen_random_bytes() -> None:
    salts = {new_salt() for _ in range(100)}
    assert len(salts) == 100
    assert {len(salt) for salt in salts} == {16}


def test_a_forked_process_draws_salts_of_its_own() -> None:
    new_salt()  # others are in stock now
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        os.write(writer, b"".join(new_salt() for _ in range(100)))
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        drawn = pipe.read()
    os.waitpid(child, 0)
    assert len(drawn) == 1600
    assert {drawn[at : at + 16] for at in range(0, 1600, 16)}.isdisjoint(new_salt() for _ in range(100))
