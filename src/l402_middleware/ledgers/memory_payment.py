"""One payment in memory, and what each step makes of it. Whoever calls has it alone."""

import math
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from .ledger import (
    HISTORY_EVENTS,
    Busy,
    Claim,
    Event,
    Held,
    History,
    Kept,
    Outcome,
    Spent,
    Total,
    What,
    total_of,
)
from .units import Lease, free, grant


@dataclass(slots=True)
class HeldUnits:
    """Units that a request has, until its lease ends."""

    units: int
    lease_until: float
    request: bytes


@dataclass(slots=True)
class KeptAnswer:
    """An answer that is given again until then."""

    answer: bytes
    replay_until: float


@dataclass(slots=True)
class PaymentRow:
    """`first` is the claim that it was first shown with; `record` is told what happens, to count it."""

    first: Claim
    record: Callable[[Total], None]
    bought: int | None
    forget_at: float
    settled: int = 0
    confirmed: bool = False
    closed_with: int | None = None
    credited_to: bytes | None = None
    holds: dict[bytes, HeldUnits] = field(default_factory=dict)
    kept: dict[bytes, KeptAnswer] = field(default_factory=dict)
    events: deque[Event] = field(default_factory=lambda: deque(maxlen=HISTORY_EVENTS))

    def hold(self, claim: Claim) -> Outcome:
        if self.bought is None:
            return Held(None, self.confirmed, 0) if self.closed_with is None else Spent()
        if claim.once:
            if any(hold.lease_until > claim.now and hold.request == claim.request for hold in self.holds.values()):
                return Busy()
            if (kept := self._again(claim)) is not None:
                return kept
        granted = grant(self._unsettled, self._leases(), claim.now, claim.most, claim.least)
        if granted is not None:
            self._lapse(granted.lapsed, claim.now)
            self.holds[claim.hold_id] = HeldUnits(granted.units, claim.lease_until, claim.request)
            return Held(granted.left, self.confirmed, granted.units)
        if self._unsettled >= claim.least:
            return Busy()
        return self._again(claim) or Spent()

    def extend(self, hold_id: bytes, more: int, least: int, now: float, lease_until: float) -> int:
        hold = self.holds.get(hold_id)
        if hold is None:
            return 0
        hold.lease_until = lease_until
        granted = grant(self._unsettled, self._leases(mine=hold_id), now, more, least)
        if granted is None:
            return 0
        self._lapse(granted.lapsed, now)
        hold.units += granted.units
        return granted.units

    def renew(self, hold_id: bytes, lease_until: float) -> bool:
        hold = self.holds.get(hold_id)
        if hold is not None:
            hold.lease_until = lease_until
        return hold is not None

    def settle(self, hold_id: bytes, used: int, now: float, answer: bytes | None, replay_until: float) -> bool:
        hold = self.holds.get(hold_id)
        if hold is None or not 0 <= used <= hold.units:
            return False
        del self.holds[hold_id]
        self.settled += used
        if answer is not None:
            self.kept[hold.request] = KeptAnswer(answer, replay_until)
        self.note(now, "delivered")
        return True

    def release(self, hold_id: bytes, now: float) -> None:
        if self.holds.pop(hold_id, None) is not None:
            self.note(now, "released")

    def confirm(self, now: float) -> None:
        if not self.confirmed:
            self.confirmed = True
            self.note(now, "confirmed")

    @property
    def takes_credit(self) -> bool:
        return self.bought is not None and self.closed_with is None

    def take_over(self, other: "PaymentRow", by: Claim) -> Busy | Spent | None:
        """Have all that the other one bought, which buys nothing from now on; or say why that cannot be."""
        if other is self or not other.takes_credit or other.settled:
            return Spent()
        if any(hold.lease_until > by.now for hold in other.holds.values()):
            return Busy()
        self.bought = (self.bought or 0) + (other.bought or 0)
        self.forget_at = max(self.forget_at, by.forget_at)
        other._shut(0, by.now)
        other.credited_to = self.first.payment_hash
        self.note(by.now, "topped-up")
        return None

    def close(self, now: float) -> int:
        if self.closed_with is None:
            self._shut(self.free(now), now)
        return self.closed_with or 0

    def free(self, now: float) -> int:
        return free(self._unsettled, self._leases(), now)

    def forget(self, now: float) -> float:
        """Drop the answers whose time is over, and say until when the payment is wanted itself."""
        self.kept = {request: kept for request, kept in self.kept.items() if kept.replay_until > now}
        return max(self.forget_at, *(hold.lease_until for hold in self.holds.values()), now)

    def history(self) -> History:
        first = self.first
        return History(
            first.payment_hash,
            first.token_id,
            first.endpoint,
            first.msat,
            self.bought,
            self.settled,
            first.now,
            first.scheme,
            first.backend,
            self.closed_with,
            tuple(self.events),
        )

    def note(self, at: float, what: What) -> None:
        self.events.append(Event(at, what))
        self.record(total_of(at, self.first.endpoint, what, self.first.msat))

    @property
    def _unsettled(self) -> int:
        """What could be held, were nothing held now: nothing of a pass, and nothing of what is closed."""
        return 0 if self.bought is None or self.closed_with is not None else self.bought - self.settled

    def _leases(self, mine: bytes | None = None) -> list[Lease]:
        """All of them; `mine` runs, whatever its lease says."""
        return [
            Lease(hold_id, hold.units, math.inf if hold_id == mine else hold.lease_until)
            for hold_id, hold in self.holds.items()
        ]

    def _again(self, claim: Claim) -> Kept | None:
        kept = self.kept.get(claim.request)
        if kept is None or kept.replay_until <= claim.now:
            return None
        self.note(claim.now, "replayed")
        return Kept(kept.answer)

    def _lapse(self, hold_ids: Iterable[bytes], now: float) -> None:
        for hold_id in hold_ids:
            del self.holds[hold_id]
            self.note(now, "lapsed")

    def _shut(self, closed_with: int, now: float) -> None:
        # What lapsed holds have is given away with the rest: they must not settle it too.
        self._lapse([lease.hold_id for lease in self._leases() if lease.until <= now], now)
        self.closed_with = closed_with
        self.note(now, "closed")
