"""A hundred thousand unpaid challenges: neither memory nor the ledger's file grows with them."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from l402_middleware import Offer, Paywall, RequestView
from l402_middleware.flow import Step, drive
from l402_middleware.paywall.request import Body
from l402_middleware.providers import DevNode

from .measure import Result, in_own_process, resident

CHALLENGES = 100_000
WARM_UP = 2_000


def results() -> Iterator[Result]:
    """Resident memory and the size of the file after the flood, against before it."""
    resident_before, resident_after, stored_before, stored_after = in_own_process(_flood)
    for what, before, after, bar in (
        ("memory", resident_before, resident_after, 1.1),
        ("ledger", stored_before, stored_after, 1.0),
    ):
        name = f"{what} after 100,000 unpaid challenges, against before"
        yield Result(name, after / before, bar, after / 1e6, before / 1e6, "MB")


def _flood() -> tuple[int, int, int, int]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        paywall = Paywall(DevNode(), f"sqlite:///{path}")
        offer = Offer(21)
        _challenge(paywall, offer, WARM_UP)
        paywall.close()
        before, stored = resident(), path.stat().st_size
        _challenge(paywall, offer, CHALLENGES)
        paywall.close()
        return before, resident(), stored, path.stat().st_size


def _challenge(paywall: Paywall, offer: Offer, times: int) -> None:
    for _ in range(times):
        drive(paywall.admit(RequestView("GET", "GET /", "/", b"", [], "127.0.0.1", _no_body), offer))


def _no_body(limit: int) -> Step[Body]:
    raise AssertionError("a fixed price reads no body")
