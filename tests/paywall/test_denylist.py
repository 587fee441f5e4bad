"""The copy of the revoked tokens: how old it may get, and what happens when the ledger is away."""

import pytest

from l402_middleware import LedgerError
from l402_middleware.flow import drive
from l402_middleware.paywall.denylist import Denylist

from .test_redemption import Ledger

TOKEN = bytes(32)
NOW = 1000.0


@pytest.mark.parametrize(
    ("later", "due"), [(0, False), (0.5, False), (4.999, False), (5, True), (900, True), (-0.001, True), (-900, True)]
)
def test_when_it_is_due(later: float, due: bool) -> None:
    """Five seconds after it was asked for, and wherever the clock was moved back."""
    denylist = Denylist(Ledger())
    assert denylist.is_due(NOW)
    drive(denylist.refresh(NOW))
    assert denylist.is_due(NOW + later) == due


@pytest.mark.parametrize(("later", "counts"), [(0, True), (0.5, True), (59.999, True), (60, False), (-0.001, False)])
def test_how_long_it_counts(later: float, counts: bool) -> None:
    """A minute without the ledger: then nobody knows any more who was revoked, and nobody is let in."""
    denylist = Denylist(Ledger())
    drive(denylist.refresh(NOW))
    if counts:
        assert not denylist.has(TOKEN, NOW + later)
    else:
        with pytest.raises(LedgerError, match="revoked tokens cannot be read"):
            denylist.has(TOKEN, NOW + later)


def test_a_ledger_that_is_away(caplog: pytest.LogCaptureFixture) -> None:
    """The last list counts on, the operator reads why, and the next refresh asks again."""
    ledger = Ledger()
    denylist = Denylist(ledger)
    ledger.revoke(TOKEN).block()
    drive(denylist.refresh(NOW))
    ledger.away = True
    drive(denylist.refresh(NOW + 10))
    assert "the last one counts for a minute: away" in caplog.text
    assert denylist.has(TOKEN, NOW + 59)
    assert not denylist.is_due(NOW + 14)
    ledger.away = False
    drive(denylist.refresh(NOW + 70))
    assert denylist.has(TOKEN, NOW + 120)
