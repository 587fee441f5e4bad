"""What every ledger must do, as tests that a ledger's author runs.

    from l402_middleware.testing.ledger_contract import LedgerContract

    class TestMyLedger(LedgerContract):
        @pytest.fixture
        def ledger(self):
            ledger = MyLedger(...)
            yield ledger
            ledger.close()

A ledger that several handles can share also gives `another`, a second handle onto the same store. Every test
makes payments of its own, so one store may serve them all. Times start at the clock's.
Needs pytest and Hypothesis; where trio is installed, every test runs under it too.
"""

import math
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from itertools import cycle
from threading import Barrier
from typing import Protocol, TypeVar

import anyio
import pytest
from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from l402_middleware.flow import Step
from l402_middleware.ledgers.ledger import Busy, Claim, Held, Kept, Ledger, Outcome, Spent

T = TypeVar("T")

LEASE = 60.0
LIFE = 7200.0
REPLAY = 600.0

BACKENDS = ["asyncio", *(["trio"] if find_spec("trio") else [])]

ANSWER = bytes(range(256))


class Take(Protocol):
    """One way of taking a step: blocking, or awaiting on some event loop."""

    def __call__(self, step: Step[T]) -> T: ...


def claim(now: float, *, uses: int = 1, like: Claim | None = None, request: bytes = b"\x01" * 32) -> Claim:
    """A claim on a new payment, or a further one on the payment of `like`."""
    return Claim(
        payment_hash=like.payment_hash if like else os.urandom(32),
        hold_id=os.urandom(16),
        uses=uses,
        request=request,
        endpoint="GET /forecast/{city}",
        msat=21_000,
        now=now,
        lease_until=now + LEASE,
        forget_at=now + LIFE,
    )


def settle(ledger: Ledger, held: Claim, answer: bytes | None = None, *, after: float = 1.0) -> Step[bool]:
    """Settle a hold `after` seconds from its claim, and keep the answer for `REPLAY` seconds from then."""
    now = held.now + after
    return ledger.settle(held.payment_hash, held.hold_id, now, answer, now + REPLAY)


class LedgerContract:
    """Subclass it in a test module and give a `ledger` fixture."""

    @pytest.fixture
    def ledger(self) -> Ledger:
        raise NotImplementedError("a LedgerContract needs a `ledger` fixture")

    @pytest.fixture
    def another(self, ledger: Ledger) -> Ledger:
        return ledger

    @pytest.fixture(params=BACKENDS)
    def anyio_backend(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture(params=["block", *BACKENDS])
    def take(self, request: pytest.FixtureRequest) -> Iterator[Take]:
        with _taking(request.param) as take:
            yield take

    @pytest.fixture
    def now(self) -> float:
        return time.time()

    @pytest.mark.parametrize("uses", [1, 2, 20])
    def test_each_use_is_held_and_settled_once(
        self, ledger: Ledger, another: Ledger, take: Take, now: float, uses: int
    ) -> None:
        """A payment for n uses is held n times, counting down, and then spent, through every handle."""
        first = claim(now, uses=uses)
        for left, store in zip(reversed(range(uses)), cycle([ledger, another]), strict=False):
            held = claim(now, uses=uses, like=first)
            assert take(store.hold(held)) == Held(left)
            assert take(settle(store, held)) is True
        for store in (ledger, another):
            assert take(store.hold(claim(now, uses=uses, like=first))) == Spent()

    def test_payments_do_not_touch_each_other(self, ledger: Ledger, take: Take, now: float) -> None:
        """Spending one payment leaves every other as it was."""
        one, two = claim(now), claim(now)
        assert take(ledger.hold(one)) == Held(0)
        assert take(settle(ledger, one)) is True
        assert take(ledger.hold(two)) == Held(0)
        assert take(settle(ledger, replace(one, payment_hash=two.payment_hash))) is False
        assert take(ledger.renew(one.payment_hash, two.hold_id, now + LEASE)) is False
        assert take(settle(ledger, two)) is True

    @pytest.mark.parametrize("uses", [1, 3])
    def test_a_use_that_is_held_is_busy_for_others(
        self, ledger: Ledger, another: Ledger, take: Take, now: float, uses: int
    ) -> None:
        """While every use that is left is held, a further claim is busy, and free again after a release."""
        claims = [claim(now, uses=uses)]
        claims += [claim(now, uses=uses, like=claims[0]) for _ in range(uses - 1)]
        assert [take(ledger.hold(each)) for each in claims] == [Held(left) for left in reversed(range(uses))]
        assert take(another.hold(claim(now, uses=uses, like=claims[0]))) == Busy()
        take(ledger.release(claims[-1].payment_hash, claims[-1].hold_id))
        assert take(another.hold(claim(now, uses=uses, like=claims[0]))) == Held(0)

    def test_settled_and_running_uses_both_count(self, ledger: Ledger, take: Take, now: float) -> None:
        """With one use of two delivered and the other held, the payment is busy; with both delivered, spent."""
        first = claim(now, uses=2)
        second, third = claim(now, uses=2, like=first), claim(now, uses=2, like=first)
        assert take(ledger.hold(first)) == Held(1)
        assert take(settle(ledger, first)) is True
        assert take(ledger.hold(second)) == Held(0)
        assert take(ledger.hold(third)) == Busy()
        assert take(settle(ledger, second)) is True
        assert take(ledger.hold(third)) == Spent()

    def test_a_released_hold_is_not_charged(self, ledger: Ledger, take: Take, now: float) -> None:
        """Case 49: after any number of failed attempts the same payment is still good for its one use."""
        held = claim(now)
        for _ in range(3):
            held = claim(now, like=held)
            assert take(ledger.hold(held)) == Held(0)
            take(ledger.release(held.payment_hash, held.hold_id))
            assert take(settle(ledger, held)) is False
        held = claim(now, like=held)
        assert take(ledger.hold(held)) == Held(0)
        assert take(settle(ledger, held)) is True

    def test_what_is_not_held_can_not_be_settled(self, ledger: Ledger, take: Take, now: float) -> None:
        """Settling, renewing or releasing what was never held, or is settled, changes nothing."""
        unknown, held = claim(now), claim(now)
        assert take(ledger.hold(held)) == Held(0)
        assert take(settle(ledger, held)) is True
        for gone in (unknown, held, claim(now, like=held)):
            assert take(settle(ledger, gone, ANSWER)) is False
            assert take(ledger.renew(gone.payment_hash, gone.hold_id, now + LEASE)) is False
            take(ledger.release(gone.payment_hash, gone.hold_id))
        assert take(ledger.hold(claim(now, like=held))) == Spent()
        assert take(ledger.hold(unknown)) == Held(0)

    @pytest.mark.parametrize(
        ("after", "expected"),
        [(0.0, Busy()), (LEASE - 0.5, Busy()), (LEASE, Held(0)), (LEASE + 1, Held(0)), (-3600.0, Busy())],
    )
    def test_a_use_comes_back_when_its_lease_ends(
        self, ledger: Ledger, take: Take, now: float, after: float, expected: Outcome
    ) -> None:
        """Case 52: a use whose holder fell silent is free from the end of its lease on, and not before."""
        held = claim(now)
        assert take(ledger.hold(held)) == Held(0)
        assert take(ledger.hold(claim(now + after, like=held))) == expected

    def test_the_use_that_was_taken_over_is_lost_to_its_first_holder(
        self, ledger: Ledger, another: Ledger, take: Take, now: float
    ) -> None:
        """Case 52: the old holder's settle, renew and release say no and leave the new holder's use alone."""
        old = claim(now)
        new = claim(now + LEASE + 1, like=old)
        assert take(ledger.hold(old)) == Held(0)
        assert take(another.hold(new)) == Held(0)
        assert take(settle(ledger, old, ANSWER, after=LEASE + 2)) is False
        assert take(ledger.renew(old.payment_hash, old.hold_id, now + 3 * LEASE)) is False
        take(ledger.release(old.payment_hash, old.hold_id))
        assert take(ledger.hold(claim(new.now + 1, like=old))) == Busy()
        assert take(settle(another, new)) is True
        assert take(ledger.hold(claim(new.now + 2, like=old))) == Spent()

    def test_a_hold_that_nobody_took_over_settles_late(self, ledger: Ledger, take: Take, now: float) -> None:
        """A handler that outlived its lease still delivers, where nobody else came for the use."""
        held = claim(now)
        assert take(ledger.hold(held)) == Held(0)
        assert take(settle(ledger, held, after=10 * LEASE)) is True
        assert take(ledger.hold(claim(now + 10 * LEASE, like=held))) == Spent()

    def test_takeovers_never_add_deliveries(self, ledger: Ledger, take: Take, now: float) -> None:
        """Of a bundle's ended and taken-over holds, no more settle than were bought."""
        old = [claim(now, uses=3)]
        old += [claim(now, uses=3, like=old[0]) for _ in range(2)]
        new = [claim(now + LEASE + 1, uses=3, like=old[0]) for _ in range(2)]
        assert [take(ledger.hold(each)) for each in old] == [Held(2), Held(1), Held(0)]
        assert [take(ledger.hold(each)) for each in new] == [Held(2), Held(1)]
        assert [take(settle(ledger, each)) for each in new] == [True, True]
        assert sum(take(settle(ledger, each, after=LEASE + 2)) for each in old) <= 1

    def test_a_renewed_lease_lasts(self, ledger: Ledger, another: Ledger, take: Take, now: float) -> None:
        """A renewed hold stays the holder's past its first lease, until the new end."""
        held = claim(now)
        assert take(ledger.hold(held)) == Held(0)
        assert take(ledger.renew(held.payment_hash, held.hold_id, now + 3 * LEASE)) is True
        assert take(another.hold(claim(now + 3 * LEASE - 1, like=held))) == Busy()
        assert take(another.hold(claim(now + 3 * LEASE, like=held))) == Held(0)
        assert take(ledger.renew(held.payment_hash, held.hold_id, now + 9 * LEASE)) is False

    @pytest.mark.parametrize(
        ("after", "request_digest", "expected"),
        [
            (1.0, b"\x01" * 32, Kept(ANSWER)),
            (REPLAY, b"\x01" * 32, Kept(ANSWER)),
            (REPLAY + 1, b"\x01" * 32, Spent()),
            (REPLAY + 100, b"\x01" * 32, Spent()),
            (1.0, b"\x02" * 32, Spent()),
            (REPLAY + 1, b"\x02" * 32, Spent()),
        ],
    )
    def test_an_answer_is_given_again_to_the_same_request_for_a_time(
        self, ledger: Ledger, take: Take, after: float, request_digest: bytes, expected: Outcome
    ) -> None:
        """Cases 45 and 54: the answer comes back whole, only to that request, only until then."""
        held = claim(time.time())
        assert take(ledger.hold(held)) == Held(0)
        assert take(settle(ledger, held, ANSWER)) is True
        again = claim(held.now + after, like=held, request=request_digest)
        for _ in range(2):
            assert take(ledger.hold(again)) == expected

    def test_an_answer_is_given_again_through_every_handle(
        self, ledger: Ledger, another: Ledger, take: Take, now: float
    ) -> None:
        """Case 54: a repetition that another worker receives gets the kept answer too."""
        held = claim(now)
        assert take(ledger.hold(held)) == Held(0)
        assert take(settle(ledger, held, ANSWER)) is True
        assert take(another.hold(claim(now + 2, like=held))) == Kept(ANSWER)

    @pytest.mark.parametrize("size", [0, 1, 1 << 20])
    def test_a_kept_answer_may_be_large(self, ledger: Ledger, take: Take, now: float, size: int) -> None:
        """Case 54: answers of nothing, of one byte and of 1 MiB come back byte for byte."""
        held, answer = claim(now), os.urandom(size)
        assert take(ledger.hold(held)) == Held(0)
        assert take(settle(ledger, held, answer)) is True
        assert take(ledger.hold(claim(now + 2, like=held))) == Kept(answer)

    def test_an_answer_belongs_to_the_request_of_its_hold(self, ledger: Ledger, take: Take, now: float) -> None:
        """Case 54: the answer of the attempt that was delivered is kept, not for an earlier attempt's request."""
        failed = claim(now, request=b"\x02" * 32)
        delivered = claim(now, like=failed)
        assert take(ledger.hold(failed)) == Held(0)
        take(ledger.release(failed.payment_hash, failed.hold_id))
        assert take(ledger.hold(delivered)) == Held(0)
        assert take(settle(ledger, delivered, ANSWER)) is True
        assert take(ledger.hold(claim(now, like=failed, request=b"\x02" * 32))) == Spent()
        assert take(ledger.hold(claim(now, like=failed))) == Kept(ANSWER)

    def test_a_running_request_is_busy_for_its_own_repetition(self, ledger: Ledger, take: Take, now: float) -> None:
        """Case 54: the same request again while the first one runs is busy, never a second delivery."""
        held = claim(now)
        assert take(ledger.hold(held)) == Held(0)
        assert take(ledger.hold(claim(now, like=held))) == Busy()

    @pytest.mark.parametrize("after", [-3600.0, 0.0, LIFE - 1])
    def test_a_spent_payment_is_remembered(self, ledger: Ledger, take: Take, now: float, after: float) -> None:
        """Case 53: until `forget_at` a spent payment is refused, also after the clock moved back one hour."""
        held = claim(now)
        assert take(ledger.hold(held)) == Held(0)
        assert take(settle(ledger, held)) is True
        for _ in range(20):  # traffic at that time, for a ledger that prunes as it goes
            take(ledger.hold(claim(now + after)))
        assert take(ledger.hold(claim(now + after, like=held))) == Spent()

    @pytest.mark.parametrize("lives", [(LIFE, 2 * LIFE), (2 * LIFE, LIFE), (LIFE, 2 * LIFE, LIFE)])
    def test_the_latest_forget_at_counts(
        self, ledger: Ledger, take: Take, now: float, lives: tuple[float, ...]
    ) -> None:
        """Case 53: of several claims on a payment, the one that wants it remembered longest is obeyed."""
        first, *others = lives
        held = replace(claim(now), forget_at=now + first)
        assert take(ledger.hold(held)) == Held(0)
        assert take(settle(ledger, held)) is True
        for life in others:
            assert take(ledger.hold(replace(claim(now, like=held), forget_at=now + life))) == Spent()
        late = now + 2 * LIFE - 1
        for _ in range(20):
            take(ledger.hold(claim(late)))
        assert take(ledger.hold(claim(late, like=held))) == Spent()

    def test_a_running_request_outlives_forget_at(self, ledger: Ledger, take: Take, now: float) -> None:
        """A payment that a renewed lease still holds is not forgotten under the running request."""
        held = claim(now)
        late = now + LIFE + 10
        assert take(ledger.hold(held)) == Held(0)
        assert take(ledger.renew(held.payment_hash, held.hold_id, late + LEASE)) is True
        for _ in range(20):
            take(ledger.hold(claim(late)))
        assert take(settle(ledger, held, after=LIFE + 11)) is True

    def test_the_first_claim_says_how_many_uses_there_are(self, ledger: Ledger, take: Take, now: float) -> None:
        """A later claim can not make a payment good for more uses than it was first held with."""
        held = claim(now)
        assert take(ledger.hold(held)) == Held(0)
        assert take(ledger.hold(claim(now, uses=20, like=held))) == Busy()
        assert take(settle(ledger, held)) is True
        assert take(ledger.hold(claim(now, uses=20, like=held))) == Spent()

    def test_one_key_is_kept(self, ledger: Ledger, another: Ledger, take: Take) -> None:
        """The first key offered is the key of everybody, also after the ledger was closed."""
        key = take(ledger.keep_key("first-" + "a" * 32))
        assert take(another.keep_key("second-" + "b" * 32)) == key
        ledger.close()
        assert take(ledger.keep_key("third-" + "c" * 32)) == key

    def test_a_closed_ledger_opens_again(self, ledger: Ledger, take: Take, now: float) -> None:
        """Closing twice is closing once, and what was counted before counts afterwards."""
        held = claim(now, uses=2)
        assert take(ledger.hold(held)) == Held(1)
        ledger.close()
        ledger.close()
        assert take(settle(ledger, held)) is True
        assert take(ledger.hold(claim(now, uses=2, like=held))) == Held(0)

    @pytest.mark.parametrize("uses", [1, 20])
    def test_a_hundred_threads(self, ledger: Ledger, another: Ledger, now: float, uses: int) -> None:
        """Cases 46 and 47: of a hundred threads that claim at once, exactly `uses` hold; the others are busy."""
        first = claim(now, uses=uses)
        start = Barrier(100)

        def contend(store: Ledger) -> Outcome:
            step = store.hold(claim(now, uses=uses, like=first))
            start.wait(30)
            return step.block()

        with ThreadPoolExecutor(100) as threads:
            outcomes = list(threads.map(contend, [ledger, another] * 50))
        _check_race(outcomes, uses)

    @pytest.mark.anyio
    @pytest.mark.parametrize("uses", [1, 20])
    async def test_a_hundred_tasks(self, ledger: Ledger, another: Ledger, now: float, uses: int) -> None:
        """Cases 46 and 47: of a hundred tasks that claim at once, exactly `uses` hold; the others are busy."""
        first = claim(now, uses=uses)
        outcomes: list[Outcome] = []

        async def contend(store: Ledger) -> None:
            outcomes.append(await store.hold(claim(now, uses=uses, like=first)).wait())

        async with anyio.create_task_group() as tasks:
            for store in [ledger, another] * 50:
                tasks.start_soon(contend, store)
        _check_race(outcomes, uses)

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
            await ledger.release(held.payment_hash, held.hold_id).wait()
            with anyio.fail_after(10):
                while await ledger.hold(again := claim(now, like=held)).wait() != Held(0):
                    await ledger.release(held.payment_hash, held.hold_id).wait()
            assert await settle(ledger, again).wait() is True

    def test_any_history_agrees_with_the_model(self, ledger: Ledger) -> None:
        """Whatever order steps and clock ticks come in, every outcome is one that the written rule allows."""

        class Histories(_Histories):
            store = ledger

        run_state_machine_as_test(
            Histories,
            settings=settings(
                max_examples=40,
                stateful_step_count=30,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )


@contextmanager
def _taking(how: str) -> Iterator[Take]:
    if how == "block":
        yield lambda step: step.block()
    else:
        with start_blocking_portal(how) as portal:
            yield lambda step: portal.call(step.wait)


def _check_race(outcomes: list[Outcome], uses: int) -> None:
    held = sorted(outcome.uses_left for outcome in outcomes if isinstance(outcome, Held))
    assert held == list(range(uses))
    assert outcomes.count(Busy()) == 100 - uses


@dataclass
class _Payment:
    """What the rule knows of one payment; a hold is `ended` once a claim came after its lease's end."""

    first: Claim
    settled: int = 0
    leases: dict[bytes, float] = field(default_factory=dict)
    ended: set[bytes] = field(default_factory=set)
    requests: dict[bytes, bytes] = field(default_factory=dict)
    kept: tuple[bytes, bytes, float] | None = None

    def certain(self) -> int:
        """Deliveries, and holds that nothing but their holder can end."""
        return self.settled + len(self.leases.keys() - self.ended)


class _Histories(RuleBasedStateMachine):
    """Claims and ends of claims on three payments, with a clock that goes on, and at times a little back.

    A hold that has ended may be dropped by a later claim, or left while other uses are free, as the ledger
    likes. The model follows it there, and insists that no payment is ever promised more often than it was sold.
    """

    PAYMENTS = st.integers(0, 2)
    HOLDS = st.integers(0, 5)
    REQUESTS = st.sampled_from([b"\x01" * 32, b"\x02" * 32])

    store: Ledger

    def __init__(self) -> None:
        super().__init__()
        self.now = self.latest = math.floor(time.time())
        self.payments = [_Payment(claim(self.now, uses=uses)) for uses in (1, 2, 5)]

    @rule(seconds=st.sampled_from([1, 10, 59, 60, 61, 600, -1, -5, -30]))
    def tick(self, seconds: int) -> None:
        self.now += seconds
        self.latest = max(self.latest, self.now)

    @rule(payment=PAYMENTS, request=REQUESTS)
    def hold(self, payment: int, request: bytes) -> None:
        known = self.payments[payment]
        uses = known.first.uses
        asked = replace(claim(self.now, uses=uses, like=known.first, request=request), forget_at=self.now + 10 * LIFE)
        active = sum(lease_until > self.now for lease_until in known.leases.values())
        known.ended |= {hold_id for hold_id, lease_until in known.leases.items() if lease_until <= self.now}
        outcome = self.store.hold(asked).block()
        if known.settled + active < uses:
            assert outcome == Held(uses - known.settled - active - 1)
            known.leases[asked.hold_id] = asked.lease_until
            known.requests[asked.hold_id] = request
        elif known.settled < uses:
            assert outcome == Busy()
        elif known.kept and known.kept[1] == request and self.now < known.kept[2]:
            # A kept answer whose time was once over may be gone, should the clock go back.
            assert outcome == Kept(known.kept[0]) or (outcome == Spent() and self.latest >= known.kept[2])
        else:
            assert outcome == Spent()

    @rule(payment=PAYMENTS, which=HOLDS, seconds=st.sampled_from([1, 60, 300]))
    def renew(self, payment: int, which: int, seconds: int) -> None:
        known, hold_id = self.pick(payment, which)
        renewed = self.store.renew(known.first.payment_hash, hold_id, self.now + seconds).block()
        self.follow(known, hold_id, there=renewed)
        if renewed:
            known.leases[hold_id] = self.now + seconds

    @rule(payment=PAYMENTS, which=HOLDS, answer=st.none() | st.binary(max_size=8))
    def settle(self, payment: int, which: int, answer: bytes | None) -> None:
        known, hold_id = self.pick(payment, which)
        until = self.now + REPLAY
        settled = self.store.settle(known.first.payment_hash, hold_id, self.now, answer, until).block()
        self.follow(known, hold_id, there=settled)
        if settled:
            del known.leases[hold_id]
            known.settled += 1
            if answer is not None:
                known.kept = (answer, known.requests[hold_id], until)

    @rule(payment=PAYMENTS, which=HOLDS)
    def release(self, payment: int, which: int) -> None:
        known, hold_id = self.pick(payment, which)
        self.store.release(known.first.payment_hash, hold_id).block()
        known.leases.pop(hold_id, None)
        known.ended.discard(hold_id)

    @invariant()
    def never_promised_twice(self) -> None:
        assert all(known.certain() <= known.first.uses for known in self.payments)

    def pick(self, payment: int, which: int) -> tuple[_Payment, bytes]:
        """One of the payment's holds, ended and settled ones among them, or one that never was."""
        known = self.payments[payment]
        hold_ids = list(known.requests)
        return known, hold_ids[-1 - which] if which < len(hold_ids) else os.urandom(16)

    @staticmethod
    def follow(known: _Payment, hold_id: bytes, *, there: bool) -> None:
        if hold_id in known.ended:
            known.ended.remove(hold_id)
            if not there:
                del known.leases[hold_id]
        else:
            assert there == (hold_id in known.leases)
