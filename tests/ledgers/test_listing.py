"""Which payments an operator is shown."""

import pytest

from l402_middleware.flow import drive
from l402_middleware.ledgers import MemoryLedger, listing
from l402_middleware.ledgers.ledger import History
from l402_middleware.testing.ledger_steps import claim


@pytest.mark.parametrize(
    ("bought", "settled", "closed_with", "left", "states"),
    [
        (1, 0, None, 1, {"undelivered", "open-balance"}),
        (1, 1, None, 0, {"delivered"}),
        (5, 2, None, 3, {"delivered", "open-balance"}),
        (5, 2, 3, 0, {"delivered", "refunded"}),
        (5, 0, 5, 0, {"refunded"}),
        (5, 0, 0, 0, set()),
        (None, 0, None, None, {"delivered"}),
        (None, 0, 0, 0, {"delivered"}),
    ],
)
def test_states(bought: int | None, settled: int, closed_with: int | None, left: int | None, states: set[str]) -> None:
    """What is owed and what is delivered follow from the units alone."""
    payment = History(b"h", b"t", "GET /", 21_000, bought, settled, 0.0, "l402", "", closed_with, ())
    assert listing.left_of(payment) == left
    assert listing.states_of(payment) == states


def test_all_pages_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger of more payments than a page has is told whole, the newest first."""
    monkeypatch.setattr(listing, "PAGE", 3)
    ledger = MemoryLedger()
    claims = [claim(1000.0 + number) for number in range(10)]
    for each in claims:
        ledger.hold(each).block()
    found = drive(listing.payments(ledger, listing.Wanted(since=1002)))
    assert [each.payment_hash for each in found] == [each.payment_hash for each in reversed(claims[2:])]
