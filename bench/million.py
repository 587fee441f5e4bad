"""A million requests of every kind: whether a request's time and the process's memory grow with what came before.

The run is cut into slices, and after each the paywall's clock leaps three hours ahead: credentials expire, kept answers
and payments are forgotten, and the last slice finds as much remembered as the tenth. Times are those of the
processor, so that the machine's other work does not count.
"""

import asyncio
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from l402_middleware import Paywall
from l402_middleware.ledgers import SQLiteLedger
from l402_middleware.providers import DevNode

from .apps import flask_app, starlette_app
from .databases import Ledgers, versions
from .in_process import asgi, wsgi
from .measure import Result, in_own_process, resident
from .sales import KEY, OFFERS, Call, Seller

__all__ = ["results", "versions"]

SLICES = 50
LEAP = 3 * 3600
AT_ONCE = 32

# What each slice holds of every hundred requests.
MIX = {"free": 40, "pass": 30, "bundle": 5, "paid": 5, "replayed": 5, "unpaid": 10, "expired": 5}

PASSES, BUNDLES = 1000, 100

# How many in all, and each run's share in percent; fewer than a million show less, in less time.
REQUESTS = int(os.environ.get("BENCH_REQUESTS", "1000000"))
RUNS = (
    ("Starlette", "memory", 60),
    ("Flask", "memory", 20),
    ("Starlette", "SQLite", 10),
    ("Starlette", "Redis", 5),
    ("Starlette", "PostgreSQL", 5),
)


@dataclass(frozen=True, slots=True)
class Slice:
    """What one slice of a run came to: processor seconds per request, and bytes of memory and of the ledger's file."""

    seconds: float
    resident: int
    stored: int


def results() -> Iterator[Result]:
    """For each framework and ledger, the last tenth of the slices against the second one."""
    with Ledgers() as ledgers:
        urls = dict(ledgers.urls())
        for framework, ledger, percent in RUNS:
            if ledger in urls:
                count = REQUESTS * percent // 100
                slices = in_own_process(_run, framework, urls[ledger], count)
                yield from _compare(f"{count:,} requests, {framework}, {ledger}", slices)


def _compare(name: str, slices: list[Slice]) -> Iterator[Result]:
    tenth = len(slices) // 10
    # Over the first slices the ledger fills up with what it has to remember.
    early, late = slices[2 * tenth : 3 * tenth], slices[-tenth:]
    for what, side, bar, unit, scale in (
        ("processor time", lambda each: each.seconds, 1.15, "us", 1e6),
        ("memory", lambda each: each.resident, 1.05, "MB", 1e-6),
        ("file", lambda each: each.stored, 1.05, "MB", 1e-6),
    ):
        before, after = (statistics.median(map(side, some)) * scale for some in (early, late))
        if before:
            yield Result(f"{name}, {what} at the end against early on", after / before, bar, after, before, unit)


def _run(framework: str, url: str, count: int) -> list[Slice]:
    ahead = 0.0

    def clock() -> float:
        return time.time() + ahead

    paywall = Paywall(DevNode(clock=clock), url, secret_keys=[KEY], clock=clock)
    requests = _Requests(clock, count // SLICES)
    slices = []
    with asyncio.Runner() as runner:
        send: Callable[[list[tuple[Call, int]]], None]
        if framework == "Flask":
            flask = flask_app.create(paywall)

            def send(calls: list[tuple[Call, int]]) -> None:
                for call, status in calls:
                    wsgi(flask, call, status)
        else:
            starlette = starlette_app.create(paywall)

            def send(calls: list[tuple[Call, int]]) -> None:
                runner.run(_send(starlette, calls))

        for _ in range(SLICES):
            rounds = requests.of_a_slice()
            started = time.process_time()
            for calls in rounds:
                send(calls)
            seconds = (time.process_time() - started) / sum(map(len, rounds))
            slices.append(Slice(seconds, resident(), _stored(paywall)))
            ahead += LEAP
        runner.run(paywall.aclose())
    return slices


async def _send(app: Any, calls: list[tuple[Call, int]]) -> None:
    waiting = iter(calls)

    async def send_some() -> None:
        for call, status in waiting:
            await asgi(app, call, status)

    await asyncio.gather(*(send_some() for _ in range(AT_ONCE)))


def _stored(paywall: Paywall) -> int:
    ledger = paywall.ledger
    return Path(ledger.path).stat().st_size if isinstance(ledger, SQLiteLedger) else 0


class _Requests:
    """Makes the requests of each slice with their expected status: two rounds, so that a replay follows its payment."""

    def __init__(self, clock: Callable[[], float], count: int) -> None:
        self._clock = clock
        self._count = count
        self._expired: list[bytes] = []

    def of_a_slice(self) -> list[list[tuple[Call, int]]]:
        seller, now = Seller(), self._clock()
        counts = {kind: self._count * share // 100 for kind, share in MIX.items()}

        def sold(path: str) -> Call:
            return Call("GET", path, seller.sell(f"GET {path}", OFFERS[path].get("uses", 1), at=now))

        paid = [sold("/single") for _ in range(counts["paid"])]
        # Each shown several times, and so many that what remembers them is full before the first slices are compared.
        passes, bundles = ([sold("/pass") for _ in range(PASSES)], [sold("/bundle") for _ in range(BUNDLES)])
        expired = [call.authorization or b"" for call in paid]
        first = [
            *[(Call("GET", "/free"), 200)] * counts["free"],
            *((passes[number % PASSES], 200) for number in range(counts["pass"])),
            *((bundles[number % BUNDLES], 200) for number in range(counts["bundle"])),
            *((call, 200) for call in paid),
            *[(Call("GET", "/single"), 402)] * counts["unpaid"],
            *((Call("GET", "/single", old), 402) for old in islice(self._expired, counts["expired"])),
        ]
        self._expired = expired
        return [first, [(call, 200) for call in islice(paid, counts["replayed"])]]
