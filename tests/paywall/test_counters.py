"""The counts of what belongs to no payment: when they are written, and what becomes of them until then."""

import os
import threading
import time
from collections.abc import Sequence

import pytest

from l402_middleware.core.errors import LedgerError
from l402_middleware.events import Admitted, Challenged
from l402_middleware.flow import Step, drive
from l402_middleware.ledgers import MemoryLedger, SQLiteLedger
from l402_middleware.ledgers.ledger import Total, What, day_of
from l402_middleware.paywall import counters
from l402_middleware.paywall.counters import Counters

from .test_redemption import Ledger

NOW = 1000.0
DAY = day_of(NOW)


class Telling(MemoryLedger):
    """A ledger that says when it was written to, and fails the first times."""

    def __init__(self, *failures: Exception) -> None:
        super().__init__()
        self.failures = list(failures)
        self.written = threading.Semaphore(0)

    def count(self, totals: Sequence[Total]) -> Step[None]:
        if self.failures:
            raise self.failures.pop(0)
        self.written.release()
        return super().count(totals)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "FLUSH_EVERY", 0.01)


@pytest.mark.parametrize("failures", [[], [LedgerError("away")], [LedgerError("away"), RuntimeError("secret")]])
def test_what_is_counted_is_written_with_no_further_request(
    failures: list[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    """Soon, and by itself; after a failure it is tried again, and nothing that a ledger raises is shown."""
    ledger = Telling(*failures)
    tallies = Counters(ledger)
    for _ in range(3):
        tallies.add("offered", "GET /thing", NOW)
    assert ledger.written.acquire(timeout=30)
    assert ledger.totals(DAY, DAY).block() == [Total(DAY, "GET /thing", "offered", 3)]
    assert "secret" not in caplog.text


def test_a_thread_is_there_while_there_is_something_to_write() -> None:
    """One for all paywalls of the process, and none when nothing is left."""
    ledgers = [Telling() for _ in range(20)]
    for ledger in ledgers:
        Counters(ledger).add("offered", "GET /thing", NOW)
    assert len([each for each in threading.enumerate() if each.name == "l402-counters"]) <= 1
    assert all(ledger.written.acquire(timeout=30) for ledger in ledgers)
    while any(each.name == "l402-counters" for each in threading.enumerate()):
        time.sleep(0.01)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_writes_its_own_counts_only(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    """What the parent had counted is the parent's to write; the child has a thread of its own."""
    monkeypatch.setattr(counters._writer, "will_write", lambda counters: None)
    parent = Counters(SQLiteLedger(f"{tmp_path}/l402.db"))
    parent.add("offered", "GET /parent", NOW)
    with parent._lock:
        pid = os.fork()
        if not pid:
            status = 1
            try:
                parent.add("offered", "GET /child", NOW)
                drive(parent.flush())
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(pid, 0)[1] == 0
    drive(parent.flush())
    ledger = SQLiteLedger(f"{tmp_path}/l402.db")
    assert ledger.totals(DAY, DAY).block() == [
        Total(DAY, "GET /child", "offered", 1),
        Total(DAY, "GET /parent", "offered", 1),
    ]
    ledger.close()
    parent._ledger.close()


CHALLENGED = Challenged(NOW, "GET /thing", "00", 10_000, None, ("l402",))
REFUSED = Challenged(NOW, "GET /thing", "00", 10_000, "expired", ("l402",))
PASS = Admitted(NOW, "GET /thing", "00", 10_000, None, "l402")
SINGLE = Admitted(NOW, "GET /thing", "00", 10_000, 0, "l402")


@pytest.mark.parametrize(
    ("event", "what"), [(CHALLENGED, "offered"), (REFUSED, "refused"), (PASS, "delivered"), (SINGLE, None)]
)
def test_what_an_event_counts_as(event: Challenged | Admitted, what: What | None) -> None:
    """A challenge, one to somebody whose credential was no good, and a use of a pass; of others the ledger knows."""
    ledger = MemoryLedger()
    tallies = Counters(ledger)
    tallies(event)
    drive(tallies.flush())
    assert ledger.totals(DAY, DAY).block() == ([Total(DAY, "GET /thing", what, 1)] if what else [])


def test_what_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that was counted, once, also where the ledger was away before; and nothing where nothing was counted."""
    monkeypatch.setattr(counters._writer, "will_write", lambda counters: None)
    ledger = Ledger()
    tallies = Counters(ledger)
    drive(tallies.flush())
    assert ledger.writes == 0
    ledger.away = True
    for _ in range(2):
        tallies.add("offered", "GET /thing", NOW)
    drive(tallies.flush())
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
