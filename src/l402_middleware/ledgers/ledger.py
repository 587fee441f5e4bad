"""What a ledger must be able to do: count the units of each payment, once, whoever asks at the same time.

A payment bought a number of units: a single use 1, a bundle n, a balance its millisatoshis; a pass has no number. To
deliver, a worker *holds* some of them, runs the handler, and then *settles* the hold (delivered: what was used is gone,
the rest is back) or *releases* it (failed: all of it is back). Always: what is settled and what is held is never more
than what was bought. A hold is a lease: a worker that dies without a word loses it when the lease ends, and its units
are free for others. Every state is keyed by the payment hash, never by a token's text, which anybody can rewrite.

It also keeps the record: what happened to each payment for as long as the payment is remembered, and
totals by day and endpoint for good.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from ..flow import Step


@dataclass(frozen=True, slots=True)
class Claim:
    """Units of one payment, asked for by one request.

    `hold_id` is 16 fresh random bytes that name this attempt; `bought` is how many units the payment bought, None for
    a pass; `request` is the digest of the request. Wanted are `most` units, or as many as are left if these are at
    least `least` (1 <= least <= most). `once` says that the request is answered once: while it runs, the same request
    is `Busy`, and later its kept answer is given again, also where units are left.
    `scheme` and `backend` are noted with the payment: how its credential was presented, and what made its invoice.
    Times are unix seconds: after `forget_at` the credential can no longer be valid, with a margin for clocks, and
    the ledger may forget it. A claim over 0 msat is nobody's payment, and is not counted as `paid`.
    """

    payment_hash: bytes
    token_id: bytes
    hold_id: bytes
    bought: int | None
    request: bytes
    endpoint: str
    msat: int
    now: float
    lease_until: float
    forget_at: float
    most: int = 1
    least: int = 1
    once: bool = False
    scheme: str = "l402"
    backend: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """`units` are this request's.

    `left` are left beside them (neither settled nor held by others that run), None for a pass, of which nothing is
    held. `confirmed` says that the backend has been asked about this payment before, and had received it.
    """

    left: int | None
    confirmed: bool = False
    units: int = 1


@dataclass(frozen=True, slots=True)
class Busy:
    """Too few units are free as long as other requests hold theirs: come again."""


@dataclass(frozen=True, slots=True)
class Spent:
    """Too few units are left, whatever becomes of those that are held, and there is no answer to give again."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The answer to the same request was kept: it, byte for byte as it was settled."""

    answer: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Revoked:
    """The token was revoked; nothing was held."""


Outcome: TypeAlias = Held | Busy | Spent | Kept | Revoked


@dataclass(frozen=True, slots=True)
class Credited:
    """The top-up is the payment's, of which `left` units are now free."""

    left: int


@dataclass(frozen=True, slots=True)
class Closed:
    """The payment takes no top-up: it is closed, a pass, or not remembered."""


Credit: TypeAlias = Credited | Busy | Spent | Revoked | Closed

What: TypeAlias = Literal[
    "paid",
    "delivered",
    "replayed",
    "released",
    "lapsed",
    "confirmed",
    "topped-up",
    "granted",
    "closed",
    "refunded",
    "offered",
    "refused",
]
"""What the record counts.

`paid`: a payment whose credential was first found good, once, with its amount. `delivered`: a hold that was settled.
`replayed`: a kept answer given again. `released`: a hold given back. `lapsed`: a hold whose lease ended and whose units
others took. `confirmed`: the backend was asked, and had the payment. `topped-up`: another payment's worth was added.
`granted`: more units out of goodwill. `closed`: nothing can be held any more, of a payment that was closed or became a
top-up. `refunded`: paid back. `offered`: a challenge; `refused`: a credential refused; these two are counted, and never
belong to a payment.
"""


@dataclass(frozen=True, slots=True)
class Total:
    """How often something happened at an endpoint on a UTC day (days since 1970); `msat` only where it is `paid`."""

    day: int
    endpoint: str
    what: What
    count: int
    msat: int = 0


def day_of(at: float) -> int:
    """The UTC day of a unix time, as the record counts days."""
    return int(at // 86400)


def total_of(at: float, endpoint: str, what: What, msat: int) -> Total:
    """What the record counts when this happens to a payment of `msat`."""
    return Total(day_of(at), endpoint, what, 1, msat if what == "paid" else 0)


def encode_endpoint(endpoint: str) -> bytes:
    """An endpoint for a store that wants bytes: a path that is not UTF-8 reaches an application as lone surrogates."""
    return endpoint.encode("utf-8", "surrogatepass")


def decode_endpoint(endpoint: bytes) -> str:
    """What `encode_endpoint` encoded."""
    return endpoint.decode("utf-8", "surrogatepass")


HISTORY_EVENTS = 100


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a payment, in unix seconds."""

    at: float
    what: What


@dataclass(frozen=True, slots=True)
class History:
    """One payment, from its first use on.

    `bought` is None for a pass, and has top-ups in it; `settled` are the units that were delivered. `shown_at` is
    when its credential was first found good, in unix seconds; `closed_with` how many units were left when it was
    closed, None while it is open. `events` are the newest 100, oldest first.
    """

    payment_hash: bytes
    token_id: bytes
    endpoint: str
    msat: int
    bought: int | None
    settled: int
    shown_at: float
    scheme: str
    backend: str
    closed_with: int | None
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """Some of a ledger's payments, in no order, and perhaps none; `following` asks for the next page, None ends."""

    payments: tuple[History, ...]
    following: bytes | None


class Ledger(Protocol):
    """Every step is atomic, and raises `LedgerError` where the store failed: then nothing is known to have changed.

    Steps may be taken from many threads, event loops and processes at once. A ledger opens its store at
    its first step, and opens it anew in a forked child.
    """

    @property
    def keeps_keys(self) -> bool:
        """Whether `keep_key` can be used; if not, the operator has to configure secret keys."""

    def hold(self, claim: Claim) -> Step[Outcome]:
        """Hold what `claim` asks for until `claim.lease_until`.

        A payment that is new is noted as `paid`. Where fewer than `claim.least` units are free, the outcome is `Busy`
        if they would be were nothing held; else `Kept` where an answer to the same `claim.request` was kept and its
        time is not over, and `Spent` where not.
        Units whose lease has ended by `claim.now` are free. Their holds lapse where they have to make room: no more
        of them than needed, the one whose lease ended first before the others. The rest can still be settled.
        A pass is only recorded: its outcome is `Held`, without a hold to settle, or `Revoked`.
        """

    def extend(
        self, payment_hash: bytes, hold_id: bytes, more: int, least: int, now: float, lease_until: float
    ) -> Step[int]:
        """Add `more` units to a hold, or as many as are free if these are at least `least`, and say how many.

        0 where there are too few, or the hold is no longer there. One that is there lasts until `lease_until`.
        """

    def renew(self, payment_hash: bytes, hold_id: bytes, lease_until: float) -> Step[bool]:
        """Move the end of a lease; False where the hold is no longer there."""

    def settle(
        self, payment_hash: bytes, hold_id: bytes, used: int, now: float, answer: bytes | None, replay_until: float
    ) -> Step[bool]:
        """Deliver `used` of a hold's units, give back the rest, and keep `answer` (if any) until `replay_until`.

        One step. An answer is kept for the request of the hold, and takes the place of an earlier one for the same.
        False where the hold is no longer there, because its lease ended and others took its units, or where it has
        fewer than `used`: then nothing was changed, and the caller must not deliver. A hold whose lease ended but
        whose units nobody took settles as any other, also one of a payment that was closed meanwhile.
        """

    def release(self, payment_hash: bytes, hold_id: bytes, now: float) -> Step[None]:
        """Give a hold's units back. One that is not there (never taken, ended, settled) changes nothing."""

    def credit(self, payment_hash: bytes, by: Claim) -> Step[Credit]:
        """Top up a payment by all that the one in `by` has bought, which buys nothing itself from then on.

        `Spent` where the other one is a pass, was used, closed or credited to a third, `Busy` where a request holds
        units of it, `Revoked` where its token or the payment's was revoked. Repeated, the step changes nothing and
        says how many units are free now. The hold, the leases and the request in `by` are not looked at.
        """

    def close_payment(self, payment_hash: bytes, now: float) -> Step[int | None]:
        """Let nothing be held of a payment any more, and say how many units were neither settled nor held.

        Repeated, it says the same number again. Holds that run can still be settled; what they give back then is in
        no number. Holds whose lease has ended lapse. A pass has 0 left. None where the payment is not remembered.
        """

    def confirm(self, payment_hash: bytes, now: float) -> Step[None]:
        """Remember that the backend has received this payment, for as long as the payment is remembered."""

    def revoke(self, token_id: bytes) -> Step[None]:
        """From now on, and for good, every hold for this token is `Revoked`."""

    def revoked(self) -> Step[frozenset[bytes]]:
        """The ids of all revoked tokens: passes are checked against a copy of it, not here."""

    def count(self, totals: Sequence[Total]) -> Step[None]:
        """Add to the record what belongs to no payment: `offered`, `refused`, and what passes `delivered`."""

    def totals(self, since: int, until: int) -> Step[list[Total]]:
        """The record from day `since` up to and including day `until`, ordered by day, endpoint and what."""

    def history(self, payment_hash: bytes) -> Step[History | None]:
        """One payment, as long as it is remembered."""

    def payments(self, following: bytes, most: int) -> Step[Page]:
        """About `most` payments that are remembered: at first those that follow `b""`, then what the page says.

        A payment that is there from the first page to the last is on one of them, perhaps on several.
        """

    def keep_key(self, candidate: str) -> Step[str]:
        """The secret kept in this ledger; `candidate` is kept and returned where there is none yet."""

    def kept_key(self) -> Step[str | None]:
        """The secret kept in this ledger; None where there is none, or none is kept here."""

    def close(self) -> None:
        """Give up connections, files and threads. A later step opens them again."""
