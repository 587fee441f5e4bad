"""A running shop, seen from outside: how it is started, asked and paid."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from l402_middleware.core.keys import KeyRing
from l402_middleware.providers import DevNode
from tests.adapters.servers import KEY, ROOT, Server
from tests.processes import end

from . import log
from .customer import BROKEN, Answer, ask

START_SECONDS = 30


@dataclass(frozen=True)
class Purchase:
    """A challenge that was paid."""

    credential: str
    payment_hash: str


class Wallet:
    """Pays by itself what any shop with the tests' key asks for, whether or not that shop still runs."""

    def __init__(self) -> None:
        self._node = DevNode()
        self._node.use_keys(KeyRing([KEY]))

    def pay(self, challenge: bytes) -> Purchase:
        quoted = json.loads(challenge)
        preimage = self._node.pay(quoted["invoice"]).hex()
        return Purchase(f"L402 {quoted['macaroon']}:{preimage}", quoted["payment_hash"])


@dataclass(frozen=True)
class Shop:
    """A shop on a loopback port, and the files that its handlers and it write to."""

    port: int
    process: "subprocess.Popen[bytes]"
    runs_file: Path
    output: Path

    def ask(self, target: str = "/work", credential: str | None = None, timeout: float = 30) -> Answer:
        """GET. Raises one of `BROKEN`."""
        return ask(self.port, target, credential, timeout)

    def buy(self, target: str = "/work") -> Purchase:
        """Ask for a price and pay it."""
        challenge = self.ask(target)
        assert challenge.status == 402, challenge
        return Wallet().pay(challenge.body)

    def runs(self) -> list[log.Run]:
        """All runs of handlers so far."""
        return log.read(self.runs_file)

    def workers(self) -> list[int]:
        """The processes below the first."""
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(folder: Path, **settings: str) -> dict[str, str]:
    """A shop's settings: a SQLite file in `folder`, unless `settings` say otherwise."""
    given = {
        "L402_DEV": "1",
        "L402_PROVIDER": "dev:",
        "L402_LEDGER": f"sqlite:///{folder}/l402.db",
        "L402_SECRET_KEYS": KEY,
        "RUNS": str(folder / "runs"),
    }
    inherited = {name: value for name, value in os.environ.items() if name not in ("WEB_CONCURRENCY", "PORT")}
    return inherited | given | settings


@contextmanager
def serving(command: list[str], port: int, folder: Path, **settings: str) -> Iterator[Shop]:
    """Run `command`, a shop that is going to listen at `port`, until the end of the block.

    Its files are in `folder`; `RUNS` among the settings may name another file, which several shops note their runs in.
    """
    environ = environment(folder, **settings)
    runs_file = Path(environ["RUNS"])
    runs_file.touch()
    output = folder / f"output-{port}"
    with output.open("ab") as written:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=written,
            start_new_session=True,
        )
    try:
        shop = Shop(port, process, runs_file, output)
        wait_for(lambda: _answers(shop), process)
        yield shop
    finally:
        end(process)


def _answers(shop: Shop) -> bool:
    try:
        return shop.ask("/free", timeout=5).status == 200
    except BROKEN as error:
        if shop.process.poll() is not None:
            raise RuntimeError(f"the shop did not start: {shop.output.read_text()}") from error
        return False


def wait_for(condition: Callable[[], bool], what: object, seconds: float = START_SECONDS) -> None:
    """Return when the condition is true. Raises `TimeoutError` that names `what` did not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s: {what}")
        time.sleep(0.01)


def command(server: Server, module: str, port: int, workers: int = 1, *more: str) -> list[str]:
    """How `server` is started with the shop in that module of this folder."""
    values = {"app": f"tests.faults.{module}", "port": str(port), "workers": str(workers)}
    return [sys.executable, *(argument.format(**values) for argument in server.arguments), *more]
