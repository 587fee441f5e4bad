"""Part of the contract of a ledger: a hundred at once, and steps that are cancelled."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from random import Random
from threading import Barrier

import anyio
import pytest

from l402_middleware.flow import Flow, adrive, do, drive
from l402_middleware.ledgers.ledger import Busy, Claim, Held, Kept, Ledger, Outcome, Spent, Total, day_of
from l402_middleware.testing.ledger_fixtures import LedgerTests
from l402_middleware.testing.ledger_steps import ANSWER, claim, extend, release, settle


class Racing(LedgerTests):
    """A hundred at once, and steps that are cancelled."""

    @pytest.mark.parametrize("uses", [1, 20])
    def test_a_hundred_threads(self, ledger: Ledger, another: Ledger, now: float, uses: int) -> None:
        """Cases 46 and 47: of a hundred threads that claim at once, exactly `uses` hold; the others are busy."""
        first = claim(now, bought=uses)
        start = Barrier(100)

        def contend(store: Ledger) -> Outcome:
            step = store.hold(claim(now, bought=uses, like=first))
            start.wait(30)
            return step.block()

        with ThreadPoolExecutor(100) as threads:
            outcomes = list(threads.map(contend, [ledger, another] * 50))
        _check_race(outcomes, uses)

    @pytest.mark.anyio
    @pytest.mark.parametrize("uses", [1, 20])
    async def test_a_hundred_tasks(self, ledger: Ledger, another: Ledger, now: float, uses: int) -> None:
        """Cases 46 and 47: of a hundred tasks that claim at once, exactly `uses` hold; the others are busy."""
        first = claim(now, bought=uses)
        outcomes: list[Outcome] = []

        async def contend(store: Ledger) -> None:
            outcomes.append(await store.hold(claim(now, bought=uses, like=first)).wait())

        async with anyio.create_task_group() as tasks:
            for store in [ledger, another] * 50:
                tasks.start_soon(contend, store)
        _check_race(outcomes, uses)

    def test_forty_threads_draw_on_one_balance(self, ledger: Ledger, another: Ledger, now: float) -> None:
        """Whatever they hold, extend, use and give back: no unit is sold twice, and none is lost."""
        first = claim(now, bought=5000)

        def draw(number: int) -> int:
            return drive(draw_on(another if number % 2 else ledger, first, number))

        with ThreadPoolExecutor(40) as threads:
            used = sum(threads.map(draw, range(40)))
        _check_balance(ledger, first, used)

    @pytest.mark.anyio
    async def test_forty_tasks_draw_on_one_balance(self, ledger: Ledger, another: Ledger, now: float) -> None:
        """Whatever they hold, extend, use and give back: no unit is sold twice, and none is lost."""
        first = claim(now, bought=5000)
        used: list[int] = []

        async def draw(number: int) -> None:
            used.append(await adrive(draw_on(another if number % 2 else ledger, first, number)))

        async with anyio.create_task_group() as tasks:
            for number in range(40):
                tasks.start_soon(draw, number)
        _check_balance(ledger, first, sum(used))

    def test_the_record_is_exact_under_a_hundred_threads(self, ledger: Ledger, another: Ledger, now: float) -> None:
        """A hundred threads that deliver, fail, repeat and count at once leave totals that are right to the last."""
        shared, bundle, pass_ = _shared_payments(now)

        def work(number: int) -> None:
            flow = _one_client(another if number % 2 else ledger, number, shared, bundle, pass_)
            drive(flow)

        with ThreadPoolExecutor(100) as threads:
            list(threads.map(work, range(100)))
        _check_shared_record(ledger, shared, bundle, pass_)

    @pytest.mark.anyio
    async def test_the_record_is_exact_under_a_hundred_tasks(self, ledger: Ledger, another: Ledger, now: float) -> None:
        """A hundred tasks that deliver, fail, repeat and count at once leave totals that are right to the last."""
        shared, bundle, pass_ = _shared_payments(now)
        async with anyio.create_task_group() as tasks:
            for number in range(100):
                flow = _one_client(another if number % 2 else ledger, number, shared, bundle, pass_)
                tasks.start_soon(adrive, flow)
        _check_shared_record(ledger, shared, bundle, pass_)

    def test_a_hundred_threads_settle_one_hold(self, ledger: Ledger, another: Ledger, now: float) -> None:
        """Of a hundred that settle the same hold at once, exactly one is told that it was there."""
        held = claim(now)
        ledger.hold(held).block()
        with ThreadPoolExecutor(100) as threads:
            settled = list(threads.map(lambda store: settle(store, held).block(), [ledger, another] * 50))
        assert settled.count(True) == 1

    @pytest.mark.anyio
    async def test_a_cancelled_step_happened_or_did_not(self, ledger: Ledger, now: float) -> None:
        """Case 78: whatever moment a hold is cancelled at, releasing it makes the payment usable again."""
        for delay in (0.0, 0.0001, 0.0005, 0.002):
            held = claim(now)
            with anyio.move_on_after(delay):
                await ledger.hold(held).wait()
            await release(ledger, held).wait()
            with anyio.fail_after(10):
                while await ledger.hold(again := claim(now, like=held)).wait() != Held(0):
                    await release(ledger, held).wait()
            assert await settle(ledger, again).wait() is True


def draw_on(ledger: Ledger, first: Claim, seed: int) -> Flow[int]:
    """Hold, extend and settle or release units of a payment a few times; how many were settled."""
    chance, used = Random(seed), 0  # noqa: S311 - nobody guesses at a test
    for _ in range(6):
        most = chance.choice([1, 40, 300])
        mine = claim(first.now, bought=first.bought, like=first, most=most, least=chance.randint(1, most))
        held = yield from do(ledger.hold(mine))
        if not isinstance(held, Held):
            assert held in (Busy(), Spent())
            continue
        assert mine.least <= held.units <= most
        more = yield from do(extend(ledger, mine, chance.randint(1, 200), least=1))
        if chance.random() < 0.2:
            yield from do(release(ledger, mine))
            continue
        part = chance.randint(0, held.units + more)
        assert (yield from do(settle(ledger, mine, used=part + 10_000))) is False
        assert (yield from do(settle(ledger, mine, used=part))) is True
        used += part
    return used


def _check_balance(ledger: Ledger, first: Claim, used: int) -> None:
    history = ledger.history(first.payment_hash).block()
    assert history is not None
    assert history.settled == used <= 5000
    assert ledger.close_payment(first.payment_hash, first.now).block() == 5000 - used


def _check_race(outcomes: list[Outcome], uses: int) -> None:
    held = [outcome for outcome in outcomes if isinstance(outcome, Held)]
    assert sorted(held, key=lambda each: each.left or 0) == [Held(left) for left in range(uses)]
    assert outcomes.count(Busy()) == 100 - uses


def _shared_payments(now: float) -> tuple[Claim, Claim, Claim]:
    """A single use, a bundle of 20 and a pass, all for one endpoint."""
    shared = claim(now)
    return (
        shared,
        replace(claim(now, bought=20), endpoint=shared.endpoint),
        replace(claim(now, bought=None), endpoint=shared.endpoint),
    )


def _one_client(ledger: Ledger, number: int, shared: Claim, bundle: Claim, pass_: Claim) -> Flow[None]:
    """What one of a hundred does: a failure and a delivery on a payment of its own, and its share of the others."""
    own = replace(claim(shared.now), endpoint=shared.endpoint, msat=number + 1)
    assert (yield from do(ledger.hold(own))) == Held(0)
    yield from do(release(ledger, own, after=0))
    again = replace(claim(shared.now, like=own), msat=own.msat)
    assert (yield from do(ledger.hold(again))) == Held(0)
    assert (yield from do(settle(ledger, again, ANSWER, after=0))) is True
    assert (yield from do(ledger.hold(claim(shared.now, like=own)))) == Kept(ANSWER)
    for payment in (shared, bundle):
        mine = claim(shared.now, bought=payment.bought, like=payment)
        if isinstance((yield from do(ledger.hold(mine))), Held):
            assert (yield from do(settle(ledger, mine, after=0))) is True
    assert (yield from do(ledger.hold(claim(shared.now, bought=None, like=pass_)))) == Held(None, False, 0)
    yield from do(ledger.count([Total(day_of(shared.now), shared.endpoint, "offered", 3)]))


def _check_shared_record(ledger: Ledger, shared: Claim, bundle: Claim, pass_: Claim) -> None:
    delivered = 0
    for payment in (shared, bundle):
        history = ledger.history(payment.payment_hash).block()
        assert history is not None
        assert payment.bought is not None
        assert 1 <= history.settled <= payment.bought
        assert [event.what for event in history.events] == ["paid"] + ["delivered"] * history.settled
        delivered += history.settled
    day = day_of(shared.now)
    totals = ledger.totals(day, day).block()
    assert [total for total in totals if total.endpoint == shared.endpoint] == [
        Total(day, shared.endpoint, "delivered", 100 + delivered),
        Total(day, shared.endpoint, "offered", 300),
        Total(day, shared.endpoint, "paid", 103, sum(range(1, 101)) + 2 * shared.msat + pass_.msat),
        Total(day, shared.endpoint, "released", 100),
        Total(day, shared.endpoint, "replayed", 100),
    ]
