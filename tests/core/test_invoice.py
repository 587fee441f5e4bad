"""BOLT 11 invoices, against the specification's examples and an independent decoder's readings."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from l402_middleware.core import bech32
from l402_middleware.core.errors import InvalidInvoice
from l402_middleware.core.invoice import DEFAULT_EXPIRY, MAX_LENGTH, Invoice, decode
from l402_middleware.core.money import MAX_MSAT, Msat, msats

VECTORS = Path(__file__).parent / "vectors"
SPEC: dict[str, Any] = json.loads((VECTORS / "bolt11_spec.json").read_text())
ORACLE: dict[str, Any] = json.loads((VECTORS / "bolt11_oracle.json").read_text())

COFFEE: str = SPEC["valid"][1]["bolt11"]
HASH = bytes(range(32))
OTHER_HASH = bytes(range(32, 64))
TIMESTAMP = 1_700_000_000


def field(kind: str, groups: bytes) -> bytes:
    """One tagged field."""
    return bytes((bech32.ALPHABET.index(kind.encode()), len(groups) >> 5, len(groups) & 31)) + groups


P = field("p", bech32.from_octets(HASH))


def sealed(fields: bytes = P, prefix: str = "lnbcrt210n") -> str:
    """An invoice with a right checksum and a signature of zeros."""
    return bech32.encode(prefix, bech32.from_number(TIMESTAMP, 7) + fields + bytes(104))


def reading(invoice: Invoice) -> dict[str, Any]:
    """The invoice's fields as the vector files spell them."""
    return {
        "network": invoice.network,
        "amount_msat": invoice.amount and invoice.amount.msat,
        "payment_hash": invoice.payment_hash.hex(),
        "payment_secret": invoice.payment_secret and invoice.payment_secret.hex(),
        "created_at": invoice.created_at,
        "expiry": invoice.expiry,
        "description": invoice.description,
        "description_hash": invoice.description_hash and invoice.description_hash.hex(),
    }


@pytest.mark.parametrize("vector", SPEC["valid"], ids=lambda vector: vector["name"])
def test_reads_the_specifications_examples(vector: dict[str, Any]) -> None:
    """Every valid example of BOLT 11 gives the fields that an independent decoder reads in it."""
    invoice = decode(vector["bolt11"])
    assert {"name": vector["name"], "bolt11": vector["bolt11"], **reading(invoice)} == vector
    assert invoice.bolt11 == vector["bolt11"].lower()


@pytest.mark.parametrize("vector", SPEC["invalid"], ids=lambda vector: vector["name"])
def test_refuses_the_specifications_invalid_examples(vector: dict[str, Any]) -> None:
    """Every malformed example of BOLT 11 is refused for the reason that the example is made for."""
    with pytest.raises(InvalidInvoice, match=vector["message"]):
        decode(vector["bolt11"])


@pytest.mark.parametrize("vector", SPEC["left_to_the_payer"], ids=lambda vector: vector["name"])
def test_leaves_the_payers_duties_to_the_payer(vector: dict[str, Any]) -> None:
    """Examples that only a payer must refuse (signature, features, payment secret) are read all the same."""
    invoice = decode(vector["bolt11"])
    assert reading(invoice) == {key: vector[key] for key in reading(invoice)}


@pytest.mark.parametrize("vector", ORACLE["valid"], ids=range(len(ORACLE["valid"])))
def test_agrees_with_an_independent_implementation(vector: dict[str, Any]) -> None:
    """Invoices made by another encoder, fields in any order, read as its own decoder reads them."""
    assert {"bolt11": vector["bolt11"], **reading(decode(vector["bolt11"]))} == vector


@pytest.mark.parametrize(
    "text",
    [
        f"lightning:{COFFEE}",
        f"LIGHTNING:{COFFEE}",
        f"lightning:{COFFEE.upper()}",
        f"LIGHTNING:{COFFEE.upper()}",
        COFFEE.upper(),
    ],
)
def test_normalises(text: str) -> None:
    """Upper case and the URI scheme, in any case, are other spellings of the same invoice."""
    assert decode(text) == decode(COFFEE)
    assert decode(text).bolt11 == COFFEE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "lnbc1",
        "lightning:",
        f" {COFFEE}",
        f"{COFFEE}\n",
        f"lightning://{COFFEE}",
        f"lightning:lightning:{COFFEE}",
        COFFEE[:-1],
        COFFEE[:4].upper() + COFFEE[4:],
        COFFEE[:-6] + COFFEE[-6:].upper(),
        COFFEE.replace("k", "\N{KELVIN SIGN}"),
        COFFEE.replace("0", "\N{FULLWIDTH DIGIT ZERO}"),
        COFFEE + "\ud800",
    ],
)
def test_refuses_what_is_no_bech32(text: str) -> None:
    """Damage, blanks, mixed case and look-alike characters are refused."""
    with pytest.raises(InvalidInvoice):
        decode(text)


@pytest.mark.parametrize(
    ("prefix", "network", "amount"),
    [
        ("lnbc", "bitcoin", None),
        ("lntb", "testnet", None),
        ("lntbs", "signet", None),
        ("lnbcrt", "regtest", None),
        ("lnsb", "simnet", None),
        ("lnbc1", "bitcoin", 100_000_000_000),
        ("lnbc20m", "bitcoin", 2_000_000_000),
        ("lnbc2500u", "bitcoin", 250_000_000),
        ("lntbs1n", "signet", 100),
        ("lnbcrt10p", "regtest", 1),
        ("lnbc9678785340p", "bitcoin", 967_878_534),
        ("lnbc1000000000000p", "bitcoin", 100_000_000_000),
        ("lnbc21000000", "bitcoin", MAX_MSAT),
        ("lnbc21000000000000000000p", "bitcoin", MAX_MSAT),
    ],
)
def test_human_readable_part(prefix: str, network: str, amount: int | None) -> None:
    """BOLT 11, "Human-Readable Part": every network, every multiplier, with or without an amount."""
    invoice = decode(sealed(prefix=prefix))
    assert (invoice.network, invoice.amount) == (network, amount and Msat(amount))


@pytest.mark.parametrize(
    ("prefix", "message"),
    [
        ("bc", "prefix"),
        ("ln", "prefix"),
        ("lnbc0", "prefix"),
        ("lnbc0n", "prefix"),
        ("lnbc01", "prefix"),
        ("lnbc-1", "prefix"),
        ("lnbc+1", "prefix"),
        ("lnbc1.5m", "prefix"),
        ("lnbc1_0m", "prefix"),
        ("lnbcm", "network"),
        ("lnbc2500x", "prefix"),
        ("lnbc10mm", "prefix"),
        ("lnbc10m ", "prefix"),
        ("lnbc10m\n", "prefix"),
        ("lnltc10m", "network"),
        ("lnbcq", "network"),
        ("lnbc1p", "whole number"),
        ("lnbc2500000001p", "whole number"),
        ("lnbc21000001", "21 million"),
        ("lnbc21000000001m", "21 million"),
        ("lnbc99999999999999999999", "21 million"),
        ("lnbc" + "9" * 2000, "prefix"),
    ],
)
def test_refuses_other_human_readable_parts(prefix: str, message: str) -> None:
    """Leading zeros, unknown multipliers and networks, and parts of a millisatoshi are refused."""
    with pytest.raises(InvalidInvoice, match=message):
        decode(sealed(prefix=prefix))


def test_skips_what_it_need_not_know() -> None:
    """Unknown fields, and hashes and secrets of a wrong length, count as absent."""
    odd = b"".join(field(kind, bytes(length)) for kind in "phs" for length in (0, 51, 53))
    invoice = decode(sealed(field("2", bytes(9)) + odd + P + field("l", b"")))
    assert invoice.payment_hash == HASH
    assert (invoice.payment_secret, invoice.description_hash, invoice.description) == (None, None, None)
    assert (invoice.created_at, invoice.expiry) == (TIMESTAMP, DEFAULT_EXPIRY)


def test_the_first_of_a_field_counts() -> None:
    """BOLT 11, "Payer / Payee Requirements": the first payment hash is the one that is paid."""
    second = field("p", bech32.from_octets(OTHER_HASH))
    assert decode(sealed(P + second)).payment_hash == HASH
    assert decode(sealed(second + P)).payment_hash == OTHER_HASH


@pytest.mark.parametrize(
    ("groups", "expiry"),
    [(b"", 0), (b"\x01", 1), (b"\x03\x10\x10", 3600), (b"\x1f" * 12, 2**60 - 1)],
)
def test_expiry(groups: bytes, expiry: int) -> None:
    """The expiry is a big-endian number of seconds after the timestamp."""
    invoice = decode(sealed(P + field("x", groups)))
    assert (invoice.expiry, invoice.expires_at) == (expiry, TIMESTAMP + expiry)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (b"", "payment hash"),
        (field("p", bytes(51)), "payment hash"),
        (P + b"\x01", "inside"),
        (P + b"\x01\x00", "inside"),
        (P + b"\x01\x00\x01", "field p is longer"),
        (P[:-1], "field p is longer"),
        (P + field("x", b"\x00\x01"), "leading zeros"),
        (P + field("x", b"\x01" + bytes(12)), "beyond any date"),
        (P + field("d", bech32.from_octets(b"\xff")), "UTF-8"),
    ],
)
def test_refuses_malformed_fields(fields: bytes, message: str) -> None:
    """A field that is cut short, or whose content cannot be, is refused under its own name."""
    with pytest.raises(InvalidInvoice, match=message):
        decode(sealed(fields))


@pytest.mark.parametrize("count", [0, 6, 7, 110])
def test_refuses_data_without_room_for_a_signature(count: int) -> None:
    """A right checksum over too little data is not enough."""
    with pytest.raises(InvalidInvoice, match="too short"):
        decode(bech32.encode("lnbc", bytes(count)))


def test_length_limit() -> None:
    """An invoice of 4096 characters is read, one more is refused before anything else is looked at."""
    room = MAX_LENGTH - len(sealed())
    padding = field("m", bytes(1020)) * (room // 1023) + field("m", bytes(room % 1023 - 3))
    longest = sealed(P + padding)
    assert len(longest) == MAX_LENGTH
    assert decode(longest).payment_hash == HASH
    for too_long in (f"{longest}q", "x" * (MAX_LENGTH + 1), "\ud800" * 10_000_000):
        with pytest.raises(InvalidInvoice, match="4096 are allowed"):
            decode(too_long)


@given(st.text())
@example("ln1")
@example("lnbc1" + "q" * 4000)
def test_any_text_is_an_invoice_or_invalid(text: str) -> None:
    """Nothing but `InvalidInvoice` comes out of any text."""
    with pytest.raises(InvalidInvoice):
        decode(text)


@given(
    prefix=st.one_of(
        st.from_regex(r"ln(bc|tb|tbs|bcrt)[0-9]{0,22}[munp]?", fullmatch=True),
        st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_categories=["Lu"])),
    ),
    kinds=st.lists(
        st.tuples(
            st.sampled_from(bech32.ALPHABET.decode()),
            st.binary(max_size=60).map(lambda octets: bytes(octet & 31 for octet in octets)),
        ),
        max_size=6,
    ),
    damage=st.binary(max_size=3).map(lambda octets: bytes(octet & 31 for octet in octets)),
)
def test_any_contents_are_an_invoice_or_invalid(prefix: str, kinds: list[tuple[str, bytes]], damage: bytes) -> None:
    """Under a right checksum too, nothing but an invoice or `InvalidInvoice` comes out of any contents."""
    text = sealed(P + b"".join(field(kind, groups) for kind, groups in kinds) + damage, prefix)
    try:
        invoice = decode(text)
    except InvalidInvoice:
        return
    assert invoice.bolt11 == text
    assert invoice.expires_at < 2**63
    assert invoice.amount is None or msats(1) <= invoice.amount <= msats(MAX_MSAT)


@given(data=st.data())
def test_any_changed_character_is_noticed(data: st.DataObject) -> None:
    """The checksum catches a change of any one character into any other."""
    text: str = data.draw(st.sampled_from(SPEC["valid"]))["bolt11"]
    position = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.one_of(st.sampled_from(bech32.ALPHABET.decode() + "1bio"), st.characters()))
    if other == text[position]:
        return
    with pytest.raises(InvalidInvoice):
        decode(text[:position] + other + text[position + 1 :])


@pytest.mark.parametrize(
    ("text", "prefix", "groups"),
    [
        ("A12UEL5L", "a", b""),
        ("a12uel5l", "a", b""),
        ("?1ezyfcl", "?", b""),
        ("abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw", "abcdef", bytes(range(32))),
    ],
)
def test_bech32(text: str, prefix: str, groups: bytes) -> None:
    """The valid examples of BIP-173 are read, and written again."""
    assert bech32.decode(text) == (prefix, groups)
    assert bech32.encode(prefix, groups) == text.lower()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pzry9x0s0muk", "no '1'"),
        ("1pzry9x0s0muk", "no '1'"),
        ("10a06t8", "no '1'"),
        ("x1b4n0q5v", "characters that bech32 does not have"),
        ("de1lg7wt\xff", "ASCII"),
        ("li1dgmt3", "checksum"),
        ("A1G7SGD8", "checksum"),
        ("||sgvm1", "checksum"),
    ],
)
def test_refuses_other_bech32(text: str, message: str) -> None:
    """The invalid examples of BIP-173, and a text made so that its remainder is right without a checksum."""
    with pytest.raises(InvalidInvoice, match=message):
        bech32.decode(text)


@given(octets=st.binary(max_size=700))
def test_octets_survive_grouping(octets: bytes) -> None:
    """Bytes become 5-bit groups, and the same bytes again, padding dropped."""
    groups = bech32.from_octets(octets)
    assert bech32.to_octets(groups) == octets
    assert bech32.decode(bech32.encode("ln", groups)) == ("ln", groups)
