"""What belongs to an event loop goes with it, and who waits on one is woken from anywhere."""

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import anyio.to_thread
import pytest

from l402_middleware.event_loops import PerLoop, Signal, call_soon, running_loop
from l402_middleware.flow import Threads

BACKENDS = ["asyncio", "trio"]


class Held:
    """A value that holds its loop, as a connection does."""

    def __init__(self) -> None:
        self.loop = running_loop()
        self.ended = 0

    async def end(self) -> None:
        """Needs the loop."""
        await anyio.lowlevel.checkpoint()
        self.ended += 1


async def _end(held: Held) -> None:
    with anyio.CancelScope(shield=True):
        await held.end()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_value_goes_with_its_loop(backend: str) -> None:
    """Twenty loops have a value each, the same one whenever they ask, and leave nothing behind."""
    kept: PerLoop[Held] = PerLoop(_end)
    values, loops = [], []

    async def main() -> None:
        value = kept.get(Held)
        assert kept.get(Held) is value
        values.append(value)
        loops.append(weakref.ref(value.loop))

    for _ in range(20):
        anyio.run(main, backend=backend)
    assert [value.ended for value in values] == [1] * 20
    assert kept._kept == {}
    values.clear()
    gc.collect()
    assert [loop() for loop in loops] == [None] * 20


def test_a_loop_that_is_closed_without_a_word_is_forgotten() -> None:
    """At the next loop's first value at the latest."""
    kept: PerLoop[Held] = PerLoop(_end)
    for _ in range(5):
        loop = asyncio.new_event_loop()

        async def main() -> None:
            kept.get(Held)

        loop.run_until_complete(main())
        loop.close()
    assert len(kept._kept) == 1


@pytest.mark.anyio
async def test_a_value_can_be_ended_before() -> None:
    """Once, whoever asks; the next one is new."""
    kept: PerLoop[Held] = PerLoop(_end)
    await kept.close()
    first = kept.get(Held)
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(kept.close)
    assert first.ended == 1
    assert kept.get(Held) is not first


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_value_goes_with_what_keeps_it(backend: str) -> None:
    """Where an application drops a provider, its connections are closed in the loop that runs on."""

    async def main() -> None:
        kept: PerLoop[Held] = PerLoop(_end)
        value = kept.get(Held)
        del kept
        gc.collect()
        with anyio.fail_after(10):
            while not value.ended:
                await anyio.sleep(0)

    anyio.run(main, backend=backend)


def test_outside_of_any_loop_there_is_none() -> None:
    """Blocking code has no loop's value."""
    with pytest.raises(RuntimeError):
        PerLoop[Held]().get(Held)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_threads_of_a_loop_go_with_it(backend: str) -> None:
    """A limiter of worker threads keeps no loop."""
    threads = Threads(2)
    loops = []

    async def main() -> None:
        loops.append(weakref.ref(running_loop()))
        assert threads.limiter() is threads.limiter()
        assert threads.limiter().total_tokens == 2

    for _ in range(5):
        anyio.run(main, backend=backend)
    gc.collect()
    assert [loop() for loop in loops] == [None] * 5


def _ways() -> dict[str, Callable[[Signal, float], bool]]:
    def awaiting(backend: str) -> Callable[[Signal, float], bool]:
        return lambda signal, seconds: anyio.run(signal.wait, seconds, backend=backend)

    return {"blocking": Signal.block} | {backend: awaiting(backend) for backend in BACKENDS}


def test_a_signal_wakes_all_who_wait() -> None:
    """Threads, and tasks of any loop; and who comes later does not wait."""
    signal, arrived = Signal(), threading.Semaphore(0)

    def wait(way: Callable[[Signal, float], bool]) -> bool:
        arrived.release()
        return way(signal, 30.0)

    with ThreadPoolExecutor(9) as pool:
        waiting = [pool.submit(wait, way) for way in _ways().values() for _ in range(3)]
        for _ in waiting:
            arrived.acquire()
        signal.give()
        assert all(each.result(30) for each in waiting)
    assert all(way(signal, 0.0) for way in _ways().values())


def test_a_signal_that_does_not_come() -> None:
    """Nobody waits for longer than they have."""
    assert not any(way(Signal(), 0.0) for way in _ways().values())


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_thousand_tasks_wait_without_a_stir(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One event for a loop, and no timer that wakes them to look: the loop's own clock may stand still."""
    signal = Signal()

    async def main() -> None:
        outcomes: list[bool] = []

        async def wait() -> None:
            outcomes.append(await signal.wait(60.0))

        async def no_sleep(*_: object) -> None:
            raise AssertionError("a task looks again and again")

        async with anyio.create_task_group() as tasks:
            for _ in range(2000):
                tasks.start_soon(wait)
            for _ in range(5):
                await anyio.lowlevel.checkpoint()
            monkeypatch.setattr(anyio, "sleep", no_sleep)
            assert len(signal._loops) == 1
            await anyio.to_thread.run_sync(signal.give)
        assert outcomes == [True] * 2000

    anyio.run(main, backend=backend)


def test_a_loop_that_is_over_is_not_called() -> None:
    """Whoever waited there is gone."""

    async def main() -> Any:
        return running_loop()

    called: list[int] = []
    for backend in BACKENDS:
        call_soon(anyio.run(main, backend=backend), lambda: called.append(1))
    assert called == []
