"""A body of 100 MB hashed for a request-bound sale while it is spooled, against SHA-256 over the same pieces alone."""

import resource
import time
from collections.abc import Iterator
from hashlib import sha256

from l402_middleware.paywall.request import Body

from .measure import Result, from_times

SIZE = 100 * 1024 * 1024
PIECE = bytes(64 * 1024)
PIECES = SIZE // len(PIECE)


def results() -> Iterator[Result]:
    """Time, and the growth of the process's peak memory in bytes against four megabytes."""
    before = _peak()
    times = [(_seconds(_spool), _seconds(_hash)) for _ in range(15)]
    grown = max(_peak() - before, 1)
    yield from_times("100 MB body hashed and spooled, against SHA-256 alone", times, 2.0)
    yield Result("memory for a 100 MB body, against 4 MB", grown / 4e6, 1.0, grown / 1e6, 4.0)


def _spool() -> None:
    body = Body(SIZE)
    for _ in range(PIECES):
        body.write(PIECE)
    assert body.digest
    body.close()


def _hash() -> None:
    digest = sha256()
    for _ in range(PIECES):
        digest.update(PIECE)
    digest.digest()


def _seconds(function: object) -> float:
    assert callable(function)
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
