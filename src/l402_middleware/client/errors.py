"""Why a purchase did not end in its answer; which class it is says what has become of the money.

No message carries a preimage, a token or a wallet's key.
"""

from typing import Literal, TypeAlias

from ..core.errors import L402Error

Reason: TypeAlias = Literal[
    "over-budget",
    "origin-not-allowed",
    "other-origin",
    "plain-http",
    "bad-invoice",
    "wrong-network",
    "wrong-amount",
    "expired",
    "invoice-seen",
    "declined",
    "busy",
    "payment-failed",
]


class NotPaid(L402Error):
    """Nothing was paid, and `reason` says why to programs; the message does to people."""

    def __init__(self, reason: Reason, message: str) -> None:
        self.reason = reason
        super().__init__(reason, message)

    def __str__(self) -> str:
        return str(self.args[1])


class PaymentUncertain(L402Error):
    """A payment was begun, and the wallet has not said how it ended: `payment_hash` (in hex) is that payment's.

    Nothing is paid for this request again: sent once more, it asks the wallet about this payment first.
    """

    def __init__(self, payment_hash: str, message: str) -> None:
        self.payment_hash = payment_hash
        super().__init__(payment_hash, message)

    def __str__(self) -> str:
        return str(self.args[1])


class PaidInVain(L402Error):
    """The payment of `payment_hash` (in hex) was made, and the server does not honour it: it asks to be paid again.

    That is not done. The credential stays in the store, as evidence; the same request sent once more is a new purchase.
    """

    def __init__(self, payment_hash: str, message: str) -> None:
        self.payment_hash = payment_hash
        super().__init__(payment_hash, message)

    def __str__(self) -> str:
        return str(self.args[1])
