"""The golden exchange: that the file is fresh, and that it can be checked without the code that made it."""

import hmac
import json
import re
import runpy
from base64 import b64decode, urlsafe_b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from l402_middleware.core.authorization import parse_authorization
from l402_middleware.core.caveats import Terms
from l402_middleware.core.credential import Issuer
from l402_middleware.core.keys import KeyRing
from l402_middleware.core.money import msats

HERE = Path(__file__).parent
GOLDEN: dict[str, Any] = json.loads((HERE / "vectors" / "golden.json").read_text())
INPUTS: dict[str, Any] = GOLDEN["inputs"]

SALES = [("single use", 21_000, 1, False), ("bundle", 21_000, 20, False), ("pass", 1, None, False)]
SALES += [("one request", 21_000, 1, True)]


def digest_text(digest: bytes) -> str:
    """A digest as the caveats spell it."""
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def test_the_file_is_fresh() -> None:
    """What the exported functions make of the fixed inputs is, byte for byte, what is committed."""
    made = runpy.run_path(str(HERE / "make_vectors.py"))["text"]()
    assert made == (HERE / "vectors" / "golden.json").read_text(), "run tests/core/make_vectors.py if this is meant"


def test_the_digests_can_be_made_with_sha256_alone() -> None:
    """Endpoint and request digests are what their description says, made here in another way."""
    assert GOLDEN["endpoint_digest"] == digest_text(sha256(INPUTS["endpoint"].encode()).digest()[:16])
    method, path, query, body_digest = INPUTS["request"]
    parts = [method.encode(), path.encode(), query.encode(), bytes.fromhex(body_digest)]
    framed = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    assert GOLDEN["request_digest"] == digest_text(sha256(framed).digest())


def test_the_keys_can_be_made_with_hmac_alone() -> None:
    """The sub-key and the token's root key are two HMACs; a change would refuse every credential ever sold."""
    secret, token_id = bytes.fromhex(INPUTS["secret_key"]), bytes.fromhex(INPUTS["token_id"])
    sub_key = hmac.digest(secret, b"l402_middleware macaroon", "sha256")
    assert GOLDEN["sub_key"] == sub_key.hex()
    assert GOLDEN["root_key"] == hmac.digest(sub_key, token_id, "sha256").hex()


def test_the_identifier_is_version_hash_and_token_id() -> None:
    """66 bytes, big endian: version 0, SHA-256 of the preimage, token id (bLIP 26)."""
    payment_hash = sha256(bytes.fromhex(INPUTS["preimage"])).hexdigest()
    assert GOLDEN["identifier"] == "0000" + payment_hash + INPUTS["token_id"]


@pytest.mark.parametrize("sale", [name for name, *_ in SALES])
def test_the_macaroon_can_be_made_by_hand(sale: str) -> None:
    """The V2 layout and the HMAC chain, written out, give the committed bytes, so no library has a say in them."""
    identifier, caveats = bytes.fromhex(GOLDEN["identifier"]), [text.encode() for text in GOLDEN["caveats"][sale]]
    key = hmac.digest(b"macaroons-key-generator", bytes.fromhex(GOLDEN["root_key"]), "sha256")
    signature = hmac.digest(key, identifier, "sha256")
    raw = b"\x02\x01\x04l402\x02\x42" + identifier + b"\0"
    for caveat in caveats:
        signature = hmac.digest(signature, caveat, "sha256")
        raw += b"\x02" + bytes([len(caveat)]) + caveat + b"\0"
    assert GOLDEN["macaroons"][sale] == (raw + b"\0\x06\x20" + signature).hex()


@pytest.mark.parametrize(("sale", "msat", "uses", "bound"), SALES, ids=[name for name, *_ in SALES])
def test_the_credential_opens_what_was_sold(sale: str, msat: int, uses: int | None, bound: bool) -> None:
    """Case 40: the committed Authorization values are honoured, for just the terms that they were sold on."""
    (credential,) = parse_authorization([GOLDEN["authorization"][sale].encode()])
    verified = Issuer("l402", KeyRing([bytes.fromhex(INPUTS["secret_key"])])).verify(credential, 1_700_007_199)
    request = GOLDEN["request_digest"] if bound else None
    assert verified.terms == Terms(GOLDEN["endpoint_digest"], msats(msat), uses, request, 1_700_007_200)
    assert verified.payment_hash == sha256(bytes.fromhex(INPUTS["preimage"])).digest()


def test_the_header_and_the_body_carry_one_token() -> None:
    """Case 16: the challenge, spelled out from its own parts, in the one form that 20 of 20 drivers read."""
    token = GOLDEN["body"]["token"]
    assert GOLDEN["www_authenticate"] == (
        f'L402 macaroon="{token}", invoice="{INPUTS["invoice"]}", version="0", token="{token}"'
    )
    assert b64decode(token, validate=True).hex() == GOLDEN["macaroons"]["single use"]


def test_the_committed_header_is_within_ascii() -> None:
    """Every octet of the header line is printable ASCII, which is all that a field value may hold unquoted."""
    assert re.fullmatch("[ -~]+", GOLDEN["www_authenticate"])
