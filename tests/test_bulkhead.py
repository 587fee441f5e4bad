"""Who may wait for something slow: a seat for each, and nobody trips over those who leave."""

import sys
import threading
from collections.abc import Generator
from typing import Any

import anyio
import pytest

from l402_middleware import bulkhead
from l402_middleware.bulkhead import Bulkhead, Seat
from l402_middleware.core.errors import ConfigurationError, ProviderError
from l402_middleware.flow import Flow, adrive, do


@pytest.fixture
def restless() -> Generator[None]:
    """Threads that are switched as often as the interpreter can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


class Time:
    """What `time.monotonic` says in the bulkhead."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("l402_middleware.bulkhead.time.monotonic", lambda: self.now)


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    """A clock that stands still until its test moves it."""
    return Time(monkeypatch)


def enter(guarded: Bulkhead, **how: Any) -> Seat:
    """A thread's seat."""
    return guarded.enter(**how).block()


@pytest.mark.usefixtures("restless")
def test_who_comes_meets_nobody_who_leaves() -> None:
    """Threads that come and go as fast as they can are given a seat or turned away, and nothing else happens."""
    guarded, failures = Bulkhead(1), []
    barrier = threading.Barrier(40)

    def come_and_go() -> None:
        barrier.wait()
        for _ in range(5000):
            try:
                seat = enter(guarded)
                sum(range(20))  # somebody comes meanwhile
                seat.leave()
            except ProviderError:
                pass
            except BaseException as error:
                failures.append(error)
                return

    threads = [threading.Thread(target=come_and_go) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    # And nobody's seat was lost or kept.
    assert not enter(guarded).in_haste


def test_the_first_have_time_and_the_others_haste(time: Time) -> None:
    """So many wait as long as it takes; more come in haste, as long as nobody has waited for long."""
    guarded = Bulkhead(2)
    first, second, third = (enter(guarded) for _ in range(3))
    assert [seat.in_haste for seat in (first, second, third)] == [False, False, True]
    time.now += bulkhead.HASTE
    assert enter(guarded).in_haste
    time.now += 0.01
    with pytest.raises(ProviderError, match="4 threads wait for it already") as caught:
        enter(guarded)
    assert caught.value.kind == "busy"
    # The first is the one whose time counts.
    first.leave()
    first.leave()
    second.leave()
    third.leave()
    assert not enter(guarded).in_haste


def test_after_a_failure_nobody_comes_in_haste(time: Time) -> None:
    """What has just failed is not for those who have no time."""
    guarded = Bulkhead(1)
    enter(guarded, after_a_failure=True)
    with pytest.raises(ProviderError):
        enter(guarded, after_a_failure=True)
    assert enter(guarded).in_haste


@pytest.mark.parametrize(("tasks", "most"), [(None, 3), (2, 2)])
def test_tasks_have_as_many_seats_as_were_given(monkeypatch: pytest.MonkeyPatch, tasks: int | None, most: int) -> None:
    """On an event loop, none in haste; without a number of its own as many as memory allows."""
    monkeypatch.setattr(bulkhead, "MAX_TASKS", 3)
    guarded = Bulkhead(1, tasks)

    def flow() -> Flow[Seat]:
        return (yield from do(guarded.enter()))

    async def main() -> None:
        seats = [await adrive(flow()) for _ in range(most)]
        assert not any(seat.in_haste for seat in seats)
        with pytest.raises(ProviderError, match=f"{most} requests wait"):
            await adrive(flow())
        seats[0].leave()
        await adrive(flow())

    anyio.run(main)


def test_a_child_has_none_of_its_parents_seats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is it stopped by the lock that another thread held when it was forked."""
    guarded = Bulkhead(1)
    seat = enter(guarded)
    monkeypatch.setattr("l402_middleware.bulkhead.os.getpid", lambda: -1)
    with seat._line._lock:
        assert not enter(guarded).in_haste


@pytest.mark.parametrize("threads", [0, -1, 1.0, True, "3", None])
def test_a_number_of_threads_has_to_be_one(threads: Any) -> None:
    """A whole one, from 1."""
    with pytest.raises(ConfigurationError, match="max_threads must be a whole number from 1"):
        Bulkhead(threads)
