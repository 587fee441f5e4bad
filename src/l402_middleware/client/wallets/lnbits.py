"""LNbits as a wallet that pays (LNbits 1.x, `/api/v1/payments`)."""

from dataclasses import KW_ONLY, dataclass, field

from ...core.errors import ProviderError
from ...flow import Flow
from ...invoicing.provider import check_network
from ...outgoing.access import check_secret, check_url
from ...outgoing.answer import members
from ...outgoing.transport import Transport
from ..wallet import UNKNOWN, Fate, Outgoing
from .answers import outgoing

_FATES: dict[object, Fate] = {"success": "paid", "pending": "pending", "failed": "failed"}


@dataclass(frozen=True, slots=True)
class LNbitsWallet:
    """A wallet of an LNbits server.

    `url` is the server's address; `admin_key` the wallet's Admin key, which can spend all that is in it: give it a
    wallet with little in it. LNbits itself bounds routing fees, the budget's `max_fee` does not reach it. `timeout` is
    in seconds, for a whole request. Raises `ConfigurationError` for what is no address, or can be no key.
    """

    url: str
    admin_key: str = field(repr=False)
    network: str = "bitcoin"
    _: KW_ONLY
    timeout: float = 60.0
    _http: Transport = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_url("LNbitsWallet", self.url, "https://lnbits.example")
        check_secret("LNbitsWallet", "admin_key", self.admin_key, "copy the wallet's Admin key from its API page")
        check_network("LNbitsWallet", self.network)
        object.__setattr__(self, "_http", Transport(self.timeout))

    def pay(self, bolt11: str, payment_hash: bytes, max_fee_msat: int) -> Flow[Outgoing]:
        """`POST /api/v1/payments`."""
        answer = yield from self._http.send(
            "POST",
            self.url.rstrip("/") + "/api/v1/payments",
            headers={"X-Api-Key": self.admin_key},
            json={"out": True, "bolt11": bolt11},
        )
        if answer.status_code in (401, 403, 404):
            raise ProviderError(
                "unauthorized",
                f"LNbits refused the key ({answer.status_code}); check that it is the wallet's Admin key",
            )
        if answer.status_code != 201:
            raise ProviderError("rejected", f"LNbits did not pay (HTTP {answer.status_code})")
        paid = members("LNbits", answer)
        return outgoing("LNbits", _FATES.get(paid.get("status")), paid.get("preimage"), _fee(paid.get("fee")))

    def look_up(self, bolt11: str, payment_hash: bytes) -> Flow[Outgoing]:
        """`GET /api/v1/payments/{hash}`."""
        answer = yield from self._http.send(
            "GET",
            f"{self.url.rstrip('/')}/api/v1/payments/{payment_hash.hex()}",
            headers={"X-Api-Key": self.admin_key},
        )
        if answer.status_code == 404:
            return UNKNOWN
        if answer.status_code != 200:
            raise ProviderError("rejected", f"LNbits did not look up a payment (HTTP {answer.status_code})")
        found = members("LNbits", answer)
        details = found.get("details")
        amount = details.get("amount") if isinstance(details, dict) else None
        if not isinstance(details, dict) or not isinstance(amount, int):
            # With a wrong key it answers all the same, and leaves the details out.
            raise ProviderError(
                "unauthorized", "LNbits does not show a payment; check that it is the wallet's Admin key"
            )
        if amount > 0:
            # An invoice of this very wallet: it was received here, and not paid from here.
            return UNKNOWN
        return outgoing("LNbits", _FATES.get(details.get("status")), found.get("preimage"), _fee(details.get("fee")))

    def close(self) -> None:
        """Close the connections of blocking drivers."""
        self._http.close()

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        await self._http.aclose()


def _fee(msat: object) -> object:
    """LNbits counts what leaves a wallet as negative."""
    return abs(msat) if isinstance(msat, int) else msat
