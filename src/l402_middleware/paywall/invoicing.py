"""Gets an invoice from the operator's provider, and trusts nothing about it."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeAlias, cast

from ..core.errors import ConfigurationError, InvalidInvoice, ProviderError
from ..core.invoice import Invoice, decode
from ..flow import Call, Flow, do
from ..providers.provider import CreatedInvoice, InvoiceRequest, Provider, SettlementCheck

InvoiceFunction: TypeAlias = Callable[[InvoiceRequest], str | Awaitable[str]]

# A credential outlives its invoice: one that can be paid for a year would be remembered for longer.
MAX_EXPIRY = 366 * 24 * 3600

# The longest description a BOLT 11 invoice can hold: 1023 groups of 5 bits.
MAX_MEMO_BYTES = 639


class Invoicing:
    """One provider, or a function that makes invoices, and the connections it needs.

    A function takes an `InvoiceRequest` and gives a BOLT 11 invoice, at once or awaited. It is asked for whole sats,
    and says nothing of its network: give that as `network`.
    """

    def __init__(self, provider: Provider | InvoiceFunction, network: str | None, *, verify_settlement: bool) -> None:
        self._provider: Provider | None = None
        self._settlement_check: SettlementCheck | None = None
        self._create: Callable[[InvoiceRequest], Flow[CreatedInvoice]]
        if not callable(provider):
            if not hasattr(provider, "create_invoice"):
                raise ConfigurationError(
                    f"provider must have create_invoice(), or be a function that makes an invoice, not {provider!r}"
                )
            if network is not None:
                raise ConfigurationError("network is the provider's own setting; give it to the provider")
            self.network, self.granularity_msat = provider.network, provider.granularity_msat
            self._provider = provider
            self._create = provider.create_invoice
            if hasattr(provider, "is_settled"):
                self._settlement_check = cast(SettlementCheck, provider)
        else:
            self.network, self.granularity_msat = network or "bitcoin", 1000
            self._create = partial(self._call, provider)
        if verify_settlement and self._settlement_check is None:
            raise ConfigurationError(
                f"verify_settlement=True needs a provider that can say whether a payment was received; "
                f"{type(provider).__name__} has no is_settled()"
            )

    def create(self, request: InvoiceRequest, now: float) -> Flow[Invoice]:
        """The invoice that was asked for. Raises `ProviderError` where there is none, or another one came."""
        created = yield from self._create(request)
        try:
            invoice = decode(created.bolt11)
        except InvalidInvoice as error:
            raise ProviderError("wrong-invoice", f"the provider's invoice can not be read: {error}") from None
        if invoice.network != self.network:
            fault = f"is for {invoice.network}, not for {self.network}"
        elif invoice.amount != request.amount:
            fault = f"is over {invoice.amount or 'any amount'}, not over {request.amount}"
        elif created.payment_hash not in (None, invoice.payment_hash):
            fault = "has another payment hash than the provider says"
        elif not now < invoice.expires_at < now + MAX_EXPIRY:
            fault = "has expired already, or never will; are both clocks right?"
        else:
            return invoice
        raise ProviderError("wrong-invoice", f"the provider's invoice {fault}")

    def is_settled(self, payment_hash: bytes) -> Flow[bool]:
        """Whether the backend has received the payment. Raises `ProviderError` where it can not be asked."""
        assert self._settlement_check is not None
        return (yield from self._settlement_check.is_settled(payment_hash))

    def close(self) -> None:
        """Close the connections of blocking drivers."""
        if self._provider is not None:
            self._provider.close()

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        if self._provider is not None:
            await self._provider.aclose()

    def _call(self, function: InvoiceFunction, request: InvoiceRequest) -> Flow[CreatedInvoice]:
        try:
            bolt11 = yield from do(Call[object](function, request))
        except ProviderError:
            raise
        except Exception as error:
            raise ProviderError("rejected", f"the provider function raised {type(error).__name__}") from error
        if not isinstance(bolt11, str):
            raise ProviderError("bad-answer", f"the provider function returned {type(bolt11).__name__}, not an invoice")
        return CreatedInvoice(bolt11)


def memo_of(text: str) -> str:
    """`text` as an invoice can carry it: without control characters, cut to 639 bytes at a character's boundary."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return printable.encode("utf-8", "replace")[:MAX_MEMO_BYTES].decode("utf-8", "ignore")
