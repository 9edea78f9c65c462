"""Whatever a command prints passes through unchanged, and what the ledger keeps of it is bounded text."""

from __future__ import annotations

import os
import sys

import pytest

from execution_ledger.api.recording.output import MAX_NOTES, Budget, Output

from .conftest import Cli


def test_huge_output_passes_through_and_a_bounded_part_is_kept(cli: Cli) -> None:
    size = 50 * 1024**2
    ran = cli.run("record", "--", "sh", "-c", f"yes | head -c {size}")
    assert ran.returncode == 0
    assert len(ran.stdout) == size
    assert ran.stdout.count(b"y\n") == size // 2
    notes = [event.data or {} for event in cli.events() if event.name == "noted"]
    assert len(notes) < 100
    assert sum(len(note["text"]) for note in notes) < 1024**2 + 16 * 1024
    assert notes[-2]["text"] == "49.0 MiB of output left out: a run keeps 1.0 MiB (--max-output). Its end follows."
    assert notes[-2]["data"] == {"left_out_bytes": {"stdout": size - 1024**2}}
    assert notes[-1]["text"].endswith("y\ny\n")
    run = cli.only()
    assert run.result is not None
    assert run.result["stdout_bytes"] == size


def test_bytes_pass_through_unchanged_and_text_is_kept(cli: Cli) -> None:
    data = os.urandom(200_000) + b"\x00" * 100 + "é€😀".encode() * 5_000
    (cli.folder / "data").write_bytes(data)
    ran = cli.run("record", "--", "cat", "data")
    assert ran.stdout == data
    kept = cli.output("stdout")
    assert kept == data.decode(errors="replace").replace("\x00", "\u2400")  # characters are not cut between notes


def test_output_without_a_line_end_is_kept_whole(cli: Cli) -> None:
    code = "import sys; sys.stdout.write('x' * 300_000); sys.stderr.write('no end')"
    ran = cli.run("record", "-q", "--", sys.executable, "-c", code)
    assert (ran.stdout, ran.stderr) == (b"x" * 300_000, b"no end")
    assert (cli.output("stdout"), cli.output("stderr")) == ("x" * 300_000, "no end")


def test_output_is_noted_while_the_command_still_runs(cli: Cli) -> None:
    wait = "echo first; while [ ! -e go ]; do sleep 0.05; done; echo second"
    process = cli.start("record", "--", "sh", "-c", wait)
    assert process.stdout is not None
    assert process.stdout.readline() == b"first\n"
    while not cli.output("stdout"):  # the note comes within the interval; the run has not ended
        assert process.poll() is None
    assert cli.only().status == "running"
    (cli.folder / "go").touch()
    process.communicate(timeout=30)
    assert cli.output("stdout") == "first\nsecond\n"


@pytest.mark.parametrize(("size", "notes"), [("0", 0), ("10", 3), ("1K", 1)])
def test_how_much_is_kept_can_be_said(cli: Cli, size: str, notes: int) -> None:
    ran = cli.run("record", "--max-output", size, "--", "echo", "twenty characters...")
    assert ran.stdout == b"twenty characters...\n"
    assert len([event for event in cli.events() if event.name == "noted"]) == notes


def test_small_payloads_make_small_notes(cli: Cli) -> None:
    cli.env["EXECUTION_LEDGER_MAX_PAYLOAD_BYTES"] = "1024"
    code = r"print('\x1b\x01' * 1000); import sys; sys.exit('\x1b' * 5000)"
    ran = cli.run("record", "--", sys.executable, "-c", code)
    assert ran.returncode == 1
    assert "warning" not in ran.stderr.decode()
    assert cli.output("stdout") == "\x1b\x01" * 1000 + "\n"
    assert cli.only().status == "failed"


def test_without_standard_streams_the_run_is_recorded_all_the_same(cli: Cli) -> None:
    record = f"{sys.executable} -m execution_ledger.api.cli record"
    ran = cli.shell(f"{record} -- sh -c 'echo hi; echo err >&2' <&- >&- 2>&-")
    assert ran.returncode == 0
    assert (cli.output("stdout"), cli.output("stderr")) == ("hi\n", "err\n")
    assert cli.only().status == "completed"


def test_output_that_cannot_be_passed_on_is_told(cli: Cli) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full, as on macOS")
    ran = cli.shell(f"{sys.executable} -m execution_ledger.api.cli record -q -- echo hi >/dev/full")
    assert ran.returncode == 125
    assert ran.stderr.decode() == "warning: output could not be passed on: No space left on device.\n"
    assert cli.only().status == "completed"


def test_a_reader_of_our_own_words_that_goes_away_does_not_end_the_run(cli: Cli) -> None:
    record = f"{sys.executable} -m execution_ledger.api.cli record"
    ran = cli.shell(f"{{ {record} -- true; echo $? >status; }} 2>&1 | true")
    assert ran.returncode == 0
    assert cli.only().status == "completed"
    assert (cli.folder / "status").read_text() == "0\n"


def test_notes_end_at_line_ends_where_they_can() -> None:
    output = Output(Budget(limit=10_000, chunk=10))
    chunks = [*output.feed("stdout", b"aaa\nbbb\nccc\nddddddddddddd\n"), *output.close()]
    assert [chunk.text for chunk in chunks] == ["aaa\nbbb\n", "ccc\n", "dddddddddd", "ddd\n"]


def test_a_talkative_run_makes_ever_rarer_notes_and_no_more_than_the_bound() -> None:
    budget = Budget(limit=10**9)
    intervals = []
    for _ in range(MAX_NOTES + 100):
        intervals.append(budget.interval)
        output = Output(budget)
        list(output.feed("stderr", b"x\n"))
        list(output.due(everything=True))
    assert intervals[:2] == [0.5, 0.5]
    assert intervals == sorted(intervals)
    assert intervals[-1] == 60
    assert budget.notes == MAX_NOTES


def test_what_was_left_out_is_counted_for_each_stream() -> None:
    output = Output(Budget(limit=4, chunk=16))
    assert list(output.feed("stdout", b"abcdef")) == []
    assert list(output.feed("stderr", b"line one\nline two\n")) == []
    kept, note, *ends = output.close()
    assert kept.text == "abcd"
    assert (note.source, note.level) == (None, "warning")
    assert note.data == {"left_out_bytes": {"stdout": 2, "stderr": 18}}
    assert [(end.source, end.text) for end in ends] == [("stdout", "ef"), ("stderr", "line two\n")]
