"""What belongs to one event loop of several, asyncio's or trio's, and how to wake from outside who waits on one."""

import asyncio
import sys
import threading
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final, Generic, TypeAlias, TypeVar

import anyio

T = TypeVar("T")

Loop: TypeAlias = Any
"""An event loop: asyncio's own object, or trio's token for it."""


def asyncio_loop() -> asyncio.AbstractEventLoop | None:
    """The running loop, where the caller is an asyncio task; trio as a guest runs inside a loop without being one."""
    try:
        return asyncio.get_running_loop() if asyncio.current_task() is not None else None
    except RuntimeError:
        return None


def running_loop() -> Loop:
    """The loop that the caller is a task of. Raises `RuntimeError` outside of any."""
    loop = asyncio_loop()
    if loop is not None:
        return loop
    trio = sys.modules.get("trio")
    if trio is None:
        raise RuntimeError("there is no event loop here")
    return trio.lowlevel.current_trio_token()


def call_soon(loop: Loop, function: Callable[[], object]) -> None:
    """Have `loop` call `function`, from any thread; where the loop is over, nothing happens."""
    # trio's RunFinishedError is a RuntimeError too.
    with suppress(RuntimeError):
        (loop.call_soon_threadsafe if isinstance(loop, asyncio.AbstractEventLoop) else loop.run_sync_soon)(function)


class PerLoop(Generic[T]):
    """A value for each event loop.

    It is let go with its loop, or with this object. Then `end` is awaited in that loop, if that still runs: it may be
    under cancellation. A value may hold its loop: a `RunVar`, which holds the value for as long as the loop is there,
    would then keep both for ever.
    """

    def __init__(self, end: Callable[[T], Awaitable[None]] | None = None) -> None:
        self._end = end
        self._kept: dict[Loop, tuple[T, AsyncGenerator[None]]] = {}
        weakref.finalize(self, _end_on_trio, self._kept).atexit = False

    def get(self, make: Callable[[], T]) -> T:
        """The running loop's, made where there is none yet. Raises `RuntimeError` outside of any."""
        loop = running_loop()
        kept = self._kept.get(loop)
        if kept is None:
            self._forget_the_closed()
            value = make()
            # Both kinds of loop end the asynchronous generators that began in them, when they shut down.
            lifetime = _lifetime(weakref.ref(self), loop, value, self._end)
            with suppress(StopIteration):
                anext(lifetime).__await__().__next__()
            kept = self._kept[loop] = (value, lifetime)
        return kept[0]

    async def close(self) -> None:
        """End the running loop's value, if it has one. A later `get` makes another."""
        kept = self._kept.get(running_loop())
        if kept is not None:
            await kept[1].aclose()

    def forget(self, loop: Loop) -> None:
        """Let go of what that loop had."""
        self._kept.pop(loop, None)

    def _forget_the_closed(self) -> None:
        # A loop that was closed without `shutdown_asyncgens`.
        for loop in list(self._kept):
            if isinstance(loop, asyncio.AbstractEventLoop) and loop.is_closed():
                self.forget(loop)


def _end_on_trio(kept: dict[Loop, tuple[Any, AsyncGenerator[None]]]) -> None:
    # asyncio ends a generator that nobody has any more by itself; trio does too, and warns of it.
    for loop, (_, lifetime) in kept.items():
        if not isinstance(loop, asyncio.AbstractEventLoop):
            call_soon(loop, partial(sys.modules["trio"].lowlevel.spawn_system_task, lifetime.aclose))


async def _lifetime(
    owner: "weakref.ref[PerLoop[T]]", loop: Loop, value: T, end: Callable[[T], Awaitable[None]] | None
) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        if (this := owner()) is not None:
            this.forget(loop)
        if end is not None:
            # It is over anyway, and nobody is there to be told.
            with suppress(Exception):
                await end(value)


class Signal:
    """Given once, to all who wait for it: threads, and tasks of any event loop."""

    def __init__(self) -> None:
        self._given: Final = threading.Event()
        self._lock: Final = threading.Lock()
        self._loops: dict[Loop, anyio.Event] = {}

    def give(self) -> None:
        """Wake all who wait; who comes later does not wait."""
        with self._lock:
            self._given.set()
            loops, self._loops = self._loops, {}
        for loop, event in loops.items():
            call_soon(loop, event.set)

    def block(self, seconds: float) -> bool:
        """For a thread: whether it came within `seconds`."""
        return self._given.wait(seconds)

    async def wait(self, seconds: float) -> bool:
        """For a task: whether it came within `seconds`."""
        with self._lock:
            if self._given.is_set():
                return True
            # One for each loop, however many wait there.
            loop = running_loop()
            event = self._loops.get(loop)
            if event is None:
                event = self._loops[loop] = anyio.Event()
        with anyio.move_on_after(seconds):
            await event.wait()
        return self._given.is_set()
