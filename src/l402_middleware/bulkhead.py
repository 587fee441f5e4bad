"""Who waits for something slow: a node that hangs or is late must not take every thread from those who have paid."""

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

    __slots__ = ("_line", "in_haste")

    def __init__(self, line: "_Line", in_haste: bool) -> None:
        self._line = line
        self.in_haste = in_haste

    def leave(self) -> None:
        """Make room. Leaving twice is leaving once."""
        self._line.leave(self)


class Bulkhead:
    """Those who wait for one provider, or for anything else that may be slow.

    A blocking server has a few threads, and one that waits serves nobody else. So `threads` of a process wait for as
    long as they may. More do so in haste, for `HASTE` seconds at most; and none of these comes while somebody has been
    waiting for longer than that, nor after a failure. On an event loop up to `tasks` wait (`MAX_TASKS`). Raises
    `ConfigurationError` for a number that cannot work.
    """

    def __init__(self, threads: int, tasks: int | None = None) -> None:
        if type(threads) is not int or threads < 1:
            raise ConfigurationError(f"max_threads must be a whole number from 1, not {threads!r}")
        self._max_threads = threads
        self._max_tasks = tasks
        # By process: a forked child has none of its parent's threads, no task of its loop, and no use for a lock that
        # one of them held.
        self._threads: dict[int, _Line] = {}
        self._tasks: dict[int, _Line] = {}

    def enter(self, *, after_a_failure: bool = False) -> Step[Seat]:
        """A seat, to be left in the end. The step raises `ProviderError` of kind `busy` where there is none."""
        return _Enter(self, after_a_failure)

    def thread_enters(self, after_a_failure: bool) -> Seat:
        return _of_this_process(self._threads).thread_enters(self._max_threads, after_a_failure)

    def task_enters(self) -> Seat:
        return _of_this_process(self._tasks).task_enters(self._max_tasks or MAX_TASKS)


class _Enter(Step[Seat]):
    def __init__(self, bulkhead: Bulkhead, after_a_failure: bool) -> None:
        self._bulkhead = bulkhead
        self._after_a_failure = after_a_failure

    def block(self) -> Seat:
        return self._bulkhead.thread_enters(self._after_a_failure)

    async def wait(self) -> Seat:
        return self._bulkhead.task_enters()


class _Line:
    """Who waits, in the order in which they came, and since when. One lock is for all that is done with it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seats: dict[Seat, float] = {}

    def thread_enters(self, most: int, after_a_failure: bool) -> Seat:
        with self._lock:
            now = time.monotonic()
            in_haste = len(self._seats) >= most
            if in_haste and (after_a_failure or now - next(iter(self._seats.values())) > HASTE):
                raise ProviderError("busy", f"{len(self._seats)} threads wait for it already")
            return self._placed(in_haste, now)

    def task_enters(self, most: int) -> Seat:
        with self._lock:
            if len(self._seats) >= most:
                raise ProviderError("busy", f"{len(self._seats)} requests wait for it already")
            return self._placed(False, time.monotonic())

    def leave(self, seat: Seat) -> None:
        with self._lock:
            self._seats.pop(seat, None)

    def _placed(self, in_haste: bool, now: float) -> Seat:
        seat = Seat(self, in_haste)
        self._seats[seat] = now
        return seat


def _of_this_process(lines: dict[int, _Line]) -> _Line:
    process = os.getpid()
    return lines.get(process) or lines.setdefault(process, _Line())
