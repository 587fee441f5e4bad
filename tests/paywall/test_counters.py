"""The counts of what belongs to no payment: when they are written, and what becomes of them until then."""

import logging

import pytest

from l402_middleware.flow import drive
from l402_middleware.ledgers.ledger import Total, day_of
from l402_middleware.paywall.counters import Counters

from .test_redemption import Ledger

NOW = 1000.0
DAY = day_of(NOW)


@pytest.mark.parametrize(
    ("later", "is_time"), [(0, False), (0.5, False), (9.999, False), (10, True), (900, True), (-0.001, True)]
)
def test_when_it_is_time(later: float, is_time: bool) -> None:
    """At the first, then ten seconds after the last time, and wherever the clock was moved back; each time once."""
    tallies = Counters(Ledger())
    assert tallies.add("offered", "GET /thing", NOW)
    assert tallies.add("offered", "GET /thing", NOW + later) == is_time
    assert not tallies.add("offered", "GET /thing", NOW + later)


def test_what_is_written(caplog: pytest.LogCaptureFixture) -> None:
    """All that was counted, once, also where the ledger was away before; and nothing where nothing was counted."""
    caplog.set_level(logging.DEBUG)
    ledger = Ledger()
    tallies = Counters(ledger)
    drive(tallies.flush())
    assert ledger.writes == 0
    ledger.away = True
    for _ in range(2):
        tallies.add("offered", "GET /thing", NOW)
    drive(tallies.flush())
    assert "kept for a later batch: away" in caplog.text
    ledger.away = False
    tallies.add("offered", "GET /thing", NOW)
    tallies.add("refused", "GET /other", NOW)
    drive(tallies.flush())
    drive(tallies.flush())
    assert ledger.writes == 2
    written = ledger.totals(DAY, DAY).block()
    assert sorted(written, key=lambda total: total.what) == [
        Total(DAY, "GET /thing", "offered", 3),
        Total(DAY, "GET /other", "refused", 1),
    ]
