"""One purchase, as it is written down: what was asked, what is paid for it, and how far that has come.

paying     written down; the wallet was asked, or is about to be
paid       the preimage is there; the credential was not honoured yet
answered   the credential opened its answer; whether all of that arrived is not known, or more uses are left
over       used up, or no good any more
failed     the wallet says that nothing was paid, and that nothing will be
refused    paid, and the server does not honour it
"""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from ..core.auth_params import write_challenge
from ..core.invoice import decode
from ..core.money import Msat
from ..core.offered import L402Offer, Offered, parse_challenges
from .asked import Asked
from .quote import Quote

State: TypeAlias = Literal["paying", "paid", "answered", "over", "failed", "refused"]


@dataclass(frozen=True, slots=True)
class Purchase:
    """A purchase: `digest` and `endpoint` as `Asked` has them, `challenge` as the server sent it, amounts in msat.

    `uses` is how many more requests it is good for, None for any number or where the server does not say; `exact`
    whether only for the very request that was asked. Times are unix seconds.
    """

    payment_hash: bytes
    digest: str
    endpoint: str
    origin: str
    challenge: str = field(repr=False)
    msat: int
    uses: int | None
    exact: bool
    state: State
    created_at: float
    valid_until: int | None = None
    preimage: bytes | None = field(default=None, repr=False)
    fee_msat: int = 0

    @classmethod
    def of(cls, asked: Asked, quote: Quote, now: float) -> "Purchase":
        """A purchase that is about to begin."""
        return cls(
            quote.invoice.payment_hash,
            asked.digest,
            asked.endpoint,
            asked.origin,
            _written(quote.offer),
            quote.amount.msat,
            quote.terms.uses,
            quote.terms.exact,
            "paying",
            now,
            quote.terms.valid_until,
        )

    @property
    def amount(self) -> Msat:
        """What the invoice asks for."""
        return Msat(self.msat)

    @property
    def offer(self) -> Offered:
        """What the server offered."""
        (offer,) = parse_challenges([self.challenge.encode()])
        return offer

    @property
    def expires_at(self) -> int:
        """The unix second at which the invoice ends."""
        return decode(self.offer.bolt11).expires_at

    def authorization(self) -> str:
        """The Authorization value. There is one as soon as it is paid."""
        assert self.preimage is not None
        return self.offer.authorization(self.preimage)


def _written(offer: Offered) -> str:
    if isinstance(offer, L402Offer):
        return write_challenge("L402", {"macaroon": offer.token, "invoice": offer.bolt11})
    return offer.challenge.header()
