"""The payments of a ledger that an operator asks for, whichever store it is."""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

from ..flow import Flow, do
from .ledger import History, Ledger

PAGE: Final = 500

State: TypeAlias = Literal["undelivered", "delivered", "open-balance", "refunded"]
"""`undelivered`: paid for, and nothing of it is delivered or closed. `delivered`: some of it is, or it is a pass, whose
deliveries are counted by day alone. `open-balance`: there are units left. `refunded`: it was closed with units left.
"""

STATES: Final[tuple[State, ...]] = get_args(State)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which payments: first shown from `since` on and before `until` (unix seconds), at one endpoint, in one state."""

    since: float | None = None
    until: float | None = None
    endpoint: str | None = None
    state: State | None = None

    def __contains__(self, payment: History) -> bool:
        return (
            (self.since is None or payment.shown_at >= self.since)
            and (self.until is None or payment.shown_at < self.until)
            and (self.endpoint is None or payment.endpoint == self.endpoint)
            and (self.state is None or self.state in states_of(payment))
        )


def left_of(payment: History) -> int | None:
    """How many units are neither delivered nor given up; None for a pass that is open. Holds are not looked at."""
    if payment.closed_with is not None:
        return 0
    return None if payment.bought is None else payment.bought - payment.settled


def states_of(payment: History) -> frozenset[State]:
    """All that are true of a payment."""
    is_pass = payment.bought is None
    found: dict[State, bool] = {
        "undelivered": not is_pass and not payment.settled and payment.closed_with is None and payment.msat > 0,
        "delivered": is_pass or payment.settled > 0,
        "open-balance": bool(left_of(payment)),
        "refunded": bool(payment.closed_with),
    }
    return frozenset(state for state, is_so in found.items() if is_so)


def payments(ledger: Ledger, wanted: Wanted) -> Flow[list[History]]:
    """Those that are wanted, each once, the newest first. It reads the whole ledger, page by page."""
    found: dict[bytes, History] = {}
    following: bytes | None = b""
    while following is not None:
        page = yield from do(ledger.payments(following, PAGE))
        found |= {each.payment_hash: each for each in page.payments if each in wanted}
        following = page.following
    return sorted(found.values(), key=lambda each: (-each.shown_at, each.payment_hash))
