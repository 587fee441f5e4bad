"""What a server asks for its answer, checked against its own invoice: nobody is asked to pay anything else."""

import json
import re
from dataclasses import dataclass
from typing import Any

from ..core import macaroon, rfc3339
from ..core.authorization import decode_base64
from ..core.errors import InvalidInvoice
from ..core.invoice import Invoice, decode
from ..core.money import Msat
from ..core.offered import L402Offer, Offered, PaymentOffer
from .errors import NotPaid

# So much time must be left: a payment takes some.
_MARGIN = 5

_NETWORKS = {"bitcoin": "mainnet"}

# Caveats of this package, as `core.caveats` has them.
_OFFER = re.compile(rb"[A-Za-z0-9-]+_offer=[A-Za-z0-9_-]+\.([0-9]{1,19})\.([0-9]{1,10}|\*)\.([A-Za-z0-9_-]+)")
_VALID_UNTIL = re.compile(rb"[A-Za-z0-9-]+_valid_until=([0-9]{1,15})")


@dataclass(frozen=True, slots=True)
class QuotedTerms:
    """What the credential will be good for, as far as it says: how many requests (None: not said, or any number),
    whether for exactly the one that was asked, and until when, in unix seconds (None: not said).
    """

    uses: int | None = None
    exact: bool = False
    valid_until: int | None = None


@dataclass(frozen=True, slots=True)
class Quote:
    """An offer that may be paid: `amount` is the invoice's."""

    url: str
    offer: Offered
    invoice: Invoice
    amount: Msat
    terms: QuotedTerms


def quote(url: str, offer: Offered, network: str, now: float, body: bytes) -> Quote:
    """What `offer` comes to for a wallet on `network`; `body` is that of the 402.

    Raises `NotPaid` for an invoice that cannot be read, is of another network, of no or another amount than was
    announced, or ends within seconds.
    """
    try:
        invoice = decode(offer.bolt11)
    except InvalidInvoice as error:
        raise NotPaid("bad-invoice", f"the invoice cannot be read: {error}") from None
    if invoice.network != network:
        raise NotPaid("wrong-network", f"the invoice is for {invoice.network}, and the wallet pays on {network}")
    if invoice.amount is None:
        raise NotPaid("wrong-amount", "the invoice has no amount")
    ends, terms, announced = invoice.expires_at, QuotedTerms(), _in_body(body)
    if isinstance(offer, L402Offer):
        terms, said = _terms(offer.token)
        announced = announced if said is None else [*announced, said]
    else:
        said, until = _of_payment(offer, invoice)
        announced = [*announced, said]
        terms = QuotedTerms(uses=1, exact=True, valid_until=until)
        ends = min(ends, until or ends)
    if any(msat not in (invoice.amount.msat, 1000 * invoice.amount.sats) for msat in announced):
        raise NotPaid("wrong-amount", f"the invoice asks for {invoice.amount}, and something else was announced")
    if ends <= now + _MARGIN:
        raise NotPaid("expired", "the invoice has expired, or is about to")
    return Quote(url, offer, invoice, invoice.amount, terms)


def _of_payment(offer: PaymentOffer, invoice: Invoice) -> tuple[int, int | None]:
    """The msat that the challenge says, and when it ends. Raises `NotPaid` where it contradicts its own invoice."""
    if offer.currency != "sat" or not re.fullmatch("[1-9][0-9]{0,15}", offer.amount):
        raise NotPaid("wrong-amount", "the challenge's amount is no number of sats")
    if offer.payment_hash is not None and offer.payment_hash != invoice.payment_hash.hex():
        raise NotPaid("bad-invoice", "the challenge and its invoice name different payments")
    if (offer.network or "mainnet") != _NETWORKS.get(invoice.network, invoice.network):
        raise NotPaid("wrong-network", "the challenge and its invoice name different networks")
    until = None
    if offer.challenge.expires is not None:
        try:
            until = rfc3339.read(offer.challenge.expires)
        except ValueError:
            raise NotPaid("expired", "it cannot be read when the challenge ends") from None
    return 1000 * int(offer.amount), until


def _terms(token: str) -> tuple[QuotedTerms, int | None]:
    """What a token of this package says it is good for, and its price in msat; of others what they say likewise."""
    try:
        caveats = macaroon.read(decode_base64(token)).caveats
    except ValueError:
        return QuotedTerms(), None
    uses, exact, until, msat = None, False, None, None
    for caveat in caveats:
        if found := _OFFER.fullmatch(caveat):
            msat = int(found[1])
            uses = None if found[2] == b"*" else int(found[2])
            exact = found[3] != b"-"
        elif found := _VALID_UNTIL.fullmatch(caveat):
            until = min(int(found[1]), until or int(found[1]))
    return QuotedTerms(uses, exact, until), msat


def _in_body(body: bytes) -> list[int]:
    """The amounts, in msat, that the 402's body says: none is believed, but a contradiction is."""
    try:
        members: Any = json.loads(body)
    except (ValueError, RecursionError):
        return []
    if not isinstance(members, dict):
        return []
    named = (("amount_msat", 1), ("amount_sats", 1000), ("price_sats", 1000))
    return [members[name] * scale for name, scale in named if type(members.get(name)) is int]
