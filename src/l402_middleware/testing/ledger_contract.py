"""What every ledger must do, as tests that a ledger's author runs.

    from l402_middleware.testing.ledger_contract import LedgerContract

    class TestMyLedger(LedgerContract):
        @pytest.fixture
        def ledger(self):
            ledger = MyLedger(...)
            yield ledger
            ledger.close()

A ledger that several handles can share also gives `another`, a second handle onto the same store. Every test
makes payments of its own, for endpoints of their own, so one store may serve them all. Times start at the clock's.
Needs pytest and Hypothesis; where trio is installed, every test runs under it too.
"""

import os
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import cycle
from threading import Barrier

import anyio
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from l402_middleware.flow import Flow, adrive, do, drive
from l402_middleware.ledgers.ledger import (
    Busy,
    Claim,
    Event,
    Held,
    Kept,
    Ledger,
    Outcome,
    Revoked,
    Spent,
    Total,
    What,
    day_of,
)
from l402_middleware.testing.ledger_model import Histories
from l402_middleware.testing.ledger_steps import (
    ANSWER,
    BACKENDS,
    LEASE,
    LIFE,
    REPLAY,
    WHAT,
    Take,
    claim,
    events,
    release,
    settle,
    sums,
    taking,
)


class LedgerContract:
    """Subclass it in a test module and give a `ledger` fixture."""

    def forget(self, ledger: Ledger, now: float) -> None:
        """Bring the ledger to forget what it may at `now`: by traffic at that time, for one that prunes as it goes.

        Where the store forgets by a clock of its own, wait for that time first.
        """
        for _ in range(20):
            ledger.hold(claim(now)).block()

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
        with taking(request.param) as take:
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
        take(release(ledger, claims[-1]))
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
            take(release(ledger, held))
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
            take(release(ledger, gone))
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
        take(release(ledger, old))
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
        take(release(ledger, failed))
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
        """A later claim cannot make a payment good for more uses than it was first held with."""
        held = claim(now)
        assert take(ledger.hold(held)) == Held(0)
        assert take(ledger.hold(claim(now, uses=20, like=held))) == Busy()
        assert take(settle(ledger, held)) is True
        assert take(ledger.hold(claim(now, uses=20, like=held))) == Spent()

    # Passes, confirmation, revocation

    def test_a_pass_is_recorded_once_and_never_held(
        self, ledger: Ledger, another: Ledger, take: Take, now: float
    ) -> None:
        """A pass is `Held` without a count as often as it comes, is paid once, and has no hold to settle."""
        first = claim(now, uses=None)
        for seconds, store in zip(range(5), cycle([ledger, another]), strict=False):
            used = claim(now + seconds, uses=None, like=first)
            assert take(store.hold(used)) == Held(None, False)
            assert take(store.renew(used.payment_hash, used.hold_id, now + LEASE)) is False
            assert take(settle(store, used, ANSWER)) is False
            take(release(store, used))
        assert events(take, ledger, first) == ["paid"]
        assert sums(take, ledger, first) == {"paid": 1}
        history = take(another.history(first.payment_hash))
        assert history is not None
        assert (history.uses, history.delivered) == (None, 0)

    @pytest.mark.parametrize("uses", [2, None])
    def test_a_confirmation_is_remembered(
        self, ledger: Ledger, another: Ledger, take: Take, now: float, uses: int | None
    ) -> None:
        """Case 56: once the backend was asked, every later hold says so, through every handle; it counts once."""
        first = claim(now, uses=uses)
        assert take(ledger.hold(first)) == Held(uses and 1, False)
        take(ledger.confirm(first.payment_hash, now + 1))
        take(another.confirm(first.payment_hash, now + 2))
        assert take(another.hold(claim(now + 3, uses=uses, like=first))) == Held(uses and 0, True)
        assert sums(take, ledger, first)["confirmed"] == 1
        assert events(take, ledger, first).count("confirmed") == 1

    def test_what_is_not_remembered_is_not_confirmed(self, ledger: Ledger, take: Take, now: float) -> None:
        """Confirming a payment that never came to the ledger changes and counts nothing."""
        held = claim(now)
        take(ledger.confirm(held.payment_hash, now))
        assert take(ledger.history(held.payment_hash)) is None
        assert take(ledger.hold(held)) == Held(0, False)
        assert sums(take, ledger, held) == {}

    @pytest.mark.parametrize("uses", [1, 20, None])
    def test_a_revoked_token_opens_nothing(
        self, ledger: Ledger, another: Ledger, take: Take, now: float, uses: int | None
    ) -> None:
        """Revoked before its first use or after it, a token stays so for every handle, also after closing."""
        new, used, other = claim(now, uses=uses), claim(now, uses=uses), claim(now, uses=uses)
        assert isinstance(take(ledger.hold(used)), Held)
        before = sums(take, ledger, used)
        for token in (new, used, used):
            take(ledger.revoke(token.token_id))
        ledger.close()
        for store in (another, ledger):
            for token in (new, used):
                again = claim(now + LEASE + 1, uses=uses, like=token)
                assert take(store.hold(again)) == Revoked()
                assert take(settle(store, again)) is False
            assert {new.token_id, used.token_id} <= take(store.revoked())
            assert other.token_id not in take(store.revoked())
        assert isinstance(take(ledger.hold(other)), Held)
        assert take(ledger.history(new.payment_hash)) is None
        assert sums(take, ledger, new) == {}
        assert sums(take, ledger, used) == before

    def test_a_revocation_spares_the_running_request_only(self, ledger: Ledger, take: Take, now: float) -> None:
        """What was held before the revocation is delivered; its kept answer is not given again."""
        held = claim(now)
        assert take(ledger.hold(held)) == Held(0)
        take(ledger.revoke(held.token_id))
        assert take(settle(ledger, held, ANSWER)) is True
        assert take(ledger.hold(claim(now + 2, like=held))) == Revoked()
        assert sums(take, ledger, held) == {"paid": 1, "delivered": 1}

    # The record

    def test_everything_is_counted_when_it_happens(
        self, ledger: Ledger, another: Ledger, take: Take, now: float
    ) -> None:
        """A payment is paid at its first delivery, with its amount; all else counts each time it happens."""
        first = claim(now, uses=2)
        record: Counter[What] = Counter()
        happened: list[Event] = []

        def check(seconds: float, *what: What) -> None:
            record.update(what)
            happened.extend(Event(now + seconds, each) for each in what)
            assert sums(take, another, first) == dict(record)
            history = take(ledger.history(first.payment_hash))
            assert history is not None
            assert history.delivered == record["delivered"]
            assert [event.what for event in history.events] == [event.what for event in happened]
            assert [event.at for event in history.events] == pytest.approx([event.at for event in happened], abs=1e-3)

        def attempt(seconds: float) -> Claim:
            return claim(now + seconds, uses=2, like=first)

        silent, failing, done, last = first, attempt(1), attempt(LEASE + 10), attempt(LEASE + 20)
        assert take(ledger.hold(silent)) == Held(1)
        check(0)
        assert take(ledger.hold(failing)) == Held(0)
        assert take(another.hold(attempt(2))) == Busy()
        check(2)
        take(release(ledger, failing, after=2))
        take(release(another, failing, after=3))
        check(3, "released")
        assert take(ledger.hold(done)) == Held(1)
        check(LEASE + 10)
        assert take(another.hold(last)) == Held(0)
        check(LEASE + 20, "lapsed")
        take(release(ledger, silent, after=LEASE + 21))
        assert take(settle(ledger, silent, after=LEASE + 22)) is False
        check(LEASE + 22)
        assert take(settle(ledger, done, after=20)) is True
        check(LEASE + 30, "paid", "delivered")
        take(ledger.confirm(first.payment_hash, now + LEASE + 31))
        check(LEASE + 31, "confirmed")
        assert take(settle(another, last, ANSWER, after=12)) is True
        check(LEASE + 32, "delivered")
        assert take(settle(ledger, last, ANSWER, after=13)) is False
        for seconds in (LEASE + 33, LEASE + 34):
            assert take(ledger.hold(attempt(seconds))) == Kept(ANSWER)
            check(seconds, "replayed")
        assert take(ledger.hold(replace(attempt(LEASE + 35), request=b"\x02" * 32))) == Spent()
        check(LEASE + 35)
        totals = [total for total in take(ledger.totals(0, day_of(now) + 1)) if total.endpoint == first.endpoint]
        assert sum(total.msat for total in totals if total.what == "paid") == first.msat
        assert sum(total.msat for total in totals if total.what != "paid") == 0

    def test_totals_are_true_to_the_millisatoshi(self, ledger: Ledger, take: Take, now: float) -> None:
        """Amounts beyond what a float can count add up exactly, for payments and for passes."""
        first = replace(claim(now), msat=(1 << 53) + 1)
        second = replace(claim(now, uses=None), endpoint=first.endpoint, msat=2)
        assert take(ledger.hold(first)) == Held(0)
        assert take(settle(ledger, first, after=0)) is True
        assert take(ledger.hold(second)) == Held(None)
        day = day_of(now)
        totals = [total for total in take(ledger.totals(day, day)) if total.endpoint == first.endpoint]
        assert totals == [
            Total(day, first.endpoint, "delivered", 1),
            Total(day, first.endpoint, "paid", 2, (1 << 53) + 3),
        ]

    def test_days_are_utc_days_of_the_event(self, ledger: Ledger, take: Take, now: float) -> None:
        """Each event belongs to the UTC day on which it happened, and both ends of a range are in it."""
        day = day_of(now) + 1
        midnight = day * 86400.0
        early, late = claim(midnight - 2, uses=3), claim(midnight - 1, uses=3)
        late = replace(late, payment_hash=early.payment_hash, token_id=early.token_id, endpoint=early.endpoint)
        assert take(ledger.hold(early)) == Held(2)
        assert take(ledger.hold(late)) == Held(1)
        assert take(settle(ledger, early, after=1.5)) is True
        assert take(settle(ledger, late, after=1)) is True
        before = [Total(day - 1, early.endpoint, "delivered", 1), Total(day - 1, early.endpoint, "paid", 1, early.msat)]
        after = [Total(day, early.endpoint, "delivered", 1)]
        for since, until, expected in (
            (day - 1, day, before + after),
            (day - 1, day - 1, before),
            (day, day, after),
            (0, day + 400, before + after),
            (day + 1, day + 400, []),
            (day, day - 1, []),
        ):
            totals = take(ledger.totals(since, until))
            assert [total for total in totals if total.endpoint == early.endpoint] == expected

    def test_counts_are_added_to_the_record(self, ledger: Ledger, another: Ledger, take: Take, now: float) -> None:
        """What is handed in by `count` adds up, with itself and with what payments did, in one total each."""
        held = claim(now)
        day = day_of(now)
        take(ledger.count([]))
        for store in (ledger, another):
            take(
                store.count(
                    [
                        Total(day, held.endpoint, "offered", 3),
                        Total(day, held.endpoint, "refused", 1),
                        Total(day, held.endpoint, "offered", 1),
                        Total(day, held.endpoint, "delivered", 10),
                        Total(day - 1, held.endpoint, "offered", 7),
                    ]
                )
            )
        assert take(ledger.hold(held)) == Held(0)
        assert take(settle(ledger, held, after=0)) is True
        totals = take(another.totals(day - 1, day))
        assert [total for total in totals if total.endpoint == held.endpoint] == [
            Total(day - 1, held.endpoint, "offered", 14),
            Total(day, held.endpoint, "delivered", 21),
            Total(day, held.endpoint, "offered", 8),
            Total(day, held.endpoint, "paid", 1, held.msat),
            Total(day, held.endpoint, "refused", 2),
        ]

    def test_totals_are_in_order(self, ledger: Ledger, take: Take, now: float) -> None:
        """Totals come by day, endpoint and what, in the order of code points, whatever an endpoint is called."""
        prefix, day = os.urandom(8).hex(), day_of(now)
        names = [
            "GET /a",
            "GET /B",
            "GET /_",
            "GET /{b}",
            "get /a",
            "POST /a'b\"%s",
            "GET /caf\u00e9 \u2603 \U0001f300\n:|",
        ]
        endpoints = [f"{prefix} {name}" for name in names]
        counted = [Total(day - back, each, what, 1) for back in (0, 1) for each in endpoints for what in WHAT]
        take(ledger.count(counted))
        totals = [total for total in take(ledger.totals(day - 1, day)) if total.endpoint.startswith(prefix)]
        assert totals == sorted(counted, key=lambda total: (total.day, total.endpoint, total.what))

    def test_a_payment_keeps_the_terms_of_its_first_claim(self, ledger: Ledger, take: Take, now: float) -> None:
        """A history tells what was first claimed, and what happens later counts for that endpoint and amount."""
        first = claim(now, uses=2)
        assert take(ledger.history(first.payment_hash)) is None
        assert take(ledger.hold(first)) == Held(1)
        other = replace(claim(now, uses=9, like=first), endpoint=claim(now).endpoint, msat=1)
        assert take(ledger.hold(other)) == Held(0)
        assert take(settle(ledger, other)) is True
        history = take(ledger.history(first.payment_hash))
        assert history is not None
        assert (history.payment_hash, history.token_id) == (first.payment_hash, first.token_id)
        assert (history.endpoint, history.msat) == (first.endpoint, first.msat)
        assert (history.uses, history.delivered) == (2, 1)
        assert sums(take, ledger, first) == {"paid": 1, "delivered": 1}
        assert sums(take, ledger, other) == {}

    def test_a_history_has_the_newest_hundred_events(self, ledger: Ledger, take: Take, now: float) -> None:
        """Of 130 events the newest 100 are told, oldest first, and all are counted."""
        first = claim(now)
        for second in range(130):
            held = claim(now + second, like=first)
            assert take(ledger.hold(held)) == Held(0)
            take(release(ledger, held, after=0))
        history = take(ledger.history(first.payment_hash))
        assert history is not None
        assert [round(event.at - now) for event in history.events] == list(range(30, 130))
        assert {event.what for event in history.events} == {"released"}
        assert sums(take, ledger, first) == {"released": 130}

    def test_totals_outlive_their_payments(self, ledger: Ledger, another: Ledger, take: Take) -> None:
        """Case 53: a forgotten payment has no history any more, and every total is as it was."""
        now = time.time()
        first = replace(claim(now, uses=2), forget_at=now + 1)
        pass_ = replace(claim(now, uses=None), endpoint=first.endpoint, forget_at=now + 1)
        held = [first, *(replace(claim(now, uses=2, like=first), forget_at=now + 1) for _ in range(2))]
        assert take(ledger.hold(held[0])) == Held(1)
        take(release(ledger, held[0], after=0))
        for each in held[1:]:
            assert isinstance(take(ledger.hold(each)), Held)
            assert take(settle(ledger, each, ANSWER, after=0.1)) is True
        assert take(ledger.hold(held[0])) == Kept(ANSWER)
        assert take(ledger.hold(pass_)) == Held(None)
        take(ledger.confirm(first.payment_hash, now))
        take(ledger.count([Total(day_of(now), first.endpoint, "delivered", 5)]))
        day = day_of(now)
        before = [total for total in take(ledger.totals(day, day + 1)) if total.endpoint == first.endpoint]
        assert sum(total.count for total in before) == 2 + 1 + 2 + 1 + 1 + 5
        assert sum(total.msat for total in before) == first.msat + pass_.msat
        self.forget(ledger, now + 2)
        for store in (ledger, another):
            assert take(store.history(first.payment_hash)) is None
            assert take(store.history(pass_.payment_hash)) is None
            after = [total for total in take(store.totals(day, day + 1)) if total.endpoint == first.endpoint]
            assert after == before

    # The store

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

    def test_any_history_agrees_with_the_model(self, ledger: Ledger) -> None:
        """Whatever order steps and clock ticks come in, every outcome is one that the written rule allows."""

        class OfThisLedger(Histories):
            store = ledger

        run_state_machine_as_test(
            OfThisLedger,
            settings=settings(
                max_examples=40,
                stateful_step_count=30,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )


def _check_race(outcomes: list[Outcome], uses: int) -> None:
    held = [outcome for outcome in outcomes if isinstance(outcome, Held)]
    assert sorted(held, key=lambda each: each.uses_left or 0) == [Held(left) for left in range(uses)]
    assert outcomes.count(Busy()) == 100 - uses


def _shared_payments(now: float) -> tuple[Claim, Claim, Claim]:
    """A single use, a bundle of 20 and a pass, all for one endpoint."""
    shared = claim(now)
    return (
        shared,
        replace(claim(now, uses=20), endpoint=shared.endpoint),
        replace(claim(now, uses=None), endpoint=shared.endpoint),
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
        mine = claim(shared.now, uses=payment.uses, like=payment)
        if isinstance((yield from do(ledger.hold(mine))), Held):
            assert (yield from do(settle(ledger, mine, after=0))) is True
    assert (yield from do(ledger.hold(claim(shared.now, uses=None, like=pass_)))) == Held(None)
    yield from do(ledger.count([Total(day_of(shared.now), shared.endpoint, "offered", 3)]))


def _check_shared_record(ledger: Ledger, shared: Claim, bundle: Claim, pass_: Claim) -> None:
    delivered = 0
    for payment in (shared, bundle):
        history = ledger.history(payment.payment_hash).block()
        assert history is not None
        assert payment.uses is not None
        assert 1 <= history.delivered <= payment.uses
        assert [event.what for event in history.events] == ["paid"] + ["delivered"] * history.delivered
        delivered += history.delivered
    day = day_of(shared.now)
    totals = ledger.totals(day, day).block()
    assert [total for total in totals if total.endpoint == shared.endpoint] == [
        Total(day, shared.endpoint, "delivered", 100 + delivered),
        Total(day, shared.endpoint, "offered", 300),
        Total(day, shared.endpoint, "paid", 103, sum(range(1, 101)) + 2 * shared.msat + pass_.msat),
        Total(day, shared.endpoint, "released", 100),
        Total(day, shared.endpoint, "replayed", 100),
    ]
