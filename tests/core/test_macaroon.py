"""Macaroons: our strict reader and verifier against pymacaroons, libmacaroons, Go's and npm's."""

import hmac
import json
from base64 import urlsafe_b64decode
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from pymacaroons import MACAROON_V1, MACAROON_V2, Verifier
from pymacaroons import Macaroon as PyMacaroon
from pymacaroons.serializers import BinarySerializer

from l402_middleware.core.macaroon import MAX_CAVEATS, attenuate, is_signed_with, read
from l402_middleware.core.minting import mint

VECTORS = Path(__file__).parent / "vectors"
LIBRARIES: dict[str, Any] = json.loads((VECTORS / "macaroons.json").read_text())
GOLDEN: dict[str, Any] = json.loads((VECTORS / "golden.json").read_text())

KEY = bytes(range(32))
IDENTIFIER = bytes(range(66))
CAVEATS = ["services=l402:0", "l402_valid_until=1700000000", "l402_offer=abc.1000.1.-"]
TOKEN = mint(KEY, "l402", IDENTIFIER, CAVEATS)
SIGNATURE = TOKEN[-32:]


def we_accept(key: bytes, raw: bytes) -> bool:
    """Whether our reader and our verifier let it through."""
    try:
        return is_signed_with(key, read(raw))
    except ValueError:
        return False


def pymacaroons_accepts(key: bytes, raw: bytes) -> bool:
    """Whether pymacaroons does, with every first-party caveat held to be satisfied."""
    verifier = Verifier()
    verifier.satisfy_general(lambda _: True)
    try:
        return bool(verifier.verify(BinarySerializer().deserialize_raw(raw), key))
    except Exception:  # pymacaroons raises whatever its parts raise
        return False


def field(kind: int, content: bytes) -> bytes:
    """One V2 field."""
    length = len(content)
    head = bytearray([kind])
    while length >= 0x80:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return bytes(head) + content


def sealed(body: bytes, caveats: list[bytes], key: bytes = KEY) -> bytes:
    """`body`, closed with the signature that the chain over IDENTIFIER and `caveats` has."""
    made = PyMacaroon(location="x", identifier=IDENTIFIER, key=key, version=MACAROON_V2)
    for caveat in caveats:
        made.add_first_party_caveat(caveat)
    return body + b"\0" + field(6, bytes.fromhex(made.signature))


HEAD = b"\x02" + field(1, b"l402") + field(2, IDENTIFIER) + b"\0"

texts = st.text(max_size=40)
keys = st.binary(min_size=1, max_size=64)
identifiers = st.binary(min_size=1, max_size=200)


@given(keys, texts, identifiers, st.lists(texts, max_size=8))
def test_minted_tokens_are_what_pymacaroons_accepts(
    key: bytes, location: str, identifier: bytes, caveats: list[str]
) -> None:
    """What we mint, both verify with its key, and neither with another."""
    raw = mint(key, location, identifier, caveats)
    parts = read(raw)
    assert (parts.location, parts.identifier) == (location.encode(), identifier)
    assert parts.caveats == tuple(caveat.encode() for caveat in caveats)
    assert we_accept(key, raw)
    assert pymacaroons_accepts(key, raw)
    # HMAC pads a key with zero bytes, so b"k" and b"k\0" are one key; a changed first byte is another.
    other = bytes([key[0] ^ 1]) + key[1:]
    assert not we_accept(other, raw)
    assert not pymacaroons_accepts(other, raw)


@pytest.mark.parametrize("length", [1, 127, 128, 129, 255, 256, 300, 0x3FFF])
def test_attenuated_as_its_minter_would(length: int) -> None:
    """What a holder appends without a key is, byte for byte, what pymacaroons writes with it."""
    appended = ["a" * length, "é"]
    assert attenuate(TOKEN, appended) == mint(KEY, "l402", IDENTIFIER, [*CAVEATS, *appended])


@pytest.mark.parametrize("length", [0x4000, 0x7FFF, 0x8000])
def test_no_caveat_is_longer_than_we_read(length: int) -> None:
    """A length has two bytes of seven bits: what would need a third is refused before a credential is spoilt."""
    with pytest.raises(ValueError, match=r"too long|range\(0, 256\)"):
        attenuate(TOKEN, ["a" * length])


def fields_of(location: bytes | None, caveats: list[bytes]) -> bytes:
    """An unsigned body with any number of odd fields."""
    body = b"\x02" + (b"" if location is None else field(1, location)) + field(2, IDENTIFIER) + b"\0"
    return body + b"".join(field(2, caveat) + b"\0" for caveat in caveats)


caveat_bytes = st.lists(texts.map(str.encode) | st.just(b"a" * 200), max_size=5)


@st.composite
def nearly_tokens(draw: st.DrawFn) -> bytes:
    """Tokens signed with KEY: whole, or with bytes replaced, inserted or removed somewhere."""
    caveats = draw(caveat_bytes)
    raw = bytearray(sealed(fields_of(draw(st.none() | texts.map(str.encode)), caveats), caveats))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(raw) - 1))
        end = at + draw(st.integers(0, 2))
        raw[at:end] = draw(st.binary(max_size=2) | st.sampled_from([b"\0", b"\x01\0", b"\x80", b"\x02\0\0"]))
        assume(raw)
    return bytes(raw)


def is_text(octets: bytes) -> bool:
    """Whether these bytes are UTF-8."""
    return octets == octets.decode("utf-8", "ignore").encode()


@given(nearly_tokens())
@example(b"\x02" + field(1, b"\xff") + TOKEN[7:])
@example(TOKEN)
@example(sealed(fields_of(None, []), []))
@example(sealed(fields_of(b"", []), []))
def test_whatever_we_accept_pymacaroons_accepts(raw: bytes) -> None:
    """Never more lenient than the oracle; what it takes in its own spelling, and we choose to allow, we take too."""
    ours, theirs = we_accept(KEY, raw), pymacaroons_accepts(KEY, raw)
    # The location is not signed, and pymacaroons raises for one that is not UTF-8; an Issuer holds it to its own.
    assert theirs or not ours or not is_text(read(raw).location)
    if theirs and BinarySerializer().serialize_raw(BinarySerializer().deserialize_raw(raw)) == raw:
        assert ours


STRICTER: dict[str, bytes] = {
    "trailing byte": TOKEN + b"\0",
    "a second macaroon behind it": TOKEN + TOKEN,
    "identifier's length in more bytes than it needs": sealed(
        b"\x02" + field(1, b"l402") + b"\x02\xc2\x00" + IDENTIFIER + b"\0", []
    ),
    "caveat's length in more bytes than it needs": sealed(HEAD + b"\x02\x83\x00a=b\0", [b"a=b"]),
    "field type in two bytes": sealed(HEAD + b"\x82\x00\x03a=b\0", [b"a=b"]),
    "end of section in two bytes": sealed(HEAD[:-1] + b"\x80\x00", []),
    "17 caveats": sealed(HEAD + (field(2, b"a=b") + b"\0") * (MAX_CAVEATS + 1), [b"a=b"] * (MAX_CAVEATS + 1)),
    "a caveat of 16 KiB": sealed(HEAD + field(2, b"a" * 16384) + b"\0", [b"a" * 16384]),
}


@pytest.mark.parametrize("raw", STRICTER.values(), ids=STRICTER.keys())
def test_is_stricter_than_pymacaroons_by_choice(raw: bytes) -> None:
    """Cases 33, 35: every strictness that we choose: pymacaroons verifies the example, and we do not even read it."""
    assert pymacaroons_accepts(KEY, raw)
    with pytest.raises(ValueError):  # noqa: PT011 - any will do, and the reader promises no other
        read(raw)


LONGEST = b"a" * 16383


@pytest.mark.parametrize("length", [0, 1, 127, 128, 129, 255, 256, 16383])
def test_every_length_is_read(length: int) -> None:
    """One byte of length up to 127, two from 128 on: and the rest of the macaroon is found behind them."""
    caveats = ["a" * length, "b=c"]
    assert read(mint(KEY, "l402", IDENTIFIER, caveats)).caveats == tuple(caveat.encode() for caveat in caveats)


def test_a_macaroon_without_a_location() -> None:
    """It reads as an empty one, as in every library; an Issuer, whose own is not empty, refuses it."""
    raw = sealed(fields_of(None, []), [])
    assert raw[1] == 2
    assert read(raw).location == b""


def test_the_limits_are_within_reach() -> None:
    """16 caveats, and a caveat of two length bytes, are read."""
    assert len(read(mint(KEY, "l402", IDENTIFIER, ["a=b"] * MAX_CAVEATS)).caveats) == MAX_CAVEATS
    assert read(mint(KEY, "l402", IDENTIFIER, [LONGEST.decode()])).caveats == (LONGEST,)


V1 = PyMacaroon(location="l402", identifier="text", key=KEY, version=MACAROON_V1)
V1.add_first_party_caveat("services=l402:0")

END = b"\0" + field(6, SIGNATURE)
REFUSED: dict[str, bytes] = {
    "empty": b"",
    "only a version": b"\x02",
    "case 35: version 1": BinarySerializer().serialize_raw(V1),
    "case 35: Go's version 1": bytes.fromhex(LIBRARIES["go"]["tokens"]["version 1"]),
    "version 0": b"\0" + TOKEN[1:],
    "version 3": b"\x03" + TOKEN[1:],
    "JSON": b'{"v":2,"l":"l402","i":"a","s":"b"}',
    "no identifier": b"\x02" + field(1, b"l402") + b"\0" + END,
    "nothing but ends of sections": b"\x02" + b"\0" * 40,
    "location after the identifier": b"\x02" + field(2, IDENTIFIER) + field(1, b"l402") + b"\0" + END,
    "two locations": b"\x02" + field(1, b"a") + field(1, b"b") + field(2, IDENTIFIER) + b"\0" + END,
    "two identifiers": b"\x02" + field(2, IDENTIFIER) * 2 + b"\0" + END,
    "case 34: third-party caveat": HEAD + field(1, b"x") + field(2, b"y") + field(4, b"z" * 72) + b"\0" + END,
    "case 34: third-party caveat without a location": HEAD + field(2, b"y") + field(4, b"z" * 72) + b"\0" + END,
    "case 34: an empty verification id": HEAD + field(2, b"y") + field(4, b"") + b"\0" + END,
    "case 34: libmacaroons' own": bytes.fromhex(LIBRARIES["go_macaroon_third_party"]["token"]),
    "case 34: Go's": bytes.fromhex(LIBRARIES["go"]["tokens"]["third-party caveat"]),
    "location on a first-party caveat": HEAD + field(1, b"x") + field(2, b"a=b") + b"\0" + END,
    "empty location on a first-party caveat": HEAD + field(1, b"") + field(2, b"a=b") + b"\0" + END,
    "an unknown field": HEAD + field(2, b"a=b") + field(9, b"") + b"\0" + END,
    "a caveat without an identifier": HEAD + field(4, b"z") + b"\0" + END,
    "no end of the caveats": HEAD + field(6, SIGNATURE),
    "a signature of 31 bytes": HEAD + b"\0" + field(6, SIGNATURE[1:]),
    "a signature of 33 bytes": HEAD + b"\0" + field(6, SIGNATURE + b"\0"),
    "no signature": HEAD + b"\0",
    "two signatures": TOKEN + field(6, SIGNATURE),
    "another field for the signature": HEAD + b"\0" + field(7, SIGNATURE),
    "a length beyond the end": b"\x02\x02\xff\x7f" + bytes(100),
    "a length of three bytes": b"\x02\x02\x81\x80\x01" + bytes(20000),
    "a second length byte that says there is a third": HEAD + b"\x02\x80\x80" + b"a" * 16384 + b"\0" + END,
    "a length without an end": b"\x02\x02" + b"\xff" * 100,
    "a length of ten bytes": b"\x02\x02" + b"\xff" * 9 + b"\x01" + bytes(100),
}


@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED.keys())
def test_refuses_what_is_no_first_party_v2_macaroon(raw: bytes) -> None:
    """Cases 34, 35: other versions, third parties and broken framing are refused."""
    with pytest.raises(ValueError):  # noqa: PT011 - as above
        read(raw)


def test_refuses_every_truncation_and_every_trailing_byte() -> None:
    """Case 35: no prefix of a token is a token, and nothing may follow one."""
    for end in range(len(TOKEN)):
        with pytest.raises(ValueError):  # noqa: PT011 - as above
            read(TOKEN[:end])
    for byte in range(256):
        with pytest.raises(ValueError):  # noqa: PT011 - as above
            read(TOKEN + bytes([byte]))


@given(st.binary(max_size=300) | st.binary(max_size=200).map(lambda tail: HEAD + tail))
def test_any_bytes_give_parts_or_value_error(raw: bytes) -> None:
    """Whatever the bytes: the parts, from which the same bytes can be made again, or `ValueError`."""
    try:
        parts = read(raw)
    except ValueError:
        return
    location = raw[1] == 1 and parts.location
    body = b"\x02" + (b"" if location is False else field(1, location)) + field(2, parts.identifier) + b"\0"
    body += b"".join(field(2, caveat) + b"\0" for caveat in parts.caveats)
    assert body + b"\0" + field(6, parts.signature) == raw


README: dict[str, Any] = LIBRARIES["libmacaroons_readme"]


@pytest.mark.parametrize("count", range(4))
def test_signs_as_libmacaroons_prints(count: int) -> None:
    """Case 40: the signatures in libmacaroons' README, with its key derivation, after each caveat."""
    raw = mint(README["key"].encode(), README["location"], README["identifier"].encode(), README["caveats"][:count])
    assert read(raw).signature.hex() == README["signatures"][count]


@pytest.mark.parametrize("vector", LIBRARIES["libmacaroons_v2"]["tokens"], ids=range(3))
def test_makes_and_reads_libmacaroons_v2_tokens(vector: dict[str, Any]) -> None:
    """Case 40: the tokens of libmacaroons' own tests, byte for byte."""
    made_with = LIBRARIES["libmacaroons_v2"]
    key = made_with["key"].encode()
    raw = urlsafe_b64decode(vector["token"] + "=" * (-len(vector["token"]) % 4))
    assert mint(key, made_with["location"], made_with["identifier"].encode(), vector["caveats"]) == raw
    assert read(raw).caveats == tuple(caveat.encode() for caveat in vector["caveats"])
    assert we_accept(key, raw)
    assert not we_accept(b"this is not the key", raw)


MADE_ELSEWHERE = [
    (library, name, bytes.fromhex(token))
    for library in ("go", "npm")
    for name, token in LIBRARIES[library]["tokens"].items()
    if name not in ("third-party caveat", "version 1")
]


@pytest.mark.parametrize(
    ("library", "name", "raw"), MADE_ELSEWHERE, ids=[f"{library}: {name}" for library, name, _ in MADE_ELSEWHERE]
)
def test_reads_what_go_and_npm_make(library: str, name: str, raw: bytes) -> None:
    """Case 40: tokens that Go's and npm's libraries minted or attenuated; the minted ones are ours to the byte."""
    assert we_accept(bytes.fromhex(GOLDEN["root_key"]), raw)
    if name in ("minted", "read and written again"):
        assert raw.hex() == GOLDEN["macaroons"]["single use"]


def test_a_caveat_that_is_no_text_is_read() -> None:
    """Case 33: Go lets a holder append any bytes; they are signed and read, where pymacaroons cannot verify them."""
    raw = bytes.fromhex(LIBRARIES["go"]["tokens"]["binary caveat"])
    assert read(raw).caveats[-1] == b"\xff\xfe\0"
    assert not pymacaroons_accepts(bytes.fromhex(GOLDEN["root_key"]), raw)


def test_the_parts_show_no_secret() -> None:
    """Case 113: a macaroon's text is its location, and nothing that opens anything."""
    assert repr(read(TOKEN)) == str(read(TOKEN)) == "Macaroon(location=b'l402')"


def test_signatures_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Case 38: what the chain gives and what was sent meet in `hmac.compare_digest`, and its word is the answer."""
    met: list[set[bytes]] = []

    def compare(ours: bytes, theirs: bytes) -> bool:
        met.append({bytes(ours), bytes(theirs)})
        return len(met) == 1

    monkeypatch.setattr(hmac, "compare_digest", compare)
    wrong = replace(read(TOKEN), signature=bytes(32))
    assert is_signed_with(KEY, wrong)
    assert not is_signed_with(KEY, read(TOKEN))
    assert met == [{SIGNATURE, bytes(32)}, {SIGNATURE}]


@pytest.mark.parametrize("wrong", [0, 31])
def test_the_work_for_a_wrong_signature(wrong: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Case 118: a signature that is wrong from its first byte, or in its last, costs the calls that a good one does."""
    parts = read(TOKEN)
    calls: list[bytes] = []
    digest = hmac.digest

    def counted(key: bytes, message: bytes, name: str) -> bytes:
        calls.append(message)
        return digest(key, message, name)

    monkeypatch.setattr(hmac, "digest", counted)
    signature = bytearray(parts.signature)
    signature[wrong] ^= 1
    assert is_signed_with(KEY, parts)
    good = list(calls)
    calls.clear()
    assert not is_signed_with(KEY, replace(parts, signature=bytes(signature)))
    assert calls == good
