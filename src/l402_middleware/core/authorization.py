"""The Authorization header: from raw field values to credentials (RFC 9110, sections 5.3 and 11.4; bLIP 26).

    Authorization: L402 <base64 macaroon>[,<base64 macaroon>...]:<hex preimage>

What real clients send is accepted: `L402` or `LSAT` in any case, the scheme twice, several credentials
in several lines or folded into one, other schemes beside ours, base64 of any flavour.
"""

import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import dropwhile

from .errors import BadCredential

# Real credentials are under 1 KiB. Nothing longer than this reaches a parser: its time would be the
# attacker's to spend.
MAX_BYTES = 16 * 1024

SCHEMES = frozenset({"l402", "lsat"})

_PREIMAGE = re.compile("[0-9A-Fa-f]{64}", re.ASCII)

_TO_STANDARD_ALPHABET = bytes.maketrans(b"-_", b"+/")


@dataclass(frozen=True, slots=True)
class Credential:
    """One or more macaroons (raw bytes) and the 32-byte preimage presented with them; nothing is verified."""

    macaroons: tuple[bytes, ...] = field(repr=False)
    preimage: bytes = field(repr=False)


def parse_authorization(values: Iterable[bytes]) -> list[Credential]:
    """The L402 credentials in the raw Authorization field values, in order; none where there is none.

    Credentials of other schemes are left alone, and so are malformed ones beside a well-formed one. Raises
    `BadCredential("malformed-credential")`, and nothing else for any bytes, where all of ours are malformed or the
    values are over 16 KiB together.
    """
    fields = list(values)
    if sum(map(len, fields)) > MAX_BYTES:
        raise BadCredential("malformed-credential")
    credentials = []
    malformed = False
    for value in fields:
        for text in _our_credentials(value.decode("latin-1")):
            try:
                credentials.append(_credential(text))
            except ValueError:
                malformed = True
    if malformed and not credentials:
        raise BadCredential("malformed-credential")
    return credentials


def _our_credentials(value: str) -> Iterable[str]:
    """What stands after each L402 or LSAT scheme in one field value.

    A comma separates credentials, but also the macaroons inside one; so it is the scheme, a word
    followed by white space, that starts a credential, and an element without one continues the last.
    """
    ours: list[str] | None = None
    for element in value.split(","):
        # OWS = *( SP / HTAB )    RFC 9110, section 5.6.3; split() alone would also split at other white space.
        words = [word for word in element.replace("\t", " ").split(" ") if word]
        # RFC 9110, section 5.6.1.2: empty list elements are ignored; folding an empty line makes one.
        if not words:
            continue
        if len(words) == 1 and not _is_our_scheme(words[0]):
            if ours is not None:
                ours.append(words[0])
            continue
        if ours is not None:
            yield ",".join(ours)
        rest = list(dropwhile(_is_our_scheme, words))
        ours = [" ".join(rest)] if len(rest) < len(words) else None
    if ours is not None:
        yield ",".join(ours)


def _is_our_scheme(word: str) -> bool:
    return word.lower() in SCHEMES


def _credential(text: str) -> Credential:
    macaroons, _, preimage = text.partition(":")
    if not _PREIMAGE.fullmatch(preimage):
        raise ValueError
    return Credential(tuple(map(decode_base64, macaroons.split(","))), bytes.fromhex(preimage))


def decode_base64(text: str) -> bytes:
    """Bytes from standard or url-safe base64, padded or not (RFC 4648, sections 4 and 5).

    Raises `ValueError` for anything but the one canonical spelling in its alphabet: wrong padding, stray characters,
    or trailing bits that are not zero.
    """
    digits = text.rstrip("=")
    if not digits or (len(digits) != len(text) and (len(text) % 4 or len(text) - len(digits) > 2)):
        raise ValueError("not base64")
    standard = digits.encode("ascii").translate(_TO_STANDARD_ALPHABET)
    raw = binascii.a2b_base64(standard + b"=" * (-len(standard) % 4))
    # a2b_base64 passes over stray characters and trailing bits; encoding again shows both.
    if binascii.b2a_base64(raw, newline=False).rstrip(b"=") != standard:
        raise ValueError("not canonical base64")
    return raw
