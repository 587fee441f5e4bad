"""Two machines, as far as one can have two: network namespaces of their own, a cable between them, one Redis."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

from tests.adapters.servers import GUNICORN_THREADS, ROOT, UVICORN_HTTPTOOLS

from . import log
from .customer import Answer
from .shop import START_SECONDS, Purchase, Wallet, command, environment
from .test_races import AT_ONCE, check_bundle, check_single

pytestmark = pytest.mark.slow

PORT = 8402
REDIS_ADDRESS = "10.84.2.1"
LEDGER = f"redis://:hunter2@{REDIS_ADDRESS}:6379/0"


@dataclass
class Machine:
    """A network namespace, and what runs in it."""

    name: str
    processes: list["subprocess.Popen[bytes]"]

    def start(self, *arguments: str, folder: Path, **settings: str) -> None:
        """Run something there until the end of the test."""
        with (folder / f"output-{self.name}").open("ab") as output:
            process = subprocess.Popen(
                ["ip", "netns", "exec", self.name, *arguments],
                cwd=ROOT,
                env=environment(folder, **settings),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self.processes.append(process)

    def ask(self, target: str, credential: str = "", times: int = 1) -> list[Answer]:
        """Ask the shop on this machine, from there; [] where it does not answer."""
        crowd = [sys.executable, "-m", "tests.faults.crowd", str(PORT), target, credential, str(times)]
        done = subprocess.run(
            ["ip", "netns", "exec", self.name, *crowd],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        return [Answer(status, headers, body.encode()) for status, headers, body in lines]

    def wait(self, target: str) -> None:
        """Return as soon as the shop answers."""
        deadline = time.monotonic() + START_SECONDS
        while not self.ask(target):
            assert time.monotonic() < deadline, f"no shop on {self.name}"
            time.sleep(0.1)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@pytest.fixture
def machines(skip_or_fail: Callable[[str], NoReturn]) -> Iterator[list[Machine]]:
    """Two machines that reach each other by one cable, and nothing else."""
    if shutil.which("ip") is None or shutil.which("redis-server") is None:
        skip_or_fail("there is no ip, or no redis-server (Debian: apt-get install iproute2 redis-server)")
    made = []
    try:
        for number in (1, 2):
            name = f"l402-{os.getpid()}-{number}"
            _ip("netns", "add", name)
            made.append(Machine(name, []))
        one, two = (machine.name for machine in made)
        _ip("-n", one, "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", two)
        for number, name in enumerate((one, two), 1):
            _ip("-n", name, "address", "add", f"10.84.2.{number}/24", "dev", "cable")
            for device in ("lo", "cable"):
                _ip("-n", name, "link", "set", device, "up")
        yield made
    except subprocess.CalledProcessError as error:
        skip_or_fail(f"network namespaces cannot be made here: {error.stderr.strip()}")
    finally:
        for machine in made:
            for process in machine.processes:
                process.terminate()
            for process in machine.processes:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(10)
                process.kill()
                process.wait()
            _ip("netns", "delete", machine.name)


def use_up(machines: list[Machine], target: str, runs_file: Path) -> tuple[list[Answer], list[log.Run], Purchase]:
    """A hundred customers, half of them at each machine, with what the first one sold."""
    purchase = Wallet().pay(machines[0].ask(target)[0].body)
    with ThreadPoolExecutor(2) as pool:
        halves = pool.map(lambda machine: machine.ask(target, purchase.credential, AT_ONCE // 2), machines)
    answers = [answer for half in halves for answer in half]
    assert len(answers) == AT_ONCE
    return answers, [run for run in log.read(runs_file) if run.payment_hash == purchase.payment_hash], purchase


def test_two_machines(machines: list[Machine], tmp_path: Path) -> None:
    """Cases 46, 47: two shops on two machines share a Redis over a network: what one sells, both deliver once."""
    one, two = machines
    runs = tmp_path / "runs"
    runs.touch()
    options = ("--bind", REDIS_ADDRESS, "--requirepass", "hunter2", "--appendonly", "yes", "--save", "")
    one.start("redis-server", *options, "--dir", str(tmp_path), folder=tmp_path)
    one.start(*command(UVICORN_HTTPTOOLS, "starlette_shop", PORT), folder=tmp_path, L402_LEDGER=LEDGER)
    two.start(*command(GUNICORN_THREADS, "flask_shop", PORT), folder=tmp_path, L402_LEDGER=LEDGER)
    for machine in machines:
        machine.wait("/free")
    for order in (machines, machines[::-1]):
        check_single(*use_up(order, "/work?seconds=0.3", runs))
        check_bundle(*use_up(order, "/bundle", runs))
