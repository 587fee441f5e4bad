"""Who sends a request: its address and its TLS client certificate, against the callers that a credential is for."""

import re
from base64 import b64decode
from hashlib import sha256
from urllib.parse import unquote

from ..core.callers import ANYBODY, Callers, address_of, network_of
from ..core.errors import Refusal
from .offer import BindCaller
from .request import RequestView

_PEM = re.compile("-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\\s]+)-----END CERTIFICATE-----", re.ASCII)


def callers_of(request: RequestView, bind: BindCaller | None) -> Callers:
    """The callers to whom a sale is bound, for the sender of `request`.

    Raises `Refusal` (403, `unknown-caller`) where that cannot be said: what nobody can use is not for sale.
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


def certificate_in_header(request: RequestView, name: str | None) -> bytes | None:
    """The certificate (DER) that a proxy hands over in the header `name`; None where there is none, or no clear one.

    As a byte sequence (RFC 9440, `Client-Cert`), or as percent-encoded PEM, which nginx and Amazon's load balancers
    send. Whether the proxy is one to believe is the caller's to check.
    """
    values = request.raw_header(name) if name else []
    if len(values) != 1:
        return None
    text = values[0].decode("latin-1").strip(" \t")
    if len(text) > 2 and text.startswith(":") and text.endswith(":"):
        return _from_base64(text[1:-1])
    return from_pem(unquote(text))


def from_pem(text: str) -> bytes | None:
    """The first certificate in PEM (RFC 7468), as DER; None where the text does not begin with one."""
    found = _PEM.match(text.lstrip())
    return _from_base64("".join(found[1].split())) if found else None


def _from_base64(text: str) -> bytes | None:
    try:
        return b64decode(text, validate=True) or None
    except ValueError:
        return None
