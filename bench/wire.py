"""Requests over loopback sockets: uvicorn and granian with Starlette, gunicorn with Flask, bare and charged for.

Reported, without bars: client and server share the machine, and what a pause in the middleware costs there depends
on the server more than on us.
"""

import statistics
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice

from .client import raw, seconds_per_request
from .databases import Ledgers, versions
from .measure import Result
from .sales import BOUND, BUNDLE, FREE, KEY, PASS, ROOM, SINGLE, UNPAID, Load
from .servers import running

PAIRS = 5
REQUESTS = 2000

SERVERS = (
    ("uvicorn", "starlette_app:served"),
    ("granian", "starlette_app:served"),
    ("gunicorn", "flask_app:served"),
)


def settings(ledger: str) -> dict[str, str]:
    """What makes a served application charge."""
    room = {"L402_SPOOL_BYTES": str(ROOM)}
    return {"L402_DEV": "1", "L402_PROVIDER": "dev:", "L402_SECRET_KEYS": KEY, "L402_LEDGER": ledger, **room}


__all__ = ["results", "versions"]


def results() -> Iterator[Result]:
    """Every load on every server, and single uses and bundles on every ledger there is here."""
    with Ledgers() as ledgers:
        for server, app in SERVERS:
            with running(server, app) as bare:
                for ledger, url in ledgers.urls():
                    with ExitStack() as stack:
                        ours = stack.enter_context(running(server, app, settings(url)))
                        for load in (FREE, PASS, UNPAID, *BOUND) if ledger == "memory" else ():
                            yield share(f"wire, {server}, {load.name}", ours, bare, load)
                        for load in (SINGLE, BUNDLE):
                            yield share(f"wire, {server}, {load.name} on {ledger}", ours, bare, load)


def share(name: str, ours: int, bare: int, load: Load, note: str = "") -> Result:
    """The requests per second of one port, as a share of the other's, in alternating runs."""
    count = max(8, int(REQUESTS / max(1, load.takes / 10)))
    rates = []
    for _ in range(PAIRS):
        requests = [raw(call) for call in islice(load.calls(), count)]
        rates.append(
            (1 / seconds_per_request(ours, requests, load.status), 1 / seconds_per_request(bare, requests, 200))
        )
    return from_rates(name, rates, note)


def from_rates(name: str, rates: list[tuple[float, float]], note: str = "") -> Result:
    """A share that is only reported, of pairs in requests per second."""
    shares = statistics.median(subject / floor for subject, floor in rates)
    subject, floor = (statistics.median(side) for side in zip(*rates, strict=True))
    return Result(name, shares, None, subject, floor, "req/s", note)
