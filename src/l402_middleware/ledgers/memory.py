"""The ledger for one process: nothing to install, nothing on disk, all forgotten when the process ends."""

import os
import threading
from collections.abc import Callable, Sequence
from heapq import heappop, heappush, nsmallest
from typing import TypeVar

from ..core.errors import ConfigurationError, LedgerError
from ..flow import Step
from .ledger import Claim, Closed, Credit, Credited, History, Outcome, Page, Revoked, Total, What
from .memory_payment import PaymentRow
from .pages import page_of

T = TypeVar("T")

REMEDY = 'use SQLiteLedger("l402.db"), which all workers on one machine share'


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
    """Units counted in this process's memory; any number of its threads and event loops may share it.

    Raises `ConfigurationError` where `WEB_CONCURRENCY` announces several workers. A forked child would
    count for itself, and each worker would honour the same payment, so every step there raises `LedgerError`.
    Workers that each make a ledger of their own cannot be seen from here: give those a `SQLiteLedger`.
    """

    keeps_keys = True

    @classmethod
    def from_url(cls, url: str) -> "MemoryLedger | None":
        """`memory:`, and nothing else."""
        return cls() if url == "memory:" else None

    def __init__(self) -> None:
        workers = os.environ.get("WEB_CONCURRENCY", "").strip()
        if workers.isdecimal() and int(workers) > 1:
            raise ConfigurationError(
                f"MemoryLedger with WEB_CONCURRENCY={int(workers)}: each worker would count the units of a payment "
                f"for itself, so one payment would be honoured several times; {REMEDY}"
            )
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._payments: dict[bytes, PaymentRow] = {}
        self._due: list[tuple[float, bytes]] = []
        self._revoked: set[bytes] = set()
        self._totals: dict[tuple[int, str, What], tuple[int, int]] = {}
        self._key: str | None = None

    def hold(self, claim: Claim) -> Step[Outcome]:
        return _Immediate(self._hold, claim)

    def extend(
        self, payment_hash: bytes, hold_id: bytes, more: int, least: int, now: float, lease_until: float
    ) -> Step[int]:
        return _Immediate(self._extend, payment_hash, hold_id, more, least, now, lease_until)

    def renew(self, payment_hash: bytes, hold_id: bytes, lease_until: float) -> Step[bool]:
        return _Immediate(self._renew, payment_hash, hold_id, lease_until)

    def settle(
        self, payment_hash: bytes, hold_id: bytes, used: int, now: float, answer: bytes | None, replay_until: float
    ) -> Step[bool]:
        return _Immediate(self._settle, payment_hash, hold_id, used, now, answer, replay_until)

    def release(self, payment_hash: bytes, hold_id: bytes, now: float) -> Step[None]:
        return _Immediate(self._release, payment_hash, hold_id, now)

    def credit(self, payment_hash: bytes, by: Claim) -> Step[Credit]:
        return _Immediate(self._credit, payment_hash, by)

    def close_payment(self, payment_hash: bytes, now: float) -> Step[int | None]:
        return _Immediate(self._close_payment, payment_hash, now)

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

    def payments(self, following: bytes, most: int) -> Step[Page]:
        return _Immediate(self._list_payments, following, most)

    def keep_key(self, candidate: str) -> Step[str]:
        return _Immediate(self._keep_key, candidate)

    def kept_key(self) -> Step[str | None]:
        return _Immediate(self._kept_key)

    def close(self) -> None:
        """Nothing to give up: what was counted stays counted."""

    def _hold(self, claim: Claim) -> Outcome:
        with self._locked():
            if claim.token_id in self._revoked:
                return Revoked()
            outcome = self._shown(claim).hold(claim)
            self._prune(claim.now)
            return outcome

    def _shown(self, claim: Claim) -> PaymentRow:
        """The payment of a claim, remembered for as long as that asks for."""
        payment = self._payments.get(claim.payment_hash)
        if payment is None:
            payment = PaymentRow(claim, self._add, claim.bought, claim.forget_at)
            self._payments[claim.payment_hash] = payment
            heappush(self._due, (claim.forget_at, claim.payment_hash))
            if claim.msat:
                payment.note(claim.now, "paid")
        payment.forget_at = max(payment.forget_at, claim.forget_at)
        return payment

    def _extend(
        self, payment_hash: bytes, hold_id: bytes, more: int, least: int, now: float, lease_until: float
    ) -> int:
        with self._locked():
            payment = self._payments.get(payment_hash)
            return 0 if payment is None else payment.extend(hold_id, more, least, now, lease_until)

    def _renew(self, payment_hash: bytes, hold_id: bytes, lease_until: float) -> bool:
        with self._locked():
            payment = self._payments.get(payment_hash)
            return payment is not None and payment.renew(hold_id, lease_until)

    def _settle(
        self, payment_hash: bytes, hold_id: bytes, used: int, now: float, answer: bytes | None, replay_until: float
    ) -> bool:
        with self._locked():
            payment = self._payments.get(payment_hash)
            if payment is None or not payment.settle(hold_id, used, now, answer, replay_until):
                return False
            if answer is not None:
                heappush(self._due, (replay_until, payment_hash))
            return True

    def _release(self, payment_hash: bytes, hold_id: bytes, now: float) -> None:
        with self._locked():
            if (payment := self._payments.get(payment_hash)) is not None:
                payment.release(hold_id, now)

    def _credit(self, payment_hash: bytes, by: Claim) -> Credit:
        with self._locked():
            if by.token_id in self._revoked:
                return Revoked()
            payment, other = self._payments.get(payment_hash), self._payments.get(by.payment_hash)
            if payment is not None and other is not None and other.credited_to == payment_hash:
                return Credited(payment.free(by.now))
            if payment is None or not payment.takes_credit:
                return Closed()
            if payment.first.token_id in self._revoked:
                return Revoked()
            return payment.take_over(self._shown(by), by) or Credited(payment.free(by.now))

    def _close_payment(self, payment_hash: bytes, now: float) -> int | None:
        with self._locked():
            payment = self._payments.get(payment_hash)
            return None if payment is None else payment.close(now)

    def _confirm(self, payment_hash: bytes, now: float) -> None:
        with self._locked():
            if (payment := self._payments.get(payment_hash)) is not None:
                payment.confirm(now)

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
            return None if payment is None else payment.history()

    def _list_payments(self, following: bytes, most: int) -> Page:
        with self._locked():
            hashes = nsmallest(most, (each for each in self._payments if each > following))
            return page_of([self._payments[each].history() for each in hashes], most)

    def _add(self, total: Total) -> None:
        count, msat = self._totals.get((total.day, total.endpoint, total.what), (0, 0))
        self._totals[total.day, total.endpoint, total.what] = (count + total.count, msat + total.msat)

    def _keep_key(self, candidate: str) -> str:
        with self._locked():
            if self._key is None:
                self._key = candidate
            return self._key

    def _kept_key(self) -> str | None:
        with self._locked():
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
            wanted_until = payment.forget(now)
            if wanted_until > now:
                heappush(self._due, (wanted_until, payment_hash))
            else:
                del self._payments[payment_hash]
