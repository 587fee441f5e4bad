"""Attenuation: a credential made narrower before it is handed on, to a network, a certificate or a shorter time.

Whoever holds the credential can do it: it needs no key.
"""

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from ipaddress import ip_network

from ..core import macaroon
from ..core.authorization import MAX_BYTES, decode_base64, parse_authorization
from ..core.callers import ANYBODY, MAX_CONDITIONS, Callers, from_networks, with_certificate, write_networks
from ..core.errors import BadCredential

_FIELD_NAME = re.compile(r"Authorization\s*:\s*", re.IGNORECASE)
_SCHEME = re.compile(r"(?:L402|LSAT)\s", re.IGNORECASE)


def attenuate(credential: str, *, ip: str | None = None, tls: str | None = None, valid_until: int | None = None) -> str:
    """`credential`, good only where everything given here holds as well. Nothing that it was not good for is added.

    - `credential`: an Authorization value, or a macaroon in base64; comes back as the same of these.
    - `ip`: IP addresses or networks, separated by commas; the request must come from one of them.
    - `tls`: the SHA-256 of a certificate (DER) in hex, with or without colons; the request must come with it.
    - `valid_until`: unix seconds; at that very second the credential is expired.

    Raises `ValueError`, which repeats nothing of the credential, where it or a condition cannot be read. Whether
    it was paid for is not looked at.
    """
    callers = ANYBODY
    if ip is not None:
        # As people write them: the caveat has one spelling only.
        callers &= from_networks(write_networks(tuple(ip_network(each.strip()) for each in ip.split(","))))
    if tls is not None:
        callers &= with_certificate(tls.replace(":", "").lower())
    if valid_until is not None and not 0 <= valid_until < 10**15:
        raise ValueError("valid_until must be unix seconds below 10**15")
    if not callers and valid_until is None:
        raise ValueError("there is nothing to narrow it to: give an address, a certificate or a time")
    text = _FIELD_NAME.sub("", credential.strip(), count=1)
    if len(text) > MAX_BYTES:
        raise ValueError(f"it has {len(text)} characters; no credential has more than {MAX_BYTES}")
    if not _SCHEME.match(text):
        return _attenuate(_decoded(text), callers, valid_until)
    try:
        (parsed,) = parse_authorization([text.encode("latin-1")])
    except (BadCredential, ValueError):
        raise ValueError("the Authorization value is not one well-formed credential") from None
    macaroons = ",".join(_attenuate(raw, callers, valid_until) for raw in parsed.macaroons)
    return f"L402 {macaroons}:{parsed.preimage.hex()}"


def _decoded(text: str) -> bytes:
    try:
        return decode_base64(text)
    except ValueError:
        raise ValueError("it is neither an Authorization value of scheme L402 nor a macaroon in base64") from None


def _attenuate(raw: bytes, callers: Callers, valid_until: int | None) -> str:
    try:
        read = macaroon.read(raw)
        service = read.location.decode("ascii", "replace")
        caveats = callers.write(service)
        conditions = (f"{service}_ip=".encode(), f"{service}_tls=".encode())
        had = sum(1 + caveat.count(b",") for caveat in read.caveats if caveat.startswith(conditions))
        if had + len(callers) > MAX_CONDITIONS:
            raise ValueError(f"it would have more than {MAX_CONDITIONS} networks and certificates")
        if valid_until is not None:
            condition = f"{service}_valid_until="
            # A later time than the credential has would not be a longer one, but the end of it.
            if all(valid_until < each for each in _times(read.caveats, condition.encode())):
                caveats.append(f"{condition}{valid_until}")
        return b64encode(macaroon.attenuate(raw, caveats)).decode()
    except ValueError as error:
        raise ValueError(f"the macaroon cannot be narrowed: {error}") from None


def _times(caveats: Iterable[bytes], condition: bytes) -> Iterator[int]:
    values = (caveat[len(condition) :] for caveat in caveats if caveat.startswith(condition))
    return (int(value) for value in values if value.isdigit() and len(value) <= 15)
