"""Bech32 text (BIP-173), without the 90-character limit, as BOLT 11 uses it.

The data part is handled as `bytes` that hold one 5-bit group each (0 to 31).
"""

from .errors import InvalidInvoice

ALPHABET = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l"
CHECKSUM_LENGTH = 6

_INVALID = 0xFF
_GROUPS = bytes(ALPHABET.find(character) & _INVALID for character in range(256))
_BASE32_DIGITS = b"0123456789abcdefghijklmnopqrstuv".ljust(256, b"?")

_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


def _fold(top: int) -> int:
    folded = 0
    for bit, generator in enumerate(_GENERATOR):
        if top >> bit & 1:
            folded ^= generator
    return folded


_FOLDED = tuple(_fold(top) for top in range(32))


def _polymod(prefix: str, groups: bytes) -> int:
    octets = prefix.encode("ascii")
    expanded = bytes(octet >> 5 for octet in octets) + b"\0" + bytes(octet & 31 for octet in octets)
    remainder = 1
    for group in expanded + groups:
        remainder = (remainder & 0x1FFFFFF) << 5 ^ group ^ _FOLDED[remainder >> 25]
    return remainder


def decode(text: str) -> tuple[str, bytes]:
    """The lower-case human-readable part and the data groups of `text`, its checksum verified and removed.

    Raises `InvalidInvoice`, and only that, for a `str` that is not bech32, mixed case included. Which ASCII
    characters the human-readable part may hold is for the caller to check.
    """
    if not text.isascii():
        # lower() turns some of the others into letters: the Kelvin sign becomes a k.
        raise InvalidInvoice("it holds characters other than ASCII")
    lower = text.lower()
    if text not in (lower, text.upper()):
        raise InvalidInvoice("its letters are neither all lower case nor all upper case")
    prefix, _, data = lower.rpartition("1")
    if not prefix:
        raise InvalidInvoice("there is no '1' between a prefix and the data")
    groups = data.encode("ascii").translate(_GROUPS)
    if _INVALID in groups:
        raise InvalidInvoice("its data holds characters that bech32 does not have")
    if len(groups) < CHECKSUM_LENGTH or _polymod(prefix, groups) != 1:
        raise InvalidInvoice("the checksum is wrong: the invoice was damaged or cut short")
    return prefix, groups[:-CHECKSUM_LENGTH]


def encode(prefix: str, groups: bytes) -> str:
    """The bech32 text of an ASCII, lower-case `prefix` and data `groups`, with its checksum."""
    checksum = from_number(_polymod(prefix, groups + bytes(CHECKSUM_LENGTH)) ^ 1, CHECKSUM_LENGTH)
    return f"{prefix}1{bytes(ALPHABET[group] for group in groups + checksum).decode('ascii')}"


def to_number(groups: bytes) -> int:
    """The big-endian number that `groups` spell; 0 for none."""
    return int(groups.translate(_BASE32_DIGITS), 32) if groups else 0


def from_number(number: int, count: int) -> bytes:
    """`number` as `count` groups, big endian."""
    return bytes(number >> 5 * position & 31 for position in reversed(range(count)))


def to_octets(groups: bytes) -> bytes:
    """The whole bytes in `groups`; the bits that pad the last group are dropped."""
    bits = 5 * len(groups)
    return (to_number(groups) >> bits % 8).to_bytes(bits // 8, "big")


def from_octets(octets: bytes) -> bytes:
    """`octets` as groups, the last one padded with zero bits."""
    bits = 8 * len(octets)
    return from_number(int.from_bytes(octets, "big") << -bits % 5, -(-bits // 5))
