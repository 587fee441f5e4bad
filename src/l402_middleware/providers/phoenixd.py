"""phoenixd: invoices from a node of one's own that manages its channels itself, over its HTTP API (0.4 and later)."""

import base64
from dataclasses import KW_ONLY, dataclass, field

from ..core.errors import ProviderError
from ..flow import Flow
from ..invoicing.provider import CreatedInvoice, InvoiceRequest, check_network
from ..outgoing.access import check_secret, check_url
from ..outgoing.transport import Transport
from .answer import created, members, settled

MAX_DESCRIPTION = 128


@dataclass(frozen=True, slots=True)
class Phoenixd:
    """A phoenixd node.

    `url` is its address (`http-bind-ip`, `http-bind-port`); `password` its `http-password-limited-access`, which can
    make invoices but not spend (`http-password` would do, and is not needed). phoenixd knows whole sats only, so prices
    are rounded up to those, and a memo is cut to 128 characters. `timeout` is in seconds, for a whole request. Raises
    `ConfigurationError` for what cannot work.
    """

    url: str
    _: KW_ONLY
    password: str = field(repr=False)
    network: str = "bitcoin"
    timeout: float = 20.0
    granularity_msat: int = field(default=1000, init=False)
    _http: Transport = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_url("Phoenixd", self.url, "http://127.0.0.1:9740")
        check_secret(
            "Phoenixd", "password", self.password, "copy http-password-limited-access from ~/.phoenix/phoenix.conf"
        )
        check_network("Phoenixd", self.network)
        object.__setattr__(self, "_http", Transport(self.timeout))

    def create_invoice(self, request: InvoiceRequest) -> Flow[CreatedInvoice]:
        """`POST /createinvoice`."""
        answer = yield from self._http.send(
            "POST",
            self.url.rstrip("/") + "/createinvoice",
            headers={"Authorization": _basic(self.password)},
            data={
                "amountSat": str(request.amount.msat // 1000),
                "description": _cut(request.memo),
                "expirySeconds": str(request.expiry),
            },
        )
        if answer.status_code in (401, 403):
            raise _unauthorized(answer.status_code)
        if answer.status_code != 200:
            raise ProviderError("rejected", f"phoenixd made no invoice (HTTP {answer.status_code})")
        invoice = members("phoenixd", answer)
        return created("phoenixd", invoice.get("serialized"), invoice.get("paymentHash"))

    def is_settled(self, payment_hash: bytes) -> Flow[bool]:
        """`GET /payments/incoming/{hash}`: whether this payment was received; one phoenixd does not know, was not."""
        answer = yield from self._http.send(
            "GET",
            f"{self.url.rstrip('/')}/payments/incoming/{payment_hash.hex()}",
            headers={"Authorization": _basic(self.password)},
        )
        if answer.status_code == 404:
            return False
        if answer.status_code in (401, 403):
            raise _unauthorized(answer.status_code)
        if answer.status_code != 200:
            raise ProviderError("rejected", f"phoenixd did not look up a payment (HTTP {answer.status_code})")
        return settled("phoenixd", members("phoenixd", answer).get("isPaid"))

    def close(self) -> None:
        """Close the connections of blocking drivers."""
        self._http.close()

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        await self._http.aclose()


def _basic(password: str) -> str:
    """RFC 7617, with an empty user name."""
    return "Basic " + base64.b64encode(f":{password}".encode()).decode()


def _cut(memo: str) -> str:
    """At most 128 characters as phoenixd counts them: those outside the Basic Multilingual Plane, emoji say, twice."""
    return memo.encode("utf-16-le")[: 2 * MAX_DESCRIPTION].decode("utf-16-le", "ignore")


def _unauthorized(status: int) -> ProviderError:
    return ProviderError(
        "unauthorized",
        f"phoenixd refused the password ({status}); check http-password-limited-access in its phoenix.conf",
    )
