"""What a wallet must be able to do: pay an invoice, and say what has become of a payment."""

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal, Protocol, TypeAlias

from ..flow import Flow

Fate: TypeAlias = Literal["paid", "pending", "failed", "unknown"]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What a wallet says of a payment that it was to make.

    `pending` may still be paid, `failed` never will; `unknown` is a payment that this wallet has not begun. Of a paid
    one there is the 32-byte preimage, and the routing fee in msat where the wallet says it.
    """

    fate: Fate
    preimage: bytes | None = field(default=None, repr=False)
    fee_msat: int = 0

    def proves(self, payment_hash: bytes) -> bool:
        """Whether the preimage is that of the payment: a wallet may be wrong."""
        return self.preimage is not None and sha256(self.preimage).digest() == payment_hash


UNKNOWN = Outgoing("unknown")
PENDING = Outgoing("pending")
FAILED = Outgoing("failed")


class Wallet(Protocol):
    """Something that pays Lightning invoices. Written as flows, so that it serves blocking and awaiting programs.

    Both raise `ProviderError` where the wallet cannot be asked or does not answer. After one from `pay` the payment is
    looked up before anything else happens, so `pay` need not know what became of it.
    """

    @property
    def network(self) -> str:
        """The network it pays on: `bitcoin`, `testnet`, `signet` or `regtest`."""

    def pay(self, bolt11: str, payment_hash: bytes, max_fee_msat: int) -> Flow[Outgoing]:
        """Pay an invoice, which has an amount. Paying one that is paid must not pay twice."""

    def look_up(self, bolt11: str, payment_hash: bytes) -> Flow[Outgoing]:
        """What has become of the payment of that invoice, whose payment hash (32 bytes) it is."""

    def close(self) -> None:
        """Give up the connections of blocking drivers."""

    async def aclose(self) -> None:
        """Give up the connections of the running event loop."""


def preimage_in(text: object) -> bytes | None:
    """The 32 bytes that 64 hexadecimal digits say; None for anything else."""
    if isinstance(text, str) and len(text) == 64 and text.isascii() and text.isalnum():
        try:
            return bytes.fromhex(text)
        except ValueError:
            pass
    return None
