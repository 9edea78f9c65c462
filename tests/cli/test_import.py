"""`import openlineage`: files of events, to a database and to a service, again and in part."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from uuid import UUID, uuid5

import httpx

from execution_ledger.infrastructure import Settings
from support import Database
from support.http_service import running

from .conftest import Cli

_SPACE = UUID("018d5f3c-0000-7000-8000-000000000001")


def events(number: int) -> list[str]:
    """Of so many runs, three lines each."""
    lines = []
    for run in range(number):
        about = {"run": {"runId": str(uuid5(_SPACE, str(run)))}, "job": {"namespace": "n", "name": f"job {run}"}}
        for second, kind in enumerate(("START", "RUNNING", "COMPLETE")):
            lines.append(json.dumps({"eventType": kind, "eventTime": f"2026-01-31T08:00:0{second}Z", **about}))
    return lines


def test_a_file_of_events_is_recorded_once_and_what_is_none_is_told(cli_anywhere: Cli) -> None:
    cli = cli_anywhere
    good = events(150)
    file = cli.folder / "events.ndjson"
    file.write_text("\n".join([*good[:200], "{", '{"eventTime": 7}', "", *good[200:]]) + "\n")
    ran = cli.run("import", "openlineage", file.name)
    assert (ran.returncode, ran.stderr) == (1, b"450 events recorded, 2 refused\n")
    told = ran.stdout.decode().splitlines()
    assert told[0].startswith("events.ndjson:201: it is not JSON: ")
    assert told[1].startswith("events.ndjson:202: eventTime: ")
    history = cli.json("history", "--limit", "200")
    assert history["total"] == 150
    assert {run["status"] for run in history["executions"]} == {"completed"}
    size = cli.json("ledger")["size"]

    (cli.folder / "more.ndjson").write_text("\n".join(events(151)))
    assert cli.run("import", "openlineage", "more.ndjson", "more.ndjson").returncode == 0
    ledger = cli.json("ledger")
    assert (ledger["executions"], ledger["size"] - size) == (151, size // 150)
    assert cli.text("import", "openlineage", "none.ndjson", status=1).startswith("error: FILE: there is no file none")


def test_the_order_of_the_file_is_that_of_the_events(cli_on_both: Cli) -> None:
    (cli_on_both.folder / "one.ndjson").write_text("\n".join(events(30)))
    cli_on_both.run("import", "openlineage", "one.ndjson")
    names = [event.name for event in cli_on_both.events(str(uuid5(_SPACE, "7")))]
    assert names == ["created", "started", "noted", "noted", "noted", "completed"]
    notes = [event.data or {} for event in cli_on_both.events(str(uuid5(_SPACE, "7"))) if event.name == "noted"]
    assert [note["text"] for note in notes] == ["OpenLineage START", "OpenLineage RUNNING", "OpenLineage COMPLETE"]
    assert cli_on_both.events()[0].actor == "ada"


def test_lines_may_come_from_a_pipe(cli_anywhere: Cli) -> None:
    lines = "\n".join(events(2)).encode()
    for name in ("/dev/stdin", "-"):
        ran = cli_anywhere.run("import", "openlineage", name, input=lines)
        assert (ran.returncode, ran.stderr) == (0, b"6 events recorded\n")
        assert cli_anywhere.json("ledger")["executions"] == 2
    (cli_anywhere.folder / "more.ndjson").write_text("\n".join(events(3)))
    ran = cli_anywhere.run("import", "openlineage", "-", "more.ndjson", input=b"{\n" + lines)
    assert (ran.returncode, ran.stderr) == (1, b"15 events recorded, 1 refused\n")
    assert ran.stdout.startswith(b"standard input:1: it is not JSON: ")
    assert cli_anywhere.json("ledger")["executions"] == 3
    assert cli_anywhere.run("import", "openlineage", "-").stderr == b"0 events recorded\n"
    assert cli_anywhere.text("import", "openlineage", ".", status=1).startswith("error: FILE: . is a folder.")


@contextmanager
def behind_a_proxy(address: str, most: int) -> Iterator[str]:
    """The service, behind something that takes bodies of so many bytes only."""

    class Proxy(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if len(body) > most:
                status, content = 413, b"<html>too large</html>"
            else:
                kept = {
                    name: self.headers[name] for name in ("Content-Type", "X-Ledger", "X-Actor") if self.headers[name]
                }
                answer = httpx.post(f"{address}{self.path}", content=body, headers=kept, timeout=60, trust_env=False)
                status, content = answer.status_code, answer.content
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_lines_that_are_too_much_for_one_request_are_sent_in_several(database: Database, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in events(20)]
    for line, size in ((lines[30], 50_000), (lines[45], 500_000)):
        line["more"] = "x" * size
    (tmp_path / "large.ndjson").write_text("\n".join(json.dumps({"plan": "x" * 15_000, **line}) for line in lines))
    with running(Settings(database_url=database.url, actor=None, max_payload_bytes=20_000)) as address:
        cli = Cli(database.url, tmp_path, {"EXECUTION_LEDGER_URL": address})
        ran = cli.run("import", "openlineage", "large.ndjson")
        assert (ran.returncode, ran.stderr) == (1, b"58 events recorded, 2 refused\n")
        told = ran.stdout.decode().splitlines()
        assert told[0].startswith("large.ndjson:31: more: its payload has 66,")
        assert told[1].startswith("large.ndjson:46: The body has more than ")
        size = cli.json("ledger")["size"]

        with behind_a_proxy(address, 40_000) as proxy:
            again = cli.run("import", "openlineage", "large.ndjson", "--url", proxy)
        assert (again.returncode, again.stderr) == (1, b"58 events recorded, 2 refused\n")
        assert "answered 413" in again.stdout.decode()
        assert cli.json("ledger")["size"] == size
        assert {run["status"] for run in cli.json("history")["executions"]} == {"completed"}
