"""Macaroons: read, verified and attenuated. Our own strict reader; minting is `core.minting`'s.

The V2 binary layout, as every library writes it:

    02                                       version
    [01 length location]
    02 length identifier 00
    ( 02 length caveat 00 )*                 first-party caveats
    00
    06 20 signature                          32 bytes, and nothing after them

and the chain of libmacaroons:

    k = HMAC("macaroons-key-generator", root key)      s0 = HMAC(k, identifier)      si = HMAC(si-1, caveat i)

pymacaroons' own V2 reader accepts trailing bytes, and its time is quadratic in the input: a 1 MiB header
would hold a worker for 11 seconds.
"""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field

# Each caveat costs an HMAC, and a header full of macaroons full of caveats must cost less than 5 ms.
MAX_CAVEATS = 16

_LOCATION, _IDENTIFIER, _SIGNATURE = 1, 2, 6
_KEY_GENERATOR = b"macaroons-key-generator"


@dataclass(slots=True)
class Macaroon:
    """A macaroon's parts, as bytes; nothing is verified by reading them."""

    location: bytes
    identifier: bytes = field(repr=False)
    caveats: tuple[bytes, ...] = field(repr=False)
    signature: bytes = field(repr=False)


def read(raw: bytes) -> Macaroon:
    """The parts of a V2 binary macaroon. Raises `ValueError` for anything else.

    Refused although some library reads them: trailing bytes, lengths in more bytes than they need, third-party
    caveats, a location on a caveat, more than 16 caveats.
    """
    try:
        if raw[0] != 2:
            raise ValueError("not a V2 macaroon")
        at = 1
        location = b""
        if raw[at] == _LOCATION:
            location, at = _field(raw, at + 1)
        if raw[at] != _IDENTIFIER:
            raise ValueError("no identifier")
        identifier, at = _field(raw, at + 1)
        if raw[at] != 0:
            raise ValueError("identifier section not closed")
        at += 1
        caveats = []
        while raw[at] == _IDENTIFIER:
            caveat, at = _field(raw, at + 1)
            if raw[at] != 0:
                raise ValueError("third-party caveat")
            caveats.append(caveat)
            at += 1
    except IndexError:
        raise ValueError("truncated macaroon") from None
    if len(caveats) > MAX_CAVEATS:
        raise ValueError("too many caveats")
    if raw[at : at + 3] != b"\x00\x06\x20" or len(raw) != at + 35:
        raise ValueError("no signature at the end")
    return Macaroon(location, identifier, tuple(caveats), raw[-32:])


def attenuate(raw: bytes, caveats: Iterable[str]) -> bytes:
    """The macaroon `raw` with `caveats` appended. Its holder needs no key for that.

    Raises `ValueError` where `raw` is not a macaroon that `read` reads, or would no longer be one.
    """
    read(raw)
    attenuated = append(raw, caveats)
    read(attenuated)
    return attenuated


def append(raw: bytes, caveats: Iterable[str]) -> bytes:
    """As `attenuate`, for a macaroon that is known to be well-formed. Raises `ValueError` for a caveat of 16 KiB."""
    pieces = [raw[:-35]]
    signature = raw[-32:]
    for caveat in map(str.encode, caveats):
        length = len(caveat)
        pieces += (
            bytes((_IDENTIFIER, length) if length < 0x80 else (_IDENTIFIER, length & 0x7F | 0x80, length >> 7)),
            caveat,
            b"\0",
        )
        signature = hmac.digest(signature, caveat, "sha256")
    return b"".join((*pieces, b"\x00\x06\x20", signature))


def _field(raw: bytes, at: int) -> tuple[bytes, int]:
    """The content of a field whose length stands at `at`, and the place after it."""
    length = raw[at]
    at += 1
    if length >= 0x80:
        high = raw[at]
        at += 1
        if not 0 < high < 0x80:
            raise ValueError("a length that is not in its shortest form, or too long")
        length = length & 0x7F | high << 7
    end = at + length
    if end > len(raw):
        raise ValueError("truncated macaroon")
    return raw[at:end], end


def is_signed_with(root_key: bytes, macaroon: Macaroon) -> bool:
    """Whether the signature is the chain over identifier and caveats. Checking the caveats is the caller's duty."""
    signature = hmac.digest(hmac.digest(_KEY_GENERATOR, root_key, "sha256"), macaroon.identifier, "sha256")
    for caveat in macaroon.caveats:
        signature = hmac.digest(signature, caveat, "sha256")
    return hmac.compare_digest(signature, macaroon.signature)
