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
    Closed,
    Credited,
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
class _Hold:
    units: int
    until: float
    request: bytes


@dataclass
class _ModelPayment:
    """What the rule knows of one payment. `hold_ids` are those of all holds that ever were."""

    first: Claim
    bought: int | None
    known: bool = False
    revoked: bool = False
    confirmed: bool = False
    settled: int = 0
    closed_with: int | None = None
    credited_to: bytes | None = None
    holds: dict[bytes, _Hold] = field(default_factory=dict)
    hold_ids: list[bytes] = field(default_factory=list)
    kept: dict[bytes, tuple[bytes, float]] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)

    @property
    def unsettled(self) -> int:
        return 0 if self.bought is None or self.closed_with is not None else self.bought - self.settled

    def held(self) -> int:
        return sum(hold.units for hold in self.holds.values())

    def free(self, now: float) -> int:
        return self.unsettled - sum(hold.units for hold in self.holds.values() if hold.until > now)


class Histories(RuleBasedStateMachine):
    """Everything that can happen to six payments, with a clock that goes on, and at times a little back.

    No two leases end at the same instant, so every outcome, total and event is foreseen, with one exception: a kept
    answer whose time was once over may be gone, should the clock go back.
    """

    BOUGHT = (1, 2, 5, 1000, 300, None)
    PAYMENTS = st.integers(0, len(BOUGHT) - 1)
    HOLDS = st.integers(0, 5)
    REQUESTS = st.sampled_from([b"\x01" * 32, b"\x02" * 32])
    UNITS = st.integers(1, 4) | st.sampled_from([1, 100, 250, 999])

    store: Ledger

    def __init__(self) -> None:
        super().__init__()
        self.now = self.latest = math.floor(time.time())
        self.leases = 0
        first = claim(self.now)
        self.payments = [
            _ModelPayment(replace(claim(self.now, bought=bought), endpoint=first.endpoint), bought)
            for bought in self.BOUGHT
        ]
        self.touched = self.payments[0]
        self.totals: Counter[tuple[int, What]] = Counter()
        self.msat: Counter[int] = Counter()

    @rule(seconds=st.sampled_from([1, 10, 59, 60, 61, 600, 40_000, -1, -5, -30]))
    def tick(self, seconds: int) -> None:
        self.now += seconds
        self.latest = max(self.latest, self.now)

    @rule(payment=PAYMENTS, request=REQUESTS, most=UNITS, least=UNITS, once=st.booleans())
    def hold(self, payment: int, request: bytes, most: int, least: int, once: bool) -> None:
        known = self.touched = self.payments[payment]
        asked = replace(
            self.claim_on(known), most=max(most, least), least=least, once=once, request=request, hold_id=os.urandom(16)
        )
        outcome = self.store.hold(asked).block()
        if known.revoked:
            assert outcome == Revoked()
            return
        self.show(known)
        if known.bought is None:
            assert outcome == (Held(None, known.confirmed, 0) if known.closed_with is None else Spent())
            return
        runs = any(hold.until > self.now and hold.request == request for hold in known.holds.values())
        if once and runs:
            assert outcome == Busy()
            return
        if once and self.is_kept(known, request, outcome):
            return
        units = min(asked.most, known.free(self.now))
        if units >= least:
            assert outcome == Held(known.free(self.now) - units, known.confirmed, units)
            self.make_room(known, units)
            known.holds[asked.hold_id] = _Hold(units, asked.lease_until, request)
            known.hold_ids.append(asked.hold_id)
        elif known.unsettled >= least:
            assert outcome == Busy()
        elif not self.is_kept(known, request, outcome):
            assert outcome == Spent()

    @rule(payment=PAYMENTS, which=HOLDS, more=UNITS, least=UNITS, seconds=st.sampled_from([1, 60, 300]))
    def extend(self, payment: int, which: int, more: int, least: int, seconds: int) -> None:
        known, hold_id = self.pick(payment, which)
        until = self.lease(seconds)
        more = max(more, least)
        granted = self.store.extend(known.first.payment_hash, hold_id, more, least, self.now, until).block()
        if hold_id not in known.holds:
            assert granted == 0
            return
        mine = known.holds[hold_id]
        mine.until = until
        units = min(more, known.free(self.now))
        assert granted == (units if units >= least else 0)
        if granted:
            self.make_room(known, units)
            mine.units += units

    @rule(payment=PAYMENTS, which=HOLDS, seconds=st.sampled_from([1, 60, 300]))
    def renew(self, payment: int, which: int, seconds: int) -> None:
        known, hold_id = self.pick(payment, which)
        until = self.lease(seconds)
        assert self.store.renew(known.first.payment_hash, hold_id, until).block() == (hold_id in known.holds)
        if hold_id in known.holds:
            known.holds[hold_id].until = until

    @rule(payment=PAYMENTS, which=HOLDS, unused=st.integers(-1, 3), answer=st.none() | st.binary(max_size=8))
    def settle(self, payment: int, which: int, unused: int, answer: bytes | None) -> None:
        known, hold_id = self.pick(payment, which)
        until = self.now + REPLAY
        held = known.holds[hold_id].units if hold_id in known.holds else 1
        used = held - unused
        settled = self.store.settle(known.first.payment_hash, hold_id, used, self.now, answer, until).block()
        assert settled == (hold_id in known.holds and 0 <= used <= held)
        if settled:
            request = known.holds.pop(hold_id).request
            known.settled += used
            self.note(known, "delivered")
            if answer is not None:
                known.kept[request] = (answer, until)

    @rule(payment=PAYMENTS, which=HOLDS)
    def release(self, payment: int, which: int) -> None:
        known, hold_id = self.pick(payment, which)
        self.store.release(known.first.payment_hash, hold_id, self.now).block()
        if known.holds.pop(hold_id, None) is not None:
            self.note(known, "released")

    @rule(payment=PAYMENTS, other=PAYMENTS)
    def credit(self, payment: int, other: int) -> None:
        known, by = self.payments[payment], self.payments[other]
        self.touched = by
        outcome = self.store.credit(known.first.payment_hash, self.claim_on(by)).block()
        if by.revoked:
            assert outcome == Revoked()
        elif known.known and by.credited_to == known.first.payment_hash:
            assert outcome == Credited(known.free(self.now))
        elif not known.known or known.bought is None or known.closed_with is not None:
            assert outcome == Closed()
        elif known.revoked:
            assert outcome == Revoked()
        else:
            self.show(by)
            if by is known or by.bought is None or by.settled or by.closed_with is not None:
                assert outcome == Spent()
            elif any(hold.until > self.now for hold in by.holds.values()):
                assert outcome == Busy()
            else:
                known.bought += by.bought
                assert outcome == Credited(known.free(self.now))
                self.shut(by, 0)
                by.credited_to = known.first.payment_hash
                self.note(known, "topped-up")

    @rule(payment=st.sampled_from([0, 2, 4, 5]))
    def close(self, payment: int) -> None:
        known = self.touched = self.payments[payment]
        left = self.store.close_payment(known.first.payment_hash, self.now).block()
        if known.known and known.closed_with is None:
            self.shut(known, known.free(self.now))
        assert left == known.closed_with

    @rule(payment=PAYMENTS)
    def confirm(self, payment: int) -> None:
        known = self.touched = self.payments[payment]
        self.store.confirm(known.first.payment_hash, self.now).block()
        if known.known and not known.confirmed:
            known.confirmed = True
            self.note(known, "confirmed")

    @rule(payment=st.sampled_from([1, 5]))
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
            assert known.bought is None or known.settled + known.held() <= known.bought

    @invariant()
    def the_record_agrees(self) -> None:
        endpoint, start = self.touched.first.endpoint, day_of(self.payments[0].first.now)
        totals = self.store.totals(start - 1, day_of(self.latest)).block()
        assert [total for total in totals if total.endpoint == endpoint] == [
            Total(day, endpoint, what, count, self.msat[day] if what == "paid" else 0)
            for (day, what), count in sorted(self.totals.items())
        ]
        known = self.touched
        history = self.store.history(known.first.payment_hash).block()
        assert (history is not None) == known.known
        if history is not None:
            assert (history.bought, history.settled) == (known.bought, known.settled)
            assert history.closed_with == known.closed_with
            assert list(history.events) == known.events[-100:]

    def claim_on(self, known: _ModelPayment) -> Claim:
        return replace(known.first, now=self.now, lease_until=self.lease(LEASE), forget_at=self.now + 400 * LIFE)

    def show(self, known: _ModelPayment) -> None:
        if not known.known:
            known.known = True
            self.note(known, "paid")

    def is_kept(self, known: _ModelPayment, request: bytes, outcome: object) -> bool:
        answer, until = known.kept.get(request, (b"", 0.0))
        if self.now >= until or (outcome != Kept(answer) and self.latest >= until):
            return False
        assert outcome == Kept(answer)
        self.note(known, "replayed")
        return True

    def make_room(self, known: _ModelPayment, units: int) -> None:
        """Let as many holds lapse as `units` more need, those first whose lease ended first."""
        while known.settled + known.held() + units > (known.bought or 0):
            hold_id = min(known.holds, key=lambda each: known.holds[each].until)
            assert known.holds.pop(hold_id).until <= self.now
            self.note(known, "lapsed")

    def shut(self, known: _ModelPayment, closed_with: int) -> None:
        for hold_id in [each for each, hold in known.holds.items() if hold.until <= self.now]:
            del known.holds[hold_id]
            self.note(known, "lapsed")
        known.closed_with = closed_with
        self.note(known, "closed")

    def lease(self, seconds: float) -> float:
        """An end of a lease, `seconds` from now, that no other has."""
        self.leases += 1
        return self.now + seconds + self.leases / 64

    def note(self, known: _ModelPayment, what: What) -> None:
        known.events.append(Event(self.now, what))
        self.totals[day_of(self.now), what] += 1
        if what == "paid":
            self.msat[day_of(self.now)] += known.first.msat

    def pick(self, payment: int, which: int) -> tuple[_ModelPayment, bytes]:
        """One of the payment's holds, ended and settled ones among them, or one that never was."""
        known = self.touched = self.payments[payment]
        return known, known.hold_ids[-1 - which] if which < len(known.hold_ids) else os.urandom(16)
