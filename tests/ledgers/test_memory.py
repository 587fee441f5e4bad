"""MemoryLedger: the contract, what it must not do with several processes, and that it does not grow for ever."""

import os
import sys
import time
from collections.abc import Iterator

import pytest

from l402_middleware.core.errors import ConfigurationError, LedgerError
from l402_middleware.flow import Step
from l402_middleware.ledgers import MemoryLedger
from l402_middleware.ledgers.ledger import Held
from l402_middleware.testing.ledger_contract import LedgerContract
from l402_middleware.testing.ledger_steps import ANSWER, LIFE, REPLAY, claim, release, settle


class TestMemoryLedger(LedgerContract):
    @pytest.fixture
    def ledger(self) -> Iterator[MemoryLedger]:
        ledger = MemoryLedger()
        yield ledger
        ledger.close()


@pytest.mark.parametrize("workers", ["2", " 16 "])
def test_several_workers_are_refused(monkeypatch: pytest.MonkeyPatch, workers: str) -> None:
    """Where the environment announces several workers, making one names the setting and the remedy."""
    monkeypatch.setenv("WEB_CONCURRENCY", workers)
    with pytest.raises(ConfigurationError, match=r"WEB_CONCURRENCY=\d+.*SQLiteLedger"):
        MemoryLedger()


@pytest.mark.parametrize("workers", ["", "1", "auto"])
def test_one_worker_is_welcome(monkeypatch: pytest.MonkeyPatch, workers: str) -> None:
    """One worker, or a value that says nothing, is no reason to refuse."""
    monkeypatch.setenv("WEB_CONCURRENCY", workers)
    assert MemoryLedger().hold(claim(time.time())).block() == Held(0)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork on Windows")
@pytest.mark.parametrize("used", [False, True])
def test_a_forked_child_does_not_count_for_itself(used: bool) -> None:
    """Case 84: made before a fork, every step in the child says what to use instead, and the parent goes on."""
    ledger, now = MemoryLedger(), time.time()
    held = claim(now, bought=2)
    if used:
        ledger.hold(held).block()
    if (child := os.fork()) == 0:
        steps: list[Step[object]] = [
            ledger.hold(held),
            ledger.renew(held.payment_hash, held.hold_id, now),
            settle(ledger, held),
            release(ledger, held),
            ledger.confirm(held.payment_hash, now),
            ledger.revoke(held.token_id),
            ledger.revoked(),
            ledger.count([]),
            ledger.totals(0, 1),
            ledger.history(held.payment_hash),
            ledger.keep_key("k" * 32),
        ]
        refused = 0
        for step in steps:
            try:
                step.block()
            except LedgerError as error:
                refused += "SQLiteLedger" in str(error)
        os._exit(0 if refused == len(steps) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert ledger.hold(claim(now, bought=2, like=held)).block() == Held(0 if used else 1)


def test_what_is_over_is_forgotten() -> None:
    """Case 53: a long life of traffic leaves a constant number of payments, answers and reminders behind."""
    ledger, now = MemoryLedger(), time.time()
    for second in range(0, 40 * int(LIFE), 60):
        held = claim(now + second)
        ledger.hold(held).block()
        assert settle(ledger, held, ANSWER).block() is True
    kept = sum(len(payment.kept) for payment in ledger._payments.values())
    assert len(ledger._payments) <= LIFE / 60 + 1
    assert kept <= REPLAY / 60 + 1
    assert len(ledger._due) <= 2 * len(ledger._payments)
