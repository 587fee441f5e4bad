"""Uses that are held: renewed while a handler runs, back when its holder is gone, and never in between."""

import gc
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import anyio
import pytest

from l402_middleware import LedgerError, Offer, Paywall
from l402_middleware.flow import Step, adrive, drive
from l402_middleware.ledgers import MemoryLedger, SQLiteLedger
from l402_middleware.ledgers.ledger import Busy, Claim, Held
from l402_middleware.paywall.delivery import Delivery
from l402_middleware.paywall.holds import Hold, Holds
from l402_middleware.paywall.observers import Observers
from l402_middleware.paywall.response import Response

from .shop import KEY, NOW, Shop, ask, code, deliver

T = TypeVar("T")

OFFER = Offer(10)
LEASE = 0.3


def claim(hold_id: bytes, lease: float = LEASE) -> Claim:
    """One use of one payment, from now on."""
    now = time.time()
    return Claim(bytes(32), bytes(32), hold_id * 16, 1, b"request", "GET /thing", 10_000, now, now + lease, now + 1000)


def renewers() -> set[threading.Thread]:
    """The threads that renew leases."""
    return {thread for thread in threading.enumerate() if thread.name == "l402-holds"}


def until(condition: Callable[[], bool], seconds: float = 5) -> bool:
    """Whether the condition comes true in time."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


@pytest.mark.slow
def test_a_handler_may_take_longer_than_a_lease() -> None:
    """The lease of a running handler is renewed by a thread that needs neither its event loop nor its own thread."""
    ledger = MemoryLedger()
    holds = Holds(ledger, LEASE, time.time, Observers())
    others = renewers()
    outcome, hold = drive(holds.take(claim(b"a")))
    assert outcome == Held(0)
    end = time.monotonic() + 4 * LEASE
    while time.monotonic() < end:
        assert drive(holds.take(claim(b"b")))[0] == Busy()
        time.sleep(LEASE / 4)
    assert drive(holds.settle(hold, None, 0))
    assert until(lambda: not renewers() - others)


@pytest.mark.slow
def test_a_dropped_delivery_frees_its_use() -> None:
    """A server that neither finishes nor closes an answer costs the customer a lease, not the payment."""
    holds = Holds(MemoryLedger(), LEASE, time.time, Observers())
    outcome, hold = drive(holds.take(claim(b"a")))
    assert outcome == Held(0)
    time.sleep(2 * LEASE)
    assert drive(holds.take(claim(b"b")))[0] == Busy()
    del hold
    gc.collect()
    time.sleep(2 * LEASE)
    assert drive(holds.take(claim(b"c")))[0] == Held(0)


@pytest.mark.parametrize(("failure", "said"), [(LedgerError("gone"), "gone"), (RuntimeError("secret"), "RuntimeError")])
def test_renewing_goes_on_after_a_failure(failure: Exception, said: str, caplog: pytest.LogCaptureFixture) -> None:
    """A ledger that fails for a moment, in whatever way, costs no lease: the renewal is tried again."""

    class Flaky(MemoryLedger):
        failures = 2

        def renew(self, *args: Any) -> Step[bool]:
            self.failures -= 1
            if self.failures >= 0:
                raise failure
            return super().renew(*args)

    holds = Holds(Flaky(), LEASE, time.time, Observers())
    _, hold = drive(holds.take(claim(b"a")))
    time.sleep(2 * LEASE)
    assert drive(holds.take(claim(b"b")))[0] == Busy()
    assert [record.getMessage().rpartition("trying again: ")[2] for record in caplog.records] == [said] * 2
    drive(holds.release(hold))
    assert drive(holds.take(claim(b"b")))[0] == Held(0)


def test_a_lease_is_renewed_after_a_third_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Early enough to fail once or twice, and the ledger is not asked more often than that."""
    renewed: list[tuple[bytes, bytes, float]] = []

    class Noting(MemoryLedger):
        def renew(self, payment_hash: bytes, hold_id: bytes, lease_until: float) -> Step[bool]:
            renewed.append((payment_hash, hold_id, lease_until))
            return super().renew(payment_hash, hold_id, lease_until)

    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    holds = Holds(Noting(), 60, lambda: 5000.0, Observers())
    hold = Hold(bytes(32), bytes(16), now[0])
    holds._running.add(hold)
    for now[0], times in ((1019, 0), (1020, 1), (1030, 1), (1039, 1), (1040, 2)):
        assert holds._renew_those_due()
        assert renewed == [(hold.payment_hash, hold.hold_id, 5060.0)] * times


class Failing(Step[Any]):
    """A step whose store is gone."""

    def block(self) -> Any:
        raise LedgerError("gone")

    async def wait(self) -> Any:
        raise LedgerError("gone")


def test_a_lease_is_as_long_as_the_paywall_says() -> None:
    """It is renewed after a third of that, for as long again."""
    ends: list[float] = []

    class Noting(MemoryLedger):
        def renew(self, payment_hash: bytes, hold_id: bytes, lease_until: float) -> Step[bool]:
            ends.append(lease_until)
            return super().renew(payment_hash, hold_id, lease_until)

    shop = Shop({"ledger": Noting(), "lease": 1})
    running = shop.decide(OFFER, ask("GET /thing", shop.buy(OFFER)))
    assert until(lambda: bool(ends))
    assert ends[0] == NOW + 1
    assert deliver(running)


def test_one_thread_renews_them_all() -> None:
    """It does not keep a process from ending, and has a name by which an operator knows it."""
    holds = Holds(MemoryLedger(), 60, time.time, Observers())
    before = renewers()
    _, one = drive(holds.take(claim(b"a")))
    _, other = drive(holds.take(replace(claim(b"b"), payment_hash=bytes([1] * 32))))
    (thread,) = renewers() - before
    assert thread.daemon
    assert set(holds._running) == {one, other}


@pytest.mark.parametrize("pid", [1, 4711])
def test_the_thread_ends_with_the_last_hold(pid: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing runs in a process that serves nobody; the next request that pays starts it anew, in a container too."""
    monkeypatch.setattr(os, "getpid", lambda: pid)
    holds = Holds(MemoryLedger(), LEASE, time.time, Observers())
    before = renewers()
    for _ in range(2):
        _, hold = drive(holds.take(claim(b"a")))
        assert len(renewers() - before) == 1
        drive(holds.release(hold))
        assert until(lambda: renewers() <= before)


def test_what_was_not_given_is_not_renewed() -> None:
    """A use that another request holds is no concern of ours, and a pass holds none."""
    holds = Holds(MemoryLedger(), LEASE, time.time, Observers())
    _, held = drive(holds.take(claim(b"a")))
    outcome, _refused = drive(holds.take(claim(b"b")))
    outcome_of_pass, _shown = drive(holds.take(replace(claim(b"c"), payment_hash=bytes([1] * 32), bought=None)))
    assert (type(outcome), type(outcome_of_pass)) == (Busy, Held)
    assert set(holds._running) == {held}


def test_a_release_that_fails_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    """Where the ledger cannot be told of a release, the end of the lease does it."""

    class Unreleasable(MemoryLedger):
        def release(self, payment_hash: bytes, hold_id: bytes, now: float) -> Step[None]:
            return Failing()

    holds = Holds(Unreleasable(), LEASE, time.time, Observers())
    _, hold = drive(holds.take(claim(b"a")))
    drive(holds.release(hold))
    assert "free when its lease ends: gone" in caplog.text
    time.sleep(1.5 * LEASE)
    assert drive(holds.take(claim(b"b")))[0] == Held(0)


def test_a_lost_lease_is_not_delivered() -> None:
    """A holder that was stopped for longer than its lease, and whose use went to another, may not deliver."""
    shop = Shop()
    credential = shop.buy(OFFER)
    slow = shop.decide(OFFER, ask("GET /thing", credential))
    shop.clock.now += 61
    quick = shop.decide(OFFER, ask("GET /thing", credential))
    assert isinstance(quick, Delivery)
    assert not deliver(slow)
    assert deliver(quick)


@pytest.mark.slow
def test_a_killed_holder(tmp_path: Path) -> None:
    """Case 52: the use of a worker that was killed is back after its lease, once."""
    shop = Shop({"ledger": f"sqlite:///{tmp_path}/l402.db", "lease": 3, "clock": time.time})
    shop.clock.now = time.time()
    credential = shop.buy(OFFER)
    script = f"""
        import time
        from tests.paywall.shop import *
        shop = Shop({{"ledger": "sqlite:///{tmp_path}/l402.db", "lease": 3, "clock": time.time}})
        decision = shop.decide(Offer(10), ask("GET /thing", {credential!r}))
        print(type(decision).__name__, flush=True)
        time.sleep(60)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        env={**os.environ, "L402_DEV": "1"},
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"Delivery\n"
        time.sleep(4)
        assert code(shop.decide(OFFER, ask("GET /thing", credential))) == (409, "in-use")
        child.kill()
        child.wait()
    time.sleep(3.2)
    assert deliver(shop.decide(OFFER, ask("GET /thing", credential)))
    assert isinstance(shop.decide(OFFER, ask("GET /thing", credential)), Response)
    shop.paywall.close()


class Slow(Step[T]):
    """A step whose store takes its time, before or after it did what it was asked."""

    def __init__(self, step: Step[T], before: float, after: float) -> None:
        self._step = step
        self._before = before
        self._after = after

    def block(self) -> T:
        return self._step.block()

    async def wait(self) -> T:
        await anyio.sleep(self._before)
        result = await self._step.wait()
        await anyio.sleep(self._after)
        return result


class SlowLedger(MemoryLedger):
    """A ledger far away: `slow` names the verb that takes long."""

    def __init__(self, slow: str, before: float, after: float) -> None:
        super().__init__()
        quick = getattr(super(), slow)
        setattr(self, slow, lambda *args: Slow(quick(*args), before, after))


@pytest.mark.parametrize(("before", "after"), [(5, 0), (0, 5)])
@pytest.mark.parametrize("slow", ["hold", "settle"])
@pytest.mark.anyio
async def test_cancelled(slow: str, before: float, after: float) -> None:
    """Case 78: a request cancelled while the ledger works is charged and recorded, or not at all, and nothing hangs."""
    ledger = SlowLedger(slow, before, after)
    shop = Shop()
    shop.paywall = Paywall(shop.node, ledger, clock=shop.clock, secret_keys=[KEY])
    credential = shop.buy(OFFER)
    with anyio.move_on_after(0.05) as scope:
        decision = await adrive(shop.paywall.admit(ask("GET /thing", credential), OFFER))
        assert isinstance(decision, Delivery)
        decision.start(200, [])
        await adrive(decision.finish())
    assert scope.cancelled_caught
    decision = shop.decide(OFFER, ask("GET /thing", credential))
    was_settled = slow == "settle" and not before
    assert isinstance(decision, Response if was_settled else Delivery)


@pytest.mark.parametrize("cancel_after", [0.0, 0.0005, 0.002, 0.01])
@pytest.mark.anyio
async def test_cancelled_on_sqlite(tmp_path: Path, cancel_after: float) -> None:
    """Case 78: the same on a file: after a cancellation at any moment the payment is whole, or delivered once."""
    ledger = SQLiteLedger(tmp_path / "l402.db")
    shop = Shop({"ledger": ledger, "lease": 1})
    credential = shop.buy(OFFER)
    delivered = 0
    with anyio.move_on_after(cancel_after):
        decision = await adrive(shop.paywall.admit(ask("GET /thing", credential), OFFER))
        assert isinstance(decision, Delivery)
        decision.start(200, [])
        delivered += await adrive(decision.finish())
    await anyio.sleep(0.05)
    shop.clock.now += 2
    decision = await adrive(shop.paywall.admit(ask("GET /thing", credential), OFFER))
    if isinstance(decision, Delivery):
        assert not delivered
        assert deliver(decision)
    else:
        assert decision.status in (200, 402)
    ledger.close()


@pytest.mark.anyio
async def test_a_release_comes_behind_what_it_releases(tmp_path: Path) -> None:
    """Case 78: on trio too, where a step waits in a thread, which may be late: the use is not held for a lease."""

    class Late(SQLiteLedger):
        is_late = True

        def _submit(self, operation: Any) -> None:
            if self.is_late and threading.current_thread() is not threading.main_thread():
                self.is_late = False
                time.sleep(0.3)
            super()._submit(operation)

    holds = Holds(Late(tmp_path / "l402.db"), 60, time.time, Observers())
    with anyio.move_on_after(0.1):
        _, hold = await adrive(holds.take(claim(b"a", lease=60)))
        await adrive(holds.release(hold))
    await anyio.sleep(0.4)
    assert (await adrive(holds.take(claim(b"b", lease=60))))[0] == Held(0)
