"""Gets an invoice from the operator's provider, and trusts nothing about it."""

from collections.abc import Sequence
from typing import Any

from ..core.errors import ConfigurationError, InvalidInvoice, ProviderError
from ..core.invoice import Invoice, decode
from ..flow import Flow
from ..outgoing.told import Told
from .failover import Failover
from .function import FunctionProvider, InvoiceFunction
from .provider import CreatedInvoice, InvoiceRequest, Provider, check_network

# A credential outlives its invoice: one that can be paid for a year would be remembered for longer.
MAX_EXPIRY = 366 * 24 * 3600

# The longest description a BOLT 11 invoice can hold: 1023 groups of 5 bits.
MAX_MEMO_BYTES = 639


class Invoicing:
    """A provider, a function that makes invoices, or a list of them, behind circuit breakers.

    `network` is that of the functions among them; a provider knows its own. `timeout` and `max_threads` are for the
    `Failover` that is made of them. `told` hears of each provider that is asked.
    """

    def __init__(
        self,
        provider: Provider | InvoiceFunction | Sequence[Provider | InvoiceFunction],
        network: str | None,
        *,
        verify_settlement: bool,
        timeout: float | None = None,
        max_threads: int | None = None,
        told: Told | None = None,
    ) -> None:
        self._told = told
        given: list[Any] = list(provider) if isinstance(provider, list | tuple) else [provider]
        if network is not None and not any(callable(each) for each in given):
            raise ConfigurationError("network is the provider's own setting; give it to the provider")
        limits: dict[str, Any] = {"timeout": timeout, "max_threads": max_threads}
        limits = {name: value for name, value in limits.items() if value is not None}
        if not isinstance(provider, Failover):
            self._failover = Failover(*(_as_provider(each, network) for each in given), **limits)
        elif limits:
            raise ConfigurationError(f"{', '.join(limits)}: give it to the Failover, which is there already")
        else:
            self._failover = provider
        self.providers = self._failover.providers
        self.network, self.granularity_msat = self._failover.network, self._failover.granularity_msat
        unable = [type(each).__name__ for each in self.providers if not hasattr(each, "is_settled")]
        if verify_settlement and unable:
            raise ConfigurationError(
                f"verify_settlement=True needs providers that can say whether a payment was received; "
                f"{', '.join(unable)} has no is_settled()"
            )

    def create(self, request: InvoiceRequest, now: float) -> Flow[Invoice]:
        """The invoice that was asked for. Raises `ProviderError` where there is none, or another one came."""

        def accept(created: CreatedInvoice) -> Invoice:
            return accepted(created, request, self.network, now)

        return (yield from self._failover.create(request, accept, self._told))

    def is_settled(self, payment_hash: bytes) -> Flow[bool]:
        """Whether the backend has received the payment. Raises `ProviderError` where it cannot be asked."""
        return (yield from self._failover.is_settled(payment_hash, self._told))

    def close(self) -> None:
        """Close the connections of blocking drivers."""
        self._failover.close()

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        await self._failover.aclose()


def accepted(created: CreatedInvoice, request: InvoiceRequest, network: str, now: float) -> Invoice:
    """What was created, if it is the invoice that was asked for. Raises `ProviderError` where it is another one."""
    try:
        invoice = decode(created.bolt11)
    except InvalidInvoice as error:
        raise ProviderError("wrong-invoice", f"the provider's invoice cannot be read: {error}") from None
    if invoice.network != network:
        fault = f"is for {invoice.network}, not for {network}"
    elif invoice.amount != request.amount:
        fault = f"is over {invoice.amount or 'any amount'}, not over {request.amount}"
    elif created.payment_hash not in (None, invoice.payment_hash):
        fault = "has another payment hash than the provider says"
    elif not now < invoice.expires_at < now + MAX_EXPIRY:
        fault = "has expired already, or never will; are both clocks right?"
    else:
        return invoice
    raise ProviderError("wrong-invoice", f"the provider's invoice {fault}")


def _as_provider(given: Provider | InvoiceFunction, network: str | None) -> Provider:
    if isinstance(given, type):
        raise ConfigurationError(f"the provider is the class {given.__name__} itself: make one, {given.__name__}(...)")
    if callable(given):
        check_network("Paywall", network or "bitcoin")
        return FunctionProvider(given, network or "bitcoin")
    if not hasattr(given, "create_invoice"):
        raise ConfigurationError(
            "provider must have create_invoice(), or be a function that makes an invoice, or a list of these, "
            f"not {type(given).__name__}; provider_from_url() makes one of a URL"
        )
    return given


def memo_of(text: str) -> str:
    """`text` as an invoice can carry it: without control characters, cut to 639 bytes at a character's boundary."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return printable.encode()[:MAX_MEMO_BYTES].decode(errors="ignore")
