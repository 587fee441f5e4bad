"""LNbits: invoices from one of its wallets, over its REST API (LNbits 1.x, `/api/v1/payments`)."""

import re
from dataclasses import dataclass, field
from typing import Any

import httpx2

from ..core.errors import ConfigurationError, ProviderError
from ..flow import Flow
from .provider import CreatedInvoice, InvoiceRequest
from .transport import Transport


@dataclass(frozen=True, slots=True)
class LNbits:
    """A wallet of an LNbits server.

    `url` is the server's address, without a query or a password; `invoice_key` the wallet's Invoice/read key, which can
    make invoices but not spend (the Admin key would do, and is not needed). LNbits makes fractional amounts silently
    wrong, so prices are rounded up to whole sats. Raises `ConfigurationError` for what is no address, or can be no key.
    """

    url: str
    invoice_key: str = field(repr=False)
    network: str = "bitcoin"
    granularity_msat: int = field(default=1000, init=False)
    _http: Transport = field(default_factory=Transport, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not _is_address(self.url):
            raise ConfigurationError("LNbits: url must be the server's address, such as https://lnbits.example")
        # Anything else makes no header, and would fail at the first request instead of here.
        if not isinstance(self.invoice_key, str) or not re.fullmatch("[!-~]+", self.invoice_key):
            raise ConfigurationError(
                "LNbits: invoice_key is empty, or has spaces, line ends or other characters that no key has; copy the "
                "wallet's Invoice/read key from its API page"
            )

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
        return _invoice(answer)

    def is_settled(self, payment_hash: bytes) -> Flow[bool]:
        """`GET /api/v1/payments/{hash}`: whether LNbits has received this payment; one it does not know, it has not."""
        answer = yield from self._http.send(
            "GET",
            f"{self.url.rstrip('/')}/api/v1/payments/{payment_hash.hex()}",
            headers={"X-Api-Key": self.invoice_key},
        )
        if answer.status_code == 404:
            return False
        try:
            paid: Any = answer.json()["paid"] if answer.status_code == 200 else None
        except (ValueError, TypeError, KeyError, RecursionError):
            paid = None
        if not isinstance(paid, bool):
            raise ProviderError("bad-answer", f"LNbits did not say whether it was paid (HTTP {answer.status_code})")
        return paid

    def close(self) -> None:
        """Close the connections of blocking drivers."""
        self._http.close()

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        await self._http.aclose()


def _is_address(url: str) -> bool:
    try:
        parsed = httpx2.URL(url)
    except (httpx2.InvalidURL, TypeError):
        return False
    is_bare = not (parsed.query or parsed.fragment or parsed.userinfo)
    return parsed.scheme in ("http", "https") and bool(parsed.host) and is_bare


def _invoice(answer: httpx2.Response) -> CreatedInvoice:
    try:
        payment: Any = answer.json()
        return CreatedInvoice(str(payment["bolt11"]), bytes.fromhex(payment["payment_hash"]))
    except (ValueError, TypeError, KeyError, RecursionError):
        raise ProviderError(
            "bad-answer", "LNbits answered without an invoice; is the URL that of an LNbits server?"
        ) from None
