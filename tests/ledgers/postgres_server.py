"""A PostgreSQL server of the tests' own, in a temporary folder, as a user who is not root."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

USER = "shop"
PASSWORD = "p@ss/w0rd:h:nter2"
QUOTED = "p%40ss%2Fw0rd%3Ah%3Anter2"


def programs() -> Path | None:
    """The folder of `postgres` and `initdb`: Debian keeps them out of the path."""
    found = [Path(path).resolve().parent for path in [shutil.which("postgres")] if path]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: -float(path.parent.name))
    return next((path for path in found if (path / "initdb").exists() and (path / "postgres").exists()), None)


def _unprivileged() -> dict[str, Any]:
    """As whom to run PostgreSQL, which refuses to run as root."""
    if os.getuid() != 0:
        return {}
    import pwd

    names = {entry.pw_name for entry in pwd.getpwall()}
    entry = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class PostgresServer:
    """Takes connections on a loopback port, with a password. It is killed with its folder at the end."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._as = _unprivileged()
        self._folder = Path(tempfile.mkdtemp(prefix="l402-postgres-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = count()
        self.port = _unused_port()
        password = self._folder / "password"
        password.write_text(PASSWORD)
        if self._as:
            for path in (self._folder, password):
                os.chown(path, self._as["user"], self._as["group"])
        arguments = ["-U", USER, "-A", "scram-sha-256", f"--pwfile={password}", "-E", "UTF8", "--locale=C", "--no-sync"]
        made = subprocess.run(
            [programs / "initdb", "-D", self._folder / "data", *arguments],
            capture_output=True,
            cwd=self._folder,
            check=False,
            **self._as,
        )
        assert made.returncode == 0, made.stderr.decode()

    def url(self, database: str, *, user: str = USER, password: str = QUOTED) -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def database(self) -> str:
        """The URL of a new, empty database."""
        name = f"shop{next(self._databases)}"
        self.sql("postgres", "CREATE DATABASE {}", name)
        return self.url(name)

    def sql(self, database: str, query: str, *names: str) -> list[tuple[Any, ...]]:
        """Run a statement past the ledger, `{}` being names; of a URL, its database counts."""
        with psycopg.connect(self.url(database.rpartition("/")[2]), autocommit=True) as db:
            cursor = db.execute(sql.SQL(query).format(*map(sql.Identifier, names)))
            return cursor.fetchall() if cursor.description else []

    def start(self, **more: str) -> None:
        settings = {"listen_addresses": "127.0.0.1", "port": self.port, "fsync": "off", "max_connections": 120, **more}
        with open(self._folder / "log", "ab") as log:
            self._process = subprocess.Popen(
                [
                    self._programs / "postgres",
                    *("-D", self._folder / "data", "-k", ""),
                    *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                **self._as,
            )
        deadline = time.monotonic() + 30
        while True:
            try:
                self.sql("postgres", "SELECT 1")
            except psycopg.OperationalError:
                assert self._process.poll() is None, (self._folder / "log").read_text()
                assert time.monotonic() < deadline, (self._folder / "log").read_text()
                time.sleep(0.05)
            else:
                return

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: SIGINT is a fast shutdown, SIGQUIT an immediate one, without a word to anyone or to the disk."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    def remove(self) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self._folder)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """All of its processes stand still: they take connections and bytes, and say nothing."""
        assert self._process is not None
        pid = self._process.pid
        pids = [pid]
        os.kill(pid, signal.SIGSTOP)
        pids += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        for each in pids[1:]:
            os.kill(each, signal.SIGSTOP)
        try:
            yield
        finally:
            for each in reversed(pids):
                os.kill(each, signal.SIGCONT)
