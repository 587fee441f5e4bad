"""The uses of payments that this process holds for its running handlers.

A handler may take longer than a lease, and may block its event loop or its thread while it does; so a
daemon thread renews the holds of the whole process. It dies with the process, and then the leases end.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar
from weakref import WeakSet

from .. import events
from ..core.errors import LedgerError
from ..flow import Flow, do
from ..ledgers.ledger import Claim, Held, Ledger, Outcome
from .observers import Observers

T = TypeVar("T")

log = logging.getLogger("l402_middleware")


@dataclass(slots=True, weakref_slot=True, eq=False)
class Hold:
    """One use of a payment, held by this process for a running handler.

    Renewed only while somebody has it: the use of a delivery that was dropped unfinished is free after a lease.
    """

    payment_hash: bytes
    hold_id: bytes
    renewed_at: float
    endpoint: str = ""
    taken_at: float = 0
    is_taken: bool = False


class Holds:
    """Takes, renews, settles and releases holds; each lasts `lease` seconds from its last renewal."""

    def __init__(self, ledger: Ledger, lease: float, clock: Callable[[], float], observers: Observers) -> None:
        self._ledger = ledger
        self._lease = lease
        self._clock = clock
        self._observers = observers
        self._running: WeakSet[Hold] = WeakSet()
        self._lock = threading.Lock()
        self._pid = 0

    def take(self, claim: Claim) -> Flow[tuple[Outcome, Hold]]:
        """Ask the ledger for a use; the hold counts where the outcome is `Held`. Raises `LedgerError`."""
        now = time.monotonic()
        hold = Hold(claim.payment_hash, claim.hold_id, now, claim.endpoint, now)
        # Cancelled or failed half-way, the ledger may have taken it all the same.
        outcome = yield from self.guard(hold, do(self._ledger.hold(claim)))
        if isinstance(outcome, Held) and claim.bought is not None:
            hold.is_taken = True
            self._keep_alive(hold)
        return outcome, hold

    def guard(self, hold: Hold, flow: Flow[T]) -> Flow[T]:
        """Run `flow`, and release the hold where it fails or is cancelled."""
        try:
            return (yield from flow)
        except GeneratorExit:
            # The driver itself is gone, and nothing can be asked of it any more: the lease will end.
            raise
        except BaseException:
            yield from self.release(hold)
            raise

    def settle(self, hold: Hold, packed: bytes | None, replay_for: float) -> Flow[bool]:
        """Turn a hold into a delivery; False where its lease was lost to another request. Raises `LedgerError`."""
        self._forget(hold)
        now = self._clock()
        settling = self._ledger.settle(hold.payment_hash, hold.hold_id, 1, now, packed, now + replay_for)
        # Cancelled or failed, the answer is not delivered: without the release the client waits for the lease to end.
        settled: bool = yield from self.guard(hold, do(settling))
        self._tell_end(hold, events.Settled if settled else events.Lapsed)
        return settled

    def now(self) -> float:
        """The time, in unix seconds."""
        return self._clock()

    def release(self, hold: Hold) -> Flow[None]:
        """Give a use back. Where the ledger cannot be told, the end of the lease will do it."""
        self._forget(hold)
        try:
            yield from do(self._ledger.release(hold.payment_hash, hold.hold_id, self._clock()))
        except LedgerError as error:
            log.warning("a payment's use could not be released; it is free when its lease ends: %s", error)
        self._tell_end(hold, events.Released)

    def _tell_end(self, hold: Hold, kind: type[events.Settled | events.Released | events.Lapsed]) -> None:
        if hold.is_taken and self._observers.anybody:
            hold.is_taken = False
            seconds = time.monotonic() - hold.taken_at
            self._observers.tell(kind, self._clock(), hold.endpoint, hold.payment_hash.hex(), seconds)

    def _keep_alive(self, hold: Hold) -> None:
        with self._lock:
            if self._pid != os.getpid():
                # A forked child has its parent's holds in memory, but not its thread.
                self._pid = os.getpid()
                self._running.clear()
                threading.Thread(target=self._renew, name="l402-holds", daemon=True).start()
            self._running.add(hold)

    def _forget(self, hold: Hold) -> None:
        with self._lock:
            self._running.discard(hold)

    def _renew(self) -> None:
        while self._renew_those_due():
            time.sleep(self._lease / 12)

    def _renew_those_due(self) -> bool:
        """One round; False where nothing runs any more. Between rounds no hold is kept alive from here."""
        with self._lock:
            if not self._running:
                self._pid = 0
                return False
            due = time.monotonic() - self._lease / 3
            holds = [hold for hold in self._running if hold.renewed_at <= due]
        for hold in holds:
            try:
                self._ledger.renew(hold.payment_hash, hold.hold_id, self._clock() + self._lease).block()
                hold.renewed_at = time.monotonic()
            except Exception as error:  # whatever a ledger raises: this thread renews all others' leases too
                what = error if isinstance(error, LedgerError) else type(error).__name__
                log.warning("a running request's lease could not be renewed, trying again: %s", what)
        return True
