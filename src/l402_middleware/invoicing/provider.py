"""What a Lightning backend must be able to do.

A provider is written once, as flows: generators that ask for steps, and are driven blocking or awaiting. One that
speaks HTTP asks `transport.Transport` for them. It imports nothing of the paywall's.
"""

from dataclasses import dataclass
from typing import Protocol

from ..core.errors import ConfigurationError
from ..core.money import Msat
from ..flow import Flow

NETWORKS = ("bitcoin", "testnet", "signet", "regtest", "simnet")


@dataclass(frozen=True, slots=True)
class InvoiceRequest:
    """The invoice that the paywall wants.

    `amount` is a multiple of the provider's granularity, `expiry` is in seconds, and `memo` is at most
    639 bytes of UTF-8 without control characters (the longest description a BOLT 11 invoice can hold).
    """

    amount: Msat
    memo: str
    expiry: int


@dataclass(frozen=True, slots=True)
class CreatedInvoice:
    """What a backend answered: a BOLT 11 invoice, and the payment hash (32 bytes) that it names beside it, if it does.

    The paywall decodes the invoice, and refuses it where anything differs from what was asked for or said.
    """

    bolt11: str
    payment_hash: bytes | None = None


class Provider(Protocol):
    """A source of Lightning invoices."""

    @property
    def network(self) -> str:
        """The network its invoices are for: `bitcoin`, `testnet`, `signet` or `regtest`."""

    @property
    def granularity_msat(self) -> int:
        """The smallest step of an amount, in msat: 1, or 1000 where the backend only knows sats."""

    def create_invoice(self, request: InvoiceRequest) -> Flow[CreatedInvoice]:
        """An invoice from the backend. Raises `ProviderError` where there is none."""

    def close(self) -> None:
        """Give up the connections of blocking drivers. A later flow opens them again."""

    async def aclose(self) -> None:
        """Give up the connections of the running event loop."""


class SettlementCheck(Protocol):
    """A provider that can also say whether a payment was received; `verify_settlement=True` needs one."""

    def is_settled(self, payment_hash: bytes) -> Flow[bool]:
        """Whether the payment of that hash (32 bytes) has arrived for good. Raises `ProviderError` where unknown."""


def check_network(provider: str, network: str) -> None:
    """Require a network that an invoice can be for."""
    if network not in NETWORKS:
        raise ConfigurationError(f"{provider}: network must be one of {', '.join(NETWORKS)}, not {network!r}")
