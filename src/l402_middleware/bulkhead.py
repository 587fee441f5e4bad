"""Who waits for a provider: a node that hangs or is late must not take every thread from those who have paid."""

import os
import threading
import time
from typing import Final

from .core.errors import ConfigurationError, ProviderError
from .flow import Step

# A server on an event loop may have this many requests waiting for a node: what bounds them is memory.
MAX_TASKS: Final = 500

# In seconds. A thread beyond those that may wait for a node is for one that answers faster than this.
HASTE: Final = 0.25


class Seat:
    """One request's seat in a bulkhead. Where `in_haste`, it waits for at most `HASTE` seconds."""

    __slots__ = ("in_haste", "line")

    def __init__(self, line: "dict[Seat, float]", in_haste: bool) -> None:
        self.line = line
        self.in_haste = in_haste

    def leave(self) -> None:
        """Make room."""
        self.line.pop(self, None)


class Bulkhead:
    """Those who wait for one provider.

    A blocking server has a few threads, and one that waits serves nobody else. So `threads` of a process wait for as
    long as they may. More do so in haste, for `HASTE` seconds at most; and none of these comes while somebody has been
    waiting for longer than that, nor after a failure. On an event loop up to `MAX_TASKS` wait. Raises
    `ConfigurationError` for a number that cannot work.
    """

    def __init__(self, threads: int) -> None:
        if type(threads) is not int or threads < 1:
            raise ConfigurationError(f"max_threads must be a whole number from 1, not {threads!r}")
        self._max_threads = threads
        self._lock = threading.Lock()
        # By process: a forked child has none of its parent's threads, and no task of its loop.
        self._threads: dict[int, dict[Seat, float]] = {}
        self._tasks: dict[int, dict[Seat, float]] = {}

    def enter(self, *, after_a_failure: bool) -> Step[Seat]:
        """A seat, to be left in the end. The step raises `ProviderError` of kind `busy` where there is none."""
        return _Enter(self, after_a_failure)

    def thread_enters(self, after_a_failure: bool) -> Seat:
        with self._lock:
            line, now = self._threads.setdefault(os.getpid(), {}), time.monotonic()
            in_haste = len(line) >= self._max_threads
            # In the order in which they came.
            if in_haste and (after_a_failure or now - next(iter(line.values())) > HASTE):
                raise ProviderError("busy", f"{len(line)} threads wait for it already")
            return _placed(line, in_haste, now)

    def task_enters(self) -> Seat:
        with self._lock:
            line = self._tasks.setdefault(os.getpid(), {})
            if len(line) >= MAX_TASKS:
                raise ProviderError("busy", f"{len(line)} requests wait for it already")
            return _placed(line, False, time.monotonic())


class _Enter(Step[Seat]):
    def __init__(self, line: Bulkhead, after_a_failure: bool) -> None:
        self._line = line
        self._after_a_failure = after_a_failure

    def block(self) -> Seat:
        return self._line.thread_enters(self._after_a_failure)

    async def wait(self) -> Seat:
        return self._line.task_enters()


def _placed(line: dict[Seat, float], in_haste: bool, now: float) -> Seat:
    seat = Seat(line, in_haste)
    line[seat] = now
    return seat
