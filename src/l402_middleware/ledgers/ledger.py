"""What a ledger must be able to do: count the uses of each payment, once, whoever asks at the same time.

A payment buys a number of deliveries. To deliver, a worker *holds* one use, runs the handler, and then
*settles* the hold (delivered: the use is gone) or *releases* it (failed: the use is back). A hold is a
lease: a worker that dies without a word loses it when the lease ends, and the use is back. Every state
is keyed by the payment hash, never by a token's text, which anybody can rewrite.

It also keeps the record: what happened to each payment for as long as the payment is remembered, and
totals by day and endpoint for good.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from ..flow import Step


@dataclass(frozen=True, slots=True)
class Claim:
    """One use of one payment, asked for by one request.

    `hold_id` is 16 fresh random bytes that name this attempt; `uses` is what the payment bought, None for a
    pass; `request` is the digest of the request. Times are unix seconds: after `forget_at` the
    credential can no longer be valid, with a margin for clocks, and the ledger may forget it.
    """

    payment_hash: bytes
    token_id: bytes
    hold_id: bytes
    uses: int | None
    request: bytes
    endpoint: str
    msat: int
    now: float
    lease_until: float
    forget_at: float


@dataclass(frozen=True, slots=True)
class Held:
    """The use is this request's.

    `uses_left` are left beside it (settled and running ones not counted), None for a pass. `confirmed` says that
    the backend has been asked about this payment before, and had received it.
    """

    uses_left: int | None
    confirmed: bool = False


@dataclass(frozen=True, slots=True)
class Busy:
    """Every use that is left is held by a request that still runs."""


@dataclass(frozen=True, slots=True)
class Spent:
    """Every use has been delivered, and there is no answer to give again to this request."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Every use has been delivered, and this request's answer was kept: it, byte for byte as it was settled."""

    answer: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Revoked:
    """The token was revoked; nothing was held."""


Outcome: TypeAlias = Held | Busy | Spent | Kept | Revoked

What: TypeAlias = Literal["paid", "delivered", "replayed", "released", "lapsed", "confirmed", "offered", "refused"]
"""What the record counts.

`paid`: a payment at its first delivery (a pass: at its first use), once, with its amount. `delivered`: a hold that
was settled. `replayed`: a kept answer given again. `released`: a hold given back. `lapsed`: a hold whose lease ended
and whose use another request took. `confirmed`: the backend was asked, and had the payment. `offered`: a challenge;
`refused`: a credential refused; these two are counted, and never belong to a payment.
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

    `uses` is None for a pass, `delivered` the uses that are settled; `events` are the newest 100, oldest first.
    """

    payment_hash: bytes
    token_id: bytes
    endpoint: str
    msat: int
    uses: int | None
    delivered: int
    events: tuple[Event, ...]


class Ledger(Protocol):
    """Every step is atomic, and raises `LedgerError` where the store failed: then nothing is known to have changed.

    Steps may be taken from many threads, event loops and processes at once. A ledger opens its store at
    its first step, and opens it anew in a forked child.
    """

    @property
    def keeps_keys(self) -> bool:
        """Whether `keep_key` can be used; if not, the operator has to configure secret keys."""

    def hold(self, claim: Claim) -> Step[Outcome]:
        """Hold one use until `claim.lease_until`.

        Holds whose lease has ended by `claim.now` count as released. `Kept` is the outcome where all
        uses are settled, an answer was kept, its time is not over, and it was given to the same
        `claim.request`. A pass is only recorded: its outcome is `Held`, without a hold to settle, or `Revoked`.
        """

    def renew(self, payment_hash: bytes, hold_id: bytes, lease_until: float) -> Step[bool]:
        """Move the end of a lease; False where the hold is no longer there."""

    def settle(
        self, payment_hash: bytes, hold_id: bytes, now: float, answer: bytes | None, replay_until: float
    ) -> Step[bool]:
        """Turn a hold into a delivery, and keep `answer` (if any) until `replay_until`, in one step.

        False where the hold is no longer there, because its lease ended and another request took the
        use: then nothing was changed, and the caller must not deliver. A hold whose lease ended but that nobody
        took settles as any other.
        """

    def release(self, payment_hash: bytes, hold_id: bytes, now: float) -> Step[None]:
        """Give a held use back. Releasing a hold that is not there (never taken, ended, settled) changes nothing."""

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

    def keep_key(self, candidate: str) -> Step[str]:
        """The secret kept in this ledger; `candidate` is kept and returned where there is none yet."""

    def close(self) -> None:
        """Give up connections, files and threads. A later step opens them again."""
