"""RESULTS.md: what was measured, how, and what became of the targets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from . import bulk, contenders, imports, ledgers, reads, service, snapshot, upkeep
from .plots import Plots, draw_all
from .results import Measured, Result
from .tables import all_rounds, number, ratio, spread, table, verdicts
from .targets import judge

_HEAD = """\
# Benchmarks

Written by `make bench`. Absolute numbers are those of one machine; ratios within one run are what counts.
"""
_TRIAL = """\
**A trial**: not all sizes, rounds and settings are those that the targets are about.
"""
_METHOD = """\
## Method

- PostgreSQL is a server of the benchmark's own with `fsync` and `full_page_writes` on and `shared_buffers` at
  PostgreSQL's default of 128 MB. "Flush of 2 ms" is the same server with `commit_delay = 2000` and
  `commit_siblings = 0`: whoever flushes a group of commits first waits 2 ms. SQLite is a file with WAL and
  `synchronous = FULL`.
- Every database has the full schema: all tables, indexes and triggers, as the migration leaves them. Each update of the
  ledger is the whole write: stream, head, event with its hashes, history, and a receipt where a command id is given.
- Contenders take turns in each round, in an order that moves on by one; one round warms up, the others count. The
  medians of the rounds are compared; the tables show the lowest and the highest round beside them.
- All clients of a contender run in this one process, on one event loop (the library's in threads, as it is
  synchronous), and share the machine with the server. Each has a connection of its own where the contender works with
  connections, and sends its next update when the last one is done.
- In each round every contender makes fresh executions, shared out among its clients, before the clock starts, so that
  runs stay as short as real ones: the library reads all events of a run for each change.
- The small payload is a message of a few bytes; the one of 2 KB has 2,048 characters that compress as prose does.
- Baselines: the seed's CRUD repository exactly as in the seed document, over its own indexed table; an application of
  the `eventsourcing` library with its own recorder, which keeps events alone; inserts of single ready-made rows into a
  copy of `execution_events` with its indexes, each its own commit, prepared, through psycopg, which does nothing else.
- The **ceiling** of a target is the rate of those single inserts to the baseline's in the same run: what bounds any
  design that commits each update by itself into a table with these indexes, whatever else it leaves out.
- "Memory flat" is read as: not above 1.1 times. Costs and memory are compared the other way round: less is better.
"""


def write(folder: Path, measured: Mapping[str, Measured]) -> None:
    """Write RESULTS.md and its plots."""
    judged = judge(measured)
    plots = draw_all(folder / "plots", measured, judged)
    reached = [verdict for verdict in judged if verdict.word == "reached"]
    wanted = [verdict for verdict in judged if verdict.target.least or verdict.target.most]
    parts = [
        _HEAD,
        "" if all(one.scale.is_full for one in measured.values()) else _TRIAL,
        f"## Targets\n\n{len(reached)} of {len(wanted)} targets reached.\n",
        plots.get("targets", ""),
        verdicts(judged),
        _METHOD,
        *(_SECTIONS[name](one, plots) for name, one in measured.items()),
        _machine(measured),
    ]
    (folder / "RESULTS.md").write_text("\n".join(filter(None, parts)), encoding="utf-8")


def _machine(measured: Mapping[str, Measured]) -> str:
    names = list(dict.fromkeys(name for one in measured.values() for name in one.facts))
    alike = all(one.facts == next(iter(measured.values())).facts for one in measured.values())
    runs = dict(list(measured.items())[:1]) if alike else measured
    rows = [[name, *(one.facts.get(name, "–") for one in runs.values())] for name in names]
    return "## Machine\n\n" + table(["", "all scenarios"] if alike else ["", *runs], rows, len(runs) + 1)


def _updates(measured: Measured, plots: Plots) -> str:
    return "\n".join(["## Updates\n", *_stores(measured, plots)])


def _stores(measured: Measured, plots: Plots) -> Iterator[str]:
    for store in measured.cases("store"):
        yield f"### {store}\n"
        yield plots[f"updates {store}"]
        for payload in measured.cases("payload", store=store):
            case = {"store": store, "payload": payload}
            clients = measured.cases("clients", **case)
            heading = [f"updates/s, {payload}"]
            for each in clients:
                heading += [f"{each} client{'s' if each > 1 else ''}", "to CRUD"]
            names = dict.fromkeys(result.contender for result in measured.select(**case))
            yield table(heading, (_row(measured, name, case, clients) for name in names))
        yield all_rounds(measured.select(store=store))


def _row(measured: Measured, name: str, case: dict[str, Any], clients: list[int]) -> list[str]:
    cells = [name]
    for each in clients:
        found, crud = (measured.find(who, **case, clients=each) for who in (name, contenders.CRUD))
        cells += [spread(found), ratio(found, crud)]
    return cells


def _ledgers(measured: Measured, plots: Plots) -> str:
    one, *_ = results = [result for result in measured.results if result.contender not in ledgers.MEMORY]
    text = f"""\
## Many ledgers

{one.case["clients"]} clients through one writer, which has made {one.case["idle ledgers"]:,} other ledgers before.
"""
    memory = [[name, f"{found.median:,.1f}"] for name in ledgers.MEMORY if (found := measured.find(name))]
    return "\n".join(
        [text, plots["ledgers"], _compared(results, ledgers.ONE), table(["", "MiB"], memory), all_rounds(results)]
    )


def _bulk(measured: Measured, plots: Plots) -> str:
    text = f"""\
## Bulk creation

{measured.results[0].case["executions"]:,} executions in each round, into the same three tables with the same indexes.
COPY sends rows that were made before the clock started (events, hashes and all), for all three tables in one
transaction, and updates the head: once from Python values, once from text that is ready to send. The writer is given
plain dictionaries, and its time has everything in it: parsing, rules, hashes, rows. All rows are counted at the end.
"""
    parts = [text, plots["bulk"]]
    for payload in measured.cases("payload"):
        parts.append(f"{payload}:\n\n" + _compared(list(measured.select(payload=payload)), bulk.COPY_TEXT))
    return "\n".join([*parts, all_rounds(measured.results)])


def _flatness(measured: Measured, plots: Plots) -> str:
    text = """\
## Flatness

Updates of as many executions in each ledger, spread evenly over it. "Over all its runs" changes another execution with
each update instead, so that nothing it touches is warm. The smallest ledger is copied anew for each round, and short
runs are fresh in each: they are as small as they say when a round begins.
"""
    parts = [text, plots["flatness"]]
    for way in measured.cases("way"):
        for of in measured.cases("flat in", way=way):
            found = list(measured.select(**{"way": way, "flat in": of}))
            shown = f"{way}, {found[0].case['updates']:,} updates in each round:\n\n"
            parts.append(shown + _compared(found, found[0].contender, "cost"))
    return "\n".join([*parts, all_rounds(measured.results)])


def _snapshot(measured: Measured, plots: Plots) -> str:
    case = measured.results[0].case
    text = f"""\
## One old snapshot

{case["updates"]:,} updates of {case["clients"]} clients through the writer while one transaction that has read stays
open. PostgreSQL keeps every version of the head, and of each changed row, that it could still see. Each round has a
database of its own; a rate is that of the last {case["updates"] // 10:,} updates of its phase.
"""
    results = measured.results
    return "\n".join([text, plots["snapshot"], _compared(results, snapshot.BEFORE), all_rounds(results)])


def _compared(results: list[Result], baseline: str, what: str = "rate") -> str:
    base = next(result for result in results if result.contender == baseline)
    rows = (
        [one.contender, spread(one), ratio(base, one) if what == "cost" else ratio(one, base), number(one.median)]
        for one in results
    )
    unit = results[0].unit
    return table(["", f"{unit}, median (spread)", f"{what} to {baseline}"], (row[:3] for row in rows))


def _upkeep(measured: Measured, _: Plots) -> str:
    text = """\
## Whole ledgers

Events per second. The baseline reads the same events, in the order of their executions, and sends the rows of the
history by COPY to a table with the same indexes: what no rebuild can leave out. `build` is all of a rebuild but the
swap; verifying with hashes also computes both hashes of each event. An export also computes the root; a replay hands
over each event.
"""
    rates = [result for result in measured.results if result.unit != "MiB"]
    memory = [[each.contender, f"{each.median:,.1f}"] for each in measured.results if each.unit == "MiB"]
    parts = [text]
    for events in measured.cases("events"):
        parts.append(f"{events:,} events:\n\n" + _compared(list(measured.select(events=events)), upkeep.RAW_COPY))
    return "\n".join([*parts, table(["above what there was before", "MiB"], memory), all_rounds(rates)])


def _imports(measured: Measured, _: Plots) -> str:
    text = """\
## Imports

Rows, or events, per second into a new database: from a CRUD table in the same server, and from a backup, which is
checked whole before it is loaded, and in which a thousand runs went on at a time. The baseline sends the rows that the
import ends in (heads, streams, events with their hashes, history) by COPY from files, into the same tables with the
same indexes.
"""
    memory = [[each.contender, f"{each.median:,.1f}"] for each in measured.results if each.unit == "MiB"]
    parts = [text]
    for what in measured.cases("what"):
        for number_of in measured.cases("number", what=what):
            found = list(measured.select(what=what, number=number_of))
            parts.append(f"{number_of:,} {what}:\n\n" + _compared(found, imports.COPY_READY))
    rates = [result for result in measured.results if result.unit != "MiB"]
    return "\n".join([*parts, table(["of a process of its own", "MiB"], memory), all_rounds(rates)])


def _reads(measured: Measured, _: Plots) -> str:
    text = """\
## Reads

Pages per second, each in a session and a transaction of its own, by one client. The filter of the run list finds one
run in a hundred; the page in the middle begins behind half of the runs. A page of the audit tells what each event
changed.
"""
    pages = [result for result in measured.results if result.unit != reads.BYTES]
    sizes = [result for result in measured.results if result.unit == reads.BYTES]
    parts = [text, table(["", "rows", "pages/s"], ([r.contender, str(r.case["rows"]), spread(r)] for r in pages))]
    for events in measured.cases("events"):
        of = [result for result in sizes if result.case["events"] == events]
        total = sum(result.median for result in of)
        rows = [*([each.contender, f"{each.median:,.1f}"] for each in of), ["all of them", f"{total:,.1f}"]]
        parts.append(table([f"{events:,} events, 4 in each execution: bytes for an execution", ""], rows))
    return "\n".join([*parts, all_rounds(pages)])


def _service(measured: Measured, _: Plots) -> str:
    text = """\
## Service

Requests per second over HTTP, each server a process of its own with its settings as they are (ours also writes its
log, keeps its projections up to date and audits itself meanwhile), clients and database on the same machine. The
baselines: a FastAPI route that answers with the row that the same SELECT finds, by psycopg and its pool, and a FastAPI
app over the seed's repository, both without a log. The time until an event reached a subscriber begins before its write
is sent.
"""
    parts, rates = [text], [result for result in measured.results if result.unit != service.MILLISECONDS]
    for what, whom in ((service.READS, service.BARE), (service.UPDATES, service.CRUD)):
        rows = [result for result in measured.select(what=what) if result.unit != service.MILLISECONDS]
        parts.append(f"{what}, {rows[0].case['clients']} clients:\n\n" + _compared(rows, whom))
    times = [result for result in measured.results if result.unit == service.MILLISECONDS]
    cells = [[each.contender, str(each.case.get("what", "")), _milliseconds(each)] for each in times]
    followers = next(each.case["subscribers"] for each in times if "subscribers" in each.case)
    parts.append(table([f"ms, {followers} subscribers", "", "median (spread)"], cells, 2))
    return "\n".join([*parts, all_rounds(rates)])


def _milliseconds(result: Result) -> str:
    return f"**{result.median:.1f}** ({min(result.rounds):.1f} – {max(result.rounds):.1f})"


_SECTIONS: dict[str, Callable[[Measured, Plots], str]] = {
    "updates": _updates,
    "ledgers": _ledgers,
    "bulk": _bulk,
    "flatness": _flatness,
    "snapshot": _snapshot,
    "upkeep": _upkeep,
    "imports": _imports,
    "reads": _reads,
    "service": _service,
}
