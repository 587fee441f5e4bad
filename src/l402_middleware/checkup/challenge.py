"""The 402 itself: who can read it, and whether it says the same thing everywhere."""

import re
from collections.abc import Iterator
from typing import Final

from ..client.errors import NotPaid
from ..client.quote import quote
from ..core.errors import InvalidInvoice
from ..core.invoice import Invoice, decode
from .answer import ServiceAnswer, l402_of, payment_of
from .finding import Objection, fault, note, ok

# As 402index's crawler reads one.
_INDEXED: Final = re.compile(rb"(?:L402|LSAT) ", re.IGNORECASE)
_MIN_MACAROON: Final = 10
_MIN_INVOICE: Final = 100

# A browser asks its user for a password.
_DIALOGS: Final = re.compile(rb"(?:^|,)\s*(?:Basic|Digest|Negotiate|NTLM)(?:\s|,|$)", re.IGNORECASE)


def on_challenge(url: str, answer: ServiceAnswer, now: float) -> Iterator[Objection]:
    """What is to be said of the 402 that a request without a credential got; `now` is in unix seconds."""
    yield from _on_readers(answer)
    if answer.is_cut:
        yield fault("challenge-too-long", "the body of the 402 goes on beyond 64 KiB: clients stop reading")
    if not answer.words("cache-control") & {"no-store", "private"}:
        yield fault("cacheable", "a shared cache may keep the 402, and give one invoice to everybody: send no-store")
    if any(_DIALOGS.search(value) for value in answer.values("www-authenticate")):
        yield fault("password-dialog", "WWW-Authenticate names a scheme for which browsers ask for a password")
    yield from _on_invoices(url, answer, now)
    yield from _on_body(answer)


def _on_readers(answer: ServiceAnswer) -> Iterator[Objection]:
    offers = answer.offers
    l402, payment = l402_of(offers), payment_of(offers)
    if not offers:
        yield fault("no-challenge", "WWW-Authenticate offers nothing that can be paid over Lightning")
        return
    readers = []
    if l402 is not None:
        readers.append("L402 clients")
        first = next((value for value in answer.values("www-authenticate") if _INDEXED.match(value)), None)
        if first is None:
            yield fault("challenge-hidden", "no WWW-Authenticate line begins with L402: most clients look nowhere else")
        elif not first.startswith(b"L402 "):
            yield note("challenge-old", "the scheme is not written L402: some clients know no other spelling")
        if len(l402.token) < _MIN_MACAROON or len(l402.bolt11) < _MIN_INVOICE:
            yield fault("challenge-short", "the macaroon or the invoice is too short for 402index to list the service")
        elif first is not None:
            readers.append("402index")
    else:
        yield note("no-l402", "L402 clients and 402index cannot read it: only the Payment scheme is offered")
    if payment is not None:
        readers.append("Payment clients")
    if readers:
        yield ok("readers", f"read by {', '.join(readers)}")


def _on_invoices(url: str, answer: ServiceAnswer, now: float) -> Iterator[Objection]:
    hashes = set()
    for offer in answer.offers:
        try:
            invoice = decode(offer.bolt11)
        except InvalidInvoice as error:
            yield fault("bad-invoice", f"the invoice ({offer.scheme}) cannot be read: {error}")
            continue
        hashes.add(invoice.payment_hash)
        try:
            quoted = quote(url, offer, invoice.network, now, answer.body)
        except NotPaid as error:
            yield fault(error.reason, f"careful clients do not pay ({offer.scheme}): {error}")
        else:
            left = int(invoice.expires_at - now)
            yield ok("invoice", f"the invoice ({offer.scheme}) asks for {quoted.amount}, and can be paid for {left} s")
        if invoice.network != "bitcoin":
            yield note("network", f"the invoice is for {invoice.network}: no wallet with real money pays it")
    if len(hashes) > 1:
        yield fault("two-invoices", "the schemes name different payments: who pays one is asked for the other")


def _on_body(answer: ServiceAnswer) -> Iterator[Objection]:
    members = answer.members()
    if not members:
        yield note("no-body", "the body is no JSON object: clients that read nothing else do not see the price")
        return
    if "status" in members and members["status"] != answer.status:
        yield fault("body-contradicts", f"the body says status {members['status']}, and it is {answer.status}")
    l402 = l402_of(answer.offers)
    said = members.get("invoice")
    if isinstance(said, str) and answer.offers and all(said.lower() != each.bolt11.lower() for each in answer.offers):
        yield fault("body-contradicts", "the body has another invoice than WWW-Authenticate")
    for name in ("macaroon", "token"):
        if l402 is not None and isinstance(members.get(name), str) and members[name] != l402.token:
            yield fault("body-contradicts", f"the body has another {name} than WWW-Authenticate")
    invoice = invoice_of(answer)
    named = members.get("payment_hash")
    if invoice is not None and isinstance(named, str) and named.lower() != invoice.payment_hash.hex():
        yield fault("body-contradicts", "the body has another payment_hash than the invoice")


def invoice_of(answer: ServiceAnswer) -> Invoice | None:
    """The first invoice that can be read."""
    for offer in answer.offers:
        try:
            return decode(offer.bolt11)
        except InvalidInvoice:
            continue
    return None
