"""A hundred thousand unpaid challenges: neither memory nor the ledger's file grows with them."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from l402_middleware import Offer, Paywall, RequestView
from l402_middleware.flow import Step, drive
from l402_middleware.paywall.request import Body
from l402_middleware.providers import DevNode

from .measure import Result

CHALLENGES = 100_000
WARM_UP = 2_000


def results() -> Iterator[Result]:
    """Resident memory and the size of the file after the flood, against before it."""
    os.environ["L402_DEV"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        paywall = Paywall(DevNode(), f"sqlite:///{path}")
        offer = Offer(21)
        _challenge(paywall, offer, WARM_UP)
        paywall.close()
        resident, stored = _resident(), path.stat().st_size
        _challenge(paywall, offer, CHALLENGES)
        paywall.close()
        grown, more = _resident() / resident, path.stat().st_size / stored
        yield Result(
            "memory after 100,000 unpaid challenges, against before", grown, 1.1, _resident() / 1e6, resident / 1e6
        )
        yield Result("ledger after 100,000 unpaid challenges, against before", more, 1.0, stored / 1e6, stored / 1e6)


def _challenge(paywall: Paywall, offer: Offer, times: int) -> None:
    for _ in range(times):
        drive(paywall.admit(RequestView("GET", "GET /", "/", b"", [], "127.0.0.1", _no_body), offer))


def _no_body(limit: int) -> Step[Body]:
    raise AssertionError("a fixed price reads no body")


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
