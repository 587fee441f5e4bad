"""What a 402 carries: one header line and a body, in the form that every known client reads (bLIP 26)."""

from dataclasses import dataclass, field

from .invoice import Invoice


@dataclass(frozen=True, slots=True)
class Challenge:
    """A token (macaroon, standard base64 with padding) and the invoice whose preimage makes it a credential.

    The invoice has an amount.
    """

    token: str = field(repr=False)
    invoice: Invoice

    def header(self) -> str:
        """The WWW-Authenticate value. Of 20 client drivers, each other order, case or spacing loses some."""
        return f'L402 macaroon="{self.token}", invoice="{self.invoice.bolt11}", version="0", token="{self.token}"'

    def members(self) -> dict[str, str | int]:
        """The members of the JSON body beside RFC 9457's; two clients read nothing else.

        The macaroon is also the `token`.
        """
        return {"macaroon": self.token, "token": self.token, **invoice_members(self.invoice)}


def invoice_members(invoice: Invoice) -> dict[str, str | int]:
    """What a challenge's JSON body says of its invoice, which has an amount, under whichever scheme it is paid.

    The price is also `price_sats`: without that name one client's budget would not hold. `expires_at` is the unix
    second until which the invoice can be paid.
    """
    amount = invoice.amount
    assert amount is not None
    return {
        "invoice": invoice.bolt11,
        "payment_hash": invoice.payment_hash.hex(),
        "amount_sats": amount.sats,
        "price_sats": amount.sats,
        "amount_msat": amount.msat,
        "expires_at": invoice.expires_at,
    }


def problem_type(code: str) -> str:
    """The URI of one of our problems (RFC 9457, section 3.1.1)."""
    return f"urn:l402:problem:{code}"


def problem(status: int, code: str, title: str, uri: str | None = None) -> dict[str, str | int]:
    """An RFC 9457 problem with our machine-readable `code`; its `type` is ours, or the `uri` that a scheme has for it.

    There is no `detail`: that member, like `challenge`, `resource`, `payment`, `settlement` and `accepts`,
    makes some client take the answer for another protocol's.
    """
    return {"type": uri or problem_type(code), "title": title, "status": status, "code": code}
