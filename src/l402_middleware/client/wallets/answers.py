"""Reads what a wallet's node answered about a payment. No part of an answer reaches a message."""

from ...core.errors import ProviderError
from ..wallet import FAILED, PENDING, Fate, Outgoing, preimage_in


def outgoing(wallet: str, fate: Fate | None, preimage: object = None, fee_msat: object = 0) -> Outgoing:
    """What became of a payment. Raises `ProviderError` where that was not said, or a paid one is without a preimage."""
    if fate == "paid":
        found = preimage_in(preimage)
        if found is None:
            raise ProviderError("bad-answer", f"{wallet} says that a payment was made, and not its preimage")
        return Outgoing("paid", found, whole(fee_msat))
    if fate is None:
        raise ProviderError("bad-answer", f"{wallet} did not say what has become of a payment")
    return {"pending": PENDING, "failed": FAILED}.get(fate, Outgoing(fate))


def whole(number: object) -> int:
    """A fee as a number of msat, as text or not; 0 for what is none."""
    text = str(number)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0
