"""A stranger's check of a whole database, from the raw tables and the documents alone: none of our code is used.

It folds events, hashes leaves and counts rows in its own, naive way; whatever does not agree is a failed assertion.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

import sqlalchemy
from sqlalchemy import Connection, Engine, event, make_url, text

STATUSES = (
    *("pending", "preparing", "running", "waiting_for_approval", "stopping"),
    *("stopped", "completed", "failed", "rejected", "cancelled"),
)
ENDED = frozenset(STATUSES[5:])
_TIMES = frozenset(
    [
        "recorded_at",
        "occurred_at",
        "last_recorded_at",
        "created_at",
        "started_at",
        "updated_at",
        "completed_at",
        "finished_at",
        "taken_at",
        "expires_at",
    ]
)
_JSON = frozenset(["inputs", "result", "partial_results", "late_outcome", "attributes"])
_ABOUT_STEPS_AND_NOTES = frozenset({"execution.step_started", "execution.step_finished", "execution.noted"})


@dataclass
class Ledger:
    """What one ledger holds, as plain values."""

    name: str
    head: dict[str, Any]
    events: list[dict[str, Any]]
    """In the order of positions, with the decoded payload as `payload`."""
    streams: dict[UUID, dict[str, Any]]
    rows: dict[int, dict[str, Any]]
    """The projected rows by id."""
    root: bytes = b""
    steps: dict[tuple[str, str], str | None] = field(default_factory=dict)
    """Job id, step → outcome."""
    of_stream: dict[UUID, list[dict[str, Any]]] = field(default_factory=dict)


def audit(url: str) -> dict[str, Ledger]:
    """Check every ledger of the database, and answer what is in them."""
    engine = open_plainly(url)
    try:
        with engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
                connection.execute(text("SET LOCAL TimeZone = 'UTC'"))
            names = [row.ledger_id for row in connection.execute(text("SELECT ledger_id FROM ledgers"))]
            return {name: audit_ledger(connection, name) for name in names}
    finally:
        engine.dispose()


def open_plainly(url: str) -> Engine:
    """A synchronous engine that knows nothing of ours."""
    parsed = make_url(url)
    driver = "sqlite" if parsed.get_backend_name() == "sqlite" else "postgresql+psycopg"
    engine = sqlalchemy.create_engine(parsed.set(drivername=driver))
    if driver == "sqlite":
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))  # one snapshot for all
    return engine


def audit_ledger(connection: Connection, name: str) -> Ledger:
    """Check one ledger in the connection's transaction, which must see one snapshot."""
    heads = _rows(connection, "SELECT * FROM ledgers WHERE ledger_id = :ledger", name)
    ledger = Ledger(
        name,
        heads[0],
        _rows(connection, "SELECT * FROM execution_events WHERE ledger_id = :ledger ORDER BY position", name),
        {
            row["execution_id"]: row
            for row in _rows(connection, "SELECT * FROM execution_streams WHERE ledger_id = :ledger", name)
        },
        {
            row["id"]: row
            for row in _rows(connection, "SELECT * FROM execution_history WHERE ledger_id = :ledger", name)
        },
    )
    for each in ledger.events:
        each["payload"] = json.loads(each["data"])
    of_stream = defaultdict(list)
    for each in ledger.events:
        of_stream[each["execution_id"]].append(each)
    ledger.of_stream = dict(of_stream)
    _check_order(ledger)
    _check_rows(ledger)
    _check_counters(ledger)
    _check_steps(ledger, _rows(connection, "SELECT * FROM execution_steps WHERE ledger_id = :ledger", name))
    _check_leases(ledger, _rows(connection, "SELECT * FROM execution_leases WHERE ledger_id = :ledger", name))
    _check_receipts(ledger, _rows(connection, "SELECT * FROM command_receipts WHERE ledger_id = :ledger", name))
    ledger.root = _check_hashes(ledger)
    return ledger


def _check_order(ledger: Ledger) -> None:
    assert [each["position"] for each in ledger.events] == list(range(1, ledger.head["size"] + 1)), (
        "positions have gaps"
    )
    assert ledger.of_stream.keys() == ledger.streams.keys()
    born = sorted(ledger.of_stream, key=lambda execution_id: ledger.of_stream[execution_id][0]["position"])
    assert [ledger.streams[each]["id"] for each in born] == list(range(1, ledger.head["last_id"] + 1)), "ids have gaps"
    for execution_id, events in ledger.of_stream.items():
        stream = ledger.streams[execution_id]
        assert [each["version"] for each in events] == list(range(1, stream["version"] + 1)), "versions have gaps"
        times = [each["recorded_at"] for each in events]
        assert times == sorted(times), "recorded_at goes back"
        assert stream["last_recorded_at"] == times[-1]
        assert [each["type"] for each in events].count("execution.created") == 1
        assert events[0]["type"] == "execution.created"


def fold(events: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The projected row after these events of one execution: their payloads merged."""
    row: dict[str, Any] = {}
    for each in events:
        if each["type"] == "execution.deleted":
            return None
        if each["type"] not in _ABOUT_STEPS_AND_NOTES:
            row |= {name: _plain(name, value, decoded=True) for name, value in each["payload"].items()}
        row |= {"version": each["version"], "updated_at": each["recorded_at"]}
    return row | {"execution_id": events[0]["execution_id"], "ledger_id": events[0]["ledger_id"]}


def _check_rows(ledger: Ledger) -> None:
    shown = set()
    for execution_id, events in ledger.of_stream.items():
        stream, expected = ledger.streams[execution_id], fold(events)
        assert bool(stream["deleted"]) == (expected is None)
        if expected is None:
            assert events[-1]["type"] == "execution.deleted", "something happened after the deletion"
            assert stream["id"] not in ledger.rows
            continue
        shown.add(stream["id"])
        row = ledger.rows[stream["id"]]
        assert row == dict.fromkeys(row) | expected | {"id": stream["id"]}, "the row is not the fold of its events"
        same = ("job_id", "status", "started_at")
        assert {name: stream[name] for name in same} == {name: row[name] for name in same}
        assert (row["completed_at"] is not None) == (row["status"] in ENDED)
    assert shown == ledger.rows.keys(), "rows that no event tells of"


def _check_counters(ledger: Ledger) -> None:
    counted = Counter(row["status"] for row in ledger.rows.values())
    assert {status: ledger.head[status] for status in STATUSES} == {status: counted[status] for status in STATUSES}
    assert ledger.head["executions"] == len(ledger.rows)


def _check_steps(ledger: Ledger, rows: list[dict[str, Any]]) -> None:
    expected: dict[tuple[UUID, str], dict[str, Any]] = {}
    columns = ("parent_step_id", "name", "kind", "started_at", "finished_at", "outcome")
    for each in ledger.events:
        payload = {name: _plain(name, value, decoded=True) for name, value in each["payload"].items()}
        if each["type"] == "execution.step_started":
            key = each["execution_id"], payload["step_id"]
            assert key not in expected, "a step started twice"
            expected[key] = {name: payload.get(name) for name in columns}
        elif each["type"] == "execution.step_finished":
            step = expected[each["execution_id"], payload["step_id"]]
            assert step["outcome"] is None, "a step ended twice"
            step |= {"finished_at": payload["finished_at"], "outcome": payload["outcome"]}
    stored = {(row["execution_id"], row["step_id"]): {name: row[name] for name in columns} for row in rows}
    assert stored == expected
    ledger.steps = {(ledger.streams[id]["job_id"], step): row["outcome"] for (id, step), row in stored.items()}


def _check_leases(ledger: Ledger, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        assert row["token"] == ledger.streams[row["execution_id"]]["lease_token"] > 0, "a lease that guards nothing"
        assert row["holder"]
    assert all(stream["lease_token"] >= 0 for stream in ledger.streams.values())


def _check_receipts(ledger: Ledger, rows: list[dict[str, Any]]) -> None:
    commanded: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for each in ledger.events:
        if each["command_id"] is not None:
            commanded[each["command_id"]].append(each)
    for row in rows:
        events = commanded.pop(row["command_id"], [])
        first = row["first_position"] or 0
        assert [each["position"] for each in events] == list(range(first, first + row["event_count"]))
        outcome = json.loads(row["outcome"])
        if events:
            assert (str(events[-1]["execution_id"]), events[-1]["version"]) == (
                outcome["execution_id"],
                outcome["version"],
            )
        else:
            assert row["first_position"] is None
    assert not commanded, "events of commands without a receipt"


def _check_hashes(ledger: Ledger) -> bytes:
    leaves = []
    for each in ledger.events:
        assert each["payload_digest"] == sha256(each["salt"] + each["data"].encode()).digest()
        names = ("actor", "causation_id", "command_id", "correlation_id", "ledger_id", "reason", "schema_version")
        canonical = {name: each[name] for name in (*names, "trace_id", "type", "version")} | {
            "execution_id": str(each["execution_id"]),
            "payload_digest": each["payload_digest"].hex(),
            "recorded_at": _written(each["recorded_at"]),
            "occurred_at": None if each["occurred_at"] is None else _written(each["occurred_at"]),
        }
        form = json.dumps(canonical, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        leaves.append(sha256(b"\0" + form.encode()).digest())
        assert each["leaf_hash"] == leaves[-1], "the leaf hash is not that of the documented form"
    return tree_hash(leaves)


def tree_hash(leaves: list[bytes]) -> bytes:
    """The Merkle tree hash of RFC 9162, section 2.1.1, word for word."""
    if len(leaves) < 2:
        return leaves[0] if leaves else sha256(b"").digest()
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return sha256(b"\x01" + tree_hash(leaves[:half]) + tree_hash(leaves[half:])).digest()


def _rows(connection: Connection, statement: str, ledger: str) -> list[dict[str, Any]]:
    found = connection.execute(text(statement), {"ledger": ledger}).mappings()
    return [{name: _plain(name, value) for name, value in row.items()} for row in found]


def _plain(name: str, value: Any, *, decoded: bool = False) -> Any:
    """A value of either database as the Python value that it means."""
    if value is None:
        return None
    if name in _TIMES:
        time = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    if name == "execution_id":
        return value if isinstance(value, UUID) else UUID(value)
    if name in _JSON and not decoded:
        return json.loads(value)
    return bytes(value) if isinstance(value, memoryview) else value


def _written(time: datetime) -> str:
    return f"{time:%H:%M:%S.%f}Z".join((f"{time.year:04}-{time:%m-%d}T", ""))
