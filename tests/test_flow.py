"""Flows and their two drivers: what a step gives or raises, in time and out of it, and what a cancelled flow does."""

import asyncio
import contextvars
import math
import threading
from collections.abc import Callable
from typing import Any

import anyio
import anyio.to_thread
import pytest

from l402_middleware.flow import Call, Flow, Step, Threads, adrive, asyncio_loop, do, drive, time_left, within

BACKENDS = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])


class Given(Step[Any]):
    """A step that gives, or raises, what it was made with; and notes how it was asked."""

    def __init__(self, outcome: Any, asked: list[str] | None = None) -> None:
        self._outcome = outcome
        self._asked = [] if asked is None else asked

    def block(self) -> Any:
        self._asked.append("block")
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        return self._outcome

    async def wait(self) -> Any:
        self._asked.append("wait")
        await anyio.lowlevel.checkpoint()
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        return self._outcome


def adding(*steps: Step[int]) -> Flow[int]:
    """The sum of what the steps give."""
    total = 0
    for step in steps:
        total += yield from do(step)
    return total


def catching(step: Step[Any], kind: type[BaseException], then: Step[Any]) -> Flow[Any]:
    """What `then` gives, where `step` fails in that way."""
    try:
        return (yield from do(step))
    except kind:
        return (yield from do(then))


def drivers(make: Callable[[], Flow[Any]], backend: str) -> list[Any]:
    """What both drivers make of a flow: its outcome, or what it raised."""
    outcomes: list[Any] = []
    runs: tuple[Callable[[], Any], ...] = (
        lambda: drive(make()),
        lambda: anyio.run(lambda: adrive(make()), backend=backend),
    )
    for run in runs:
        try:
            outcomes.append(run())
        except Exception as error:
            outcomes.append((type(error), str(error)))
    return outcomes


@BACKENDS
@pytest.mark.parametrize(
    ("make", "outcome"),
    [
        (adding, 0),
        (lambda: adding(Given(1), Given(2), Given(3)), 6),
        (lambda: adding(Given(1), Given(ValueError("no"))), (ValueError, "no")),
        (lambda: catching(Given(ValueError()), ValueError, Given("then")), "then"),
        (lambda: catching(Given(ValueError()), ValueError, Given(KeyError("twice"))), (KeyError, "'twice'")),
        (lambda: catching(Given(KeyError("other")), ValueError, Given("then")), (KeyError, "'other'")),
        (lambda: catching(Given(None), ValueError, Given("then")), None),
    ],
)
def test_both_drivers_come_to_the_same(make: Callable[[], Flow[Any]], outcome: Any, anyio_backend: str) -> None:
    """A step's result is sent into the flow where it asked, and a failure raised there."""
    assert drivers(make, anyio_backend) == [outcome, outcome]


@BACKENDS
def test_each_driver_asks_in_its_way(anyio_backend: str) -> None:
    """A blocking server never awaits, and an awaiting one never blocks."""
    asked: list[str] = []
    drive(adding(Given(1, asked), Given(2, asked)))
    assert asked == ["block", "block"]
    asked.clear()
    anyio.run(adrive, adding(Given(1, asked), Given(2, asked)), backend=anyio_backend)
    assert asked == ["wait", "wait"]


# --- cancellation


class Endless(Step[None]):
    """A step that ends with its cancellation only."""

    def block(self) -> None:
        raise AssertionError("for awaiting drivers only")

    async def wait(self) -> None:
        await anyio.sleep_forever()


@BACKENDS
def test_a_cancelled_flow_cleans_up_in_peace(anyio_backend: str) -> None:
    """The cancellation is raised where the flow asked; what it asks for then is carried out, and then it ends."""
    done: list[str] = []

    def flow() -> Flow[None]:
        try:
            yield from do(Endless())
        finally:
            # Awaiting in a cancelled scope would raise at once.
            for name in ("release", "and tell"):
                yield from do(Call(note, name))

    async def note(name: str) -> None:
        await anyio.sleep(0)
        done.append(name)

    async def main() -> bool:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(adrive, flow())
                await anyio.wait_all_tasks_blocked()
                scope.cancel()
            done.append("went on")
        return scope.cancelled_caught

    assert anyio.run(main, backend=anyio_backend)
    assert done == ["release", "and tell"]


@BACKENDS
def test_a_failed_flow_is_not_shielded(anyio_backend: str) -> None:
    """An ordinary failure is no cancellation: what comes after it can still be cancelled."""

    async def main() -> bool:
        with anyio.move_on_after(0.05) as scope:
            await adrive(catching(Given(ValueError()), ValueError, Endless()))
        return scope.cancelled_caught

    assert anyio.run(main, backend=anyio_backend)


def test_a_flow_that_swallows_its_cancellation_still_ends() -> None:
    """On asyncio, what a flow returns after it was cancelled is what its driver returns."""

    async def main() -> str:
        task = asyncio.ensure_future(adrive(catching(Endless(), asyncio.CancelledError, Given("cleaned"))))
        await asyncio.sleep(0)
        task.cancel()
        return str(await task)

    assert asyncio.run(main()) == "cleaned"


# --- within


def late() -> Exception:
    """What a flow is told whose time is over."""
    return TimeoutError("late")


class Pausing(Step[float]):
    """A step that takes as long as it may, and gives that."""

    def block(self) -> float:
        return time_left(10)

    async def wait(self) -> float:
        return time_left(10)


@BACKENDS
def test_steps_share_their_time(anyio_backend: str) -> None:
    """A step has what is left of it all, of its own if that is less, and outside of it as long as it likes."""

    def flow() -> Flow[list[float]]:
        outside = yield from do(Pausing())
        inside = yield from within(5, do(Pausing()), late)
        nested = yield from within(5, within(60, do(Pausing()), late), late)
        after = yield from do(Pausing())
        return [outside, inside, nested, after]

    for outside, inside, nested, after in drivers(flow, anyio_backend):
        assert outside == after == 10
        assert 0 < inside <= 5
        assert 0 < nested <= 5
    assert time_left(math.inf) == math.inf


@BACKENDS
def test_no_step_begins_late(anyio_backend: str) -> None:
    """`late()` is raised inside the flow, which may still say something else; the step is not asked."""
    asked: list[str] = []
    assert drivers(lambda: within(0, do(Given(1, asked)), late), anyio_backend) == [(TimeoutError, "late")] * 2
    assert asked == []
    inner = lambda: within(0, catching(Given(1), TimeoutError, Given(2)), late)  # noqa: E731
    assert drivers(inner, anyio_backend) == [(TimeoutError, "late")] * 2


@BACKENDS
def test_an_awaited_step_that_is_late_is_cut_off(anyio_backend: str) -> None:
    """A step that never ends does not hold its flow."""
    with pytest.raises(TimeoutError, match="late"):
        anyio.run(lambda: adrive(within(0.01, do(Endless()), late)), backend=anyio_backend)


@BACKENDS
def test_what_a_limited_step_raises_is_its_own(anyio_backend: str) -> None:
    """In time, a failure is the step's, and a result too."""
    assert drivers(lambda: within(60, adding(Given(1), Given(2)), late), anyio_backend) == [3, 3]
    assert drivers(lambda: within(60, do(Given(KeyError("k"))), late), anyio_backend) == [(KeyError, "'k'")] * 2


# --- calls


def plain(*numbers: int) -> int:
    """A plain function."""
    return sum(numbers)


async def awaiting(*numbers: int) -> int:
    """An async one."""
    await anyio.lowlevel.checkpoint()
    return sum(numbers)


def undeclared(*numbers: int) -> Any:
    """A plain function that gives an awaitable."""
    return awaiting(*numbers)


@BACKENDS
@pytest.mark.parametrize("function", [plain, awaiting, undeclared])
def test_a_call_of_any_function(function: Callable[..., Any], anyio_backend: str) -> None:
    """Plain, async, or plain with an awaitable for a result: both drivers give what it comes to."""
    outcomes = [drive(do(Call[int](function, 1, 2)))]
    if function is awaiting or anyio_backend == "asyncio":
        outcomes.append(anyio.run(lambda: adrive(do(Call[int](function, 1, 2))), backend=anyio_backend))
    assert set(outcomes) == {3}


@BACKENDS
def test_where_a_call_runs(anyio_backend: str) -> None:
    """Blocking: in the caller's thread. Awaited: a plain function in another one, an async one on the loop itself."""
    assert drive(do(Call[int](threading.get_ident))) == threading.get_ident()

    async def where() -> int:
        return threading.get_ident()

    async def main() -> list[int]:
        return [await adrive(do(Call[int](threading.get_ident))), await adrive(do(Call[int](where)))]

    in_thread, on_loop = anyio.run(main, backend=anyio_backend)
    assert in_thread != threading.get_ident() == on_loop


def test_a_call_sees_its_callers_context() -> None:
    """A function of the application's may need what its middleware set."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")

    async def main() -> str:
        variable.set("set")
        return await adrive(do(Call[str](variable.get)))

    assert anyio.run(main) == "set"


def test_a_blocking_call_of_an_async_function_has_its_time() -> None:
    """It is ended when that is over, and raises `TimeoutError`."""
    with pytest.raises(TimeoutError):
        drive(within(0.01, do(Call[None](anyio.sleep_forever)), late))


@BACKENDS
def test_threads_are_bounded_and_nobody_elses(anyio_backend: str) -> None:
    """So many at a time for each event loop; the application's own are not taken."""
    threads = Threads(2)
    lock, running, most = threading.Lock(), 0, 0
    go = threading.Event()

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        assert go.wait(30)
        with lock:
            running -= 1

    async def main() -> None:
        anyio.to_thread.current_default_thread_limiter().total_tokens = 1
        assert threads.limiter() is threads.limiter()
        async with anyio.create_task_group() as tasks:
            for _ in range(6):
                tasks.start_soon(adrive, do(Call[None](work, threads=threads)))
            with anyio.fail_after(30):
                while running < 2:
                    await anyio.sleep(0.01)
                await anyio.to_thread.run_sync(go.set)

    for _ in range(2):
        go.clear()
        anyio.run(main, backend=anyio_backend)
    assert most == 2


@BACKENDS
def test_whose_loop_it_is(anyio_backend: str) -> None:
    """An asyncio task has a loop; trio has none of asyncio's, and neither has a thread outside of it."""

    async def main() -> bool:
        return asyncio_loop() is not None

    assert anyio.run(main, backend=anyio_backend) == (anyio_backend == "asyncio")
    assert asyncio_loop() is None
