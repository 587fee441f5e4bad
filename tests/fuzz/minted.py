"""What the fuzzed server has sold, and what any holder of a macaroon can make of it."""

import hmac
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from l402_middleware.core.caveats import Terms
from l402_middleware.core.credential import VERSION, Issuer
from l402_middleware.core.keys import KeyRing
from l402_middleware.core.money import msats

NOW = 1_700_000_000
SERVICE = "l402"

# A corpus is worth something only under the keys that it was found with, so nothing here is random.
_OLD_KEY, _NEW_KEY, _STRANGERS_KEY = (sha256(name).digest() for name in (b"old", b"new", b"stranger"))

KEYS = KeyRing([_OLD_KEY, _NEW_KEY])

ISSUER = Issuer(SERVICE, KEYS)


@dataclass(frozen=True, slots=True)
class Sale:
    """A token that somebody issued: its raw bytes, the preimage that pays for it, and what it was sold for."""

    raw: bytes
    preimage: bytes
    token_id: bytes
    root_key: bytes
    terms: Terms

    @property
    def caveats(self) -> tuple[bytes, ...]:
        """The three caveats it was issued with."""
        return split(self.raw)[2]


def _sale(name: str, terms: Terms, key: bytes = _NEW_KEY, service: str = SERVICE) -> Sale:
    preimage, token_id = (sha256(name.encode() + use).digest() for use in (b" preimage", b" token"))
    keys = KeyRing([key])
    raw = b64decode(Issuer(service, keys).issue(sha256(preimage).digest(), token_id, terms))
    root_key = hmac.digest(keys.subkeys("macaroon")[0], token_id, "sha256")
    return Sale(raw, preimage, token_id, root_key, terms)


_CALL = Terms("edNjU9kHDZM0vuKgbJWSFw", msats(10_000), 1, None, NOW + 3600)

# Sold by this server and good now: nothing else may ever be let in.
GOOD = (
    _sale("call", _CALL),
    _sale("bundle", replace(_CALL, uses=20)),
    _sale("pass", replace(_CALL, uses=None)),
    _sale("request", replace(_CALL, request="rYvXqVwZ1k8u2m3n4o5p6q7r8s9t0uAvBwCxDyEzF01")),
    _sale("before the keys were rotated", _CALL, _OLD_KEY),
)
# Well made, and good for nothing here.
BAD = (
    _sale("expired", replace(_CALL, valid_until=NOW)),
    _sale("another service", _CALL, service="shop"),
    _sale("another server", _CALL, _STRANGERS_KEY),
)


def field(kind: int, content: bytes) -> bytes:
    """One field of a V2 macaroon: its type, the length as a varint, and the content."""
    length, head = len(content), bytearray([kind])
    while length >= 0x80:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return bytes(head) + content


def join(location: bytes | None, identifier: bytes, caveats: Sequence[bytes], signature: bytes) -> bytes:
    """A V2 macaroon from its parts, signed or not."""
    head = b"\x02" + (b"" if location is None else field(1, location)) + field(2, identifier) + b"\0"
    return head + b"".join(field(2, caveat) + b"\0" for caveat in caveats) + b"\0" + field(6, signature)


def split(raw: bytes) -> tuple[bytes | None, bytes, tuple[bytes, ...], bytes]:
    """The parts of a V2 macaroon with first-party caveats, as `join` takes them; `ValueError` for anything else.

    A reader for mutators, so it has no opinion about sizes or numbers.
    """
    at = 1

    def content() -> bytes:
        nonlocal at
        length = shift = 0
        while True:
            at += 1
            length |= (raw[at] & 0x7F) << shift
            shift += 7
            if raw[at] < 0x80 or shift > 28:
                break
        start, at = at + 1, at + 1 + length
        return raw[start:at]

    try:
        location = content() if raw[at] == 1 else None
        identifier, caveats = content(), []
        at += 1
        while raw[at] == 2:
            caveats.append(content())
            at += 1
    except IndexError:
        raise ValueError("not a V2 macaroon") from None
    return location, identifier, tuple(caveats), raw[-32:]


def chained(signature: bytes, caveats: Sequence[bytes]) -> bytes:
    """The signature after `caveats` were appended: all it takes is the signature before."""
    for caveat in caveats:
        signature = hmac.digest(signature, caveat, "sha256")
    return signature


def signature_of(root_key: bytes, identifier: bytes, caveats: Sequence[bytes]) -> bytes:
    """The signature that only the holder of the root key can make."""
    key = hmac.digest(b"macaroons-key-generator", root_key, "sha256")
    return chained(hmac.digest(key, identifier, "sha256"), caveats)


def attenuated(raw: bytes, *caveats: bytes) -> bytes:
    """A macaroon with `caveats` appended, as its holder may."""
    location, identifier, before, signature = split(raw)
    return join(location, identifier, [*before, *caveats], chained(signature, caveats))


assert all(sale.raw[: len(VERSION) + 2] and attenuated(sale.raw) == sale.raw for sale in GOOD + BAD)
