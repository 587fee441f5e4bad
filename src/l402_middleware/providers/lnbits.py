"""LNbits: invoices from one of its wallets, over its REST API (LNbits 1.x, `/api/v1/payments`)."""

from dataclasses import KW_ONLY, dataclass, field

from ..core.errors import ProviderError
from ..flow import Flow
from ..invoicing.provider import CreatedInvoice, InvoiceRequest, check_network
from ..outgoing.access import check_secret, check_url
from ..outgoing.transport import Transport
from .answer import created, members, settled


@dataclass(frozen=True, slots=True)
class LNbits:
    """A wallet of an LNbits server.

    `url` is the server's address, without a query or a password; `invoice_key` the wallet's Invoice/read key, which can
    make invoices but not spend (the Admin key would do, and is not needed). LNbits makes fractional amounts silently
    wrong, so prices are rounded up to whole sats. `timeout` is in seconds, for a whole request. Raises
    `ConfigurationError` for what is no address, or can be no key.
    """

    url: str
    invoice_key: str = field(repr=False)
    network: str = "bitcoin"
    _: KW_ONLY
    timeout: float = 20.0
    granularity_msat: int = field(default=1000, init=False)
    _http: Transport = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_url("LNbits", self.url, "https://lnbits.example")
        check_secret("LNbits", "invoice_key", self.invoice_key, "copy the wallet's Invoice/read key from its API page")
        check_network("LNbits", self.network)
        object.__setattr__(self, "_http", Transport(self.timeout))

    def create_invoice(self, request: InvoiceRequest) -> Flow[CreatedInvoice]:
        """`POST /api/v1/payments`. The answer holds the preimage too: nothing but the invoice leaves this function."""
        answer = yield from self._http.send(
            "POST",
            self.url.rstrip("/") + "/api/v1/payments",
            headers={"X-Api-Key": self.invoice_key},
            json={
                "out": False,
                "unit": "sat",
                "amount": request.amount.msat // 1000,
                "memo": request.memo,
                "expiry": request.expiry,
            },
        )
        if answer.status_code in (401, 403, 404):
            raise ProviderError(
                "unauthorized",
                f"LNbits refused the invoice key ({answer.status_code}); check the wallet's Invoice/read key",
            )
        if answer.status_code != 201:
            raise ProviderError("rejected", f"LNbits made no invoice (HTTP {answer.status_code})")
        payment = members("LNbits", answer)
        return created("LNbits", payment.get("bolt11"), payment.get("payment_hash"))

    def is_settled(self, payment_hash: bytes) -> Flow[bool]:
        """`GET /api/v1/payments/{hash}`: whether LNbits has received this payment; one it does not know, it has not."""
        answer = yield from self._http.send(
            "GET",
            f"{self.url.rstrip('/')}/api/v1/payments/{payment_hash.hex()}",
            headers={"X-Api-Key": self.invoice_key},
        )
        if answer.status_code == 404:
            return False
        if answer.status_code != 200:
            raise ProviderError("rejected", f"LNbits did not look up a payment (HTTP {answer.status_code})")
        return settled("LNbits", members("LNbits", answer).get("paid"))

    def close(self) -> None:
        """Close the connections of blocking drivers."""
        self._http.close()

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        await self._http.aclose()
