"""A real PostgreSQL for tests: a server of our own that leaves nothing behind, or one that the environment names."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, LiteralString

import psutil
import psycopg
from psycopg import sql
from sqlalchemy import URL, make_url

from .postgres_programs import find_account, find_locale, find_memory, find_programs

URL_VARIABLE = "EXECUTION_LEDGER_TEST_POSTGRES_URL"

_SETTINGS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 200
shared_buffers = 32MB
# Not UTC, nor whole hours: whoever takes local times for UTC is found out.
timezone = 'Asia/Kathmandu'
"""
_UNSAFE = """
# Faster. What is committed survives a killed server, not a crash of the machine.
fsync = off
full_page_writes = off
max_wal_size = 256MB
"""
# Its standard input ends when we close it, or when our process dies, however it dies.
_WATCHDOG = 'cat >/dev/null; "$1/pg_ctl" stop -D "$2/data" -m immediate >/dev/null 2>&1; rm -rf "$2"'


class Server:
    """A running server that databases can be made on."""

    def __init__(self, url: str | URL) -> None:
        self._url = make_url(url).set(drivername="postgresql+psycopg")

    @property
    def url(self) -> str:
        """The URL of the maintenance database."""
        return self._url.render_as_string(hide_password=False)

    def create_database(self, template: str | None = None) -> str:
        """Make a database, empty or a copy of the one at the URL `template`, which nobody may be connected to."""
        name = f"ledger_test_{secrets.token_hex(6)}"
        if template is None:
            self._execute("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'", name)
        else:
            # Files are copied in two thirds of the time that writing each page to the log takes.
            self._execute("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY", name, str(make_url(template).database))
        return self._url.set(database=name).render_as_string(hide_password=False)

    def drop_database(self, url: str) -> None:
        """Drop a database, disconnecting whoever uses it."""
        self._execute("DROP DATABASE {} WITH (FORCE)", str(make_url(url).database))

    def stop(self) -> None:
        """Do nothing: the server is not ours."""

    def _execute(self, statement: LiteralString, *names: str) -> None:
        conninfo = self._url.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(conninfo, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


class LocalServer(Server):
    """A server of our own in a temporary folder, on a free port of the loopback interface.

    A watchdog stops it and removes the folder when told to, and when the process that started it ends in any way.
    """

    _postmaster: subprocess.Popen[Any]

    def __init__(self, fsync: bool, primary: LocalServer | None = None) -> None:
        account = find_account()
        self._programs = find_programs(account)
        locale, variables = find_locale()
        self._folder = Path(tempfile.mkdtemp(prefix="execution-ledger-postgres-", dir=None if fsync else find_memory()))
        self.data_dir = self._folder / "data"
        # Whatever libpq reads from the environment (PGPORT, PGDATA, PGOPTIONS, …) is not about this server.
        env = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "LC_"))} | variables
        # In sessions of their own, since Ctrl-C is for the tests.
        self._child: dict[str, Any] = {"cwd": self._folder, "env": env, "start_new_session": True, **account}
        if account:
            os.chown(self._folder, account["user"], account["group"])
        watchdog = ["/bin/sh", "-c", _WATCHDOG, "watchdog", self._programs, self._folder]
        self._watchdog = subprocess.Popen(watchdog, stdin=subprocess.PIPE, **self._child)
        try:
            password = self._initdb(locale) if primary is None else self._copy(primary)
            if primary is None:
                with (self.data_dir / "postgresql.conf").open("a") as file:
                    file.write(_SETTINGS + ("" if fsync else _UNSAFE))
            port = self._start_on_a_free_port()
        except BaseException:
            self.stop()
            raise
        super().__init__(URL.create("postgresql", "postgres", password, "127.0.0.1", port, "postgres"))

    @property
    def pid(self) -> int:
        """The process id of the postmaster."""
        return self._postmaster.pid

    def stop(self) -> None:
        """Stop the server and remove its files; a second time does nothing."""
        self._watchdog.communicate()  # closes its standard input
        if hasattr(self, "_postmaster"):
            self._postmaster.wait()

    def kill(self) -> None:
        """Kill the postmaster and all its children: nothing is flushed, nothing is tidied up."""
        children = psutil.Process(self.pid).children()
        for process in (self._postmaster, *children):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._postmaster.wait()
        while any(map(_alive, children)):
            time.sleep(0.01)

    def restart(self) -> None:
        """Start again on the same port: after `kill` it recovers; else it first ends all connections."""
        if self._postmaster.poll() is None:
            self._postmaster.send_signal(signal.SIGINT)
            self._postmaster.wait()
        self._start(self._url.port or 0)

    def promote(self) -> None:
        """Make a standby the primary; what the old one still does is not copied any more."""
        self._execute("SELECT pg_promote()")

    def _copy(self, primary: LocalServer) -> str:
        conninfo = primary._url.set(drivername="postgresql").render_as_string(hide_password=False)
        command = [self._programs / "pg_basebackup", "-D", self.data_dir, "-d", conninfo]
        self._run([*command, "--write-recovery-conf", "--checkpoint=fast", "--no-sync"])
        return str(primary._url.password)

    def _initdb(self, locale: str) -> str:
        password = secrets.token_hex(16)
        file = self._folder / "password"
        file.write_text(password)
        file.chmod(0o644)  # the folder lets nobody else in
        command = [self._programs / "initdb", "-D", self.data_dir, "--encoding=UTF8", f"--locale={locale}"]
        command += ["--lc-messages=C", "--no-sync", "--username=postgres", "--auth=password", f"--pwfile={file}"]
        self._run(command)
        return password

    def _run(self, command: list[Any]) -> None:
        done = subprocess.run(command, capture_output=True, text=True, **self._child)
        if done.returncode:
            raise RuntimeError(f"{command[0].name} failed:\n{done.stdout}{done.stderr}")

    def _start_on_a_free_port(self) -> int:
        for last in (False, False, False, True):
            with socket.create_server(("127.0.0.1", 0)) as free:
                port: int = free.getsockname()[1]
            try:
                self._start(port)
                break
            except RuntimeError as error:  # another process can take the port before the server does
                if last or "could not create any TCP/IP sockets" not in str(error):
                    raise
        return port

    def _start(self, port: int) -> None:
        # Our own child, not pg_ctl's: killed, it must be reaped, or its successor takes it for alive.
        command = [self._programs / "postgres", "-D", self.data_dir, "-p", str(port)]
        path = self._folder / "log"
        with path.open("w") as log:
            self._postmaster = subprocess.Popen(command, stdout=log, stderr=log, **self._child)
        deadline = time.monotonic() + 60
        while not self._ready():
            if self._postmaster.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start:\n{path.read_text()}")
            time.sleep(0.01)

    def _ready(self) -> bool:
        # What pg_ctl looks at: the first line is the process id, the last the state.
        with suppress(FileNotFoundError):
            lines = (self.data_dir / "postmaster.pid").read_text().split()
            return bool(lines) and lines[0] == str(self.pid) and lines[-1] in ("ready", "standby")
        return False


def start_server(fsync: bool = False) -> LocalServer:
    """Start a server of our own: a fast one, or with `fsync` an honest one, where durability or speed is tested."""
    return LocalServer(fsync)


def start_standby(primary: LocalServer) -> LocalServer:
    """Start a copy of an honest server that follows it; the primary acknowledges only what both have from then on."""
    standby = LocalServer(True, primary)
    primary._execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
    primary._execute("SELECT pg_reload_conf()")
    conninfo = primary._url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        followed = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
        while connection.execute(followed).fetchone() == (0,):
            time.sleep(0.01)
    return standby


def _alive(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE  # not every container's first process reaps its orphans
    return False
