"""What a payment scheme must be able to do: read credentials, write a challenge, write a receipt.

One invoice serves all schemes of one 402, and the ledger counts by its payment hash: whichever door the payer takes,
the payment is spent once. So what a credential comes to is the same `Verified` for all of them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from ..core.caveats import Terms, UnknownCaveats
from ..core.credential import Verified
from ..core.invoice import Invoice
from ..core.keys import KeyRing

Fields: TypeAlias = Iterable[tuple[bytes, bytes]]
"""Header fields: raw names and values, in the order in which they were sent."""


@dataclass(frozen=True, slots=True)
class SchemeSettings:
    """What a scheme is made with.

    `service` is the name in each credential; `keys` are those that it is signed with; `network` is that of the
    invoices: "bitcoin", "testnet", "signet" or "regtest". `credential_header` is the request field for credentials.
    """

    service: str
    keys: KeyRing = field(repr=False)
    network: str = "bitcoin"
    unknown_caveats: UnknownCaveats = "skip"
    credential_header: str = "Authorization"


@dataclass(frozen=True, slots=True)
class Sale:
    """What a 402 offers, the same by each of its schemes: an invoice, and the terms that its payment buys.

    `token_id` (32 random bytes) names what is sold: revoked under one scheme, it is revoked under all. `memo` is what
    the invoice says it is for: any text, without control characters. `body_digest` (SHA-256) is that of the request's
    body, where the sale is bound to it.
    """

    terms: Terms
    invoice: Invoice
    token_id: bytes
    memo: str
    body_digest: bytes | None = None


@dataclass(frozen=True, slots=True)
class Offered:
    """A challenge: the values of its WWW-Authenticate lines, each a line of its own, and its JSON members.

    Members that several schemes write must say the same.
    """

    lines: Sequence[str] = field(repr=False)
    members: Mapping[str, str | int] = field(repr=False)


@dataclass(frozen=True, slots=True)
class CredentialFault:
    """Why what a client showed is no credential: a stable `code` for programs, and a sentence for people.

    `status` is for what no payment mends: such a request is refused with it, without a new challenge.
    """

    code: str
    title: str
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """A credential that a client showed, authentic, paid and unexpired, and the scheme that it came by.

    `reference` is what that scheme's receipt has to name, such as the challenge's id; empty where it gives none.
    `action` is what was asked for, where a scheme knows several for one payment: an answer that is kept is given again
    to the same action only.
    """

    verified: Verified = field(repr=False)
    scheme: "Scheme" = field(repr=False)
    reference: str = field(default="", repr=False)
    action: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one scheme found in a request: the good credentials, the first for each payment, and the first fault."""

    shown: Sequence[Shown] = ()
    fault: CredentialFault | None = None


class Scheme(Protocol):
    """One payment scheme, under one set of keys. Any number of threads and event loops share one."""

    name: str
    """By which `Paywall(schemes=...)` chooses it, and events name it."""

    varies_with: Sequence[bytes]
    """The request fields that it looks at: no cache may give an answer to a request in which one of these differs."""

    def read(self, fields: Fields, now: float) -> Reading:
        """The credentials of this scheme in a request's header fields, at unix time `now`.

        Raises nothing, whatever the bytes. A credential may stand in whichever fields the scheme says. It ignores those
        of other schemes.
        """

    def challenge(self, sale: Sale, fields: Fields) -> Offered | None:
        """How to pay for `sale`, for the request with these header fields.

        None where this scheme cannot say it (an amount that it has no unit for), or the request does not want it.
        """

    def receipt(self, shown: Shown, now: float) -> Sequence[tuple[bytes, bytes]]:
        """The header fields that tell the client of its payment; they go out with an answer that was paid for and is
        2xx, beside `Cache-Control: private`.
        """

    def problem_type(self, code: str) -> str:
        """The URI (RFC 9457, `type`) under which this scheme's clients know a fault, or the want of a payment."""
