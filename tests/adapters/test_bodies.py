"""Bodies that ASGI requests are read whole for: given again as they were, and the event loop is kept by none of it."""

import threading
from hashlib import sha256
from itertools import pairwise
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l402_middleware.asgi.body import PORTION, KeptBody
from l402_middleware.core.errors import Refusal
from l402_middleware.paywall.body_budget import BodyBudget
from l402_middleware.paywall.request import SPOOL_BYTES, Body

SIZES = [0, 1, PORTION - 1, PORTION, PORTION + 1, SPOOL_BYTES - 1, SPOOL_BYTES, SPOOL_BYTES + 1, 3 * SPOOL_BYTES + 7]


class Watched(Body):
    """A body that notes which threads touch its file."""

    def __init__(self, limit: int = 10**9) -> None:
        super().__init__(limit)
        self.threads: list[tuple[str, bool]] = []

    def _note(self, what: str) -> None:
        self.threads.append((what, threading.current_thread() is threading.main_thread()))

    def store(self, chunks: Any) -> None:
        self._note("store")
        super().store(chunks)

    def chunks(self, size: int = PORTION) -> Any:
        for chunk in super().chunks(size):
            self._note("read")
            yield chunk

    def close(self) -> None:
        self._note("close")
        super().close()


async def keep(kept: KeptBody, content: bytes, edges: list[int]) -> None:
    """Write `content` in the pieces that end at `edges`."""
    ends = sorted({0, *(edge for edge in edges if edge < len(content)), len(content)})
    pieces = [content[start:end] for start, end in pairwise(ends)] or [b""]
    for number, piece in enumerate(pieces, 1):
        await kept.write(piece, is_last=number == len(pieces))


async def given_again(kept: KeptBody) -> bytes:
    """What the application gets, message by message."""
    content, more = b"", True
    while (message := await kept.message()) is not None:
        assert more, "a message after the last"
        content += message["body"]
        more = message["more_body"]
    assert not more, "no last message"
    return content


@pytest.mark.anyio
@pytest.mark.parametrize("size", SIZES)
async def test_a_body_is_given_again_as_it_came(size: int) -> None:
    """Whatever its length, and however it was cut into pieces on its way."""
    content = bytes(range(256)) * (size // 256) + bytes(size % 256)
    for step in (65536, 100_003):
        body = Body(10**9)
        kept = KeptBody(body)
        await keep(kept, content, list(range(0, size, step)))
        assert (body.size, body.digest) == (size, sha256(content).digest())
        assert await given_again(kept) == content
        await kept.close()


@given(st.binary(max_size=300), st.lists(st.integers(0, 300)))
def test_the_pieces_make_no_difference(content: bytes, edges: list[int]) -> None:
    """The digest is that of the whole, and the whole comes back."""

    async def there_and_back() -> None:
        body = Body(10**9)
        kept = KeptBody(body)
        await keep(kept, content, edges)
        assert body.digest == sha256(content).digest()
        assert await given_again(kept) == content
        await kept.close()

    anyio.run(there_and_back)


@pytest.mark.anyio
@pytest.mark.parametrize(("size", "in_loop"), [(SPOOL_BYTES, True), (SPOOL_BYTES + PORTION, False)])
async def test_a_file_on_a_disk_does_not_keep_the_event_loop(size: int, in_loop: bool) -> None:
    """What is in memory is written and read at once; a long body's file is written, read and deleted by a thread."""
    body = Watched()
    kept = KeptBody(body)
    await keep(kept, bytes(size), list(range(0, size, 65536)))
    await given_again(kept)
    await kept.close()
    seen = body.threads[body.threads.index(("store", False)) :] if not in_loop else body.threads
    assert {what for what, _ in seen} == {"store", "read", "close"}
    assert {was_loop for _, was_loop in seen} == {in_loop}


@pytest.mark.anyio
async def test_a_cancelled_request_gives_up_its_file_and_its_room() -> None:
    """The file of a request that ends in the middle is closed, and somebody else may have its room."""
    spool = BodyBudget(max_bodies=1, max_bytes=10**9, seconds=60)
    body = Body(10**9, spool)
    kept = KeptBody(body)
    with anyio.CancelScope() as scope:
        try:
            await kept.write(bytes(2 * SPOOL_BYTES), is_last=False)
            scope.cancel()
            await anyio.sleep(1)
        finally:
            await kept.close()
    assert (spool.bodies, spool.bytes) == (0, 0)


@pytest.mark.anyio
async def test_each_byte_counts_when_it_arrives() -> None:
    """A body is refused as soon as it is too long, whatever waits to be stored."""
    kept = KeptBody(Body(10))
    await kept.write(bytes(10), is_last=False)
    with pytest.raises(Refusal, match="larger than 10"):
        await kept.write(b"x", is_last=False)
    await kept.close()
