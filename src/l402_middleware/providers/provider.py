"""What a Lightning backend must be able to do.

A provider is written once, as generators of HTTP requests; the paywall sends them, blocking or awaiting,
and hands the answers back in. It imports nothing of the paywall's.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar

import httpx2

from ..core.money import Msat

T = TypeVar("T")

Exchange: TypeAlias = Generator[httpx2.Request, httpx2.Response, T]


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

    def create_invoice(self, request: InvoiceRequest) -> Exchange[CreatedInvoice]:
        """Yield HTTP requests, be sent their whole answers, and return the invoice.

        Raises `ProviderError` for an answer that holds none.
        """


class SettlementCheck(Protocol):
    """A provider that can also say whether a payment was received; `verify_settlement=True` needs one."""

    def is_settled(self, payment_hash: bytes) -> Exchange[bool]:
        """Yield HTTP requests, and return whether the payment of that hash (32 bytes) has arrived for good.

        Raises `ProviderError` for an answer that does not say.
        """
