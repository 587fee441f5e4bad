"""What a ledger's steps must come to, whatever their order: a model to compare it with, driven by Hypothesis."""

import math
import os
import time
from collections import Counter
from dataclasses import dataclass, field, replace

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from l402_middleware.ledgers.ledger import (
    Busy,
    Claim,
    Event,
    Held,
    Kept,
    Ledger,
    Revoked,
    Spent,
    Total,
    What,
    day_of,
)
from l402_middleware.testing.ledger_steps import LEASE, LIFE, REPLAY, claim


@dataclass
class _Payment:
    """What the rule knows of one payment: its holds by id, with the end of their lease and their request."""

    first: Claim
    known: bool = False
    revoked: bool = False
    confirmed: bool = False
    settled: int = 0
    leases: dict[bytes, float] = field(default_factory=dict)
    requests: dict[bytes, bytes] = field(default_factory=dict)
    kept: tuple[bytes, bytes, float] | None = None
    events: list[Event] = field(default_factory=list)


class Histories(RuleBasedStateMachine):
    """Everything that can happen to four payments, with a clock that goes on, and at times a little back.

    No two leases end at the same instant, so every outcome, total and event is foreseen, with one exception: a kept
    answer whose time was once over may be gone, should the clock go back.
    """

    PAYMENTS = st.integers(0, 3)
    HOLDS = st.integers(0, 5)
    REQUESTS = st.sampled_from([b"\x01" * 32, b"\x02" * 32])

    store: Ledger

    def __init__(self) -> None:
        super().__init__()
        self.now = self.latest = math.floor(time.time())
        self.leases = 0
        first = claim(self.now)
        self.payments = [_Payment(replace(claim(self.now, uses=uses), endpoint=first.endpoint)) for uses in (1, 2, 5)]
        self.payments.append(_Payment(replace(claim(self.now, uses=None), endpoint=first.endpoint)))
        self.touched = self.payments[0]
        self.totals: Counter[tuple[int, What]] = Counter()
        self.msat: Counter[int] = Counter()

    @rule(seconds=st.sampled_from([1, 10, 59, 60, 61, 600, 40_000, -1, -5, -30]))
    def tick(self, seconds: int) -> None:
        self.now += seconds
        self.latest = max(self.latest, self.now)

    @rule(payment=PAYMENTS, request=REQUESTS)
    def hold(self, payment: int, request: bytes) -> None:
        known = self.touched = self.payments[payment]
        asked = replace(
            claim(self.now, uses=known.first.uses, like=known.first, request=request),
            lease_until=self.lease(LEASE),
            forget_at=self.now + 400 * LIFE,
        )
        outcome = self.store.hold(asked).block()
        if known.revoked:
            assert outcome == Revoked()
            return
        uses, new, known.known = known.first.uses, not known.known, True
        if uses is None:
            assert outcome == Held(None, known.confirmed)
            if new:
                self.note(known, "paid")
            return
        active = sum(lease_until > self.now for lease_until in known.leases.values())
        if known.settled + active < uses:
            assert outcome == Held(uses - known.settled - active - 1, known.confirmed)
            if known.settled + len(known.leases) == uses:
                del known.leases[min(known.leases, key=lambda hold_id: known.leases[hold_id])]
                self.note(known, "lapsed")
            known.leases[asked.hold_id] = asked.lease_until
            known.requests[asked.hold_id] = request
        elif known.settled < uses:
            assert outcome == Busy()
        elif (
            known.kept
            and known.kept[1] == request
            and self.now < known.kept[2]
            and not (outcome == Spent() and self.latest >= known.kept[2])
        ):
            assert outcome == Kept(known.kept[0])
            self.note(known, "replayed")
        else:
            assert outcome == Spent()

    @rule(payment=PAYMENTS, which=HOLDS, seconds=st.sampled_from([1, 60, 300]))
    def renew(self, payment: int, which: int, seconds: int) -> None:
        known, hold_id = self.pick(payment, which)
        until = self.lease(seconds)
        assert self.store.renew(known.first.payment_hash, hold_id, until).block() == (hold_id in known.leases)
        if hold_id in known.leases:
            known.leases[hold_id] = until

    @rule(payment=PAYMENTS, which=HOLDS, answer=st.none() | st.binary(max_size=8))
    def settle(self, payment: int, which: int, answer: bytes | None) -> None:
        known, hold_id = self.pick(payment, which)
        until = self.now + REPLAY
        settled = self.store.settle(known.first.payment_hash, hold_id, self.now, answer, until).block()
        assert settled == (hold_id in known.leases)
        if settled:
            del known.leases[hold_id]
            if not known.settled:
                self.note(known, "paid")
            known.settled += 1
            self.note(known, "delivered")
            if answer is not None:
                known.kept = (answer, known.requests[hold_id], until)

    @rule(payment=PAYMENTS, which=HOLDS)
    def release(self, payment: int, which: int) -> None:
        known, hold_id = self.pick(payment, which)
        self.store.release(known.first.payment_hash, hold_id, self.now).block()
        if known.leases.pop(hold_id, None) is not None:
            self.note(known, "released")

    @rule(payment=PAYMENTS)
    def confirm(self, payment: int) -> None:
        known = self.touched = self.payments[payment]
        self.store.confirm(known.first.payment_hash, self.now).block()
        if known.known and not known.confirmed:
            known.confirmed = True
            self.note(known, "confirmed")

    @rule(payment=st.sampled_from([1, 3]))
    def revoke(self, payment: int) -> None:
        known = self.touched = self.payments[payment]
        self.store.revoke(known.first.token_id).block()
        known.revoked = True

    @rule(what=st.sampled_from(["offered", "refused", "delivered"]), count=st.integers(1, 1000))
    def count(self, what: What, count: int) -> None:
        self.store.count([Total(day_of(self.now), self.touched.first.endpoint, what, count)]).block()
        self.totals[day_of(self.now), what] += count

    @invariant()
    def never_sold_twice(self) -> None:
        for known in self.payments:
            assert known.first.uses is None or known.settled + len(known.leases) <= known.first.uses

    @invariant()
    def the_record_agrees(self) -> None:
        endpoint, start = self.touched.first.endpoint, day_of(self.payments[0].first.now)
        totals = self.store.totals(start - 1, day_of(self.latest)).block()
        assert [total for total in totals if total.endpoint == endpoint] == [
            Total(day, endpoint, what, count, self.msat[day] if what == "paid" else 0)
            for (day, what), count in sorted(self.totals.items())
        ]
        history = self.store.history(self.touched.first.payment_hash).block()
        assert (history is not None) == self.touched.known
        if history is not None:
            assert history.delivered == self.touched.settled
            assert list(history.events) == self.touched.events

    def lease(self, seconds: float) -> float:
        """An end of a lease, `seconds` from now, that no other has."""
        self.leases += 1
        return self.now + seconds + self.leases / 64

    def note(self, known: _Payment, what: What) -> None:
        known.events.append(Event(self.now, what))
        self.totals[day_of(self.now), what] += 1
        if what == "paid":
            self.msat[day_of(self.now)] += known.first.msat

    def pick(self, payment: int, which: int) -> tuple[_Payment, bytes]:
        """One of the payment's holds, ended and settled ones among them, or one that never was."""
        known = self.touched = self.payments[payment]
        hold_ids = list(known.requests)
        return known, hold_ids[-1 - which] if which < len(hold_ids) else os.urandom(16)
