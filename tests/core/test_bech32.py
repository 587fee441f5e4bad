"""Bech32: what is done many groups at a time, against BIP-173's own one at a time."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from l402_middleware.core import bech32
from l402_middleware.core.errors import InvalidInvoice

GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)

prefixes = st.text("abcdefghijklmnopqrstuvwxyz0123456789!~", min_size=1, max_size=20)
data = st.binary(max_size=400).map(lambda octets: bytes(octet & 31 for octet in octets))


def polymod(values: list[int]) -> int:
    """BIP-173's `bech32_polymod`, step by step."""
    remainder = 1
    for value in values:
        top = remainder >> 25
        remainder = (remainder & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(GENERATOR):
            remainder ^= generator if top >> bit & 1 else 0
    return remainder


def as_bip_173_writes(prefix: str, groups: bytes) -> str:
    """BIP-173's `bech32_encode`."""
    expanded = [ord(letter) >> 5 for letter in prefix] + [0] + [ord(letter) & 31 for letter in prefix]
    checksum = polymod([*expanded, *groups, *[0] * 6]) ^ 1
    written = [*groups, *(checksum >> 5 * (5 - place) & 31 for place in range(6))]
    return prefix + "1" + "".join("qpzry9x8gf2tvdw0s3jn54khce6mua7l"[group] for group in written)


@given(prefixes, data)
@example("a", b"")
@example("lnbc", bytes(31))
def test_writes_what_bip_173_writes(prefix: str, groups: bytes) -> None:
    """Every length of prefix and data gives the text of BIP-173's reference, and is read back."""
    text = bech32.encode(prefix, groups)
    assert text == as_bip_173_writes(prefix, groups)
    assert bech32.decode(text) == (prefix, groups)
    assert bech32.decode(text.upper()) == (prefix, groups)


@given(prefixes, data, st.data())
def test_one_wrong_character_is_noticed(prefix: str, groups: bytes, draw: st.DataObject) -> None:
    """Any other character of the alphabet, at any place of the data: the checksum does not hold."""
    text = bech32.encode(prefix, groups)
    at = draw.draw(st.integers(len(prefix) + 1, len(text) - 1))
    other = draw.draw(st.sampled_from([letter for letter in bech32.ALPHABET.decode() if letter != text[at]]))
    with pytest.raises(InvalidInvoice, match="checksum"):
        bech32.decode(text[:at] + other + text[at + 1 :])


@given(st.integers(0, 2**700), st.integers(0, 200))
@example(0, 0)
@example(2**40 - 1, 8)
def test_a_number_is_spelled_in_groups(number: int, count: int) -> None:
    """Five bits to a group, the lowest last; what does not fit is left out."""
    groups = bech32.from_number(number, count)
    assert list(groups) == [number >> 5 * (count - 1 - place) & 31 for place in range(count)]
    assert bech32.to_number(groups) == number & (1 << 5 * count) - 1


@given(st.binary(max_size=200))
def test_octets_come_back(octets: bytes) -> None:
    """Octets as groups, padded with zero bits, are the same octets again."""
    groups = bech32.from_octets(octets)
    assert len(groups) == -(-8 * len(octets) // 5)
    assert bech32.to_octets(groups) == octets
    assert bech32.to_number(groups) == int.from_bytes(octets, "big") << 5 * len(groups) - 8 * len(octets)
