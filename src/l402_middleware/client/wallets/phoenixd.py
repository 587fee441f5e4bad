"""phoenixd as a wallet that pays, over its HTTP API (0.4 and later)."""

import base64
from dataclasses import KW_ONLY, dataclass, field

import httpx2

from ...core.errors import ProviderError
from ...flow import Flow
from ...invoicing.provider import check_network
from ...outgoing.access import check_secret, check_url
from ...outgoing.answer import members
from ...outgoing.transport import Transport
from ..wallet import PENDING, UNKNOWN, Outgoing
from .answers import outgoing, whole


@dataclass(frozen=True, slots=True)
class PhoenixdWallet:
    """A phoenixd node.

    `url` is its address; `password` its `http-password`, which can spend (the one for limited access cannot). phoenixd
    bounds routing fees itself, the budget's `max_fee` does not reach it. `timeout` is in seconds, for a whole request.
    Raises `ConfigurationError` for what cannot work.
    """

    url: str
    _: KW_ONLY
    password: str = field(repr=False)
    network: str = "bitcoin"
    timeout: float = 60.0
    _http: Transport = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_url("PhoenixdWallet", self.url, "http://127.0.0.1:9740")
        check_secret("PhoenixdWallet", "password", self.password, "copy http-password from ~/.phoenix/phoenix.conf")
        check_network("PhoenixdWallet", self.network)
        object.__setattr__(self, "_http", Transport(self.timeout))

    def pay(self, bolt11: str, payment_hash: bytes, max_fee_msat: int) -> Flow[Outgoing]:
        """`POST /payinvoice`."""
        answer = yield from self._call("POST", "/payinvoice", data={"invoice": bolt11})
        if answer.status_code != 200:
            raise ProviderError("rejected", f"phoenixd did not pay (HTTP {answer.status_code})")
        paid = members("phoenixd", answer)
        if "paymentPreimage" not in paid:
            raise ProviderError("rejected", "phoenixd did not pay, and its log says why")
        return outgoing("phoenixd", "paid", paid["paymentPreimage"], 1000 * whole(paid.get("routingFeeSat")))

    def look_up(self, bolt11: str, payment_hash: bytes) -> Flow[Outgoing]:
        """`GET /payments/outgoingbyhash/{hash}`."""
        answer = yield from self._call("GET", f"/payments/outgoingbyhash/{payment_hash.hex()}")
        if answer.status_code == 404:
            return UNKNOWN
        if answer.status_code != 200:
            raise ProviderError("rejected", f"phoenixd did not look up a payment (HTTP {answer.status_code})")
        found = members("phoenixd", answer)
        if found.get("isPaid") is True:
            return outgoing("phoenixd", "paid", found.get("preimage"), found.get("fees"))
        # It says of one that failed what it says of one that is under way, but for when that was over.
        return outgoing("phoenixd", "failed") if isinstance(found.get("completedAt"), int) else PENDING

    def close(self) -> None:
        """Close the connections of blocking drivers."""
        self._http.close()

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        await self._http.aclose()

    def _call(self, method: str, path: str, data: dict[str, str] | None = None) -> Flow[httpx2.Response]:
        basic = base64.b64encode(f":{self.password}".encode()).decode()
        answer = yield from self._http.send(
            method, self.url.rstrip("/") + path, headers={"Authorization": f"Basic {basic}"}, data=data
        )
        if answer.status_code in (401, 403):
            raise ProviderError(
                "unauthorized",
                f"phoenixd refused the password ({answer.status_code}); check http-password in its phoenix.conf",
            )
        return answer
