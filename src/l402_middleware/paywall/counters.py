"""Counts what belongs to no payment, and hands it to the ledger in batches.

Strangers make most of these: a row for each would let them fill the ledger, so they are counted in memory and written
every few seconds, by a thread that is there while there is something to write, and when the process ends. A killed
worker loses its last seconds of them, never anything about a payment.
"""

import atexit
import logging
import os
import threading
import time
from collections import Counter
from typing import Final
from weakref import WeakSet

from ..core.errors import LedgerError
from ..events import Admitted, Challenged
from ..flow import Flow, do, drive
from ..ledgers.ledger import Ledger, Total, What, day_of

FLUSH_EVERY: Final = 5.0

# Of a day: where a host or a mount's parameter is in an endpoint's name, strangers choose it.
MAX_ENDPOINTS: Final = 1000
OTHER: Final = "(other)"

log = logging.getLogger("l402_middleware")


class Counters:
    """The counts of this process that the ledger does not have yet, made from the events of `KINDS`."""

    KINDS: Final = (Challenged, Admitted)

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._day = 0
        self._endpoints: set[str] = set()
        self.start_anew()
        _writer.everybody.add(self)

    def start_anew(self) -> None:
        """Nothing is counted yet. In a forked child too: its parent writes what that has counted."""
        self._counts: Counter[tuple[int, str, What]] = Counter()
        self._lock = threading.Lock()

    def __call__(self, event: Challenged | Admitted) -> None:
        """Count a challenge, or a use of a pass; the ledger itself counts what has a hold."""
        if isinstance(event, Challenged):
            self.add("offered" if event.why is None else "refused", event.endpoint, event.at)
        elif event.uses_left is None:
            self.add("delivered", event.endpoint, event.at)

    def add(self, what: What, endpoint: str, now: float) -> None:
        """Count one. The ledger has it within `FLUSH_EVERY` seconds, unless it fails."""
        key = day_of(now), endpoint, what
        with self._lock:
            is_first = not self._counts
            if key not in self._counts:
                key = self._bounded(*key)
            self._counts[key] += 1
        if is_first:
            _writer.will_write(self)

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
        except BaseException as error:
            with self._lock:
                self._counts.update(counts)
            _writer.will_write(self)
            if not isinstance(error, LedgerError):
                raise


class _Writer:
    """The one thread of a process that writes counts; it ends where there are none left."""

    def __init__(self) -> None:
        self.everybody: WeakSet[Counters] = WeakSet()
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._waiting: set[Counters] = set()
        self._is_running = False

    def after_fork(self) -> None:
        """In the child there is no such thread, and any lock may be held by one that is not there either."""
        self._begin()
        for counters in self.everybody:
            counters.start_anew()

    def will_write(self, counters: Counters) -> None:
        with self._lock:
            self._waiting.add(counters)
            if not self._is_running:
                self._is_running = True
                threading.Thread(target=self._run, name="l402-counters", daemon=True).start()

    def write(self) -> None:
        """Write everything now."""
        with self._lock:
            waiting, self._waiting = self._waiting, set()
        for counters in waiting:
            try:
                drive(counters.flush())
            except Exception as error:  # whatever a ledger raises: the others' counts do not go for it
                log.warning("the record's counts are kept for a later batch: %s", type(error).__name__)

    def _run(self) -> None:
        while True:
            time.sleep(FLUSH_EVERY)
            self.write()
            with self._lock:
                if not self._waiting:
                    self._is_running = False
                    return


_writer = _Writer()

atexit.register(_writer.write)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_writer.after_fork)
