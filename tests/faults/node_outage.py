"""A flood of unpaid requests while the node hangs, dies and comes back: what becomes of those who have paid?

`python -m tests.faults.node_outage [SECONDS]` is what `make outage` runs, on uvicorn, gunicorn and waitress: 200 unpaid
requests in a second, beside 50 with a pass, each at its fixed time. Prints a table; the exit status says whether paid
requests were all answered, at the 99th percentile in at most three times what they took while the node was well.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.adapters.servers import KEY, ROOT, UVICORN_HTTPTOOLS

from .shop import Shop, command, free_port, serving, wait_for

UNPAID: Final = 200
PAID: Final = 50
# A breaker tries a node that failed once in so many seconds.
PAUSE: Final = 30
BAR: Final = 3.0
# Of 50 requests in a second and more, in seconds: what takes less is the machine's noise.
NOISE: Final = 0.02


@dataclass
class Phase:
    """What became of the requests while the node was in one state."""

    name: str
    paid: list[list[float]]
    unpaid: list[list[float]]
    memory: int
    works_in_the_end: bool

    @property
    def p99(self) -> float:
        """Of the paid requests, in seconds."""
        return percentile([took for _, took, _ in self.paid], 99)


def percentile(numbers: list[float], share: int) -> float:
    """The number that `share` of a hundred do not exceed."""
    return sorted(numbers)[max(len(numbers) * share // 100 - 1, 0)] if numbers else 0.0


class WalletProcess:
    """The node, in a process of its own at a port that it keeps."""

    def __init__(self) -> None:
        self.port = free_port()
        self.start()

    def start(self) -> None:
        """Run, and return when it answers."""
        self._process = subprocess.Popen([sys.executable, "-m", "tests.faults.node", str(self.port)], cwd=ROOT)
        wait_for(self._listens, "the node")

    def stop(self) -> None:
        """From now on it takes connections, and answers nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Undo `stop`."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """From now on connections are reset, and refused."""
        self._process.kill()
        self._process.wait()

    def _listens(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False


def servers(port: int) -> dict[str, list[str]]:
    """How each server is started."""
    gunicorn = ["-m", "gunicorn", "tests.faults.flask_shop:create()", "-b", f"127.0.0.1:{port}", "-k", "gthread"]
    waitress = ["-m", "waitress", f"--listen=127.0.0.1:{port}", "--call", "tests.faults.flask_shop:create"]
    return {
        "Starlette, uvicorn": command(UVICORN_HTTPTOOLS, "starlette_shop", port),
        "Flask, gunicorn --threads 8": [sys.executable, *gunicorn, "--threads", "8", "--log-level", "warning"],
        "Flask, waitress (4 threads)": [sys.executable, *waitress],
    }


def run(arguments: list[str], port: int, folder: Path, seconds: int, back: int) -> list[Phase]:
    """All phases against one server; `back` seconds are for those in which the node comes back, 0 for none of them."""
    node = WalletProcess()
    # The ledger in memory: what is measured is the node's doing.
    settings = {
        "L402_PROVIDER": f"lnbits+http://127.0.0.1:{node.port}?invoice_key=key&network=regtest",
        "L402_LEDGER": "memory:",
        "L402_SECRET_KEYS": KEY,
    }
    phases = []
    try:
        with serving(arguments, port, folder, **settings) as shop:
            credential = shop.buy("/season").credential
            states: list[tuple[str, int, Callable[[], None] | None]] = [
                ("well", seconds, None),
                ("hangs", seconds, node.stop),
                ("goes on", back, node.go_on),
                ("is killed", seconds, node.kill),
                ("is started again", back, node.start),
            ]
            for name, length, change in states:
                if not length and change is not None:
                    change()
                    continue
                paid, unpaid = _measure(shop, credential, length, change)
                works = change not in (node.stop, node.kill)
                phases.append(Phase(name, paid, unpaid, _memory(shop.process.pid), works))
    finally:
        node.go_on()
        node.kill()
    return phases


def _measure(shop: Shop, credential: str, seconds: int, change: Callable[[], None] | None) -> list[list[list[float]]]:
    """The results of those who have paid, and of the others."""

    def at(target: str, credential: str, per_second: int) -> "subprocess.Popen[bytes]":
        arguments = [str(shop.port), target, credential, str(per_second), str(seconds)]
        return subprocess.Popen(
            [sys.executable, "-m", "tests.faults.rate", *arguments], cwd=ROOT, stdout=subprocess.PIPE
        )

    clients = [at("/season", credential, PAID), at("/season", "", UNPAID)]
    if change is not None:
        # In the middle of the flood.
        time.sleep(1)
        change()
    return [json.loads(client.communicate()[0]) for client in clients]


def _memory(pid: int) -> int:
    """Resident bytes of a process and its children."""
    pids = [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    return sum(int(Path(f"/proc/{each}/statm").read_text().split()[1]) for each in pids) * os.sysconf("SC_PAGE_SIZE")


def judge(phases: list[Phase], limit: float) -> list[str]:
    """What broke a promise."""
    return [f"{phase.name}: {fault}" for phase in phases for fault in _faults(phase, phases[0], limit)]


def _faults(phase: Phase, well: Phase, limit: float) -> Iterator[str]:
    if {status for *_, status in phase.paid} != {200}:
        yield f"paid requests got {_statuses(phase.paid)}"
    if not {status for *_, status in phase.unpaid} <= {402, 503}:
        yield f"unpaid requests got {_statuses(phase.unpaid)}"
    if (slowest := max(took for _, took, _ in phase.unpaid)) > limit:
        yield f"an unpaid request took {slowest:.1f} s"
    if phase.memory > well.memory + 32 * 2**20:
        yield f"{(phase.memory - well.memory) / 2**20:.0f} MB more than before"
    if phase.p99 > BAR * max(well.p99, NOISE):
        yield f"the 99th percentile is {phase.p99 / well.p99:.1f} times that of a healthy node"
    in_the_end = {status for due, _, status in phase.unpaid if due > phase.unpaid[-1][0] - 1}
    if phase.works_in_the_end and in_the_end != {402}:
        yield "nothing was sold in the last second"


def _statuses(results: list[list[float]]) -> str:
    counts = Counter(int(status) for *_, status in results)
    return " ".join(f"{count} x {status}" for status, count in sorted(counts.items()))


def _sold_again(phase: Phase) -> str:
    refused = [due for due, _, status in phase.unpaid if status != 402]
    return f"{max(refused, default=0):.0f} s"


def table(phases: list[Phase]) -> list[str]:
    """A row for each phase."""
    well = phases[0]
    heads = f"{'paid: p50':>12}{'p99':>10}{'max':>10}{'p99 ratio':>11}{'unpaid: p99':>14}{'max':>10}"
    lines = [f"{'the node':18}{heads}  answers"]
    for phase in phases:
        paid, unpaid = ([took for _, took, _ in results] for results in (phase.paid, phase.unpaid))
        lines.append(
            f"{phase.name:18}{percentile(paid, 50) * 1000:9.1f} ms{phase.p99 * 1000:7.1f} ms{max(paid) * 1000:7.1f} ms"
            f"{phase.p99 / well.p99:11.2f}{percentile(unpaid, 99) * 1000:11.1f} ms{max(unpaid):8.2f} s"
            f"  {_statuses(phase.unpaid)}; last refusal after {_sold_again(phase)}; {phase.memory / 2**20:.0f} MB"
        )
    return lines


def main(seconds: int) -> int:
    """All servers; the exit status."""
    failures: list[Any] = []
    for number, name in enumerate(servers(0)):
        with tempfile.TemporaryDirectory(prefix="l402-outage-") as folder:
            port = free_port()
            arguments = list(servers(port).values())[number]
            phases = run(arguments, port, Path(folder), seconds, PAUSE + 8)
        broken = judge(phases, limit=25)
        failures += broken
        sys.stdout.write("\n".join([name, *table(phases), *(broken or ["every promise was kept"]), "", ""]))
        sys.stdout.flush()
    return bool(failures)


if __name__ == "__main__":
    os.environ["L402_DEV"] = "1"
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 30))
