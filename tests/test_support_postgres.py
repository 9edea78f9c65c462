import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from support.postgres import Server, start_server


def ask(url: str, *statements: str) -> object:
    """What the last of `statements` returns."""
    with create_engine(url, poolclass=NullPool).begin() as connection:
        results = [connection.execute(text(statement)) for statement in statements]
        return results[-1].scalar() if results[-1].returns_rows else None


def test_version_is_supported(postgres_server: Server) -> None:
    assert int(str(ask(postgres_server.url, "SHOW server_version_num"))) >= 150000


def test_encoding_is_utf8(postgres_server: Server) -> None:
    url = postgres_server.create_database()
    assert ask(url, "SHOW server_encoding") == "UTF8"
    assert ask(url, "SELECT length('Größe ✓')") == 7
    postgres_server.drop_database(url)


def test_databases_are_separate_copies_of_their_template(postgres_server: Server) -> None:
    template = postgres_server.create_database()
    ask(template, "CREATE TABLE t (x int)", "INSERT INTO t VALUES (1)")
    first, second = (postgres_server.create_database(template) for _ in range(2))
    ask(first, "UPDATE t SET x = 2")
    assert [ask(url, "SELECT x FROM t") for url in (template, first, second)] == [1, 2, 1]
    for url in (template, first, second):
        postgres_server.drop_database(url)
    with pytest.raises(OperationalError, match="does not exist"):
        ask(first, "SELECT 1")


def test_a_killed_server_recovers_what_was_committed() -> None:
    server = start_server(fsync=True)
    try:
        ask(server.url, "CREATE TABLE t (x int)", "INSERT INTO t VALUES (7)")
        first = server.pid
        server.kill()
        with pytest.raises(OperationalError):
            ask(server.url, "SELECT 1")
        server.restart()
        assert (ask(server.url, "SELECT x FROM t"), server.pid != first) == (7, True)
    finally:
        server.stop()
    assert not server.data_dir.parent.exists()


def test_no_server_outlives_a_killed_test_process() -> None:
    script = (
        "import time; from support.postgres import start_server; server = start_server()\n"
        "print(server.pid, server.data_dir, flush=True); time.sleep(99)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=Path(__file__).parent, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        pid, data_dir = owner.stdout.readline().split()
        assert psutil.pid_exists(int(pid))
        owner.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while Path(data_dir).parent.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(data_dir).parent.exists()
    assert not psutil.pid_exists(int(pid)) or psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE
