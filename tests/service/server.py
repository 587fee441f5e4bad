"""Real servers, as an operator starts them."""

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from .customer import Customer

ROOT = Path(__file__).parents[2]

_START_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Server:
    """A running server that sells conversions: its URL, its first process, and its `folder` for data and log."""

    url: str
    pid: int
    folder: Path

    @contextmanager
    def customer(self) -> Generator[Customer]:
        """A customer on connections of their own."""
        with httpx2.Client(base_url=self.url, timeout=60, trust_env=False) as http:
            yield Customer(http)

    def raw(self, request: bytes) -> tuple[int, bytes]:
        """Send these bytes and no more; status and body of the answer, which has to say how long it is."""
        address = urlsplit(self.url)
        with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
            connection.sendall(request)
            answer = HTTPResponse(connection)
            answer.begin()
            return answer.status, answer.read()

    def results(self) -> int:
        """How many results are stored: so many conversions succeeded."""
        return sum(1 for file in (self.folder / "data" / "results").iterdir() if re.search(r"\.\d+$", file.name))

    def wait_for_a_hold(self) -> None:
        """Return as soon as some request has paid and its handler runs."""
        with closing(sqlite3.connect(self.folder / "data" / "l402.db")) as ledger:
            for _ in range(_START_SECONDS * 200):
                if ledger.execute("SELECT 1 FROM holds").fetchone():
                    return
                time.sleep(0.005)
        pytest.fail("no request was admitted", pytrace=False)

    def workers(self) -> list[int]:
        """The processes that serve."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        if not children.exists():
            pytest.skip("only Linux with /proc tells which processes are a server's workers")
        pids = [int(pid) for pid in children.read_text().split()]
        return [pid for pid in pids if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()]


@contextmanager
def only(worker: int, workers: list[int]) -> Generator[None]:
    """Let only one of the workers run, for a moment."""
    others = [pid for pid in workers if pid != worker]
    for pid in others:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in others:
            os.kill(pid, signal.SIGCONT)


UVICORN = ("-m", "file_conversion")
GUNICORN = (
    *("-m", "gunicorn", "--bind", "127.0.0.1:0", "--threads", "4", "--workers"),
    # gunicorn reads no variable for this; the place is filled below
    "WORKERS",
    "file_conversion.flask_app:create_app()",
)


@contextmanager
def serving(command: tuple[str, ...], folder: Path, workers: int = 1, **settings: str) -> Generator[Server]:
    """Start `python <command>` on a free loopback port with the development node, until the end of the block."""
    log = folder / "server.log"
    arguments = [str(workers) if argument == "WORKERS" else argument for argument in command]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env=environment(folder, PORT="0", WORKERS=str(workers), **settings),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield Server(_announced(process, log), process.pid, folder)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def environment(folder: Path, **settings: str) -> dict[str, str]:
    """A server's whole environment: no setting of the developer's own reaches it."""
    basis = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(ROOT / "examples")}
    return basis | {"L402_DEV": "1", "L402_PROVIDER": "dev:", "DATA_FOLDER": str(folder / "data")} | settings


def _announced(process: subprocess.Popen[bytes], log: Path) -> str:
    """The address that the server says it listens at, once it answers there."""
    for _ in range(_START_SECONDS * 20):
        said = log.read_text()
        if process.poll() is not None:
            pytest.fail(f"the server ended with {process.returncode}:\n{said}", pytrace=False)
        found = re.search(r"(?:running on|Listening at:) (http://127\.0\.0\.1:\d+)", said)
        if found:
            try:
                httpx2.get(found[1] + "/", timeout=_START_SECONDS, trust_env=False)
            except httpx2.ConnectError:
                pass
            else:
                return found[1]
        time.sleep(0.05)
    pytest.fail(f"the server did not start:\n{log.read_text()}", pytrace=False)
