"""Part of the contract of a ledger: requests that take what they use of a balance; top-ups; the end of a payment."""

from dataclasses import replace

import pytest

from l402_middleware.ledgers.ledger import (
    Busy,
    Claim,
    Closed,
    Credit,
    Credited,
    Held,
    Kept,
    Ledger,
    Outcome,
    Revoked,
    Spent,
)
from l402_middleware.testing.ledger_fixtures import LedgerTests
from l402_middleware.testing.ledger_steps import (
    ANSWER,
    LEASE,
    REPLAY,
    Take,
    claim,
    events,
    extend,
    release,
    settle,
    sums,
)

BALANCE = 1000


def asking(now: float, most: int, least: int = 1, *, like: Claim | None = None, once: bool = False) -> Claim:
    """A claim on a balance of 1000 units."""
    return claim(now, bought=BALANCE, like=like, most=most, least=least, once=once)


class Balancing(LedgerTests):
    """Requests that take what they use of a balance; top-ups; the end of a payment."""

    @pytest.mark.parametrize(
        ("taken", "used", "most", "least", "expected"),
        [
            (300, None, 300, 300, Held(400, units=300)),
            (300, None, 700, 700, Held(0, units=700)),
            (300, None, 900, 1, Held(0, units=700)),
            (300, None, 900, 700, Held(0, units=700)),
            (300, None, 900, 701, Busy()),
            (300, None, 5000, 1000, Busy()),
            (300, None, 5000, 1001, Spent()),
            (300, 120, 900, 880, Held(0, units=880)),
            (300, 120, 900, 881, Spent()),
            (300, 0, 1000, 1000, Held(0, units=1000)),
            (1000, 1000, 1, 1, Spent()),
            (1000, None, 1, 1, Busy()),
        ],
    )
    def test_a_request_holds_what_it_asks_for_or_what_is_left(
        self,
        ledger: Ledger,
        another: Ledger,
        take: Take,
        now: float,
        taken: int,
        used: int | None,
        most: int,
        least: int,
        expected: Outcome,
    ) -> None:
        """Up to `most` are held where `least` are free; busy only where waiting for others helps."""
        first = asking(now, taken)
        assert take(ledger.hold(first)) == Held(BALANCE - taken, units=taken)
        if used is not None:
            assert take(settle(ledger, first, used=used)) is True
        assert take(another.hold(asking(now + 2, most, least, like=first))) == expected

    @pytest.mark.parametrize("used", [0, 1, 399, 400])
    def test_what_was_not_used_is_back(
        self, ledger: Ledger, another: Ledger, take: Take, now: float, used: int
    ) -> None:
        """Settled is what was used, none and all included; the rest can be held again."""
        first = asking(now, 400)
        assert take(ledger.hold(first)) == Held(600, units=400)
        assert take(settle(another, first, used=used)) is True
        assert take(another.hold(asking(now, BALANCE, like=first))) == Held(0, units=BALANCE - used)
        history = take(ledger.history(first.payment_hash))
        assert history is not None
        assert (history.bought, history.settled) == (BALANCE, used)
        assert events(take, ledger, first) == ["paid", "delivered"]

    @pytest.mark.parametrize("used", [-1, 401, 1 << 40])
    def test_more_than_was_held_is_not_settled(self, ledger: Ledger, take: Take, now: float, used: int) -> None:
        """Settling what was not held changes nothing, and the hold is still there."""
        first = asking(now, 400)
        assert take(ledger.hold(first)) == Held(600, units=400)
        assert take(settle(ledger, first, ANSWER, used=used)) is False
        assert sums(take, ledger, first) == {"paid": 1}
        assert take(settle(ledger, first, used=400)) is True
        assert take(ledger.hold(asking(now, BALANCE, like=first))) == Held(0, units=600)

    @pytest.mark.parametrize(
        ("more", "least", "granted"),
        [(100, 100, 100), (500, 500, 500), (501, 501, 0), (900, 1, 500), (900, 500, 500), (900, 501, 0)],
    )
    def test_a_hold_is_extended_by_what_is_free(
        self, ledger: Ledger, another: Ledger, take: Take, now: float, more: int, least: int, granted: int
    ) -> None:
        """What runs gets more by the same rule, all of it can be settled, and its lease begins anew."""
        first, other = asking(now, 300), asking(now, 200)
        other = replace(other, payment_hash=first.payment_hash, token_id=first.token_id, endpoint=first.endpoint)
        assert take(ledger.hold(first)) == Held(700, units=300)
        assert take(ledger.hold(other)) == Held(500, units=200)
        assert take(extend(another, first, more, least=least, after=LEASE - 1)) == granted
        late = asking(now + LEASE + 1, BALANCE, BALANCE - 300 - granted, like=first)
        assert take(another.hold(late)) == Held(0, units=BALANCE - 300 - granted)
        assert take(settle(ledger, first, used=300 + granted)) is True

    def test_what_is_not_held_can_not_be_extended(self, ledger: Ledger, take: Take, now: float) -> None:
        """A hold that never was, was settled, released or taken over gets nothing."""
        settled, released, over = (asking(now, 10) for _ in range(3))
        for each in (settled, released, over):
            assert take(ledger.hold(each)) == Held(BALANCE - 10, units=10)
        assert take(settle(ledger, settled)) is True
        take(release(ledger, released))
        taker = asking(now + LEASE, BALANCE, BALANCE, like=over)
        assert take(ledger.hold(taker)) == Held(0, units=BALANCE)
        for gone in (settled, released, over, asking(now, 10), asking(now, 10, like=settled)):
            assert take(extend(ledger, gone, 1)) == 0
        assert take(ledger.hold(asking(now, BALANCE, like=settled))) == Held(0, units=BALANCE - 1)

    def test_a_late_hold_is_extended_where_nobody_took_it(self, ledger: Ledger, take: Take, now: float) -> None:
        """A hold whose lease ended never makes room for itself, and runs again once it was extended."""
        held = asking(now, 600)
        assert take(ledger.hold(held)) == Held(400, units=600)
        assert take(extend(ledger, held, 500, least=500, after=LEASE + 1)) == 0
        assert take(extend(ledger, held, 500, least=400, after=LEASE + 1)) == 400
        assert take(ledger.hold(asking(now + LEASE + 2, 1, like=held))) == Busy()
        assert take(settle(ledger, held, used=BALANCE, after=LEASE + 3)) is True

    def test_no_more_holds_lapse_than_are_in_the_way(self, ledger: Ledger, take: Take, now: float) -> None:
        """Of holds whose lease has ended, the earliest go first, and those not needed can still be settled."""
        first = asking(now, 200)
        old = [first, *(asking(now + later, 200, like=first) for later in (3, 1, 2))]
        for each in old:
            assert isinstance(take(ledger.hold(each)), Held)
        new = asking(now + LEASE + 5, 500, like=first)
        assert take(ledger.hold(new)) == Held(500, units=500)
        assert sums(take, ledger, first) == {"paid": 1, "lapsed": 2}
        settled = [take(settle(ledger, each, used=200, after=LEASE + 6)) for each in old]
        assert settled == [False, True, False, True]
        assert take(settle(ledger, new, used=500)) is True
        assert take(ledger.hold(asking(now + LEASE + 9, BALANCE, like=first))) == Held(0, units=100)

    # Requests that are answered once

    def test_a_request_that_is_answered_once_is_not_made_twice(
        self, ledger: Ledger, another: Ledger, take: Take, now: float
    ) -> None:
        """Asked for once, the same request is busy while it runs, then kept for a time, whatever is left."""
        first = asking(now, 10, once=True)
        assert take(ledger.hold(first)) == Held(BALANCE - 10, units=10)
        assert take(another.hold(asking(now, 10, like=first, once=True))) == Busy()
        assert take(another.hold(asking(now, 10, like=first))) == Held(BALANCE - 20, units=10)
        other = replace(asking(now, 10, like=first, once=True), request=b"\x02" * 32)
        assert take(another.hold(other)) == Held(BALANCE - 30, units=10)
        assert take(settle(ledger, first, ANSWER, used=7)) is True
        assert take(settle(ledger, other, ANSWER[::-1], used=7)) is True
        for again, expected in ((first, ANSWER), (other, ANSWER[::-1]), (first, ANSWER)):
            repeated = replace(asking(now + REPLAY, 10, like=first, once=True), request=again.request)
            assert take(another.hold(repeated)) == Kept(expected)
        over = asking(now + REPLAY + 2, 10, like=first, once=True)
        assert isinstance(take(ledger.hold(over)), Held)
        assert sums(take, ledger, first)["replayed"] == 3

    def test_a_request_whose_lease_ended_is_made_again(self, ledger: Ledger, take: Take, now: float) -> None:
        """Answered once means answered: whoever fell silent keeps no repetition away after its lease."""
        first = asking(now, 10, once=True)
        assert take(ledger.hold(first)) == Held(BALANCE - 10, units=10)
        assert take(ledger.hold(asking(now + LEASE, 10, like=first, once=True))) == Held(BALANCE - 10, units=10)

    # Top-ups

    def test_a_top_up_adds_all_that_the_other_payment_bought(
        self, ledger: Ledger, another: Ledger, take: Take, now: float
    ) -> None:
        """A payment, shown before or not, is added once, however often that is asked for, and buys nothing itself."""
        first, second, third = asking(now, 400), asking(now, 1), claim(now, bought=50)
        assert take(ledger.hold(first)) == Held(600, units=400)
        assert take(settle(ledger, first, used=300)) is True
        assert take(ledger.hold(second)) == Held(999, units=1)
        take(release(ledger, second))
        for _ in range(3):
            assert take(another.credit(first.payment_hash, replace(second, now=now + 2))) == Credited(1700)
        for _ in range(2):
            assert take(ledger.credit(first.payment_hash, replace(third, now=now + 3))) == Credited(1750)
        for gone in (second, third):
            assert take(another.hold(claim(now + 4, like=gone))) == Spent()
            assert take(ledger.close_payment(gone.payment_hash, now + 4)) == 0
            assert events(take, ledger, gone)[0] == "paid"
            assert events(take, ledger, gone)[-1] == "closed"
        assert sums(take, ledger, first) == {"paid": 1, "delivered": 1, "topped-up": 2}
        assert take(another.hold(asking(now + 5, 5000, 1750, like=first))) == Held(0, units=1750)
        history = take(ledger.history(first.payment_hash))
        assert history is not None
        assert (history.bought, history.settled, history.msat) == (2050, 300, first.msat)

    def test_a_top_up_is_remembered_as_long_as_it_must(self, ledger: Ledger, take: Take, now: float) -> None:
        """The payment that was topped up is not forgotten before the one it was topped up by."""
        first = asking(now, 1)
        second = replace(asking(now, 1), forget_at=first.forget_at + 7200)
        assert isinstance(take(ledger.hold(first)), Held)
        assert take(ledger.credit(first.payment_hash, second)) == Credited(1999)
        self.forget(ledger, min(first.forget_at + 3600, now + 1))
        assert take(ledger.credit(first.payment_hash, second)) == Credited(1999)

    def test_what_can_not_be_a_top_up(self, ledger: Ledger, take: Take, now: float) -> None:
        """What was used, is held, a pass, closed, revoked, another's top-up or the payment itself adds nothing."""
        first, elsewhere = asking(now, 1), asking(now, 1)
        used, held, late, shut, lost, moved = (asking(now, 1) for _ in range(6))
        endless = claim(now, bought=None)
        for each in (first, elsewhere, used, held, late, shut, endless):
            assert isinstance(take(ledger.hold(each)), Held)
        assert take(settle(ledger, used)) is True
        assert take(ledger.close_payment(shut.payment_hash, now)) == BALANCE - 1
        take(ledger.revoke(lost.token_id))
        assert take(ledger.credit(elsewhere.payment_hash, moved)) == Credited(1999)
        expected: list[tuple[Claim, Credit]] = [
            (used, Spent()),
            (held, Busy()),
            (shut, Spent()),
            (endless, Spent()),
            (lost, Revoked()),
            (moved, Spent()),
            (first, Spent()),
        ]
        for by, outcome in expected:
            assert take(ledger.credit(first.payment_hash, by)) == outcome
        assert sums(take, ledger, first) == {"paid": 1}
        assert take(ledger.history(lost.payment_hash)) is None
        # Its holder fell silent; it must not settle afterwards what is another payment's now.
        assert take(ledger.credit(first.payment_hash, replace(late, now=now + LEASE))) == Credited(2000)
        assert take(settle(ledger, late, after=LEASE + 1)) is False
        assert events(take, ledger, late) == ["paid", "lapsed", "closed"]

    def test_what_can_not_be_topped_up(self, ledger: Ledger, take: Take, now: float) -> None:
        """What is unknown, closed, a pass or revoked takes nothing, and the payment stays good for what it bought."""
        unknown, shut, lost, by = (asking(now, 1) for _ in range(4))
        endless = claim(now, bought=None)
        for each in (shut, lost, endless):
            assert isinstance(take(ledger.hold(each)), Held)
        assert take(ledger.close_payment(shut.payment_hash, now)) == BALANCE - 1
        take(ledger.revoke(lost.token_id))
        for payment, outcome in ((unknown, Closed()), (shut, Closed()), (endless, Closed()), (lost, Revoked())):
            assert take(ledger.credit(payment.payment_hash, by)) == outcome
        assert take(ledger.hold(by)) == Held(BALANCE - 1)

    # The end of a payment

    def test_a_closed_payment_gives_what_is_left_once(
        self, ledger: Ledger, another: Ledger, take: Take, now: float
    ) -> None:
        """What runs still settles, what lapsed does not, nothing is held any more; the number stays the same."""
        late = asking(now - LEASE, 50)
        done, running = asking(now, 100, like=late), asking(now, 200, like=late)
        assert isinstance(take(ledger.hold(late)), Held)
        for each in (done, running):
            assert isinstance(take(ledger.hold(each)), Held)
        assert take(settle(ledger, done, ANSWER, used=60)) is True
        for store in (another, ledger, another):
            assert take(store.close_payment(late.payment_hash, now + 2)) == BALANCE - 60 - 200
            assert take(store.hold(replace(asking(now + 2, 1, like=late), request=b"\x02" * 32))) == Spent()
            assert take(extend(store, running, 1, after=2)) == 0
        assert take(ledger.hold(asking(now + 2, 1, like=late))) == Kept(ANSWER)
        assert take(settle(ledger, late, after=LEASE + 3)) is False
        assert take(settle(another, running, used=150, after=3)) is True
        assert take(ledger.close_payment(late.payment_hash, now + 9)) == BALANCE - 60 - 200
        assert take(another.hold(asking(now + 9, 1, like=replace(late, request=b"\x02" * 32)))) in (
            Spent(),
            Kept(ANSWER),
        )
        assert sums(take, ledger, late) == {"paid": 1, "delivered": 2, "lapsed": 1, "closed": 1, "replayed": 2}
        history = take(ledger.history(late.payment_hash))
        assert history is not None
        assert (history.closed_with, history.settled) == (BALANCE - 60 - 200, 210)

    @pytest.mark.parametrize(("bought", "left"), [(1, 1), (20, 20), (None, 0)])
    def test_any_payment_can_be_closed(
        self, ledger: Ledger, take: Take, now: float, bought: int | None, left: int
    ) -> None:
        """A single use, a bundle and a pass open nothing any more; one that is unknown stays so."""
        first = claim(now, bought=bought)
        assert take(ledger.close_payment(first.payment_hash, now)) is None
        assert take(ledger.history(first.payment_hash)) is None
        assert isinstance(take(ledger.hold(first)), Held)
        take(release(ledger, first))
        history = take(ledger.history(first.payment_hash))
        assert history is not None
        assert history.closed_with is None
        for _ in range(2):
            assert take(ledger.close_payment(first.payment_hash, now)) == left
        assert take(ledger.hold(claim(now, bought=bought, like=first))) == Spent()
