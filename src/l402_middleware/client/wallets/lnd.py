"""LND as a wallet that pays, over its REST API (`/v2/router`, LND 0.18 and later)."""

import base64
import json
import os
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import httpx2

from ...core.errors import ProviderError
from ...flow import Flow
from ...invoicing.provider import check_network
from ...outgoing.access import check_url, pinned
from ...outgoing.transport import Transport
from ...providers.lnd import _macaroon
from ..wallet import UNKNOWN, Fate, Outgoing
from .answers import outgoing

# gRPC status codes, as the REST gateway passes them on.
_UNKNOWN, _NOT_FOUND, _ALREADY_EXISTS = 2, 5, 6

_FATES: dict[object, Fate] = {
    "SUCCEEDED": "paid",
    "IN_FLIGHT": "pending",
    "INITIATED": "pending",
    "FAILED": "failed",
}


@dataclass(frozen=True, slots=True)
class LNDWallet:
    """An LND node.

    `url` is its REST address. The macaroon is one of `macaroon`, in hex, and `macaroon_file`; it has to allow
    `offchain:write` and `offchain:read`, and nothing else. `tls_cert` is the path of LND's `tls.cert`: that certificate
    is then trusted, and no other. `timeout` is in seconds, for a whole request. Both files are read once, here. Raises
    `ConfigurationError` for what cannot work.
    """

    url: str
    _: KW_ONLY
    macaroon: str = field(default="", repr=False)
    macaroon_file: str | os.PathLike[str] | None = None
    tls_cert: str | os.PathLike[str] | None = None
    network: str = "bitcoin"
    timeout: float = 60.0
    _http: Transport = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_url("LNDWallet", self.url, "https://127.0.0.1:8080")
        check_network("LNDWallet", self.network)
        object.__setattr__(self, "macaroon", _macaroon(self.macaroon, self.macaroon_file))
        object.__setattr__(self, "_http", Transport(self.timeout, tls=pinned("LNDWallet", self.url, self.tls_cert)))

    def pay(self, bolt11: str, payment_hash: bytes, max_fee_msat: int) -> Flow[Outgoing]:
        """`POST /v2/router/send`."""
        answer = yield from self._http.send(
            "POST",
            self.url.rstrip("/") + "/v2/router/send",
            headers={"Grpc-Metadata-macaroon": self.macaroon},
            json={
                "payment_request": bolt11,
                # 64-bit integers are strings in the JSON of protobuf.
                "fee_limit_msat": str(max_fee_msat),
                "timeout_seconds": max(int(self.timeout) - 5, 1),
                "no_inflight_updates": True,
            },
        )
        return self._outgoing(answer)

    def look_up(self, bolt11: str, payment_hash: bytes) -> Flow[Outgoing]:
        """`GET /v2/router/track/{hash}`, which of a payment in flight answers when it is over."""
        path = base64.urlsafe_b64encode(payment_hash).decode()
        try:
            answer = yield from self._http.send(
                "GET",
                f"{self.url.rstrip('/')}/v2/router/track/{path}?no_inflight_updates=true",
                headers={"Grpc-Metadata-macaroon": self.macaroon},
            )
        except ProviderError as error:
            if error.kind == "timeout":
                return outgoing("LND", "pending")
            raise
        return self._outgoing(answer)

    def close(self) -> None:
        """Close the connections of blocking drivers."""
        self._http.close()

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        await self._http.aclose()

    def _outgoing(self, answer: httpx2.Response) -> Outgoing:
        """A stream of one JSON object a line, each with a `result` or an `error`; the last one counts."""
        said: Any = None
        for line in answer.text.splitlines():
            try:
                said = json.loads(line) if line.strip() else said
            except (ValueError, RecursionError):
                said = None
        said = said if isinstance(said, dict) else {}
        result, error = said.get("result"), said.get("error", said)
        if isinstance(result, dict):
            return outgoing(
                "LND", _FATES.get(result.get("status")), result.get("payment_preimage"), result.get("fee_msat")
            )
        code = error.get("code") if isinstance(error, dict) else None
        if code == _NOT_FOUND:
            return UNKNOWN
        if code == _ALREADY_EXISTS:
            # "invoice is already paid", or "payment is in transition": the look-up says which.
            raise ProviderError("rejected", "LND has begun this payment before")
        if answer.status_code in (401, 403) or code == _UNKNOWN:
            raise ProviderError(
                "unauthorized",
                f"LND refused (HTTP {answer.status_code}); check that the macaroon is this node's and allows "
                "offchain:write and offchain:read, that its wallet is unlocked, and what its log says",
            )
        raise ProviderError("rejected", f"LND did not do what it was asked (HTTP {answer.status_code})")
