"""A MariaDB server of the tests' own, where its programs are installed."""

from __future__ import annotations

import getpass
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import sqlalchemy
from sqlalchemy.exc import OperationalError

IS_THERE = shutil.which("mariadbd") is not None and shutil.which("mariadb-install-db") is not None


@contextmanager
def running_mariadb() -> Iterator[str]:
    """The URL of its database `test`; gone afterwards."""
    with TemporaryDirectory(prefix="mariadb-") as folder, socket.socket() as free:
        data = Path(folder) / "data"
        user = f"--user={getpass.getuser()}"
        install = ["mariadb-install-db", "--no-defaults", user, f"--datadir={data}", "--skip-test-db"]
        subprocess.run(
            [*install, "--auth-root-authentication-method=normal"], check=True, capture_output=True, timeout=120
        )
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        server = subprocess.Popen(
            ["mariadbd", "--no-defaults", user, f"--datadir={data}", f"--socket={folder}/socket", f"--port={port}",
             "--bind-address=127.0.0.1", "--innodb-flush-log-at-trx-commit=0"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        url = f"mysql+pymysql://root@127.0.0.1:{port}/"
        try:
            engine = sqlalchemy.create_engine(url)
            deadline = time.monotonic() + 60
            while True:
                try:
                    with engine.begin() as connection:
                        connection.exec_driver_sql("CREATE DATABASE test CHARACTER SET utf8mb4")
                    break
                except OperationalError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.1)
            engine.dispose()
            yield f"{url}test"
        finally:
            server.kill()
            server.wait()
