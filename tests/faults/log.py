"""What the shops' handlers leave behind: a line at the start and at the end of each run."""

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(slots=True)
class Run:
    """A handler's run in the process `pid`; unix seconds. `end` is None where it did not come to its end."""

    name: str
    pid: int
    payment_hash: str
    start: float
    end: float | None = None


def _note(what: str, name: str, payment_hash: str) -> None:
    line = f"{time.time()!r} {what} {name} {os.getpid()} {payment_hash}\n"
    # One write to a file opened for appending: lines of several processes do not mix, and outlive a kill.
    file = os.open(os.environ["RUNS"], os.O_WRONLY | os.O_APPEND)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


@contextmanager
def noted(payment_hash: str) -> Iterator[str]:
    """A handler's run, with a name of its own, which it answers with."""
    name = secrets.token_hex(8)
    _note("start", name, payment_hash)
    yield name
    _note("end", name, payment_hash)


def read(path: Path) -> list[Run]:
    """All runs so far, in the order of their starts."""
    runs: dict[str, Run] = {}
    for line in path.read_text().splitlines():
        at, what, name, pid, payment_hash = line.split()
        if what == "start":
            runs[name] = Run(name, int(pid), payment_hash, float(at))
        else:
            runs[name].end = float(at)
    return sorted(runs.values(), key=lambda run: run.start)
