"""Counts what belongs to no payment, and hands it to the ledger in batches.

Strangers make most of these: a row for each would let them fill the ledger, so they are counted in memory
and written every few seconds. A killed worker loses its last seconds of them, never anything about a payment.
"""

import logging
import threading
from collections import Counter
from typing import Final

from ..core.errors import LedgerError
from ..flow import Flow, do
from ..ledgers.ledger import Ledger, Total, What, day_of

FLUSH_EVERY: Final = 10.0

# Of a day: where a host or a mount's parameter is in an endpoint's name, strangers choose it.
MAX_ENDPOINTS: Final = 1000
OTHER: Final = "(other)"

log = logging.getLogger("l402_middleware")


class Counters:
    """The counts of this process that the ledger does not have yet."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._counts: Counter[tuple[int, str, What]] = Counter()
        self._lock = threading.Lock()
        self._flushed_at = 0.0
        self._day = 0
        self._endpoints: set[str] = set()

    def add(self, what: What, endpoint: str, now: float) -> bool:
        """Count one; whether it is time to `flush`."""
        key = day_of(now), endpoint, what
        with self._lock:
            if key not in self._counts:
                key = self._bounded(*key)
            self._counts[key] += 1
            is_time = not 0 <= now - self._flushed_at < FLUSH_EVERY
            if is_time:
                self._flushed_at = now
        return is_time

    def _bounded(self, day: int, endpoint: str, what: What) -> tuple[int, str, What]:
        """What to count it as: of a day, the first endpoints have names."""
        if self._day != day:
            self._day = day
            self._endpoints.clear()
        if len(self._endpoints) < MAX_ENDPOINTS:
            self._endpoints.add(endpoint)
        return day, endpoint if endpoint in self._endpoints else OTHER, what

    def flush(self) -> Flow[None]:
        """Write what has been counted. A ledger that fails gets it with a later batch."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
        if not counts:
            return
        try:
            yield from do(self._ledger.count([Total(*key, count) for key, count in counts.items()]))
        except LedgerError as error:
            log.debug("the record's counts are kept for a later batch: %s", error)
            with self._lock:
                self._counts.update(counts)
