"""A provider: its invoice, its word on what was paid, and its clock."""

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Final, cast

from ..core.errors import ProviderError
from ..core.keys import KeyRing, generate_key
from ..core.money import sats
from ..flow import drive
from ..invoicing.invoicing import Invoicing
from ..paywall.settings import paywall_from_settings
from ..providers import DevNode, InvoiceRequest, Provider, SettlementCheck, provider_from_url
from .diagnosis import Diagnosis, Examination, Status
from .redaction import place

CLOCK_SECONDS: Final = 30


def provider_makes_an_invoice(examination: Examination, url: str) -> Iterator[Diagnosis]:
    """The provider makes an invoice that the paywall accepts, does not take it for paid, and its clock is right."""
    if not url:
        paywall_from_settings(examination.settings)
    provider = provider_from_url(url)
    name = f"{type(provider).__name__} {place(url)}"
    if isinstance(provider, DevNode):
        provider.use_keys(KeyRing([generate_key()]))
        yield Diagnosis(
            "provider",
            "warning",
            "DevNode gives everything away: it is for development, and not for production",
            "name your own wallet in L402_PROVIDER before you sell anything",
        )
    if not examination.make_invoice:
        yield Diagnosis("provider", "ok", f"{name} is configured; no invoice was made, so nobody was asked")
        return
    with closing(provider):
        yield from _invoice(examination, provider, name)


def _invoice(examination: Examination, provider: Provider, name: str) -> Iterator[Diagnosis]:
    request = InvoiceRequest(sats(examination.amount), "l402 doctor: a check, not to be paid", examination.expiry)
    asked_at, started = time.time(), time.monotonic()
    invoice = drive(Invoicing(provider, None, verify_settlement=False).create(request, asked_at))
    took = time.monotonic() - started
    yield Diagnosis(
        "provider",
        "ok",
        f"{name} made an invoice for {request.amount} on {provider.network} in {took:.2f} s, "
        f"good for {invoice.expiry} s; leave it unpaid, and it expires",
    )
    if isinstance(provider, DevNode):
        return
    yield _clock(invoice.created_at, asked_at, asked_at + took)
    if hasattr(provider, "is_settled"):
        yield _settlement(examination, cast(SettlementCheck, provider), invoice.payment_hash)


def _settlement(examination: Examination, provider: SettlementCheck, payment_hash: bytes) -> Diagnosis:
    try:
        settled = drive(provider.is_settled(payment_hash))
    except ProviderError as error:
        status: Status = "failed" if examination.verify_settlement else "warning"
        found = f"it cannot be asked whether a payment arrived: {error}"
        return Diagnosis("provider", status, found, "give it a key that may look payments up, for verify_settlement")
    if settled:
        remedy = "look into the backend; with verify_settlement, what nobody paid would be served"
        return Diagnosis("provider", "failed", "it says that this unpaid invoice was paid", remedy)
    return Diagnosis("provider", "ok", "it can be asked whether a payment arrived, and this one has not")


def _clock(created_at: int, asked_at: float, answered_at: float) -> Diagnosis:
    # An invoice's time is in whole seconds, rounded down.
    ahead, behind = created_at - answered_at, asked_at - (created_at + 1)
    off = max(ahead, behind, 0)
    if off > CLOCK_SECONDS:
        return Diagnosis(
            "clock",
            "warning",
            f"the wallet's clock is {off:.0f} s {'ahead of' if ahead > 0 else 'behind'} this machine's",
            "let NTP set both: invoices and credentials end by them",
        )
    return Diagnosis("clock", "ok", f"the wallet's clock and this machine's agree within {CLOCK_SECONDS} s")
