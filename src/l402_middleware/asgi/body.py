"""A request's body: read whole for the paywall, and given again to the application; or read and forgotten."""

from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import anyio
import anyio.to_thread

from ..core.errors import Refusal
from ..exchange import unread
from ..flow import Threads
from ..paywall.body_budget import too_slow
from ..paywall.request import SPOOL_BYTES, Body, announced_length
from .scope import Message, Receive, Scope, is_http_1

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

    async def fill(self, scope: Scope, receive: Receive) -> None:
        """Take the whole body. Raises `Refusal` where it is too long, comes too slowly, or not to its end."""
        for value in _fields(scope, b"content-length"):
            self._body.expect(announced_length(value) or 0)
        more = True
        while more:
            with anyio.move_on_after(self._body.seconds_left()) as in_time:
                message = await receive()
            if in_time.cancelled_caught:
                raise too_slow()
            if message["type"] == "http.disconnect":
                raise Refusal(400, "incomplete-body", "The connection ended before the request's body did.")
            more = message.get("more_body", False)
            await self.write(message.get("body", b""), is_last=not more)

    async def write(self, piece: bytes, *, is_last: bool) -> None:
        """Take the next piece. Raises `Refusal` as `Body.count` does."""
        self._body.count(len(piece))
        self._arrived.append(piece)
        if is_last or self._body.size - self._stored >= PORTION:
            arrived, self._arrived, self._stored = self._arrived, [], self._body.size
            await self._step(self._body.store, arrived)

    async def message(self) -> Message | None:
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


def has_unread_body(scope: Scope) -> bool:
    """Whether an early answer has to take the rest of this request's body; HTTP/2 and 3 have no such need."""
    return is_http_1(scope) and unread.is_worth_reading(
        next((announced_length(value) for value in _fields(scope, b"content-length")), None),
        is_chunked=any(_fields(scope, b"transfer-encoding")),
        expects=any(_fields(scope, b"expect")),
    )


async def drain(receive: Receive) -> None:
    """Read what is left of a body, within bounds."""
    size, more = 0, True
    with anyio.move_on_after(unread.SECONDS):
        while more and size < unread.BYTES:
            message = await receive()
            size += len(message.get("body", b""))
            more = message.get("more_body", False)


def _fields(scope: Scope, wanted: bytes) -> Iterator[str]:
    return (value.decode("latin-1") for name, value in scope["headers"] if name.lower() == wanted)
