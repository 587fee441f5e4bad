"""A request's body: read whole for the paywall, and given again to the application."""

from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import anyio
import anyio.to_thread

from ..flow import Threads
from ..paywall.request import SPOOL_BYTES, Body

T = TypeVar("T")

# Of our own: the application's may all be busy, and the client has only so long to send its body.
THREADS: Final = Threads(8)

# What a thread takes at once: waking it costs as much as hashing 64 KiB.
PORTION: Final = 256 * 1024


class KeptBody:
    """A body, and what of it the application was given.

    Where it is too long for memory, a thread writes, reads and deletes it: deleting 50 MB alone would keep the event
    loop for 5 to 40 ms, and a busy disk for longer.
    """

    def __init__(self, body: Body) -> None:
        self._body = body
        self._arrived: list[bytes] = []
        self._stored = 0
        self._chunks: Iterator[bytes] | None = None
        self._given = 0

    async def write(self, piece: bytes, *, is_last: bool) -> None:
        """Take the next piece. Raises `Refusal` as `Body.count` does."""
        self._body.count(len(piece))
        self._arrived.append(piece)
        if is_last or self._body.size - self._stored >= PORTION:
            arrived, self._arrived, self._stored = self._arrived, [], self._body.size
            await self._step(self._body.store, arrived)

    async def message(self) -> dict[str, Any] | None:
        """The next `http.request` message for the application; None after the last."""
        if self._chunks is None:
            self._chunks = self._body.chunks(PORTION)
        elif self._given == self._body.size:
            return None
        chunk = await self._step(next, self._chunks, b"")
        self._given += len(chunk)
        return {"type": "http.request", "body": chunk, "more_body": self._given < self._body.size}

    async def close(self) -> None:
        """Give up the memory or the file, and the room; also where the request was cancelled."""
        if self._is_in_memory:
            self._body.close()
        else:
            with anyio.CancelScope(shield=True):
                await self._step(self._body.close)

    @property
    def _is_in_memory(self) -> bool:
        return self._body.size <= SPOOL_BYTES

    async def _step(self, function: Callable[..., T], *args: Any) -> T:
        """Call what touches the body, which is a file as soon as it is longer than what is kept in memory."""
        if self._is_in_memory:
            return function(*args)
        return await anyio.to_thread.run_sync(function, *args, limiter=THREADS.limiter())
