"""The listeners that are ready to use."""

import logging

import pytest

from l402_middleware import events
from l402_middleware.observers import log_sales


def test_a_line_for_each_sale(caplog: pytest.LogCaptureFixture) -> None:
    """A payment is one line at INFO, whatever is in the endpoint's name; what else happens is none."""
    caplog.set_level(logging.INFO, "l402_middleware.sales")
    log_sales(events.Paid(1.0, "GET /a\nb", "ab" * 32, 21_500))
    log_sales(events.Settled(2.0, "GET /a\nb", "ab" * 32, 0.1))
    log_sales(events.Refused(3.0, "GET /a", 409, "in-use"))
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.INFO, rf"paid 21500 msat for GET /a\nb: payment {'ab' * 32}")
    ]
