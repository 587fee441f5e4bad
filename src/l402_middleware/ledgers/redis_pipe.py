"""The connection of an event loop to a Redis: what its tasks ask for goes out together, in the order they asked."""

import asyncio
import os
import weakref
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import suppress
from typing import Any, Final, Protocol, TypeAlias

import redis.asyncio

BATCH: Final = 256
"""How many commands of an event loop go out together at most."""


class Forgetful(Protocol):
    """Whoever has pipes, and is told when a loop is over, and its pipe with it."""

    def forget(self, loop: asyncio.AbstractEventLoop) -> None: ...


_Waiting: TypeAlias = tuple[tuple[Any, ...], float, "asyncio.Future[Any]"]
"""A command, the time of the loop until which it may take, and who waits for its outcome."""


class Pipe:
    """The connection of one event loop, until the loop shuts down."""

    def __init__(self, client: redis.asyncio.Redis, timeout: float) -> None:
        self.process = os.getpid()
        self._client = client
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Waiting] = deque()
        self._pump: asyncio.Task[None] | None = None
        self._lifetime: AsyncGenerator[None] | None = None

    async def open(self, server: Callable[[], "Forgetful | None"]) -> None:
        # When a loop shuts down, it ends the asynchronous generators that began in it.
        self._lifetime = _until_shutdown(self._client, self._loop, server)
        await anext(self._lifetime)
        weakref.finalize(self, _soon, self._loop, self._client.connection_pool.disconnect).atexit = False

    def send(self, command: tuple[Any, ...]) -> "asyncio.Future[Any]":
        future = self._loop.create_future()
        self._waiting.append((command, self._loop.time() + self._timeout, future))
        if self._pump is None:
            self._pump = self._loop.create_task(self._send_all())
        return future

    def close_soon(self) -> None:
        _soon(self._loop, self._disconnect)

    async def _disconnect(self) -> None:
        if self._pump is not None:
            await self._pump
        await self._client.connection_pool.disconnect(inuse_connections=False)

    async def _send_all(self) -> None:
        batch: list[_Waiting] = []
        try:
            while self._waiting:
                batch = []
                while self._waiting and len(batch) < BATCH:
                    command, deadline, future = self._waiting.popleft()
                    if not future.done():
                        batch.append((command, deadline, future))
                if batch:
                    await self._send(batch)
        finally:
            self._pump = None
            # All are done, unless the loop shuts down.
            for _, _, future in (*batch, *self._waiting):
                future.cancel()
            self._waiting.clear()

    async def _send(self, batch: list[_Waiting]) -> None:
        outcomes: list[Any]
        try:
            async with asyncio.timeout_at(batch[0][1]):
                pipeline = self._client.pipeline(transaction=False)
                for command, _, _ in batch:
                    pipeline.execute_command(*command)
                outcomes = await pipeline.execute(raise_on_error=False)
        except Exception as error:  # whatever it is, those who wait must hear of it
            outcomes = [error] * len(batch)
        for (_, _, future), outcome in zip(batch, outcomes, strict=True):
            if not future.done():
                future.set_result(outcome)


def _soon(loop: asyncio.AbstractEventLoop, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with suppress(RuntimeError):  # the loop was closed, and its connection with it
        loop.call_soon_threadsafe(lambda: loop.create_task(work()))


async def _until_shutdown(
    client: redis.asyncio.Redis, loop: asyncio.AbstractEventLoop, server: Callable[[], "Forgetful | None"]
) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        if (this := server()) is not None:
            this.forget(loop)
        await client.connection_pool.disconnect()
