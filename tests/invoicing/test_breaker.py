"""When a provider is asked, and when it is left alone."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from l402_middleware.core.errors import ConfigurationError
from l402_middleware.invoicing.breaker import Attempt, Breaker

PAUSE = 30.0


class Clock:
    """Seconds that pass when they are told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Slow(float):
    """A number that lets every other thread go first once it was compared: what has no lock is found out."""

    def __lt__(self, other: float) -> bool:
        less = super().__lt__(other)
        time.sleep(0.001)
        return less


def opened(clock: Clock, failures: int = 3) -> Breaker:
    """A breaker that has just opened."""
    breaker = Breaker(failures, PAUSE, clock)
    for _ in range(failures):
        breaker.failed(begun(breaker), "timeout")
    assert breaker.is_open
    return breaker


def begun(breaker: Breaker) -> Attempt:
    """An attempt that the breaker allows."""
    attempt = breaker.begin()
    assert attempt is not None
    return attempt


def test_it_opens_at_the_last_of_the_failures_in_a_row() -> None:
    """A success in between begins the count anew, an abandoned attempt does not; and opening is reported once."""
    breaker = Breaker(3, PAUSE, Clock())
    breaker.failed(begun(breaker), "timeout")
    breaker.failed(begun(breaker), "timeout")
    breaker.succeeded(begun(breaker))
    late = begun(breaker)
    assert not breaker.failed(begun(breaker), "timeout")
    breaker.abandoned(begun(breaker))
    assert not breaker.failed(begun(breaker), "timeout")
    assert not breaker.is_open
    assert breaker.failed(begun(breaker), "tls")
    assert not breaker.failed(late, "busy")
    assert breaker.is_open
    assert breaker.fault == "tls"


@pytest.mark.parametrize(
    ("end", "lets_one_through_at"),
    [
        (lambda breaker, probe: breaker.succeeded(probe), 31),
        (lambda breaker, probe: breaker.failed(probe, "timeout"), 61),
        (lambda breaker, probe: breaker.abandoned(probe), 31),
        # A probe that nobody ends, as after a fork.
        (lambda breaker, probe: None, 60),
    ],
    ids=["works", "fails", "abandoned", "lost"],
)
def test_what_becomes_of_a_probe(end: Callable[[Breaker, Attempt], Any], lets_one_through_at: int) -> None:
    """After the pause one attempt goes through, and the next when that one's end allows it."""
    clock = Clock()
    breaker = opened(clock)
    clock.now = PAUSE - 0.001
    assert breaker.begin() is None
    clock.now = PAUSE
    probe = begun(breaker)
    assert breaker.begin() is None
    clock.now = PAUSE + 1
    end(breaker, probe)
    clock.now = lets_one_through_at - 0.001
    if lets_one_through_at > PAUSE + 1:
        assert breaker.begin() is None
    clock.now = lets_one_through_at
    assert breaker.begin() is not None


def test_what_began_before_the_breaker_opened() -> None:
    """Its failure puts no probe off, its end makes no room for one; its success closes the breaker: the node works."""
    clock = Clock()
    breaker = Breaker(1, PAUSE, clock)
    early, left, other = begun(breaker), begun(breaker), begun(breaker)
    breaker.failed(begun(breaker), "timeout")
    clock.now = PAUSE - 1
    breaker.failed(early, "timeout")
    breaker.abandoned(left)
    assert breaker.begin() is None
    clock.now = PAUSE
    probe = begun(breaker)
    breaker.succeeded(other)
    assert not breaker.is_open
    breaker.abandoned(probe)
    assert not breaker.is_open


def test_a_hundred_threads_and_one_probe() -> None:
    """Case 98: of a hundred threads that come when the pause is over, one gets through."""
    clock = Clock()
    breaker = opened(clock)
    clock.now = Slow(PAUSE)
    together = Barrier(100)

    def come(_: int) -> Attempt | None:
        together.wait()
        return breaker.begin()

    with ThreadPoolExecutor(100) as threads:
        attempts = list(threads.map(come, range(100)))
    assert sum(attempt is not None for attempt in attempts) == 1


@pytest.mark.parametrize("failures", [0, -1, True, 2.0, "3"])
@pytest.mark.parametrize("pause", [PAUSE, 0, -1, True, float("inf"), float("nan"), "30"])
def test_numbers_that_can_not_work(failures: Any, pause: Any) -> None:
    """They are refused at start-up."""
    with pytest.raises(ConfigurationError, match="failures must be"):
        Breaker(failures, pause, Clock())
    if pause != PAUSE:
        with pytest.raises(ConfigurationError, match="pause must be"):
            Breaker(3, pause, Clock())


class BreakerMachine(RuleBasedStateMachine):
    """Any number of attempts, begun and ended in any order, at any time."""

    @initialize(limit=st.integers(1, 4))
    def start(self, limit: int) -> None:
        self.clock = Clock()
        self.limit = limit
        self.breaker = Breaker(limit, PAUSE, self.clock)
        self.running: list[Attempt] = []
        self.in_a_row = 0
        self.probe: Attempt | None = None
        self.let_through: list[float] = []

    def take(self, data: st.DataObject) -> Attempt:
        return self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))

    @rule(seconds=st.sampled_from([0.0, 1.0, PAUSE - 1, PAUSE, 3 * PAUSE]))
    def time_passes(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule()
    def a_request_comes(self) -> None:
        was_open = self.breaker.is_open
        attempt = self.breaker.begin()
        assert was_open or attempt is not None
        if attempt is not None:
            self.running.append(attempt)
            if was_open:
                self.probe = attempt
                self.let_through.append(self.clock.now)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def it_works(self, data: st.DataObject) -> None:
        self.breaker.succeeded(self.take(data))
        self.in_a_row = 0
        self.let_through = []
        assert not self.breaker.is_open

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def it_fails(self, data: st.DataObject) -> None:
        was_open = self.breaker.is_open
        opens = self.breaker.failed(self.take(data), "timeout")
        self.in_a_row += not was_open
        assert opens == (not was_open and self.in_a_row == self.limit)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def it_is_cancelled(self, data: st.DataObject) -> None:
        was_open = self.breaker.is_open
        attempt = self.take(data)
        self.breaker.abandoned(attempt)
        assert self.breaker.is_open == was_open
        if attempt is self.probe:
            # Its place may be taken at once.
            self.let_through = []

    @rule()
    def nothing_is_shut_for_ever(self) -> None:
        self.clock.now += PAUSE
        self.a_request_comes()
        assert self.running

    @invariant()
    def open_after_so_many_failures_and_then_one_probe_in_each_pause(self) -> None:
        assert self.breaker.is_open == (self.in_a_row >= self.limit)
        for earlier, later in zip(self.let_through, self.let_through[1:], strict=False):
            assert later - earlier >= PAUSE


TestBreakerMachine = BreakerMachine.TestCase
