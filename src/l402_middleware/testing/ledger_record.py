"""Part of the contract of a ledger: what the record tells of payments, and in total."""

import os
import time
from collections import Counter
from dataclasses import replace

import pytest

from l402_middleware.ledgers.ledger import Busy, Claim, Event, Held, Kept, Ledger, Spent, Total, What, day_of
from l402_middleware.testing.ledger_fixtures import LedgerTests
from l402_middleware.testing.ledger_steps import ANSWER, LEASE, WHAT, Take, claim, release, settle, sums


class Recording(LedgerTests):
    """What the record tells of payments, and in total."""

    def test_everything_is_counted_when_it_happens(
        self, ledger: Ledger, another: Ledger, take: Take, now: float
    ) -> None:
        """A payment is paid when it is first shown, with its amount; all else counts each time it happens."""
        first = claim(now, bought=2)
        record: Counter[What] = Counter()
        happened: list[Event] = []

        def check(seconds: float, *what: What) -> None:
            record.update(what)
            happened.extend(Event(now + seconds, each) for each in what)
            assert sums(take, another, first) == dict(record)
            history = take(ledger.history(first.payment_hash))
            assert history is not None
            assert history.settled == record["delivered"]
            assert [event.what for event in history.events] == [event.what for event in happened]
            assert [event.at for event in history.events] == pytest.approx([event.at for event in happened], abs=1e-3)

        def attempt(seconds: float) -> Claim:
            return claim(now + seconds, bought=2, like=first)

        silent, failing, done, last = first, attempt(1), attempt(LEASE + 10), attempt(LEASE + 20)
        assert take(ledger.hold(silent)) == Held(1)
        check(0, "paid")
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
        check(LEASE + 30, "delivered")
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
        second = replace(claim(now, bought=None), endpoint=first.endpoint, msat=2)
        assert take(ledger.hold(first)) == Held(0)
        assert take(settle(ledger, first, after=0)) is True
        assert take(ledger.hold(second)) == Held(None, False, 0)
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
        early, late = claim(midnight - 2, bought=3), claim(midnight - 1, bought=3)
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
        first = claim(now, bought=2)
        assert take(ledger.history(first.payment_hash)) is None
        assert take(ledger.hold(first)) == Held(1)
        other = replace(claim(now, bought=9, like=first), endpoint=claim(now).endpoint, msat=1)
        assert take(ledger.hold(other)) == Held(0)
        assert take(settle(ledger, other)) is True
        history = take(ledger.history(first.payment_hash))
        assert history is not None
        assert (history.payment_hash, history.token_id) == (first.payment_hash, first.token_id)
        assert (history.endpoint, history.msat) == (first.endpoint, first.msat)
        assert (history.bought, history.settled) == (2, 1)
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
        assert sums(take, ledger, first) == {"paid": 1, "released": 130}

    def test_payments_are_listed(self, ledger: Ledger, another: Ledger, take: Take, now: float) -> None:
        """Page by page, every payment that is remembered, as its history tells it."""
        claims = [claim(now + number, bought=bought) for number, bought in enumerate((1, 2, None, 3) * 3)]
        for each in claims:
            assert isinstance(take(ledger.hold(each)), Held)
        assert take(settle(ledger, claims[0])) is True
        take(ledger.close_payment(claims[3].payment_hash, now + LEASE * 2))
        for most in (10, 1000):
            listed = {}
            page = take(another.payments(b"", most))
            listed.update({each.payment_hash: each for each in page.payments})
            while page.following is not None:
                page = take(another.payments(page.following, most))
                listed.update({each.payment_hash: each for each in page.payments})
            for each in claims:
                assert listed[each.payment_hash] == take(another.history(each.payment_hash))

    def test_totals_outlive_their_payments(self, ledger: Ledger, another: Ledger, take: Take) -> None:
        """Case 53: a forgotten payment has no history any more, and every total is as it was."""
        now = time.time()
        first = replace(claim(now, bought=2), forget_at=now + 1)
        pass_ = replace(claim(now, bought=None), endpoint=first.endpoint, forget_at=now + 1)
        held = [first, *(replace(claim(now, bought=2, like=first), forget_at=now + 1) for _ in range(2))]
        assert take(ledger.hold(held[0])) == Held(1)
        take(release(ledger, held[0], after=0))
        for each in held[1:]:
            assert isinstance(take(ledger.hold(each)), Held)
            assert take(settle(ledger, each, ANSWER, after=0.1)) is True
        assert take(ledger.hold(held[0])) == Kept(ANSWER)
        assert take(ledger.hold(pass_)) == Held(None, False, 0)
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
