"""What a 402 asks of a payer: the invoices in its WWW-Authenticate fields, in every form that servers send."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar, Literal, TypeAlias

from .auth_params import read_challenges
from .payment import CHARGE, METHOD, SCHEME, PaymentChallenge, PaymentCredential

_L402 = ("l402", "lsat")


@dataclass(frozen=True, slots=True)
class L402Offer:
    """A token, as the text that it came as, and a BOLT 11 invoice; neither is looked into."""

    token: str = field(repr=False)
    bolt11: str
    scheme: ClassVar[Literal["l402"]] = "l402"

    def authorization(self, preimage: bytes) -> str:
        """The Authorization value that the preimage of the invoice makes of it."""
        return f"L402 {self.token}:{preimage.hex()}"


@dataclass(frozen=True, slots=True)
class PaymentOffer:
    """A Payment challenge for a Lightning charge, and the BOLT 11 invoice in it.

    `amount`, `payment_hash` and `network` are as the challenge says them; None is what it leaves to the invoice.
    """

    challenge: PaymentChallenge
    bolt11: str
    amount: str
    currency: str
    payment_hash: str | None
    network: str | None
    scheme: ClassVar[Literal["payment"]] = "payment"

    def authorization(self, preimage: bytes) -> str:
        """The Authorization value that the preimage of the invoice makes of it."""
        return PaymentCredential(self.challenge, {"preimage": preimage.hex()}).header()


Offered: TypeAlias = L402Offer | PaymentOffer


def parse_challenges(values: Iterable[bytes]) -> list[Offered]:
    """What is offered over Lightning in the raw WWW-Authenticate field values, in order; none where there is none.

    L402 and LSAT in any case, `macaroon` or `token`, quoted or not, in any order, joined by commas or in lines of their
    own; Payment with method `lightning` and intent `charge`. Other schemes, methods and intents, and what is
    incomplete, are left out. Nothing is raised, whatever the bytes.
    """
    offers: list[Offered] = []
    for scheme, parameters in read_challenges(values):
        if scheme in _L402:
            token = parameters.get("macaroon") or parameters.get("token")
            bolt11 = parameters.get("invoice")
            if token and bolt11 and _is_plain(token):
                offers.append(L402Offer(token, bolt11))
        elif scheme == SCHEME and (offer := _payment(parameters)) is not None:
            offers.append(offer)
    return offers


def _payment(parameters: dict[str, str]) -> PaymentOffer | None:
    try:
        challenge = PaymentChallenge.read(parameters)
        # Where the credential has to come in another header than ours does, it would be paid for nothing.
        is_for_us = parameters.get("header", "authorization").lower() == "authorization"
        if (challenge.method, challenge.intent) != (METHOD, CHARGE) or not is_for_us:
            return None
        request = challenge.request_members()
    except ValueError:
        return None
    details = request.get("methodDetails")
    if not isinstance(details, dict):
        return None
    match (details.get("invoice"), request.get("amount"), request.get("currency")):
        case (str(bolt11), str(amount), str(currency)):
            pass
        case _:
            return None
    match (details.get("paymentHash"), details.get("network")):
        case (str() | None as payment_hash, str() | None as network):
            return PaymentOffer(challenge, bolt11, amount, currency, payment_hash, network)
    return None


def _is_plain(token: str) -> bool:
    """Whether it can go back in a header: a line end in it would begin another one."""
    return token.isascii() and token.isprintable() and " " not in token
