"""Every ledger that this machine can run, on a server of its own where it needs one."""

import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import redis

from tests.ledgers.postgres_server import PostgresServer, programs


class Ledgers:
    """Servers for Redis and PostgreSQL, where their programs are installed, until the block ends.

    Both keep what they have said: Redis has an append-only file, PostgreSQL waits for the disk.
    """

    redis_url: str | None = None
    postgres_url: str | None = None

    def __init__(self) -> None:
        self._stack = ExitStack()

    def __enter__(self) -> "Ledgers":
        # On a disk: a folder in memory would make every commit free.
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-")))
        if shutil.which("redis-server"):
            self.redis_url = self._start_redis()
        if (found := programs()) is not None:
            self.postgres_url = self._start_postgres(found)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def urls(self) -> Iterator[tuple[str, str]]:
        """The name of each ledger, and the URL of a fresh one."""
        yield "memory", "memory:"
        yield "SQLite", f"sqlite:///{tempfile.mkdtemp(dir=self.folder)}/ledger.db"
        if self.redis_url:
            yield "Redis", self.redis_url
        if self.postgres_url:
            yield "PostgreSQL", self.postgres_url

    def _start_redis(self) -> str:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        options = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(self.folder), "--appendonly", "yes"]
        process = subprocess.Popen(["redis-server", *options, "--save", ""], stdout=subprocess.DEVNULL)
        self._stack.callback(process.wait)
        self._stack.callback(process.terminate)
        with redis.Redis(port=port) as client:
            deadline = time.monotonic() + 10
            while True:
                try:
                    client.ping()
                except redis.ConnectionError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.05)
                else:
                    return f"redis://127.0.0.1:{port}/0"

    def _start_postgres(self, found: Path) -> str:
        server = PostgresServer(found)
        self._stack.callback(server.remove)
        server.start(fsync="on")
        return server.database()


def versions() -> dict[str, str]:
    """The versions of the servers that are used."""
    found = programs()
    commands = {"redis-server": shutil.which("redis-server"), "postgresql": found and found / "postgres"}
    return {
        name: " ".join(re.findall(r"\d+\.[\d.]+", subprocess.check_output([command, "--version"], text=True))[:1])
        for name, command in commands.items()
        if command
    }
