"""Room for the bodies that are read before a handler runs: how many at a time, how many bytes
in all, and how long each may take.

Whoever sends them may be a stranger, so none of it grows with how many ask. Bytes are counted as they arrive, not as
they are announced: room that nobody fills stays free for others.
"""

import threading
import time
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from ..core.errors import Refusal

# What a client has to send for each second beyond those that everybody has.
SLOWEST: Final = 16 * 1024


# Of the bodies and bytes that there is room for, the part that one payment may take: a pass opens any number at once.
SHARE: Final = 8

Payer: TypeAlias = bytes
"""The hash of the payment that a request came with; empty where it came with none."""


@dataclass(slots=True)
class BodyBudget:
    """What the bodies of one kind of request share, in one process.

    `max_bodies` at a time, `max_bytes` together, though one alone may be as long as its offer allows; each has
    `seconds`, and one more for every 16 KiB that arrived. One payer has an eighth of the room at most. Any number of
    threads and event loops may share one.
    """

    max_bodies: int
    max_bytes: int
    seconds: float
    bodies: int = 0
    bytes: int = 0
    _taken: dict[Payer, list[int]] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def enter(self, payer: Payer = b"") -> "BodyRoom":
        """Room for one body, of a request that this payment admits, if any.

        Raises `Refusal` (503, `too-many-bodies`) where there is none.
        """
        with self._lock:
            taken = self._taken.get(payer, [0, 0]) if payer else [0, 0]
            if self.bodies >= self.max_bodies or (payer and taken[0] >= max(1, self.max_bodies // SHARE)):
                raise _full()
            self.bodies += 1
            if payer:
                taken[0] += 1
                self._taken[payer] = taken
        return BodyRoom(self, payer, time.monotonic())

    def take(self, size: int, own: int, payer: Payer) -> None:
        """Room for `size` bytes more of a body that has `own`. Raises `Refusal` where there is none."""
        with self._lock:
            if self.bytes > own and self.bytes + size > self.max_bytes:
                raise _full()
            if payer:
                taken = self._taken[payer]
                if taken[1] > own and taken[1] + size > self.max_bytes // SHARE:
                    raise _full()
                taken[1] += size
            self.bytes += size

    def leave(self, size: int, payer: Payer) -> None:
        """A body of `size` bytes is gone."""
        with self._lock:
            self.bodies -= 1
            self.bytes -= size
            if payer:
                taken = self._taken[payer]
                taken[0] -= 1
                taken[1] -= size
                if not taken[0]:
                    del self._taken[payer]


@dataclass(slots=True)
class BodyRoom:
    """One body's room, taken since `since` on the monotonic clock."""

    budget: BodyBudget
    payer: Payer = field(repr=False)
    since: float
    size: int = 0
    is_free: bool = False

    def grow(self, size: int) -> None:
        """Take room for `size` bytes more. Raises `Refusal` (503 or 408) where there is none, or they came too late."""
        if self.seconds_left() <= 0:
            raise too_slow()
        self.budget.take(size, self.size, self.payer)
        self.size += size

    def seconds_left(self) -> float:
        """How long the client has from now to send more."""
        return self.since + self.budget.seconds + self.size / SLOWEST - time.monotonic()

    def free(self) -> None:
        """Give the room up, once."""
        if not self.is_free:
            self.is_free = True
            self.budget.leave(self.size, self.payer)


def too_slow() -> Refusal:
    """What a client is told that does not send the body which it announced."""
    return Refusal(408, "body-too-slow", "The request's body did not arrive in time; repeat the request.")


def _full() -> Refusal:
    return Refusal(
        503, "too-many-bodies", "Too many requests' bodies are being read at the moment; repeat the request.", 5
    )
