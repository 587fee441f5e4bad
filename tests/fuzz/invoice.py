"""BOLT 11 invoices: our decoder against a plain reading of the specification, and against the package bolt11."""

import json
import re
from collections.abc import Callable
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

from l402_middleware.core import bech32
from l402_middleware.core.errors import InvalidInvoice
from l402_middleware.core.invoice import Invoice, decode

bolt11: Any
try:
    import bolt11
except ImportError:  # there is none for Python 3.13 and later
    bolt11 = None

# bolt11 takes some 5 ms an invoice: one in so many is shown to it, chosen by its digest so that a crash repeats.
ONE_IN = 64

_NETWORKS = {"bitcoin": "bc", "testnet": "tb", "signet": "tbs", "regtest": "bcrt", "simnet": "sb"}
_BITCOIN = {"": Fraction(1), "m": Fraction(1, 10**3), "u": Fraction(1, 10**6), "n": Fraction(1, 10**9)}
_BITCOIN["p"] = Fraction(1, 10**12)
_MSAT = 10**11

# Where bolt11 reads what we refuse: each a choice of ours, or a duty of readers that it passes over.
_OURS_TO_REFUSE = re.compile(
    "prefix|not known|whole number|21 million|leading zeros|beyond any date|payment hash|4096|lower case|ASCII|short"
)

# The specification's own examples. From their signatures some public key can be recovered, whatever the data become:
# bolt11 insists on that.
_EXAMPLES: dict[str, list[dict[str, str]]] = json.loads(
    (Path(__file__).parents[1] / "core" / "vectors" / "bolt11_spec.json").read_text()
)
_SIGNED = _EXAMPLES["valid"][0]["bolt11"]
_SIGNATURE_GROUPS = 104


def check(data: bytes) -> None:
    """An invoice that says what its characters say, or `InvalidInvoice`."""
    text = data.decode("utf-8", "surrogateescape")
    try:
        invoice, refusal = decode(text), ""
    except InvalidInvoice as error:
        invoice, refusal = None, str(error)
    if invoice is not None:
        _says_what_it_spells(invoice)
        spelled = invoice.bolt11
        assert decode(f"LIGHTNING:{spelled.upper()}") == invoice, "the spelling makes a difference"
    if bolt11 is not None and sha256(data).digest()[0] % ONE_IN == 0:
        _compare(text, invoice, refusal)


def _says_what_it_spells(invoice: Invoice) -> None:
    """Each field again, from a text of ones and zeros."""
    prefix, groups = bech32.decode(invoice.bolt11)
    assert bech32.encode(prefix, groups) == invoice.bolt11, "read and written is another"
    assert prefix.startswith("ln" + _NETWORKS[invoice.network])
    amount = prefix.removeprefix("ln" + _NETWORKS[invoice.network])
    if invoice.amount is None:
        assert not amount
    else:
        digits = amount.rstrip("munp")
        assert int(digits) * _BITCOIN[amount[len(digits) :]] * _MSAT == invoice.amount.msat
    bits = "".join(f"{group:05b}" for group in groups[:-_SIGNATURE_GROUPS])
    assert int(bits[:35], 2) == invoice.created_at
    found: dict[str, str] = {}
    at = 35
    while at < len(bits):
        kind, length = chr(bech32.ALPHABET[int(bits[at : at + 5], 2)]), 5 * int(bits[at + 5 : at + 15], 2)
        content = bits[at + 15 : at + 15 + length]
        assert len(content) == length
        if kind not in "phs" or length == 260:
            found.setdefault(kind, content)
        at += 15 + length
    assert _octets(found["p"]) == invoice.payment_hash
    assert (_octets(found["s"]) if "s" in found else None) == invoice.payment_secret
    assert (_octets(found["h"]) if "h" in found else None) == invoice.description_hash
    assert (_octets(found["d"]) if "d" in found else None) == (
        None if invoice.description is None else invoice.description.encode()
    )
    assert (int(found["x"] or "0", 2) if "x" in found else 3600) == invoice.expiry


def _octets(bits: str) -> bytes:
    return bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits) - 7, 8))


def _compare(text: str, invoice: Invoice | None, refusal: str) -> None:
    """Where both read it, both read the same."""
    try:
        theirs: Any = bolt11.decode(text, ignore_exceptions=True)
    except Exception:  # it raises whatever its parts raise, for fields too that are a payer's business
        return
    if "not UTF-8" in refusal and theirs.description_hash is not None:
        # It does not look at a description behind a hash of one; we look at every field that we know.
        return
    if invoice is None:
        assert _OURS_TO_REFUSE.search(refusal), f"bolt11 reads it, and we say: {refusal}"
        return
    assert theirs.currency == _NETWORKS[invoice.network]
    assert theirs.amount_msat == (invoice.amount and invoice.amount.msat)
    assert theirs.date == invoice.created_at
    assert theirs.payment_hash == invoice.payment_hash.hex()
    assert (theirs.payment_secret or None) == (invoice.payment_secret and invoice.payment_secret.hex())
    assert theirs.expiry in (invoice.expiry, None)
    # Of description and its hash it keeps the one that comes first.
    assert theirs.description in (invoice.description, None)
    assert theirs.description_hash in (invoice.description_hash and invoice.description_hash.hex(), None)


def seeds() -> list[bytes]:
    """The specification's examples, good and bad, and one of them on every network and in other spellings."""
    examples = [example["bolt11"] for kind in ("valid", "invalid") for example in _EXAMPLES[kind]]
    _, groups = bech32.decode(_SIGNED)
    prefixes = ["lnbc2500u", "lntb20m", "lntbs1n", "lnbcrt10p", "lnsb1"]
    others = [_SIGNED.upper(), f"lightning:{_SIGNED}", *(bech32.encode(prefix, groups) for prefix in prefixes)]
    return [text.encode() for text in examples + others]


def mutate(data: bytes, random: Random, mutate_bytes: Callable[[bytes], bytes]) -> bytes:
    """Other bytes; or another prefix, timestamp or field under a right checksum."""
    try:
        prefix, groups = bech32.decode(data.decode("ascii"))
    except (InvalidInvoice, UnicodeDecodeError):
        if random.random() < 0.5:
            return mutate_bytes(data)
        prefix, groups = bech32.decode(_SIGNED)
    head, body, tail = groups[:7], groups[7:-_SIGNATURE_GROUPS], groups[-_SIGNATURE_GROUPS:]
    match random.randrange(7):
        case 0:
            return mutate_bytes(data)
        case 1:
            digits = str(random.choice([1, 10, 2500, 21_000_000, random.randrange(10**20)]))
            prefix = "ln" + random.choice([*_NETWORKS.values(), "x"]) + random.choice(["", digits, "0" + digits])
            prefix += random.choice(["", *_BITCOIN])
        case 2:
            prefix = mutate_bytes(prefix.encode()).decode("ascii", "ignore").lower()
        case 3:
            body = _groups(mutate_bytes(body))
        case 4 | 5:
            at = random.choice([0, len(body)])
            body = body[:at] + _field(random, mutate_bytes) + body[at:]
        case _:
            head = _groups(mutate_bytes(head))
    text = bech32.encode(prefix, head + body + tail)
    return random.choice([text, text, text.upper(), f"lightning:{text}"]).encode()


def _field(random: Random, mutate_bytes: Callable[[bytes], bytes]) -> bytes:
    kind = bech32.ALPHABET.index(random.choice(b"pshdxc9fnmr2"))
    length = random.choice([0, 1, 2, 12, 13, 51, 52, 53, random.randrange(60)])
    content = random.choice([
        bytes(length), random.randbytes(length), bech32.from_octets("caf\u00e9".encode()), mutate_bytes(bytes(length)),
    ])  # fmt: skip
    content = _groups(content)[:1023]
    return bytes([kind, len(content) >> 5, len(content) & 31]) + content


def _groups(octets: bytes) -> bytes:
    return bytes(octet & 31 for octet in octets)
