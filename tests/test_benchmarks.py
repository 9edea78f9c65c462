"""The benchmark runs and tells all it should. How fast anything is, is no matter of a test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.__main__ import SCENARIOS, main
from benchmarks.contenders import CRUD, RAW, REPOSITORY, make_text
from benchmarks.results import Measured, Result, load, save
from benchmarks.scale import QUICK, Scale
from benchmarks.snapshot import AFTER, BEFORE, HELD
from benchmarks.stores import POSTGRESQL
from benchmarks.targets import Verdict, judge


@pytest.mark.soak
def test_it_measures_and_reports_everything(tmp_path: Path) -> None:
    main(["--quick", "--output", str(tmp_path)])
    measured = load(tmp_path / "results.json")
    judged = judge(measured)
    report = (tmp_path / "RESULTS.md").read_text(encoding="utf-8")
    assert set(measured) == set(SCENARIOS)
    assert {verdict.target.scenario for verdict in judged} == set(SCENARIOS)
    for verdict in judged:
        assert verdict.ratio is not None, verdict.target.text
        assert f"| {verdict.target.text} |" in report
    for one in measured.values():
        assert all(len(result.rounds) in (1, QUICK.rounds) for result in one.results)
    assert {f"plots/{plot.name}" for plot in (tmp_path / "plots").iterdir()} == _embedded(report)
    assert "A trial" in report

    bulk = tmp_path / "bulk"
    save(bulk / "results.json", {"bulk": measured["bulk"]})
    main(["--report", "--output", str(bulk)])  # without measuring: it tells what was kept, and what was not measured
    again = (bulk / "RESULTS.md").read_text(encoding="utf-8")
    assert _section(again, "Bulk creation") == _section(report, "Bulk creation")
    assert again.count("**not measured**") == len(judge({})) - 4


def _section(report: str, name: str) -> str:
    return report.partition(f"## {name}\n")[2].partition("\n## ")[0]


def _embedded(report: str) -> set[str]:
    return {line.rpartition("(")[2].rstrip(")") for line in report.splitlines() if line.startswith("![")}


def test_a_target_that_was_not_measured_is_told_all_the_same() -> None:
    assert {verdict.word for verdict in judge({})} == {"not measured"}
    assert len(judge({})) == 63


def _updates(crud: float, repository: float, raw: float) -> Verdict:
    rates = {CRUD: crud, REPOSITORY: repository, RAW: raw}
    case = {"store": POSTGRESQL, "clients": 1, "payload": "small"}
    results = [Result(name, case, [rate, rate * 9, rate / 9]) for name, rate in rates.items()]
    return judge({"updates": Measured({}, Scale(), results)})[0]


def _cost(small: float, large: float) -> Verdict:
    case = {"way": "repository, 1 client", "flat in": "events in the run"}
    rates = {"10 events in the run": small, "10,000 events in the run": large}
    results = [Result(name, case, [rate]) for name, rate in rates.items()]
    judged = judge({"flatness": Measured({}, Scale(), results)})
    return next(verdict for verdict in judged if verdict.ratio is not None)


@pytest.mark.parametrize(
    ("verdict", "ratio", "word"),
    [
        (_updates(100, 200, 300), 2.0, "reached"),
        (_updates(100, 199, 300), 1.99, "not reached"),
        (_cost(130, 100), 1.3, "reached"),
        (_cost(131, 100), 1.31, "not reached"),
        (_cost(100, 131), 100 / 131, "reached"),
    ],
)
def test_medians_are_compared_with_what_was_wanted(verdict: Verdict, ratio: float, word: str) -> None:
    assert verdict.ratio == pytest.approx(ratio)
    assert verdict.word == word


def test_the_ceiling_stands_beside_the_target() -> None:
    assert _updates(100, 150, 180).ceiling == pytest.approx(1.8)


def test_what_is_only_to_be_known_is_neither_reached_nor_not() -> None:
    results = [Result(name, {}, [rate]) for name, rate in ((BEFORE, 9.0), (HELD, 3.0), (AFTER, 9.0))]
    judged = judge({"snapshot": Measured({}, Scale(), results)})
    held, after = (verdict for verdict in judged if verdict.target.scenario == "snapshot")
    assert (held.ratio, held.word) == (pytest.approx(1 / 3), "measured")
    assert (after.ratio, after.word) == (1.0, "measured")


@pytest.mark.parametrize(
    ("scale", "full"),
    [
        (Scale(), True),
        (Scale(rounds=7, seconds=2), True),
        (Scale(rounds=4), False),
        (Scale(bulk=5), False),
        (QUICK, False),
    ],
)
def test_only_sizes_that_the_targets_are_about_are_no_trial(scale: Scale, full: bool) -> None:
    assert scale.is_full is full
    assert not replace(scale, fsync=False).is_full


@pytest.mark.parametrize(("payload", "size"), [("small", range(5, 20)), ("2 KB", range(2048, 2049))])
def test_payloads_have_their_size_and_differ(payload: str, size: range) -> None:
    text: Callable[[], str] = make_text(payload)
    texts = [text() for _ in range(500)]
    assert {len(each) in size for each in texts} == {True}
    assert len(set(texts)) == 500
