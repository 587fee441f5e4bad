"""Case 101: the vectors of the Payment scheme, by another implementation: we write and read the same, or say why."""

import hmac
import json
from pathlib import Path
from typing import Any

import pytest

from l402_middleware.core import base64url, strict_json
from l402_middleware.core.auth_params import read_challenges
from l402_middleware.core.charge import ChargeIssuer
from l402_middleware.core.errors import BadCredential, ConfigurationError
from l402_middleware.core.keys import KeyRing, generate_key
from l402_middleware.core.payment import PaymentChallenge, parse_payment_authorization, read_receipt

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors" / "payment.json").read_text("utf-8"))

# Numbers that the scheme does not have: all amounts in it are text. We refuse to write them, where others round.
NUMBERS = {
    "integers above the exactly representable range",
    "magnitudes beyond the int64 range",
    "notation boundaries",
    "signed zero",
    "number literals are re-rendered",
    "opaque correlation data",
}


def each(section: str) -> pytest.MarkDecorator:
    """The vectors of a section, by name."""
    return pytest.mark.parametrize("vector", VECTORS[section], ids=lambda vector: str(vector["name"]))


def test_every_section_is_looked_at() -> None:
    """A newer file with a section or a version that this test does not know does not pass by accident."""
    assert VECTORS["version"] == 1
    assert set(VECTORS) - {"version", "description", "hmacSecretHex"} == {
        "canonicalization", "base64url", "challengeHeaders", "challengeLists", "challengeIds", "credentials",
        "receipts",
    }  # fmt: skip


@each("canonicalization")
def test_canonical_json(vector: dict[str, Any]) -> None:
    """JSON is written as RFC 8785 has it, to the byte; numbers that are not exact everywhere are refused."""
    if vector.get("error"):
        with pytest.raises(ValueError, match="Expecting"):
            strict_json.read_object(vector["input"].encode())
    elif vector["name"] in NUMBERS:
        with pytest.raises(ValueError, match="canonical JSON is not written"):
            strict_json.canonical(json.loads(vector["input"]))
    else:
        assert strict_json.canonical(json.loads(vector["input"])) == vector["canonical"].encode()


def test_numbers_are_named_rightly() -> None:
    """Each exception is a vector."""
    assert {vector["name"] for vector in VECTORS["canonicalization"]} >= NUMBERS


@each("base64url")
def test_base64url(vector: dict[str, Any]) -> None:
    """Each is written and read as it stands, and what is not canonical is refused."""
    if vector.get("error"):
        with pytest.raises(ValueError, match=r".*"):
            base64url.decode(vector["encoded"])
        return
    octets = bytes.fromhex(vector.get("decodedHex", ""))
    assert base64url.decode(vector["encoded"]) == octets
    if vector["canonical"]:
        assert base64url.encode(octets) == vector["encoded"]


@each("challengeHeaders")
def test_challenge_headers(vector: dict[str, Any]) -> None:
    """Each challenge is written to the character, and read back."""
    assert PaymentChallenge.read(vector["params"]).header() == vector["header"]
    ((scheme, parameters),) = read_challenges([vector["header"].encode()])
    assert scheme == "payment"
    assert PaymentChallenge.read(parameters).parameters() == vector["parsed"]


@each("challengeLists")
def test_challenge_lists(vector: dict[str, Any]) -> None:
    """Several challenges in one line come apart; where there is none, there is none: to a client that is no error."""
    found = []
    for scheme, parameters in read_challenges([vector["header"].encode()]):
        if scheme == "payment":
            try:
                found.append(PaymentChallenge.read(parameters).parameters())
            except ValueError:
                continue
    assert found == vector.get("challenges", [])


@each("challengeIds")
def test_challenge_ids(vector: dict[str, Any]) -> None:
    """The draft's recommended `id` is not ours: ours has the sale in it, and slots that cannot slide.

    What these vectors say is checked all the same, so that a reader can compare; and of the two that share a tag,
    neither can be ours: a bar in a realm is refused.
    """
    named = vector["params"]
    slots = [named.get(name, "") for name in ("realm", "method", "intent", "request", "expires", "digest", "opaque")]
    assert "|".join(slots) == vector["hmacInput"]
    key = bytes.fromhex(VECTORS["hmacSecretHex"])
    assert base64url.encode(hmac.digest(key, vector["hmacInput"].encode(), "sha256")) == named["id"]
    if "|" in named["realm"]:
        with pytest.raises(ConfigurationError, match="realm"):
            ChargeIssuer("l402", named["realm"], KeyRing([generate_key()]))


@each("credentials")
def test_credentials(vector: dict[str, Any]) -> None:
    """Each header says what its JSON says; of bad ones, ours are malformed, and another scheme's are nobody's."""
    value = vector["header"].encode()
    if not vector.get("error"):
        (credential,) = parse_payment_authorization([value])
        said = json.loads(vector["credentialJson"])
        assert credential.challenge.parameters() == said["challenge"]
        assert credential.payload == said["payload"]
        assert credential.source == said.get("source")
        (again,) = parse_payment_authorization([credential.header().encode()])
        assert again == credential
    elif value.startswith(b"Bearer"):
        assert parse_payment_authorization([value]) == []
    else:
        with pytest.raises(BadCredential) as caught:
            parse_payment_authorization([value])
        assert caught.value.code == "malformed-credential"


@each("receipts")
def test_receipts(vector: dict[str, Any]) -> None:
    """Each receipt is read to the last digit, from base64url without padding."""
    assert read_receipt(vector["header"]) == json.loads(vector["receiptJson"])
    assert base64url.encode(vector["receiptJson"].encode()) == vector["header"]
