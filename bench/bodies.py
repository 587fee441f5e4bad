"""A body hashed for a request-bound sale while it is spooled: its time and its memory."""

import asyncio
import time
from collections.abc import Callable, Iterator
from hashlib import sha256

from l402_middleware import Paywall
from l402_middleware.ledgers import MemoryLedger
from l402_middleware.paywall.request import Body
from l402_middleware.providers import DevNode

from .apps import starlette_app
from .in_process import asgi
from .measure import Result, from_times, in_own_process, peak
from .sales import BOUND, FREE, KEY, ROOM

MB = 1_000_000
PIECE = bytes(64 * 1024)
PIECES = 100 * 1024 * 1024 // len(PIECE)
AT_ONCE = 20


def results() -> Iterator[Result]:
    """The time for 100 MB, and the growth of the process's peak memory, each in a process of its own."""
    times = [(_seconds(_spool), _seconds(_hash)) for _ in range(15)]
    yield from_times("100 MB body hashed and spooled, against SHA-256 alone", times, 2.0)
    for name, function, allowed in (
        ("memory for a 100 MB body, against 4 MB", _one_body, 4 * MB),
        (f"memory for {AT_ONCE} bodies of 50 MB at once, against 4 MB each", _many_bodies, AT_ONCE * 4 * MB),
    ):
        grown = in_own_process(function)
        yield Result(name, grown / allowed, 1.0, grown / MB, allowed / MB, "MB")


def _one_body() -> int:
    before = peak()
    _spool()
    return peak() - before


def _many_bodies() -> int:
    """Through the whole middleware, all of them under way at the same time."""
    paywall = Paywall(DevNode(), MemoryLedger(), secret_keys=[KEY], spool_bytes=ROOM)
    app = starlette_app.create(paywall)
    call = next(BOUND[2].calls())

    async def send_all() -> int:
        await asgi(app, next(FREE.calls()), 200)
        before = peak()
        await asyncio.gather(*(asgi(app, call, 200, lets_others_go_on=True) for _ in range(AT_ONCE)))
        return peak() - before

    return asyncio.run(send_all())


def _spool() -> None:
    body = Body(len(PIECE) * PIECES)
    for _ in range(PIECES):
        body.write(PIECE)
    assert body.digest
    body.close()


def _hash() -> None:
    digest = sha256()
    for _ in range(PIECES):
        digest.update(PIECE)
    digest.digest()


def _seconds(function: Callable[[], None]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started
