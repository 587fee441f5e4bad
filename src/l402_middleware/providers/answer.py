"""Reads from a backend's answer what an invoice is, and whether it was paid."""

from ..core.errors import ProviderError
from ..invoicing.provider import CreatedInvoice
from ..outgoing.answer import members

__all__ = ["created", "members", "settled"]


def created(provider: str, bolt11: object, payment_hash: object) -> CreatedInvoice:
    """The invoice that an answer names, with its payment hash in hex. Raises `ProviderError` where there is none."""
    if isinstance(bolt11, str) and isinstance(payment_hash, str):
        try:
            return CreatedInvoice(bolt11, bytes.fromhex(payment_hash))
        except ValueError:
            pass
    raise ProviderError("bad-answer", f"{provider} answered without an invoice; is the URL that of its API?")


def settled(provider: str, paid: object) -> bool:
    """Whether an answer says that a payment was received. Raises `ProviderError` where it does not say."""
    if not isinstance(paid, bool):
        raise ProviderError("bad-answer", f"{provider} did not say whether the payment was received")
    return paid
