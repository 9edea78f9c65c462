"""A whole ledger as one file: the same ledger on either store, whatever happens on the way."""

from __future__ import annotations

import gzip
import stat
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from execution_ledger.domain import InvalidInput, LedgerBusy
from execution_ledger.infrastructure import ExecutionRepository, GroupWriter, compute_root, list_keys, revoke_key
from execution_ledger.infrastructure.tables import execution_streams, metadata
from execution_ledger.projections import Restored, back_up_to_file, check_backup, restore, verify
from execution_ledger.projections.backup import restoring
from support import Database
from support.stories import write_stories
from support.writers import create, update

KEPT = (
    "ledgers", "execution_streams", "execution_leases", "execution_steps", "execution_events", "command_receipts",
    "execution_history", "api_keys",
)  # fmt: skip


def contents(engine: Engine) -> dict[str, list[dict[str, Any]]]:
    """All rows of the tables that a ledger is, in the order of their keys."""
    found = {}
    with engine.connect() as connection:
        for name in KEPT:
            table = metadata.tables[name]
            rows = connection.execute(select(table).order_by(*table.primary_key)).mappings()
            found[name] = [dict(row) for row in rows]
    return found


async def test_a_restored_ledger_is_the_same_on_either_store(
    ledger: GroupWriter, source: Engine, target: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoring, "_CHUNK", 7)  # so that runs, and their steps, cross chunks
    written = back_up_to_file(source, tmp_path / "ledger.gz")
    before = contents(source)
    assert all(before[name] for name in KEPT)
    restored = restore(target, tmp_path / "ledger.gz")
    assert restored == Restored("default", written.size, written.root, written.size)
    assert contents(target) == before
    assert list(verify(target)) == []
    with target.connect() as connection:
        assert compute_root(connection, "default").root == written.root
    assert restore(target, tmp_path / "ledger.gz").loaded == 0
    assert contents(target) == before


async def test_a_restored_ledger_goes_on_as_if_nothing_had_been(
    ledger: GroupWriter, source: Engine, target: Engine, tmp_path: Path
) -> None:
    back_up_to_file(source, tmp_path / "ledger.gz")
    restore(target, tmp_path / "ledger.gz")
    async with GroupWriter(target.url.render_as_string(hide_password=False)) as writer:
        again = await writer.execute(create("with receipt", command_id="only once", inputs={"day": "monday"}))
        assert again is not None
        assert again.replayed
        new = await writer.execute(create("new one"))
        assert new is not None
        assert new.id == 33
    with target.connect() as connection:
        tokens = select(execution_streams.c.lease_token).where(execution_streams.c.job_id == "with lease")
        assert connection.execute(tokens).scalar_one() == 1  # so that the next holder gets a higher one
    assert list(verify(target)) == []


async def test_other_ledgers_are_left_alone(
    ledger: GroupWriter, source: Engine, target: Engine, tmp_path: Path
) -> None:
    await write_stories(ledger, 5, "other")
    back_up_to_file(source, tmp_path / "ledger.gz")
    back_up_to_file(source, tmp_path / "other.gz", ledger="other")
    restore(target, tmp_path / "other.gz")
    assert {row["ledger_id"] for rows in contents(target).values() for row in rows} == {"other"}
    restore(target, tmp_path / "ledger.gz")
    assert contents(target) == contents(source)


async def test_what_comes_later_is_no_part_of_a_backup(
    ledger: GroupWriter, source: Engine, target: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = len(contents(source)["execution_events"])
    late: list[Any] = [create("late", command_id="late"), update("job-1", command_id="late too", message="later")]

    def write_meanwhile(done: int, _: int) -> None:
        if late:
            import asyncio
            import threading

            async def write() -> None:
                async with GroupWriter(source.url.render_as_string(hide_password=False)) as writer:
                    for request in late:
                        await writer.execute(request)
                late.clear()

            thread = threading.Thread(target=lambda: asyncio.run(write()))
            thread.start()
            thread.join()

    from execution_ledger.projections.backup import back_up

    monkeypatch.setattr(back_up, "_PAGE", 10)
    written = back_up_to_file(source, tmp_path / "ledger.gz", on_progress=write_meanwhile)
    assert not late
    assert written.size == size
    restore(target, tmp_path / "ledger.gz")
    restored = contents(target)
    assert {row["command_id"] for row in restored["command_receipts"]} == {"only once", "no news"}
    assert list(verify(target)) == []


async def test_a_restore_that_was_cut_short_goes_on_where_it_was(
    ledger: GroupWriter, source: Engine, target: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoring, "_CHUNK", 10)
    written = back_up_to_file(source, tmp_path / "ledger.gz")

    def stop(what: str, done: int, _: int) -> None:
        if what == "load" and done >= 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore(target, tmp_path / "ledger.gz", on_progress=stop)
    assert len(contents(target)["execution_events"]) == 40
    assert list(verify(target)) == []
    assert restore(target, tmp_path / "ledger.gz").loaded == written.size - 40
    assert contents(target) == contents(source)


async def test_an_erased_payload_stays_erased(
    ledger: GroupWriter, source: Engine, target: Engine, tmp_path: Path
) -> None:
    with source.begin() as connection:
        if source.dialect.name == "postgresql":
            connection.execute(text("ALTER TABLE execution_events DISABLE TRIGGER USER"))
        else:
            connection.execute(text("DROP TRIGGER execution_events_no_update"))
        connection.execute(text("UPDATE execution_events SET data = NULL, salt = NULL WHERE type = 'execution.noted'"))
    back_up_to_file(source, tmp_path / "ledger.gz")
    restore(target, tmp_path / "ledger.gz")
    assert contents(target)["execution_events"] == contents(source)["execution_events"]
    assert contents(target)["execution_streams"] == contents(source)["execution_streams"]


def rewritten(change: Callable[[list[bytes]], list[bytes]]) -> Callable[[bytes], bytes]:
    return lambda packed: gzip.compress(b"".join(change(gzip.decompress(packed).splitlines(keepends=True))))


DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "nothing in it": (lambda packed: b"", "is no backup of a ledger"),
    "no gzip": (lambda packed: b"hello\n", "is damaged after line 0"),
    "cut off": (lambda packed: packed[: len(packed) // 2], "is cut off after line"),
    "a byte": (lambda packed: packed[:-200] + b"\0" + packed[-199:], "is damaged|cannot be read"),
    "no end": (rewritten(lambda lines: lines[:-1]), "is cut off"),
    "no header": (rewritten(lambda lines: lines[1:]), "is no backup of a ledger"),
    "an event less": (rewritten(lambda lines: [*lines[:5], *lines[6:]]), "does not hold what its last line tells"),
    "two in another order": (
        rewritten(lambda lines: [*lines[:5], lines[6], lines[5], *lines[7:]]), "does not hold what its last line tells",
    ),
    "another text": (rewritten(lambda lines: [line.replace(b"broke", b"works") for line in lines]), "event "),
    "another actor": (
        rewritten(lambda lines: [*lines[:3], lines[3].replace(b"null,null,null", b'null,"eve",null'), *lines[4:]]),
        "event 3 of ledger",
    ),
    "a receipt less": (rewritten(lambda lines: [*lines[:-2], lines[-1]]), "does not hold what its last line tells"),
    "a scope more": (
        rewritten(lambda lines: [line.replace(b"read write", b"read write admin") for line in lines]),
        "does not hold what its last line tells",
    ),
    "another key": (rewritten(lambda lines: [line.replace(b'"job-0",', b'"other",') for line in lines]), "event 1 of"),
    "an odd row": (
        rewritten(lambda lines: [line.replace(b'"created_at":"20', b'"created_at":"x') for line in lines]),
        "a row of api_keys cannot be read",
    ),
    "a later format": (
        rewritten(lambda lines: [lines[0].replace(b'backup",1,', b'backup",2,'), *lines[1:]]), "is of format 2",
    ),
    "two backups": (lambda packed: packed + packed, "begins twice"),
    "no line of ours": (
        rewritten(lambda lines: [lines[0], b'["hm"]\n', *lines[1:]]), "has a line 2 that cannot be read",
    ),
}  # fmt: skip


@pytest.mark.store("sqlite")
@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_file_is_refused_before_anything_is_written(
    ledger: GroupWriter, source: Engine, tmp_path: Path, sqlite_target: Engine, damage: str
) -> None:
    back_up_to_file(source, tmp_path / "ledger.gz")
    spoil, problem = DAMAGES[damage]
    (tmp_path / "spoiled.gz").write_bytes(spoil((tmp_path / "ledger.gz").read_bytes()))
    with pytest.raises(InvalidInput, match=problem):
        restore(sqlite_target, tmp_path / "spoiled.gz")
    assert not any(contents(sqlite_target).values())


@pytest.mark.store("sqlite")
async def test_whatever_bit_was_turned_is_told_as_damage(ledger: GroupWriter, source: Engine, tmp_path: Path) -> None:
    back_up_to_file(source, tmp_path / "ledger.gz")
    packed = (tmp_path / "ledger.gz").read_bytes()
    text, random = gzip.decompress(packed), Random(1)
    header = 10  # of gzip: its time, say, is nobody's loss
    for _ in range(300):
        (tmp_path / "turned.gz").write_bytes(packed[:header] + turned(packed[header:], random))
        with pytest.raises(InvalidInput, match=r"^FILE: turned\.gz "):
            check_backup(tmp_path / "turned.gz")
        (tmp_path / "turned.gz").write_bytes(gzip.compress(turned(text, random), 1))
        with pytest.raises(InvalidInput, match=r"^FILE: turned\.gz .*(Take one|Name a file|Upgrade|Restore one)"):
            check_backup(tmp_path / "turned.gz")


def turned(text: bytes, random: Random) -> bytes:
    at = random.randrange(len(text))
    return text[:at] + bytes([text[at] ^ 1 << random.randrange(8)]) + text[at + 1 :]


async def test_a_ledger_of_other_events_is_not_restored_over(
    ledger: GroupWriter, source: Engine, target: Engine, tmp_path: Path
) -> None:
    async with GroupWriter(target.url.render_as_string(hide_password=False)) as writer:
        await writer.execute(create("job-0"))
    back_up_to_file(source, tmp_path / "ledger.gz")
    before = contents(target)
    with pytest.raises(InvalidInput, match="1 events that are not the first of this backup"):
        restore(target, tmp_path / "ledger.gz")
    assert contents(target) == before


async def test_two_who_restore_at_once_give_one_ledger(
    ledger: GroupWriter, source: Engine, target: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoring, "_CHUNK", 10)
    back_up_to_file(source, tmp_path / "ledger.gz")
    once = [True]

    def other(what: str, done: int, _: int) -> None:
        if what == "load" and once:
            once.clear()
            restore(target, tmp_path / "ledger.gz")

    with pytest.raises(LedgerBusy, match="somebody else writes to it"):
        restore(target, tmp_path / "ledger.gz", on_progress=other)
    assert contents(target) == contents(source)


async def test_a_later_backup_brings_an_older_restore_up_to_date(
    database: Database, ledger: GroupWriter, source: Engine, target: Engine, tmp_path: Path, engine: AsyncEngine
) -> None:
    back_up_to_file(source, tmp_path / "older.gz")
    restore(target, tmp_path / "older.gz")
    async with AsyncSession(engine) as session:
        runs = ExecutionRepository(session)
        lease = await runs.find_lease("with lease", 1)
        await runs.release_lease(lease)
        await runs.take_lease("with receipt", holder="worker-2")
        await runs.mark_execution_completed(2)
    with source.begin() as connection:
        [key] = list_keys(connection, "default")
        revoke_key(connection, "default", key.key_id, now=datetime.now(UTC))
    back_up_to_file(source, tmp_path / "newer.gz")
    assert restore(target, tmp_path / "newer.gz").loaded == 1
    assert contents(target) == contents(source)
    with pytest.raises(InvalidInput, match="more than the"):
        restore(target, tmp_path / "older.gz")
    assert contents(target) == contents(source)
    assert stat.S_IMODE((tmp_path / "newer.gz").stat().st_mode) == 0o600


async def test_a_backup_takes_little_memory_whatever_its_events_hold(
    database: Database, source: Engine, target: Engine, tmp_path: Path
) -> None:
    async with GroupWriter(database.url) as writer:
        for number in range(60):
            await writer.execute(create(f"job-{number}", inputs={"text": "x" * 1_000_000}))
    tracemalloc.start()
    back_up_to_file(source, tmp_path / "ledger.gz")
    restore(target, tmp_path / "ledger.gz")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50 * 2**20, "less than all of it"


async def test_a_changed_ledger_is_not_backed_up(ledger: GroupWriter, source: Engine, tmp_path: Path) -> None:
    with source.begin() as connection:
        if source.dialect.name == "postgresql":
            connection.execute(text("ALTER TABLE execution_events DISABLE TRIGGER USER"))
        else:
            connection.execute(text("DROP TRIGGER execution_events_no_update"))
        connection.execute(text("UPDATE execution_events SET actor = 'eve' WHERE position = 5"))
    with pytest.raises(InvalidInput, match="event 5 of ledger 'default'"):
        back_up_to_file(source, tmp_path / "ledger.gz")
    assert not list(tmp_path.glob("*ledger.gz*"))
    with pytest.raises(InvalidInput, match="there is no ledger"):
        back_up_to_file(source, tmp_path / "ledger.gz", ledger="never heard of")
