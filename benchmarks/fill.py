"""Ledgers with many events, made by SQL in seconds instead of by commands in minutes.

All is as commands would have left it, hashes included: `verify` finds nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.console import Console
from rich.progress import track

from execution_ledger.infrastructure import create_sync_engine

_CHUNK = 50_000
_TIME = "timestamptz '2026-01-01 00:00:00+00'"

_OTHERS = (
    f"INSERT INTO ledgers (ledger_id, created_at) VALUES ('default', {_TIME}) ON CONFLICT DO NOTHING",
    """
UPDATE ledgers SET size = size + {events}, last_id = last_id + {runs}, executions = executions + {runs},
    running = running + {runs} WHERE ledger_id = 'default'""",
    f"""
INSERT INTO execution_streams (ledger_id, execution_id, id, job_id, version, status, started_at, last_recorded_at,
    deleted)
SELECT 'default', md5(n::text)::uuid, n, 'run-' || n, {{length}}, 'running', {_TIME} + n * interval '1 s',
    {_TIME} + ({{events}} - {{last}} + n) * interval '1 ms', false
FROM generate_series({{first}}, {{last}}) n""",
    f"""
INSERT INTO execution_history (ledger_id, id, job_id, execution_id, version, status, inputs, message, run_name,
    attempt, created_at, started_at, updated_at)
SELECT 'default', n, 'run-' || n, md5(n::text)::uuid, {{length}}, 'running', '{{{{"a":1}}}}',
    CASE WHEN {{length}} > 2 THEN 'row ' || {{events}} - {{last}} + n END, 'nightly report', 1,
    {_TIME} + n * interval '1 s', {_TIME} + n * interval '1 s', {_TIME} + ({{events}} - {{last}} + n) * interval '1 ms'
FROM generate_series({{first}}, {{last}}) n""",
)
_ISO = """to_char(%s AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')"""
_AT = _ISO % f"({_TIME} + n * interval '1 s')"
# Runs go on side by side: version 1 of all of them, then version 2, and so on.
_EVENTS = f"""
INSERT INTO execution_events (ledger_id, position, execution_id, version, type, schema_version, data, salt,
    payload_digest, leaf_hash, recorded_at)
SELECT 'default', position, execution_id, version, type, 1, data, salt, digest,
    sha256('\\x00'::bytea || convert_to('{{{{"actor":null,"causation_id":null,"command_id":null,"correlation_id":null,'
        '"execution_id":"' || execution_id || '","ledger_id":"default","occurred_at":null,"payload_digest":"'
        || encode(digest, 'hex') || '","reason":null,"recorded_at":"'
        || to_char(recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
        || '","schema_version":1,"trace_id":null,"type":"' || type || '","version":' || version || '}}}}', 'UTF8')),
    recorded_at
FROM (
    SELECT {{base}} + p AS position, md5(n::text)::uuid AS execution_id, v AS version, type, data, salt,
        sha256(salt || convert_to(data, 'UTF8')) AS digest, {_TIME} + p * interval '1 ms' AS recorded_at
    FROM (
        SELECT p, n, v, decode(md5(p::text), 'hex') AS salt,
            CASE v WHEN 1 THEN 'execution.created' WHEN 2 THEN 'execution.started'
                ELSE 'execution.details_changed' END AS type,
            CASE v WHEN 1 THEN '{{{{"job_id":"run-' || n || '","status":"pending","inputs":{{{{"a":1}}}},'
                    '"run_name":"nightly report","attempt":1,"created_at":"' || {_AT} || '"}}}}'
                WHEN 2 THEN '{{{{"status":"running","started_at":"' || {_AT} || '"}}}}'
                ELSE '{{{{"message":"row ' || p || '"}}}}' END AS data
        FROM (
            SELECT p, {{first}} + mod(p - 1, {{runs}}) AS n, (p - 1) / {{runs}} + 1 AS v
            FROM generate_series({{start}}, {{end}}) p
        ) numbered
    ) told
) salted"""


class Runs(NamedTuple):
    """Executions of one length."""

    number: int
    length: int
    """Events in each."""


def fill(url: str, groups: Sequence[Runs], console: Console) -> None:
    """Fill the default ledger of a new database; ids are counted through all groups, from 1."""
    events = last = 0
    with create_sync_engine(url, isolation_level="AUTOCOMMIT").connect() as connection:
        for runs, length in groups:
            total, first, last, base = runs * length, last + 1, last + runs, events
            values = {"runs": runs, "length": length, "events": total, "base": base, "first": first, "last": last}
            for statement in _OTHERS:
                connection.exec_driver_sql(statement.format(**values))
            shown = f"  {runs:,} runs of {length:,} events"
            for start in track(range(1, total + 1, _CHUNK), shown, console=console, transient=True):
                end = min(total, start + _CHUNK - 1)
                connection.exec_driver_sql(_EVENTS.format(**values, start=start, end=end))
            events += total
        # So that neither of them falls into a round.
        connection.exec_driver_sql("VACUUM ANALYZE ledgers, execution_streams, execution_events, execution_history")
        connection.exec_driver_sql("CHECKPOINT")
    connection.engine.dispose()
