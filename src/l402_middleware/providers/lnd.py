"""LND: invoices from a node of one's own, over its REST API (`/v1/invoices`, LND 0.18 and later)."""

import base64
import binascii
import os
import re
from dataclasses import KW_ONLY, dataclass, field

import httpx2

from ..core.errors import ConfigurationError, ProviderError
from ..flow import Flow
from ..invoicing.provider import CreatedInvoice, InvoiceRequest, check_network
from ..outgoing.access import check_url, pinned, read_secret
from ..outgoing.transport import Transport
from .answer import created, members
from .registry import in_hex

# gRPC status codes, as the REST gateway passes them on.
_UNKNOWN = 2
_NOT_FOUND = 5


@dataclass(frozen=True, slots=True)
class LND:
    """An LND node.

    `url` is its REST address (`restlisten`, port 8080). The macaroon is one of `macaroon`, in hex, and `macaroon_file`,
    the file that LND or `lncli` wrote; it has to allow `invoices:write`, and `invoices:read` for `verify_settlement`.
    `tls_cert` is the path of LND's `tls.cert`: that certificate is then trusted, and no other. Leave it out where a
    public authority signed the certificate. `route_hints` puts the node's private channels into each invoice; a node
    that has no public ones cannot be paid without. `timeout` is in seconds, for a whole request. Both files are read
    once, here. Raises `ConfigurationError` for what cannot work.
    """

    url: str
    _: KW_ONLY
    macaroon: str = field(default="", repr=False)
    macaroon_file: str | os.PathLike[str] | None = None
    tls_cert: str | os.PathLike[str] | None = None
    route_hints: bool = False
    network: str = "bitcoin"
    timeout: float = 20.0
    granularity_msat: int = field(default=1, init=False)
    _http: Transport = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_url("LND", self.url, "https://127.0.0.1:8080")
        check_network("LND", self.network)
        object.__setattr__(self, "macaroon", _macaroon(self.macaroon, self.macaroon_file))
        object.__setattr__(self, "_http", Transport(self.timeout, tls=pinned("LND", self.url, self.tls_cert)))

    def create_invoice(self, request: InvoiceRequest) -> Flow[CreatedInvoice]:
        """`POST /v1/invoices`."""
        answer = yield from self._http.send(
            "POST",
            self.url.rstrip("/") + "/v1/invoices",
            headers={"Grpc-Metadata-macaroon": self.macaroon},
            # 64-bit integers are strings in the JSON of protobuf.
            json={
                "value_msat": str(request.amount.msat),
                "memo": request.memo,
                "expiry": str(request.expiry),
                "private": self.route_hints,
            },
        )
        if answer.status_code != 200:
            raise _refusal(answer)
        invoice = members("LND", answer)
        return created("LND", invoice.get("payment_request"), _hex(invoice.get("r_hash")))

    def is_settled(self, payment_hash: bytes) -> Flow[bool]:
        """`GET /v1/invoice/{hash}`: whether LND has received this payment; one it does not know, it has not."""
        answer = yield from self._http.send(
            "GET",
            f"{self.url.rstrip('/')}/v1/invoice/{payment_hash.hex()}",
            headers={"Grpc-Metadata-macaroon": self.macaroon},
        )
        if answer.status_code == 404 and _code(answer) == _NOT_FOUND:
            return False
        if answer.status_code != 200:
            raise _refusal(answer)
        state = members("LND", answer).get("state")
        # ACCEPTED is a payment that can still be taken back.
        if state not in ("OPEN", "ACCEPTED", "CANCELED", "SETTLED"):
            raise ProviderError("bad-answer", "LND did not say whether the payment was received")
        return bool(state == "SETTLED")

    def close(self) -> None:
        """Close the connections of blocking drivers."""
        self._http.close()

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        await self._http.aclose()


def _macaroon(given: str, path: str | os.PathLike[str] | None) -> str:
    if bool(given) == (path is not None):
        raise ConfigurationError("LND: give either macaroon, in hex, or macaroon_file")
    macaroon = given if path is None else in_hex(read_secret("LND", "macaroon_file", path))
    # LND's are of version 2 of the format, which begins with that number.
    if not isinstance(macaroon, str) or not re.fullmatch("02([0-9A-Fa-f]{2})+", macaroon):
        source = "macaroon" if path is None else f"macaroon_file={path}"
        raise ConfigurationError(
            f"LND: {source} is no macaroon of LND's; bake one with "
            "`lncli bakemacaroon --save_to l402.macaroon invoices:read invoices:write`"
        )
    return macaroon


def _hex(encoded: object) -> str | None:
    """The payment hash, which is base64 in JSON."""
    if isinstance(encoded, str):
        try:
            return base64.b64decode(encoded, validate=True).hex()
        except (binascii.Error, ValueError):
            pass
    return None


def _code(answer: httpx2.Response) -> object:
    """The gRPC status code of a failure."""
    try:
        return members("LND", answer).get("code")
    except ProviderError:
        return None


def _refusal(answer: httpx2.Response) -> ProviderError:
    # LND says "unknown" of a macaroon that it does not accept, of a locked wallet, and of a request it cannot do.
    status = answer.status_code
    if status in (401, 403) or (status == 500 and _code(answer) == _UNKNOWN):
        return ProviderError(
            "unauthorized",
            f"LND refused (HTTP {status}); check that the macaroon is this node's and allows invoices:write, and "
            "invoices:read for verify_settlement, that its wallet is unlocked, and what its log says",
        )
    return ProviderError("rejected", f"LND did not do what it was asked (HTTP {status})")
