"""Listeners for `Paywall(observe=...)` that are ready to use."""

import logging

from . import events

__all__ = ["log_sales"]

log = logging.getLogger("l402_middleware.sales")


def log_sales(event: events.Event) -> None:
    """Log each payment once, when it is first shown: a line at INFO, on the logger `l402_middleware.sales`.

    The line has the amount in msat, the endpoint and the payment hash. Several processes, and one after a restart, may
    each log the same payment; the ledger's record counts it once.
    """
    if isinstance(event, events.Paid):
        # A path that strangers choose must not begin a line of its own.
        log.info("paid %d msat for %s: payment %s", event.msat, ascii(event.endpoint)[1:-1], event.payment_hash)
