"""Reads what a node answered, and blames the node for what cannot be read. No part of an answer reaches a message."""

from typing import Any

import httpx2

from ..core.errors import ProviderError
from .provider import CreatedInvoice


def members(provider: str, answer: httpx2.Response) -> dict[str, Any]:
    """The members of an answer that has to be a JSON object. Raises `ProviderError` for any other."""
    try:
        found: Any = answer.json()
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ProviderError(
            "bad-answer",
            f"{provider} answered without a JSON object (HTTP {answer.status_code}); is the URL that of its API?",
        )
    return found


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
