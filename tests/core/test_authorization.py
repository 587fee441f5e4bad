"""The Authorization header: every form that real clients send, and any bytes that somebody else might."""

from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from contextlib import suppress
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from l402_middleware.core import authorization
from l402_middleware.core.authorization import MAX_BYTES, Credential, decode_base64, parse_authorization
from l402_middleware.core.errors import BadCredential

# 62 and 63 are + and / in one alphabet, - and _ in the other; 61 bytes make two padding characters.
MACAROON = b"\x02\xfb\xff\xbf" + bytes(range(57))
OTHER = bytes(range(100, 160))
PREIMAGE = bytes(range(32))
HEX = PREIMAGE.hex()

STANDARD = b64encode(MACAROON).decode()
URL_SAFE = urlsafe_b64encode(MACAROON).decode()
SECOND = b64encode(OTHER).decode()
TOKEN = f"{STANDARD}:{HEX}"

ONE = [Credential((MACAROON,), PREIMAGE)]
TWO = [*ONE, Credential((OTHER,), bytes(32))]
OTHER_TOKEN = f"{SECOND}:{'00' * 32}"

DIGEST = 'Digest username="a, b", realm="c,d", uri="/x?y=1,2", response="00"'

ACCEPTED: dict[str, tuple[list[str], list[Credential]]] = {
    "case 1: no field": ([], []),
    "case 1: an empty field": ([""], []),
    "case 2: L402": ([f"L402 {TOKEN}"], ONE),
    "case 2: lower case": ([f"l402 {TOKEN}"], ONE),
    "case 2: several spaces": ([f"L402    {TOKEN}"], ONE),
    "case 2: a tab": ([f"L402\t{TOKEN}"], ONE),
    "case 2: tabs and spaces about it": ([f" \t L402 \t {TOKEN} \t "], ONE),
    "case 3: LSAT": ([f"LSAT {TOKEN}"], ONE),
    "case 3: mixed case": ([f"LsAt {TOKEN}"], ONE),
    "doubled scheme": ([f"L402 L402 {TOKEN}"], ONE),
    "doubled scheme, both names": ([f"LSAT\tl402 {TOKEN}"], ONE),
    "case 4: two lines, as Aperture's client sends": ([f"LSAT {TOKEN}", f"L402 {TOKEN}"], ONE * 2),
    "case 4: folded": ([f"LSAT {TOKEN}, L402 {TOKEN}"], ONE * 2),
    "case 4: folded without a space": ([f"LSAT {TOKEN},L402 {TOKEN}"], ONE * 2),
    "case 5: two different ones, in order": ([f"L402 {TOKEN}, L402 {OTHER_TOKEN}"], TWO),
    "case 5: two different ones in two lines": ([f"L402 {TOKEN}", f"L402 {OTHER_TOKEN}"], TWO),
    "case 6: Basic before it": ([f"Basic dXNlcjpwYXNz, L402 {TOKEN}"], ONE),
    "case 6: Basic after it": ([f"L402 {TOKEN}, Basic dXNlcjpwYXNz"], ONE),
    "case 6: Bearer in a line of its own": (["Bearer abc", f"L402 {TOKEN}"], ONE),
    "case 6: Bearer between two": ([f"L402 {TOKEN}, Bearer abc, LSAT {OTHER_TOKEN}"], TWO),
    "case 6: Digest with quoted commas before it": ([f"{DIGEST}, L402 {TOKEN}"], ONE),
    "case 6: Digest with quoted commas after it": ([f"L402 {TOKEN}, {DIGEST}"], ONE),
    "case 7: Bearer alone": (["Bearer abc"], []),
    "case 7: Digest alone": ([DIGEST], []),
    "case 7: a scheme that only begins like ours": ([f"L402x {TOKEN}", f"XLSAT {TOKEN}", TOKEN], []),
    "case 8: several macaroons": (
        [f"L402 {STANDARD},{SECOND}:{HEX}"],
        [Credential((MACAROON, OTHER), PREIMAGE)],
    ),
    "case 8: several macaroons, a space after the comma": (
        [f"L402 {STANDARD}, {SECOND}:{HEX}"],
        [Credential((MACAROON, OTHER), PREIMAGE)],
    ),
    "case 9: url-safe": ([f"L402 {URL_SAFE}:{HEX}"], ONE),
    "case 9: standard, unpadded": ([f"L402 {STANDARD.rstrip('=')}:{HEX}"], ONE),
    "case 9: url-safe, unpadded": ([f"L402 {URL_SAFE.rstrip('=')}:{HEX}"], ONE),
    "case 11: upper-case preimage": ([f"L402 {STANDARD}:{HEX.upper()}"], ONE),
    "a malformed one beside a good one": ([f"L402 nonsense, L402 {TOKEN}"], ONE),
    "a scheme alone beside a good one": (["LSAT", f"L402 {TOKEN}"], ONE),
    "an empty line folded before it": ([f", L402 {TOKEN}"], ONE),
    "an empty line folded after it": ([f"L402 {TOKEN}, "], ONE),
    "empty elements between two": ([f"L402 {TOKEN} ,, \t, LSAT {OTHER_TOKEN}"], TWO),
}


@pytest.mark.parametrize(("fields", "expected"), ACCEPTED.values(), ids=ACCEPTED.keys())
def test_reads_what_real_clients_send(fields: list[str], expected: list[Credential]) -> None:
    """Cases 1 to 9, 11: schemes in any case and spacing, several credentials, other schemes, any base64."""
    assert parse_authorization(field.encode() for field in fields) == expected


MALFORMED: dict[str, str] = {
    "case 2: the scheme and nothing": "L402",
    "case 2: the scheme and white space": "L402 \t ",
    "case 2: the scheme thrice and nothing": "L402 LSAT L402",
    "case 9: non-canonical trailing bits": f"L402 {STANDARD[:-3]}{chr(ord(STANDARD[-3]) + 1)}==:{HEX}",
    "case 9: one padding character too few": f"L402 {STANDARD[:-1]}:{HEX}",
    "case 9: one padding character too many": f"L402 {STANDARD}=:{HEX}",
    "case 9: padding where none is needed": f"L402 {SECOND}==:{HEX}",
    "case 9: padding in the middle": f"L402 AA==AA==:{HEX}",
    "case 9: a lone digit": f"L402 A:{HEX}",
    "case 9: percent-encoded": f"L402 {STANDARD.replace('=', '%3D')}:{HEX}",
    "case 10: CR": f"L402 {STANDARD[:8]}\r{STANDARD[8:]}:{HEX}",
    "case 10: LF": f"L402 {STANDARD[:8]}\n{STANDARD[8:]}:{HEX}",
    "case 10: NUL": f"L402 {STANDARD[:8]}\0{STANDARD[8:]}:{HEX}",
    "case 10: LF after the preimage": f"L402 {TOKEN}\n",
    "case 10: NUL after the preimage": f"L402 {TOKEN}\0",
    "case 10: not ASCII in the macaroon": f"L402 caf\u00e9:{HEX}",
    "case 10: not ASCII in the preimage": f"L402 {STANDARD}:{HEX[:-1]}\u00e9",
    "case 10: digits of another script in the preimage": f"L402 {STANDARD}:{HEX[:-1]}\u0661",
    "case 11: 63 digits": f"L402 {STANDARD}:{HEX[:-1]}",
    "case 11: 65 digits": f"L402 {TOKEN}0",
    "case 11: 66 digits": f"L402 {TOKEN}00",
    "case 11: 0x before 64 digits": f"L402 {STANDARD}:0x{HEX}",
    "case 11: 0x within 64": f"L402 {STANDARD}:0x{HEX[2:]}",
    "case 11: not hex": f"L402 {STANDARD}:{'g' * 64}",
    "case 11: white space in the preimage": f"L402 {STANDARD}:{HEX[:30]} {HEX[30:]}",
    "case 11: white space before the preimage": f"L402 {STANDARD}: {HEX}",
    "case 12: no colon": f"L402 {STANDARD}",
    "case 12: two colons": f"L402 {STANDARD}:{HEX}:{HEX}",
    "case 12: a doubled colon": f"L402 {STANDARD}::{HEX}",
    "case 12: the colon first": f"L402 :{HEX}",
    "case 12: the colon last": f"L402 {STANDARD}:",
    "case 12: only a colon": "L402 :",
    "the preimage first": f"L402 {HEX}:{STANDARD}",
    "quoted": f'L402 "{TOKEN}"',
    "white space inside the macaroon": f"L402 {STANDARD[:8]} {STANDARD[8:]}:{HEX}",
    "case 15: as parameters": f'L402 macaroon="{STANDARD}", preimage="{HEX}"',
    "a second credential without its scheme": f"L402 {TOKEN}, {OTHER_TOKEN}",
}


@pytest.mark.parametrize("field", MALFORMED.values(), ids=MALFORMED.keys())
def test_refuses_what_is_malformed(field: str) -> None:
    """Cases 2, 9 to 12: a credential of ours that cannot be read is `malformed-credential`, never none at all."""
    with pytest.raises(BadCredential) as caught:
        parse_authorization([field.encode()])
    assert caught.value.code == "malformed-credential"


@pytest.mark.parametrize("field", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_one_does_not_hide_a_good_one(field: str) -> None:
    """A second line with a good credential is read, whatever stands in the first."""
    assert parse_authorization([field.encode(), f"L402 {TOKEN}".encode()]) == ONE


def test_accepts_a_credential_of_4_kib() -> None:
    """Case 13: 4 KiB, and 16 KiB to the very byte, are read."""
    for size in (4 * 1024, MAX_BYTES):
        room = size - len(f"L402 :{HEX}")
        raw = bytes(room // 4 * 3)
        field = f"L402 {b64encode(raw).decode()}:{HEX}".encode().ljust(size)
        assert len(field) == size
        assert parse_authorization([field]) == [Credential((raw,), PREIMAGE)]


@pytest.mark.parametrize(
    "fields",
    [
        [f"L402 {TOKEN}".encode().ljust(MAX_BYTES + 1)],
        [f"L402 {TOKEN}".encode(), b"Bearer ".ljust(MAX_BYTES, b"a")],
        [f"L402 {TOKEN}".encode()] * 128,
    ],
    ids=["one field", "beside another scheme", "many fields"],
)
def test_refuses_by_length_before_any_decoding(monkeypatch: pytest.MonkeyPatch, fields: list[bytes]) -> None:
    """Case 13: over 16 KiB in all, the fields are refused by their length: nothing has looked into them."""

    def explode(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(authorization, "decode_base64", explode)
    monkeypatch.setattr(authorization, "_our_credentials", explode)
    assert sum(map(len, fields)) > MAX_BYTES
    with pytest.raises(BadCredential) as caught:
        parse_authorization(fields)
    assert caught.value.code == "malformed-credential"
    with pytest.raises(AssertionError, match="decoded"):
        parse_authorization([f"L402 {TOKEN}".encode()])


FRAGMENTS = st.sampled_from([
    b"L402", b"LSAT", b"l402", b" ", b"\t", b",", b":", b"=", b'"', b"\0", b"\r\n", b"Bearer", b"Basic", b"\xff",
    STANDARD.encode(), URL_SAFE.encode(), HEX.encode(), TOKEN.encode(), "\u00e9".encode(),
])  # fmt: skip
ANY_FIELD = st.binary(max_size=200) | st.lists(FRAGMENTS | st.binary(max_size=3), max_size=30).map(b"".join)


@given(st.lists(ANY_FIELD, max_size=4))
@example([b"L402 \xff:" + HEX.encode()])
@example([b"L402 ===:" + HEX.encode()])
def test_any_bytes_give_credentials_or_bad_credential(fields: list[bytes]) -> None:
    """Case 14: whatever the bytes, well-formed credentials come back, or `BadCredential`, and nothing else."""
    try:
        credentials = parse_authorization(fields)
    except BadCredential:
        return
    for credential in credentials:
        assert len(credential.preimage) == 32
        assert credential.macaroons
        assert all(credential.macaroons)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["L402", "LSAT", "l402", "L402 L402"]),
            st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=3),
            st.binary(min_size=32, max_size=32),
            st.booleans(),
        ),
        max_size=4,
    ),
    st.lists(st.sampled_from(["Basic dXNlcjpwYXNz", "Bearer a.b.c", DIGEST, ""]), max_size=3),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_reads_back_what_was_written(
    sent: list[tuple[str, list[bytes], bytes, bool]],
    others: list[str],
    folded: bool,
    random: Random,
) -> None:
    """Any credentials among any others, in several lines or folded into one, come back whole and in order."""
    fields: list[tuple[str, Credential | None]] = [(other, None) for other in others]
    for scheme, macaroons, preimage, padded in sent:
        texts = [b64encode(raw) if padded else urlsafe_b64encode(raw).rstrip(b"=") for raw in macaroons]
        text = f"{scheme} {b','.join(texts).decode()}:{preimage.hex()}"
        fields.append((text, Credential(tuple(macaroons), preimage)))
    random.shuffle(fields)
    lines = [text for text, _ in fields]
    values = [", ".join(lines)] if folded else lines
    expected = [credential for _, credential in fields if credential is not None]
    assert parse_authorization(value.encode() for value in values) == expected


HOSTILE = [
    b",", b":", b" ", b"=", b"\t", b"a,", b", ", b" ,", b"L402 ", b"L402,", b"L402 a,", b"L402 =:,", b"LSAT L402 ",
    b"Bearer x,", b"a b ", b"-", b"\xff",
]  # fmt: skip


@pytest.mark.parametrize("unit", HOSTILE)
def test_each_byte_is_decoded_once(unit: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Case 14: whatever a header of 16 KiB is full of, all that is decoded of it is no longer than itself."""
    decoded: list[int] = []

    def counted(text: str) -> bytes:
        decoded.append(len(text))
        return decode_base64(text)

    monkeypatch.setattr(authorization, "decode_base64", counted)
    for field in (b"L402 " + unit * MAX_BYTES, f"L402 {TOKEN},".encode() + unit * MAX_BYTES):
        with suppress(BadCredential):
            parse_authorization([field[:MAX_BYTES]])
    assert sum(decoded) <= 2 * MAX_BYTES


@given(st.binary(min_size=1, max_size=100))
def test_every_flavour_of_base64_gives_the_same_bytes(raw: bytes) -> None:
    """Case 9: standard or url-safe, padded or not."""
    for text in (b64encode(raw).decode(), urlsafe_b64encode(raw).decode()):
        assert decode_base64(text) == decode_base64(text.rstrip("=")) == raw


@given(st.text(alphabet="ABab01+/-_=", max_size=12) | st.text(max_size=8))
def test_base64_has_one_spelling_in_each_flavour(text: str) -> None:
    """Case 9: what is read is spelled as an encoder spells it, so no two unpadded texts give the same bytes."""
    try:
        raw = decode_base64(text)
    except ValueError:
        return
    standard = b64encode(raw).decode()
    assert text.translate(str.maketrans("-_", "+/")) in (standard, standard.rstrip("="))


@pytest.mark.parametrize("representation", [repr, str, "{}".format])
def test_a_credential_shows_no_secret(representation: Callable[[object], str]) -> None:
    """Case 113: neither the macaroon nor the preimage is in any text made of a credential."""
    assert representation(ONE[0]) == "Credential()"


def test_the_error_shows_nothing_of_the_header() -> None:
    """Case 113: the message of a refusal has nothing of what was sent."""
    with pytest.raises(BadCredential) as caught:
        parse_authorization([f"L402 {STANDARD}:{HEX}f".encode()])
    assert HEX[:8] not in str(caught.value)
    assert STANDARD[:8] not in str(caught.value)
    assert caught.value.__context__ is None
