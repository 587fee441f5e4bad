"""Every I/O that a paywall needs, asked for in one vocabulary and carried out by two drivers.

The paywall is written once, as generators that ask for steps. A blocking server drives them with
`drive`, an awaiting one with `adrive`; the generators never know which.
"""

import asyncio
import inspect
import math
import time
from collections.abc import Awaitable, Callable, Generator
from contextvars import ContextVar, Token
from typing import Any, Final, Protocol, TypeAlias, TypeVar, cast

import anyio
import anyio.to_thread

from .event_loops import PerLoop
from .event_loops import asyncio_loop as asyncio_loop  # noqa: PLC0414 - the name that ledgers know it by

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Step(Protocol[T_co]):
    """One piece of I/O that can be had by blocking or by awaiting, with the same outcome."""

    def block(self) -> T_co: ...

    async def wait(self) -> T_co: ...


Flow: TypeAlias = Generator[Step[Any], Any, T]


def do(step: Step[T]) -> Generator[Step[T], T, T]:
    """Ask the driver for `step`: `result = yield from do(step)`."""
    return (yield step)


def drive(flow: Flow[T]) -> T:
    """Run `flow` to its end, blocking. A step's failure is raised inside the flow, where it asked."""
    try:
        step = next(flow)
        while True:
            try:
                result = step.block()
            except BaseException as error:
                step = flow.throw(error)
            else:
                step = flow.send(result)
    except StopIteration as end:
        value: T = end.value
        return value


async def adrive(flow: Flow[T]) -> T:
    """Run `flow` to its end, awaiting. A step's failure, cancellation included, is raised inside the flow.

    What a cancelled flow still asks for is its cleaning up: that is shielded from the cancellation.
    """
    cancelled = False
    try:
        step = next(flow)
        while True:
            try:
                if cancelled:
                    with anyio.CancelScope(shield=True):
                        result = await step.wait()
                else:
                    result = await step.wait()
            except BaseException as error:
                cancelled = cancelled or not isinstance(error, Exception)
                step = flow.throw(error)
            else:
                step = flow.send(result)
    except StopIteration as end:
        value: T = end.value
        return value


# Seconds by which an awaited step may be late before it is cut off: time to end by itself and say what it waited for.
_GRACE: Final = 0.1

_until: ContextVar[float] = ContextVar("l402_middleware until", default=math.inf)


def time_left(most: float) -> float:
    """The seconds that a running step may still take: `most`, or what `within` leaves of them."""
    return max(min(most, _until.get() - time.monotonic()), 0.0)


def within(seconds: float, flow: Flow[T], late: Callable[[], Exception]) -> Flow[T]:
    """`flow`, with `seconds` for all its steps together; when they are over, `late()` is raised inside it.

    An awaited step that is late is cancelled. A blocking one cannot be: it must keep to `time_left` by itself.
    """
    until = time.monotonic() + seconds
    try:
        step = next(flow)
        while True:
            try:
                result = yield _Limited(step, until, late)
            except BaseException as error:
                step = flow.throw(error)
            else:
                step = flow.send(result)
    except StopIteration as end:
        return cast(T, end.value)


class _Limited(Step[T]):
    """A step that must end by some moment."""

    def __init__(self, step: Step[T], until: float, late: Callable[[], Exception]) -> None:
        self._step = step
        self._until = until
        self._late = late

    def block(self) -> T:
        outer = self._begin()
        try:
            return self._step.block()
        finally:
            _until.reset(outer)

    async def wait(self) -> T:
        outer = self._begin()
        try:
            with anyio.move_on_after(self._until + _GRACE - time.monotonic()):
                return await self._step.wait()
        finally:
            _until.reset(outer)
        raise self._late()

    def _begin(self) -> Token[float]:
        if time.monotonic() >= self._until:
            raise self._late()
        return _until.set(min(self._until, _until.get()))


class Threads:
    """Worker threads, `count` of them for each event loop, apart from those that the application uses."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._limiters: PerLoop[anyio.CapacityLimiter] = PerLoop()

    def limiter(self) -> anyio.CapacityLimiter:
        """The running loop's."""
        return self._limiters.get(lambda: anyio.CapacityLimiter(self._count))


class Call(Step[T_co]):
    """A call of a function, plain or async, as a step.

    Awaited, a plain function runs in a worker thread, so that it never holds the event loop; blocking, an async one
    runs on an event loop of its own. There it has the `time_left`, and then raises `TimeoutError`; a plain function
    runs to its end in any case. `threads` are for plain functions, awaited; without them they run in the application's.
    """

    def __init__(self, function: Callable[..., Any], *args: Any, threads: Threads | None = None) -> None:
        self._function = function
        self._args = args
        self._threads = threads

    def block(self) -> T_co:
        result = self._function(*self._args)
        return cast(T_co, asyncio.run(_await(result)) if inspect.isawaitable(result) else result)

    async def wait(self) -> T_co:
        if inspect.iscoroutinefunction(inspect.unwrap(self._function)):
            result = self._function(*self._args)
        else:
            # In a list, because trio's threads refuse to hand over a coroutine that a plain function made.
            limiter = self._threads.limiter() if self._threads else None
            (result,) = await anyio.to_thread.run_sync(lambda: [self._function(*self._args)], limiter=limiter)
        return cast(T_co, await result if inspect.isawaitable(result) else result)


async def _await(awaitable: Awaitable[T]) -> T:
    left = time_left(math.inf)
    async with asyncio.timeout(left if left < math.inf else None):
        return await awaitable
