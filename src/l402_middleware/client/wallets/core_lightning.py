"""Core Lightning as a wallet that pays, over its REST plugin (clnrest, 23.08 and later)."""

import os
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from ...core.errors import ProviderError
from ...flow import Flow
from ...invoicing.provider import check_network
from ...outgoing.access import check_secret, check_url, pinned
from ...outgoing.answer import members
from ...outgoing.transport import Transport
from ..wallet import FAILED, PENDING, UNKNOWN, Fate, Outgoing
from .answers import outgoing, whole

_FATES: dict[object, Fate] = {"complete": "paid", "pending": "pending", "failed": "failed"}


@dataclass(frozen=True, slots=True)
class CoreLightningWallet:
    """A Core Lightning node with the plugin clnrest.

    `url` is the plugin's address; `rune` one that allows the methods `pay` and `listpays`. `tls_cert` is the path of
    the plugin's `ca.pem` or `server.pem`: that certificate is then trusted, and no other. `timeout` is in seconds, for
    a whole request. The file is read once, here. Raises `ConfigurationError` for what cannot work.
    """

    url: str
    _: KW_ONLY
    rune: str = field(repr=False)
    tls_cert: str | os.PathLike[str] | None = None
    network: str = "bitcoin"
    timeout: float = 60.0
    _http: Transport = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_url("CoreLightningWallet", self.url, "https://127.0.0.1:3010")
        check_secret("CoreLightningWallet", "rune", self.rune, "make one with `lightning-cli createrune`")
        check_network("CoreLightningWallet", self.network)
        tls = pinned("CoreLightningWallet", self.url, self.tls_cert)
        object.__setattr__(self, "_http", Transport(self.timeout, tls=tls))

    def pay(self, bolt11: str, payment_hash: bytes, max_fee_msat: int) -> Flow[Outgoing]:
        """`POST /v1/pay`, which gives the same answer for an invoice that is paid already."""
        paid = yield from self._call(
            "pay", {"bolt11": bolt11, "maxfee": max_fee_msat, "retry_for": max(int(self.timeout) - 5, 1)}
        )
        fee = whole(paid.get("amount_sent_msat")) - whole(paid.get("amount_msat"))
        return outgoing("Core Lightning", _FATES.get(paid.get("status")), paid.get("payment_preimage"), max(fee, 0))

    def look_up(self, bolt11: str, payment_hash: bytes) -> Flow[Outgoing]:
        """`POST /v1/listpays`."""
        found = yield from self._call("listpays", {"payment_hash": payment_hash.hex()})
        pays = found.get("pays")
        if not isinstance(pays, list) or not all(isinstance(each, dict) for each in pays):
            raise ProviderError("bad-answer", "Core Lightning did not say what has become of a payment")
        fates = {each.get("status"): each for each in pays}
        # A payment may have been tried several times.
        if "complete" in fates:
            done = fates["complete"]
            fee = whole(done.get("amount_sent_msat")) - whole(done.get("amount_msat"))
            return outgoing("Core Lightning", "paid", done.get("preimage"), max(fee, 0))
        if "pending" in fates:
            return PENDING
        return FAILED if "failed" in fates else UNKNOWN

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
