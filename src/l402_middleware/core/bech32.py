"""Bech32 text (BIP-173), without the 90-character limit, as BOLT 11 uses it.

The data part is handled as `bytes`, each of which holds one group of 5 bits (0 to 31).
"""

from functools import lru_cache

from .errors import InvalidInvoice

ALPHABET = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l"
CHECKSUM_LENGTH = 6

_INVALID = 0xFF
_GROUPS = bytes(ALPHABET.find(character) & _INVALID for character in range(256))
_BASE32_DIGITS = b"0123456789abcdefghijklmnopqrstuv".ljust(256, b"?")
_CHARACTERS = ALPHABET.ljust(256, b"?")

_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


def _six_places_up(remainder: int) -> int:
    """What is left of `remainder` times x**6."""
    for _ in range(6):
        top, remainder = remainder >> 25, (remainder & 0x1FFFFFF) << 5
        for bit, generator in enumerate(_GENERATOR):
            if top >> bit & 1:
                remainder ^= generator
    return remainder


def _table(lowest: int) -> list[int]:
    """`_six_places_up` for each value of the ten bits of a remainder that begin with the bit `lowest`."""
    table = [0]
    for bit in range(lowest, lowest + 10):
        # The code is linear: what two bits leave is what the one leaves, XOR what the other leaves.
        leaves = _six_places_up(1 << bit)
        table += [entry ^ leaves for entry in table]
    return table


_HIGH, _MIDDLE, _LOW = _table(20), _table(10), _table(0)


def _polymod(prefix: str, groups: bytes) -> int:
    """What the generator leaves of prefix and data: BIP-173's `bech32_polymod`, six groups (30 bits) at a time."""
    octets = prefix.encode("ascii")
    expanded = bytes(octet >> 5 for octet in octets) + b"\0" + bytes(octet & 31 for octet in octets)
    number = to_number(b"\1" + expanded + groups)
    remainder = 0
    for at in range(number.bit_length() // 30 * 30, -1, -30):
        remainder = (
            (number >> at & 0x3FFFFFFF)
            ^ _HIGH[remainder >> 20]
            ^ _MIDDLE[remainder >> 10 & 0x3FF]
            ^ _LOW[remainder & 0x3FF]
        )
    return remainder


def decode(text: str) -> tuple[str, bytes]:
    """The lower-case human-readable part and the data groups of `text`, its checksum verified and removed.

    Raises `InvalidInvoice`, and only that, for a `str` that is not bech32, mixed case included. Which ASCII
    characters the human-readable part may hold is for the caller to check.
    """
    if not text.isascii():
        # lower() would make letters of other characters: the Kelvin sign becomes a k.
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
    return f"{prefix}1{(groups + checksum).translate(_CHARACTERS).decode('ascii')}"


def to_number(groups: bytes) -> int:
    """The big-endian number that `groups` spell; 0 for none."""
    return int(groups.translate(_BASE32_DIGITS), 32) if groups else 0


def from_number(number: int, count: int) -> bytes:
    """The `count` lowest groups of `number`, big endian."""
    number &= (1 << 5 * count) - 1
    # The upper half moves away, then the upper half of each half, and so on, until each group has a byte of its own.
    for upper, distance in _moves(count.bit_length()):
        moving = number & upper
        number += (moving << distance) - moving
    return number.to_bytes(count)


@lru_cache(maxsize=16)
def _moves(doublings: int) -> list[tuple[int, int]]:
    """Which bits of 2**`doublings` groups to move, and how far, from halves to single groups."""
    moves = []
    for size in (1 << doubling for doubling in reversed(range(doublings))):
        pairs = ((1 << (8 << doublings)) - 1) // ((1 << 16 * size) - 1)
        moves.append((pairs * ((1 << 5 * size) - 1) << 5 * size, 3 * size))
    return moves


def to_octets(groups: bytes) -> bytes:
    """The whole bytes in `groups`; the bits that pad the last group are dropped."""
    bits = 5 * len(groups)
    return (to_number(groups) >> bits % 8).to_bytes(bits // 8, "big")


def from_octets(octets: bytes) -> bytes:
    """`octets` as groups, the last one padded with zero bits."""
    bits = 8 * len(octets)
    return from_number(int.from_bytes(octets, "big") << -bits % 5, -(-bits // 5))
