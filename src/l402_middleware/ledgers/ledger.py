"""What a ledger must be able to do: count the uses of each payment, once, whoever asks at the same time.

A payment buys a number of deliveries. To deliver, a worker *holds* one use, runs the handler, and then
*settles* the hold (delivered: the use is gone) or *releases* it (failed: the use is back). A hold is a
lease: a worker that dies without a word loses it when the lease ends, and the use is back. Every state
is keyed by the payment hash, never by a token's text, which anybody can rewrite.
"""

from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from ..flow import Step


@dataclass(frozen=True, slots=True)
class Claim:
    """One use of one payment, asked for by one request.

    `hold_id` is 16 fresh random bytes that name this attempt; `uses` is what the payment bought;
    `request` is the digest of the request. Times are unix seconds, and a ledger has no clock but these:
    after `forget_at` no credential of this payment can be valid, however its holder narrowed the one at
    hand, with a margin for clocks that move back; then the ledger may forget the payment. Of several
    claims on a payment the first one's `uses` and the latest `forget_at` count.
    """

    payment_hash: bytes
    hold_id: bytes
    uses: int
    request: bytes
    endpoint: str
    msat: int
    now: float
    lease_until: float
    forget_at: float


@dataclass(frozen=True, slots=True)
class Held:
    """The use is this request's; `uses_left` are left beside it (settled ones and running ones not counted)."""

    uses_left: int


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


Outcome: TypeAlias = Held | Busy | Spent | Kept


class Ledger(Protocol):
    """Every step is atomic, and raises `LedgerError` where the store failed: then nothing is known to have changed.

    Steps may be taken from many threads, event loops and processes at once. A ledger opens its store at
    its first step, and opens it anew in a forked child.
    """

    def hold(self, claim: Claim) -> Step[Outcome]:
        """Hold one use until `claim.lease_until`.

        Holds whose lease has ended by `claim.now` count as released. `Kept` is the outcome where all
        uses are settled, an answer was kept, its time is not over, and it was given to the same
        `claim.request`.
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

    def release(self, payment_hash: bytes, hold_id: bytes) -> Step[None]:
        """Give a held use back. Releasing a hold that is not there (never taken, ended, settled) changes nothing."""

    def keep_key(self, candidate: str) -> Step[str]:
        """The secret kept in this ledger; `candidate` is kept and returned where there is none yet."""

    def close(self) -> None:
        """Give up connections, files and threads. A later step opens them again."""
