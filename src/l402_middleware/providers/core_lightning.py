"""Core Lightning: invoices from a node of one's own, over its REST plugin (clnrest, 23.08 and later)."""

import os
import secrets
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from ..core.errors import ProviderError
from ..flow import Flow
from ..invoicing.provider import CreatedInvoice, InvoiceRequest, check_network
from ..outgoing.access import check_secret, check_url, pinned
from ..outgoing.transport import Transport
from .answer import created, members


@dataclass(frozen=True, slots=True)
class CoreLightning:
    """A Core Lightning node with the plugin clnrest.

    `url` is the plugin's address (`clnrest-host`, `clnrest-port`); `rune` one that allows the method `invoice`, and
    `listinvoices` for `verify_settlement`. `tls_cert` is the path of the plugin's `ca.pem` or `server.pem`: that
    certificate is then trusted, and no other. Leave it out where a public authority signed the certificate. `timeout`
    is in seconds, for a whole request. The file is read once, here. Raises `ConfigurationError` for what cannot work.
    """

    url: str
    _: KW_ONLY
    rune: str = field(repr=False)
    tls_cert: str | os.PathLike[str] | None = None
    network: str = "bitcoin"
    timeout: float = 20.0
    granularity_msat: int = field(default=1, init=False)
    _http: Transport = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_url("CoreLightning", self.url, "https://127.0.0.1:3010")
        check_secret("CoreLightning", "rune", self.rune, "make one with `lightning-cli createrune`")
        check_network("CoreLightning", self.network)
        tls = pinned("CoreLightning", self.url, self.tls_cert)
        object.__setattr__(self, "_http", Transport(self.timeout, tls=tls))

    def create_invoice(self, request: InvoiceRequest) -> Flow[CreatedInvoice]:
        """`POST /v1/invoice`, under a label of its own."""
        invoice = yield from self._call(
            "invoice",
            {
                "amount_msat": request.amount.msat,
                "label": f"l402-{secrets.token_hex(16)}",
                "description": request.memo,
                "expiry": request.expiry,
            },
        )
        return created("Core Lightning", invoice.get("bolt11"), invoice.get("payment_hash"))

    def is_settled(self, payment_hash: bytes) -> Flow[bool]:
        """`POST /v1/listinvoices`: whether the node has received this payment; one it does not know, it has not."""
        found = yield from self._call("listinvoices", {"payment_hash": payment_hash.hex()})
        match found.get("invoices"):
            case []:
                return False
            case [{"payment_hash": listed, "status": "paid" | "unpaid" | "expired" as status}] if (
                listed == payment_hash.hex()
            ):
                return bool(status == "paid")
        raise ProviderError("bad-answer", "Core Lightning did not say whether the payment was received")

    def close(self) -> None:
        """Close the connections of blocking drivers."""
        self._http.close()

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        await self._http.aclose()

    def _call(self, method: str, parameters: dict[str, Any]) -> Flow[dict[str, Any]]:
        answer = yield from self._http.send(
            "POST", f"{self.url.rstrip('/')}/v1/{method}", headers={"Rune": self.rune}, json=parameters
        )
        if answer.status_code in (401, 403):
            raise ProviderError(
                "unauthorized",
                f"Core Lightning refused the rune ({answer.status_code}); check that it is this node's and allows the "
                f"method {method}",
            )
        if answer.status_code != 201:
            raise ProviderError("rejected", f"Core Lightning did not do {method} (HTTP {answer.status_code})")
        return members("Core Lightning", answer)
