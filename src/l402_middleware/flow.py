"""Every I/O that a paywall needs, asked for in one vocabulary and carried out by two drivers.

The paywall is written once, as generators that ask for steps. A blocking server drives them with
`drive`, an awaiting one with `adrive`; the generators never know which.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Protocol, TypeAlias, TypeVar, cast

import anyio
import anyio.to_thread

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
        return cast(T, end.value)


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
        return cast(T, end.value)


def asyncio_loop() -> asyncio.AbstractEventLoop | None:
    """The running loop, where the caller is an asyncio task; trio as a guest runs inside a loop without being one."""
    try:
        return asyncio.get_running_loop() if asyncio.current_task() is not None else None
    except RuntimeError:
        return None


class Call(Step[T_co]):
    """A call of somebody else's function, plain or async, as a step.

    Awaited, a plain function runs in a worker thread, so that it never holds the event loop; blocking,
    an async one runs to its end on an event loop of its own.
    """

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self._function = function
        self._args = args

    def block(self) -> T_co:
        result = self._function(*self._args)
        return cast(T_co, asyncio.run(_await(result)) if inspect.isawaitable(result) else result)

    async def wait(self) -> T_co:
        if inspect.iscoroutinefunction(inspect.unwrap(self._function)):
            result = self._function(*self._args)
        else:
            # In a list, because trio's threads refuse to hand over a coroutine that a plain function made.
            (result,) = await anyio.to_thread.run_sync(lambda: [self._function(*self._args)])
        return cast(T_co, await result if inspect.isawaitable(result) else result)


async def _await(awaitable: Awaitable[T]) -> T:
    return await awaitable
