"""Who sends a request: its address and its TLS client certificate, against the callers that a credential is for."""

import ssl
from collections.abc import Iterable
from hashlib import sha256

from ..core.callers import ANYBODY, Callers, address_of, network_of
from ..core.errors import Refusal
from .offer import BindCaller
from .request import RequestView


def callers_of(request: RequestView, bind: BindCaller | None) -> Callers:
    """Those to whom a sale to who sends `request` is bound.

    Raises `Refusal` (403, `unknown-caller`) where that can not be said: what nobody can use is not for sale.
    """
    if bind is None:
        return ANYBODY
    if bind == "ip":
        address = address_of(request.peer)
        if address is not None:
            return Callers(networks=((network_of(address),),))
        missing = "the IP address that this request comes from is not known"
    else:
        fingerprint = _fingerprint(request)
        if fingerprint is not None:
            return Callers(certificates=(fingerprint,))
        missing = "this request came without a TLS client certificate"
    raise Refusal(403, "unknown-caller", f"What is sold here is for one caller only, and {missing}.")


def came_from(request: RequestView, callers: Callers) -> bool:
    """Whether who sends `request` is one of `callers`."""
    address = address_of(request.peer) if callers.networks else None
    return callers.include(address, _fingerprint(request) if callers.certificates else None)


def _fingerprint(request: RequestView) -> str | None:
    certificate = request.read_certificate()
    return sha256(certificate).hexdigest() if certificate else None


def from_pem(certificates: Iterable[str]) -> bytes | None:
    """The first of some certificates in PEM, as DER; None where there is none, or it can not be read."""
    first = next(iter(certificates), None)
    try:
        return None if first is None else ssl.PEM_cert_to_DER_cert(first.strip())
    except ValueError:
        return None
