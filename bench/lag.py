"""How long our code keeps the event loop from everybody else, under load.

What blocks a loop is a step: what one task does between two of its awaits. Every step of the loop is timed, less the
time for which the kernel let this thread wait for a processor; so a pause that the loop's thread spends in a system
call, in a lock or behind another thread of ours counts, and another process's load does not.
"""

import asyncio
import gc
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from l402_middleware import Paywall
from l402_middleware.asgi.scope import ASGIApp
from l402_middleware.providers import DevNode

from .apps import starlette_app
from .databases import Ledgers
from .in_process import asgi
from .measure import Result
from .sales import BOUND, FREE, KEY, PASS, ROOM, SINGLE, UNPAID, Call, hostile

RUNS = 5
AT_ONCE = 32
ALLOWED = 5.0
"""Milliseconds."""

HOSTILE = [Call("GET", "/single", hostile())]

LOADS = (
    ("free routes and passes", lambda: [*islice(FREE.calls(), 2000), *islice(PASS.calls(), 2000)], 200, AT_ONCE),
    ("single uses on SQLite", lambda: list(islice(SINGLE.calls(), 1000)), 200, AT_ONCE),
    ("402s with an in-process invoice", lambda: list(islice(UNPAID.calls(), 1000)), 402, AT_ONCE),
    ("hostile credentials of 16 KiB", lambda: HOSTILE * 500, 402, AT_ONCE),
    ("bound bodies of 50 MB", lambda: list(islice(BOUND[2].calls(), 8)), 200, 4),
)


class Steps:
    """The longest step that an event loop took while it was watched, in seconds."""

    def __init__(self) -> None:
        self.longest = 0.0

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Time every step that a loop of this thread takes within the block, in seconds."""
        run = asyncio.Handle._run

        def timed(handle: asyncio.Handle) -> None:
            waited, started = _waited(), time.perf_counter()
            run(handle)
            taken = time.perf_counter() - started
            if taken > self.longest:
                self.longest = max(self.longest, taken - (_waited() - waited))

        asyncio.Handle._run = timed  # type: ignore[method-assign]
        try:
            yield
        finally:
            asyncio.Handle._run = run  # type: ignore[method-assign]


def _waited() -> float:
    """The seconds for which this thread was ready to run, and another one had the processor."""
    return int(Path("/proc/thread-self/schedstat").read_bytes().split()[1]) / 1e9


def results() -> Iterator[Result]:
    """For each load, the median over several runs of the longest step in each; and the same for the bare framework."""
    bare = starlette_app.create(None)
    with Ledgers() as ledgers, asyncio.Runner() as runner:
        paywall = Paywall(DevNode(), dict(ledgers.urls())["SQLite"], secret_keys=[KEY], spool_bytes=ROOM)
        app = starlette_app.create(paywall)
        # What the process has made so far is no garbage of the requests; a full collection of it takes milliseconds.
        gc.collect()
        gc.freeze()
        for name, make, status, at_once in LOADS:
            ours = [runner.run(_longest(app, make(), status, at_once)) for _ in range(RUNS)]
            floor = [runner.run(_longest(bare, make(), 200, at_once)) for _ in range(RUNS)]
            longest = statistics.median(ours)
            note = f"the worst of {RUNS} runs {max(ours):.2f} ms; the bare framework {statistics.median(floor):.2f} ms"
            yield Result(f"longest step of the loop, {name}", longest / ALLOWED, 1.0, longest, ALLOWED, "ms", note)
        runner.run(paywall.aclose())


async def _longest(app: ASGIApp, calls: list[Call], status: int, at_once: int) -> float:
    """Milliseconds."""
    steps = Steps()
    waiting = iter(calls)

    async def send_some() -> None:
        for call in waiting:
            await asgi(app, call, status, lets_others_go_on=True)
            # A server waits for its socket between two requests, and lets everybody else go on.
            await asyncio.sleep(0)

    with steps.watched():
        await asyncio.gather(*(send_some() for _ in range(at_once)))
    return steps.longest * 1e3
