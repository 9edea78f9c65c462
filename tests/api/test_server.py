"""The service as a process: where it listens, how it ends, and what it does without its database."""

from __future__ import annotations

import ast
import gzip
import json
import queue
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import psutil
import pytest

from execution_ledger.api.http.housekeeping import forget_receipts
from execution_ledger.api.http.loopback import check_loopback
from execution_ledger.api.http.server import serve
from execution_ledger.api.runtime import open_ledger
from execution_ledger.domain import InvalidInput, SchemaNotReady, StoreUnavailable
from execution_ledger.infrastructure import ExecutionRepository, Settings, migrate
from support import Database, forked
from support.http_service import make_client, running
from support.postgres import LocalServer, Server, start_server
from support.service_process import process


def test_sigterm_under_load_loses_no_acknowledged_write(database: Database) -> None:
    with process(database.url) as (started, address):
        acknowledged: queue.SimpleQueue[str] = queue.SimpleQueue()
        enough = threading.Event()

        def write() -> None:
            with make_client(address) as client:
                while True:
                    try:
                        answer = client.post("executions", json={})
                    except httpx.TransportError:
                        return
                    assert answer.status_code == 201
                    acknowledged.put(answer.json()["job_id"])
                    if acknowledged.qsize() >= 40:
                        enough.set()

        with ThreadPoolExecutor(4) as pool:
            writers = [pool.submit(write) for _ in range(4)]
            assert enough.wait(30)
            started.send_signal(signal.SIGTERM)
            for writer in writers:
                writer.result()
        assert started.wait(30) == 0
        assert started.communicate()[1] == b""
    told = set()
    while not acknowledged.empty():
        told.add(acknowledged.get())
    with running(Settings(database_url=database.url)) as address, make_client(address) as client:
        kept = {each["job_id"] for each in client.get("executions", params={"limit": 1000}).json()["executions"]}
        assert told <= kept
        assert len(kept) - len(told) <= 4  # answers that were on their way
        assert client.get("ledger").json()["size"] == len(kept)


def test_several_processes_serve_count_together_and_end_with_their_streams(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXECUTION_LEDGER_WORKERS", "2")
    with process(database.url) as (started, address):
        assert started.pid
        children = psutil.Process(started.pid).children()
        with ThreadPoolExecutor(8) as threads:
            made = list(threads.map(lambda n: post(address, f"run-{n}"), range(60)))
        assert {each.status_code for each in made} == {201}
        with httpx.Client(base_url=address, trust_env=False) as client:
            assert client.get("/api/v1/ledger").json()["size"] == 60
            count = 'execution_ledger_http_requests_total{method="POST",route="create_execution",status="201"} 60.0'
            assert count in client.get("/metrics").text
            with client.stream("GET", "/api/v1/events/stream", params={"after": 59}) as stream:
                lines = stream.iter_lines()
                assert any(line == "id: 60" for line in lines)
                begin = time.monotonic()
                started.terminate()
                list(lines)  # to its end, which a connection that breaks does not have
        assert started.wait(30) == 0
        assert time.monotonic() - begin < 9, "nothing waited for the stream"
        assert len(children) >= 2
        _, alive = psutil.wait_procs(children, timeout=10)
        assert [each for each in alive if each.status() != psutil.STATUS_ZOMBIE] == []


def post(address: str, job_id: str) -> httpx.Response:
    # A connection of its own, so that either process may take it.
    return httpx.post(f"{address}/api/v1/executions", json={"job_id": job_id}, trust_env=False, timeout=60)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_each_record_of_the_log_is_json_with_an_action(tmp_path: Path, workers: str) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    logged = {"EXECUTION_LEDGER_LOG_LEVEL": "info", "EXECUTION_LEDGER_WORKERS": workers}
    with process(url, **logged) as (started, address):
        with make_client(address, headers={"X-Request-Id": "r-1"}) as client:
            client.post("executions", json={"job_id": "a"})
            client.get("executions/nobody")
        started.send_signal(signal.SIGTERM)
        _, log = started.communicate(timeout=30)
    records = [json.loads(line) for line in log.splitlines()]
    assert all({"time", "level", "logger", "action", "message"} <= record.keys() for record in records), log
    requests = [record for record in records if record["action"] == "http_request"]
    told = [{name: each[name] for name in ("message", "request_id", "route", "status", "caller")} for each in requests]
    about = {"request_id": "r-1", "caller": "127.0.0.1"}
    assert told == [
        {"message": "POST /api/v1/executions 201", "route": "create_execution", "status": 201, **about},
        {"message": "GET /api/v1/executions/nobody 404", "route": "get_execution", "status": 404, **about},
    ]
    assert all(0 < record["seconds"] < 60 and record["time"].endswith("Z") for record in requests)


def test_every_record_that_we_log_names_its_action() -> None:
    calls = [
        (path, node)
        for layer in ("domain", "infrastructure", "projections", "api")
        for path in (Path(__file__).parents[2] / layer).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("_log.")
    ]
    assert len(calls) > 5
    for path, call in calls:
        assert any(word.arg == "extra" and "'action'" in ast.unparse(word) for word in call.keywords), path


def test_traces_are_sent_where_they_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    migrate(url)
    received: dict[str, list[bytes]] = {}

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            raw = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
            received.setdefault(self.path, []).append(raw)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as collector:
        threading.Thread(target=collector.serve_forever).start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_port}")
        for on in ("false", "true"):
            monkeypatch.setenv("EXECUTION_LEDGER_TELEMETRY", on)
            with process(url) as (started, address):
                assert httpx.get(f"{address}/api/v1/executions", trust_env=False).status_code == 200
                started.terminate()
                assert started.wait(30) == 0
            assert ("/v1/traces" in received) is (on == "true")
        collector.shutdown()
    assert b"/api/v1/executions" in b"".join(received["/v1/traces"])


def test_ctrl_c_ends_it_well(tmp_path: Path) -> None:
    with process(f"sqlite:///{tmp_path / 'new.db'}") as (started, address):
        assert httpx.get(f"{address}/healthz", trust_env=False).status_code == 200
        started.send_signal(signal.SIGINT)
        assert started.wait(30) == 0
        assert started.communicate()[1] == b""


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "*", "no-such-host.invalid"])
def test_a_host_that_others_could_reach_is_refused_before_anything_else(host: str, tmp_path: Path) -> None:
    settings = Settings(database_url=f"sqlite:///{tmp_path / 'new.db'}", host=host)
    with pytest.raises(InvalidInput, match="loopback") as refused:
        serve(settings)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "new.db").exists()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_a_loopback_address_is_taken(host: str) -> None:
    check_loopback(host)


def test_a_server_without_the_schema_is_refused_in_one_line(postgres_server: Server) -> None:
    url = postgres_server.create_database()
    try:
        with pytest.raises(SchemaNotReady, match="execution-ledger migrate") as refused:
            serve(Settings(database_url=url, port=0))
        assert "\n" not in str(refused.value)
        migrate(url)
        with running(Settings(database_url=url)) as address, make_client(address) as client:
            assert client.post("executions", json={}).status_code == 201
    finally:
        postgres_server.drop_database(url)


def test_a_database_that_cannot_be_reached_is_told_in_one_line() -> None:
    with pytest.raises(StoreUnavailable) as refused:
        serve(Settings(database_url="postgresql://nobody@127.0.0.1:1/none", port=0))
    assert "\n" not in str(refused.value)


@pytest.fixture
def own_server() -> Iterator[LocalServer]:
    """A server of the test's own, to stop or kill."""
    server = start_server()
    try:
        migrate(server.url)
        yield server
    finally:
        server.stop()


def test_without_its_database_it_answers_503_and_recovers_by_itself(own_server: LocalServer) -> None:
    settings = Settings(database_url=own_server.url)
    with running(settings) as address, make_client(address) as client:
        client.post("executions", json={"job_id": "j"})
        own_server.kill()
        for _ in range(3):
            for answer in (
                client.get("executions/j"),
                client.get("executions"),
                client.get("events"),
                client.get("ledger"),
                client.post("executions", json={}, headers={"Idempotency-Key": "later"}),
                client.post("executions/j/start"),
            ):
                assert answer.status_code == 503, answer.text
                assert answer.json()["type"].endswith(":store-unavailable")
                assert int(answer.headers["retry-after"]) > 0
                assert "127.0.0.1" not in answer.text
        assert httpx.get(f"{address}/healthz", trust_env=False).status_code == 200
        own_server.restart()
        assert client.get("executions/j").status_code == 200
        assert client.post("executions", json={}, headers={"Idempotency-Key": "later"}).status_code == 201
        assert client.get("ledger").json()["size"] == 2
        own_server.restart()  # in an orderly way this time: the connections of the pool are dead, the server is not
        answers = [client.get("executions/j").status_code for _ in range(12)]
        assert set(answers) <= {200, 503}
        assert answers[-1] == 200


def test_a_stream_outlasts_its_database(own_server: LocalServer) -> None:
    with running(Settings(database_url=own_server.url)) as address, make_client(address) as client:
        client.post("executions", json={})
        with client.stream("GET", "events/stream?after=0") as stream:
            lines = (line for line in stream.iter_lines() if line.startswith("id: "))
            assert next(lines) == "id: 1"
            own_server.kill()
            assert client.get("ledger").status_code == 503
            own_server.restart()
            assert client.post("executions", json={}).status_code == 201
            assert next(lines) == "id: 2"


@contextmanager
def silence(server: LocalServer) -> Iterator[None]:
    """It answers nothing meanwhile, nor does it end a connection."""
    stopped: list[psutil.Process] = []
    try:
        postmaster = psutil.Process(server.pid)
        for processes in ([postmaster], postmaster.children()):
            for each in processes:
                each.suspend()
                stopped.append(each)
        yield
    finally:
        for each in stopped:
            with suppress(psutil.NoSuchProcess):
                each.resume()


def wait_in_vain(address: str) -> None:
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(f"{address}/api/v1/executions/a", trust_env=False, timeout=1)


@pytest.mark.parametrize(("workers", "status"), [("1", 130), ("2", 0)])
def test_a_second_ctrl_c_does_not_wait_for_a_silent_database(
    own_server: LocalServer, workers: str, status: int
) -> None:
    with process(own_server.url, EXECUTION_LEDGER_WORKERS=workers) as (started, address):
        with silence(own_server):
            wait_in_vain(address)
            everybody = [psutil.Process(started.pid), *psutil.Process(started.pid).children()]
            for _ in range(2):  # a terminal tells all of them
                for each in everybody:
                    with suppress(psutil.NoSuchProcess):
                        each.send_signal(signal.SIGINT)
                time.sleep(1)
            assert started.wait(10) == status
        assert b"by force" not in started.communicate()[1]


@pytest.mark.soak
@pytest.mark.parametrize(("workers", "status"), [("1", 3), ("2", 0)])
def test_it_ends_in_time_though_its_database_is_silent(own_server: LocalServer, workers: str, status: int) -> None:
    with process(own_server.url, EXECUTION_LEDGER_WORKERS=workers) as (started, address):
        with silence(own_server):
            wait_in_vain(address)
            started.terminate()
            assert started.wait(30) == status
        assert b"the database does not answer" in started.communicate()[1]


@pytest.mark.soak
def test_a_process_that_ends_by_force_is_started_anew(own_server: LocalServer) -> None:
    with process(own_server.url, seconds=120, EXECUTION_LEDGER_WORKERS="2") as (started, address):

        def workers() -> set[psutil.Process]:
            children = psutil.Process(started.pid).children()
            return {each for each in children if "spawn_main" in " ".join(each.cmdline())}

        one, other = workers()
        with silence(own_server):
            wait_in_vain(address)
            one.terminate()
            psutil.wait_procs([one], timeout=40)
        deadline = time.monotonic() + 30
        while len(workers()) < 2 or one in workers():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert other in workers()
        assert post(address, "a").status_code == 201
        started.terminate()
        assert started.wait(30) == 0
        assert b"the database does not answer" in started.communicate()[1]


_SERVES_AND_GOES_ON = """
import os, signal, sys, time
from execution_ledger.api.http import ending
from execution_ledger.api.http.server import serve
from execution_ledger.infrastructure import Settings
ending._LONGEST = 2
serve(Settings(database_url=sys.argv[1], port=0), lambda address: os.kill(os.getpid(), signal.SIGINT))
time.sleep(4)
print("still here")
"""


def test_one_that_ended_well_leaves_its_process_alone(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(_SERVES_AND_GOES_ON)
    with forked.start([f"sqlite:///{tmp_path / 'ledger.db'}"], script=script, stderr=forked.PIPE) as started:
        out, errors = started.communicate(timeout=60)
        assert (started.wait(), out) == (0, b"still here\n"), errors


async def test_old_receipts_of_every_ledger_are_forgotten(settings: Settings) -> None:
    async with open_ledger(settings) as ledger:
        for name in ("default", "other"):
            async with ledger.sessions() as session:
                await ExecutionRepository(session, ledger=name).create_execution({}, command_id="c")
        assert await forget_receipts(ledger) == 0
        later = datetime.now(UTC) + timedelta(days=settings.receipt_days, hours=1)
        ledger.store.clock = lambda: later
        assert await forget_receipts(ledger) == 2
        assert await forget_receipts(ledger) == 0


def test_a_port_that_is_taken_is_told_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings(database_url=f"sqlite:///{tmp_path}/ledger.db", port=taken.getsockname()[1])
        with pytest.raises(InvalidInput, match=r"cannot be had: .*Choose another one, or 0"):
            serve(settings)
