"""The ledger for one process: nothing to install, nothing on disk, all forgotten when the process ends."""

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import TypeVar

from ..core.errors import ConfigurationError, LedgerError
from ..flow import Step
from .ledger import (
    HISTORY_EVENTS,
    Busy,
    Claim,
    Event,
    Held,
    History,
    Kept,
    Outcome,
    Revoked,
    Spent,
    Total,
    What,
    day_of,
)

T = TypeVar("T")

REMEDY = 'use SQLiteLedger("l402.db"), which all workers on one machine share'


@dataclass(slots=True)
class _Hold:
    lease_until: float
    request: bytes


@dataclass(slots=True)
class _KeptAnswer:
    answer: bytes
    request: bytes
    replay_until: float


@dataclass(slots=True)
class _Payment:
    token_id: bytes
    endpoint: str
    msat: int
    uses: int | None
    forget_at: float
    settled: int = 0
    confirmed: bool = False
    holds: dict[bytes, _Hold] = field(default_factory=dict)
    kept: _KeptAnswer | None = None
    events: deque[Event] = field(default_factory=lambda: deque(maxlen=HISTORY_EVENTS))


class _Immediate(Step[T]):
    """A step that is over at once, so awaiting it never leaves the task."""

    def __init__(self, function: Callable[..., T], *args: object) -> None:
        self._function = function
        self._args = args

    def block(self) -> T:
        return self._function(*self._args)

    async def wait(self) -> T:
        return self._function(*self._args)


class MemoryLedger:
    """Uses counted in this process's memory; any number of its threads and event loops may share it.

    Raises `ConfigurationError` where `WEB_CONCURRENCY` announces several workers. A forked child would
    count for itself, and each worker would honour the same payment, so every step there raises `LedgerError`.
    Workers that each make a ledger of their own cannot be seen from here: give those a `SQLiteLedger`.
    """

    keeps_keys = True

    def __init__(self) -> None:
        workers = os.environ.get("WEB_CONCURRENCY", "").strip()
        if workers.isdecimal() and int(workers) > 1:
            raise ConfigurationError(
                f"MemoryLedger with WEB_CONCURRENCY={int(workers)}: each worker would count the uses of a payment "
                f"for itself, so one payment would be honoured several times; {REMEDY}"
            )
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._payments: dict[bytes, _Payment] = {}
        self._due: list[tuple[float, bytes]] = []
        self._revoked: set[bytes] = set()
        self._totals: dict[tuple[int, str, What], tuple[int, int]] = {}
        self._key: str | None = None

    def hold(self, claim: Claim) -> Step[Outcome]:
        return _Immediate(self._hold, claim)

    def renew(self, payment_hash: bytes, hold_id: bytes, lease_until: float) -> Step[bool]:
        return _Immediate(self._renew, payment_hash, hold_id, lease_until)

    def settle(
        self, payment_hash: bytes, hold_id: bytes, now: float, answer: bytes | None, replay_until: float
    ) -> Step[bool]:
        return _Immediate(self._settle, payment_hash, hold_id, now, answer, replay_until)

    def release(self, payment_hash: bytes, hold_id: bytes, now: float) -> Step[None]:
        return _Immediate(self._release, payment_hash, hold_id, now)

    def confirm(self, payment_hash: bytes, now: float) -> Step[None]:
        return _Immediate(self._confirm, payment_hash, now)

    def revoke(self, token_id: bytes) -> Step[None]:
        return _Immediate(self._revoke, token_id)

    def revoked(self) -> Step[frozenset[bytes]]:
        return _Immediate(self._list_revoked)

    def count(self, totals: Sequence[Total]) -> Step[None]:
        return _Immediate(self._count, totals)

    def totals(self, since: int, until: int) -> Step[list[Total]]:
        return _Immediate(self._list_totals, since, until)

    def history(self, payment_hash: bytes) -> Step[History | None]:
        return _Immediate(self._history, payment_hash)

    def keep_key(self, candidate: str) -> Step[str]:
        return _Immediate(self._keep_key, candidate)

    def close(self) -> None:
        """Nothing to give up: what was counted stays counted."""

    def _hold(self, claim: Claim) -> Outcome:
        with self._locked():
            if claim.token_id in self._revoked:
                return Revoked()
            payment = self._payments.get(claim.payment_hash)
            if payment is None:
                payment = self._payments[claim.payment_hash] = _Payment(
                    claim.token_id, claim.endpoint, claim.msat, claim.uses, claim.forget_at
                )
                heappush(self._due, (claim.forget_at, claim.payment_hash))
                if claim.uses is None:
                    self._note(payment, claim.now, "paid")
            payment.forget_at = max(payment.forget_at, claim.forget_at)
            outcome = self._decide(payment, claim)
            self._prune(claim.now)
            return outcome

    def _decide(self, payment: _Payment, claim: Claim) -> Outcome:
        if payment.uses is None:
            return Held(None, payment.confirmed)
        holds = payment.holds
        active = sum(hold.lease_until > claim.now for hold in holds.values())
        if payment.settled + active < payment.uses:
            if payment.settled + len(holds) >= payment.uses:
                del holds[min(holds, key=lambda hold_id: holds[hold_id].lease_until)]
                self._note(payment, claim.now, "lapsed")
            holds[claim.hold_id] = _Hold(claim.lease_until, claim.request)
            return Held(payment.uses - payment.settled - active - 1, payment.confirmed)
        if payment.settled < payment.uses:
            return Busy()
        kept = payment.kept
        if kept is not None and kept.request == claim.request and claim.now < kept.replay_until:
            self._note(payment, claim.now, "replayed")
            return Kept(kept.answer)
        return Spent()

    def _renew(self, payment_hash: bytes, hold_id: bytes, lease_until: float) -> bool:
        with self._locked():
            payment = self._payments.get(payment_hash)
            if payment is None or hold_id not in payment.holds:
                return False
            payment.holds[hold_id].lease_until = lease_until
            return True

    def _settle(
        self, payment_hash: bytes, hold_id: bytes, now: float, answer: bytes | None, replay_until: float
    ) -> bool:
        with self._locked():
            payment = self._payments.get(payment_hash)
            hold = payment.holds.pop(hold_id, None) if payment is not None else None
            if payment is None or hold is None:
                return False
            if not payment.settled:
                self._note(payment, now, "paid")
            payment.settled += 1
            self._note(payment, now, "delivered")
            if answer is not None:
                payment.kept = _KeptAnswer(answer, hold.request, replay_until)
                heappush(self._due, (replay_until, payment_hash))
            return True

    def _release(self, payment_hash: bytes, hold_id: bytes, now: float) -> None:
        with self._locked():
            payment = self._payments.get(payment_hash)
            if payment is not None and payment.holds.pop(hold_id, None) is not None:
                self._note(payment, now, "released")

    def _confirm(self, payment_hash: bytes, now: float) -> None:
        with self._locked():
            payment = self._payments.get(payment_hash)
            if payment is not None and not payment.confirmed:
                payment.confirmed = True
                self._note(payment, now, "confirmed")

    def _revoke(self, token_id: bytes) -> None:
        with self._locked():
            self._revoked.add(token_id)

    def _list_revoked(self) -> frozenset[bytes]:
        with self._locked():
            return frozenset(self._revoked)

    def _count(self, totals: Sequence[Total]) -> None:
        with self._locked():
            for total in totals:
                self._add(total)

    def _list_totals(self, since: int, until: int) -> list[Total]:
        with self._locked():
            found = [Total(*key, *sums) for key, sums in self._totals.items() if since <= key[0] <= until]
        return sorted(found, key=lambda total: (total.day, total.endpoint, total.what))

    def _history(self, payment_hash: bytes) -> History | None:
        with self._locked():
            payment = self._payments.get(payment_hash)
            if payment is None:
                return None
            return History(
                payment_hash,
                payment.token_id,
                payment.endpoint,
                payment.msat,
                payment.uses,
                payment.settled,
                tuple(payment.events),
            )

    def _note(self, payment: _Payment, at: float, what: What) -> None:
        payment.events.append(Event(at, what))
        self._add(Total(day_of(at), payment.endpoint, what, 1, payment.msat if what == "paid" else 0))

    def _add(self, total: Total) -> None:
        count, msat = self._totals.get((total.day, total.endpoint, total.what), (0, 0))
        self._totals[total.day, total.endpoint, total.what] = (count + total.count, msat + total.msat)

    def _keep_key(self, candidate: str) -> str:
        with self._locked():
            if self._key is None:
                self._key = candidate
            return self._key

    def _locked(self) -> threading.Lock:
        # Before the lock is touched: a thread of the parent may have held it while it forked.
        if os.getpid() != self._process:
            raise LedgerError(
                "MemoryLedger was made before this process was forked and is not shared with it "
                f"(gunicorn with preload, multiprocessing); {REMEDY}, or make the ledger in the only worker"
            )
        return self._lock

    def _prune(self, now: float) -> None:
        """Look at four of the payments that are due, at most: a hold and its settle add two."""
        for _ in range(4):
            if not self._due or self._due[0][0] > now:
                return
            _, payment_hash = heappop(self._due)
            payment = self._payments.get(payment_hash)
            if payment is None:
                continue
            if payment.kept is not None and payment.kept.replay_until <= now:
                payment.kept = None
            wanted_until = max(payment.forget_at, *(hold.lease_until for hold in payment.holds.values()), now)
            if wanted_until > now:
                heappush(self._due, (wanted_until, payment_hash))
            else:
                del self._payments[payment_hash]
