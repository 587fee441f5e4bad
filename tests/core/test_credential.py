"""Credentials: issued, and verified when they come back: paid, altered, narrowed, foreign or old."""

import hmac
import json
import pickle
from base64 import b64decode
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymacaroons import Macaroon as PyMacaroon
from pymacaroons.serializers import BinarySerializer

from l402_middleware.core import macaroon, minting
from l402_middleware.core.authorization import Credential, parse_authorization
from l402_middleware.core.binding import endpoint_digest, request_digest
from l402_middleware.core.caveats import Caveats, Terms
from l402_middleware.core.challenge import Challenge
from l402_middleware.core.credential import Issuer, Verified
from l402_middleware.core.errors import BadCredential
from l402_middleware.core.invoice import decode
from l402_middleware.core.keys import KeyRing
from l402_middleware.core.money import MAX_MSAT, Msat, msats

VECTORS = Path(__file__).parent / "vectors"
GOLDEN: dict[str, Any] = json.loads((VECTORS / "golden.json").read_text())
LIBRARIES: dict[str, Any] = json.loads((VECTORS / "macaroons.json").read_text())

KEY_A, KEY_B = bytes(range(32)), bytes(range(32, 64))
PREIMAGE = bytes(range(64, 96))
HASH = sha256(PREIMAGE).digest()
TOKEN_ID = bytes(range(96, 128))
NOW = 1_700_000_000
TERMS = Terms(endpoint_digest("GET /forecast"), msats(21_000), 1, None, NOW + 100)

ISSUER = Issuer("l402", KeyRing([KEY_A]))
TOKEN = b64decode(ISSUER.issue(HASH, TOKEN_ID, TERMS))


def refusal(raw: bytes | list[bytes], issuer: Issuer = ISSUER, preimage: bytes = PREIMAGE, now: float = NOW) -> str:
    """The code with which these macaroons are refused."""
    macaroons = tuple(raw) if isinstance(raw, list) else (raw,)
    with pytest.raises(BadCredential) as caught:
        issuer.verify(Credential(macaroons, preimage), now)
    return caught.value.code


def verified(*macaroons: bytes, issuer: Issuer = ISSUER, now: float = NOW) -> Verified:
    """What these macaroons are good for."""
    return issuer.verify(Credential(macaroons, PREIMAGE), now)


def attenuated(*caveats: str | bytes, raw: bytes = TOKEN) -> bytes:
    """The token after a holder appended caveats, with pymacaroons, which needs no key for it."""
    held = BinarySerializer().deserialize_raw(raw)
    for caveat in caveats:
        held.add_first_party_caveat(caveat)
    made: bytes = BinarySerializer().serialize_raw(held)
    return made


def rebuilt(caveats: list[bytes], raw: bytes = TOKEN) -> bytes:
    """The token with other caveats under its old signature."""
    parts = macaroon.read(raw)
    body = b"".join(b"\x02" + bytes([len(caveat)]) + caveat + b"\0" for caveat in caveats)
    return b"\x02\x01\x04l402\x02\x42" + parts.identifier + b"\0" + body + b"\0\x06\x20" + parts.signature


def signed(identifier: bytes, caveats: list[str], token_id: bytes = TOKEN_ID) -> bytes:
    """A macaroon under the very root key that the issuer would derive."""
    sub_key = KeyRing([KEY_A]).subkeys("macaroon")[0]
    return minting.mint(hmac.digest(sub_key, token_id, "sha256"), "l402", identifier, caveats)


CAVEATS = [*macaroon.read(TOKEN).caveats]
IDENTIFIER = b"\0\0" + HASH + TOKEN_ID


def test_a_paid_credential_is_verified() -> None:
    """What was issued comes back with the payment's hash and the terms it was sold on."""
    assert verified(TOKEN) == Verified(HASH, TOKEN_ID, TERMS, TERMS.valid_until)


hashes = st.binary(min_size=32, max_size=32)


@given(hashes, hashes, st.integers(1, MAX_MSAT), st.none() | st.integers(1, 10**9), st.integers(NOW + 1, 10**15 - 1))
def test_any_payment_is_verified(preimage: bytes, token_id: bytes, msat: int, uses: int | None, until: int) -> None:
    """Any preimage and token id, on any terms, over the whole way through a header and back."""
    terms = Terms(endpoint_digest("GET /"), Msat(msat), uses, request_digest("GET", "/", b"", b""), until)
    token = ISSUER.issue(sha256(preimage).digest(), token_id, terms)
    (credential,) = parse_authorization([f"L402 {token}:{preimage.hex()}".encode()])
    assert ISSUER.verify(credential, NOW) == Verified(sha256(preimage).digest(), token_id, terms, until)


def test_any_flipped_bit_is_refused() -> None:
    """Case 26: each bit of the token, one by one: identifier, caveats, signature, and location and framing too."""
    for position in range(8 * len(TOKEN)):
        altered = bytearray(TOKEN)
        altered[position // 8] ^= 1 << position % 8
        assert refusal(bytes(altered)) in ("malformed-credential", "invalid-credential", "wrong-service"), position


@given(st.data())
def test_any_altered_token_is_refused(data: st.DataObject) -> None:
    """Case 26: bytes replaced, removed or inserted anywhere, in any number."""
    start = data.draw(st.integers(0, len(TOKEN)))
    end = data.draw(st.integers(start, len(TOKEN)))
    altered = TOKEN[:start] + data.draw(st.binary(max_size=40)) + TOKEN[end:]
    if altered != TOKEN:
        assert refusal(altered) in ("malformed-credential", "invalid-credential", "wrong-service")


@given(st.binary(max_size=300))
def test_any_bytes_are_refused(raw: bytes) -> None:
    """No bytes at all, as a macaroon, give another error."""
    assert refusal(raw) == "malformed-credential"


WITHOUT_KEY: dict[str, list[bytes]] = {
    "case 27: the first removed": CAVEATS[1:],
    "case 27: the second removed": [CAVEATS[0], CAVEATS[2]],
    "case 27: the last removed": CAVEATS[:2],
    "case 27: all removed": [],
    "case 27: reordered": [CAVEATS[1], CAVEATS[0], CAVEATS[2]],
    "case 27: reversed": CAVEATS[::-1],
    "case 27: duplicated in place": [CAVEATS[0], *CAVEATS],
    "case 27: duplicated at the end": [*CAVEATS, CAVEATS[2]],
    "a later time": [CAVEATS[0], b"l402_valid_until=1800000000", CAVEATS[2]],
    "a cheaper endpoint": [*CAVEATS[:2], CAVEATS[2].replace(b".21000.", b".1.")],
    "more uses": [*CAVEATS[:2], CAVEATS[2].replace(b".1.-", b".*.-")],
    "two joined into one": [CAVEATS[0] + CAVEATS[1], CAVEATS[2]],
}


@pytest.mark.parametrize("caveats", WITHOUT_KEY.values(), ids=WITHOUT_KEY.keys())
def test_caveats_can_not_be_changed_without_the_key(caveats: list[bytes]) -> None:
    """Case 27: removed, reordered, duplicated or widened under the old signature: refused."""
    assert rebuilt(CAVEATS) == TOKEN
    assert refusal(rebuilt(caveats)) == "invalid-credential"


def test_a_caveat_can_not_be_taken_off_again() -> None:
    """Case 27: a token without the last caveat of an attenuated one does not verify under its signature."""
    assert refusal(rebuilt(CAVEATS, attenuated("l402_valid_until=1700000001"))) == "invalid-credential"


HELD: dict[str, tuple[list[str | bytes], Terms]] = {
    "case 27: the same again": ([*CAVEATS], TERMS),
    "case 28: earlier": ([f"l402_valid_until={NOW + 5}"], replace(TERMS, valid_until=NOW + 5)),
    "case 31: preimage": ([f"preimage={PREIMAGE.hex()}"], TERMS),
    "case 32: foreign": (["holder=alice", "no equals sign"], TERMS),
}


@pytest.mark.parametrize(("caveats", "terms"), HELD.values(), ids=HELD.keys())
def test_a_holder_may_narrow(caveats: list[str | bytes], terms: Terms) -> None:
    """Cases 27, 28, 31, 32: attenuated with pymacaroons, the credential still opens what is left of it."""
    assert verified(attenuated(*caveats)) == Verified(HASH, TOKEN_ID, terms, TERMS.valid_until)


WIDENED = {
    "case 28: later": f"l402_valid_until={NOW + 101}",
    "case 29: services": "services=l402:0,other:0",
    "case 31: another preimage": f"preimage={'00' * 32}",
    "case 32: ours and unknown": "l402_x=1",
    "another offer": "l402_offer=x.1.*.-",
}


@pytest.mark.parametrize("caveat", WIDENED.values(), ids=WIDENED.keys())
def test_a_holder_may_not_widen(caveat: str) -> None:
    """Cases 28, 29, 31, 32: rightly signed by its holder, and refused all the same."""
    assert refusal(attenuated(caveat)) == "invalid-credential"


def test_the_policy_for_foreign_caveats_is_the_issuers() -> None:
    """Case 32: an issuer that rejects unknown caveats refuses what another one skips."""
    strict = Issuer("l402", KeyRing([KEY_A]), "reject")
    assert refusal(attenuated("holder=alice"), strict) == "invalid-credential"
    assert verified(attenuated(f"preimage={PREIMAGE.hex()}"), issuer=strict).terms == TERMS


def test_a_huge_caveat_is_refused() -> None:
    """Case 33: a caveat of 64 KiB is refused by its length alone."""
    assert refusal(attenuated("x" * 65536)) == "malformed-credential"


def test_a_third_party_caveat_is_refused() -> None:
    """Case 34: whoever discharges it, we do not ask."""
    held = BinarySerializer().deserialize_raw(TOKEN)
    held.add_third_party_caveat("https://auth.example", "key", "who")
    assert refusal(BinarySerializer().serialize_raw(held)) == "malformed-credential"


@pytest.mark.parametrize("version", range(1, 4))
def test_another_identifier_version_is_refused(version: int) -> None:
    """Case 36: rightly signed, and of a version that is not 0."""
    identifier = version.to_bytes(2, "big") + HASH + TOKEN_ID
    assert refusal(signed(identifier, ISSUER_CAVEATS)) == "malformed-credential"
    assert refusal(signed(version.to_bytes(2, "little") + HASH + TOKEN_ID, ISSUER_CAVEATS)) == "malformed-credential"


ISSUER_CAVEATS = Caveats("l402").write(TERMS)


@pytest.mark.parametrize("identifier", [IDENTIFIER[:-1], IDENTIFIER + b"\0", b"", b"\0\0", IDENTIFIER.hex().encode()])
def test_another_identifier_length_is_refused(identifier: bytes) -> None:
    """Case 36: shorter, longer, empty, or as hex text."""
    assert signed(IDENTIFIER, ISSUER_CAVEATS) == TOKEN
    if identifier:
        assert refusal(signed(identifier, ISSUER_CAVEATS, identifier[34:])) == "malformed-credential"
    assert refusal(TOKEN.replace(b"\x02\x42" + IDENTIFIER, b"\x02\x00")) == "malformed-credential"


def test_keys_rotate_with_overlap() -> None:
    """Case 37: a token of key A is good under [A], under [A, B] and under [B, A]; not once A is dropped."""
    under_a, under_b = Issuer("l402", KeyRing([KEY_A])), Issuer("l402", KeyRing([KEY_B]))
    both = Issuer("l402", KeyRing([KEY_A, KEY_B]))
    for issuer in (under_a, both, Issuer("l402", KeyRing([KEY_B, KEY_A]))):
        assert verified(TOKEN, issuer=issuer).terms == TERMS
    assert refusal(TOKEN, under_b) == "invalid-credential"
    newest = b64decode(both.issue(HASH, TOKEN_ID, TERMS))
    assert newest == b64decode(under_b.issue(HASH, TOKEN_ID, TERMS))
    assert verified(newest, issuer=both) == verified(newest, issuer=under_b)
    assert refusal(newest, under_a) == "invalid-credential"


def test_a_token_of_another_service_is_refused() -> None:
    """Case 39: under the same keys, with its own location or with ours written over it."""
    other = b64decode(Issuer("shop", KeyRing([KEY_A])).issue(HASH, TOKEN_ID, TERMS))
    assert refusal(other) == "wrong-service"
    assert refusal(other.replace(b"\x01\x04shop", b"\x01\x04l402", 1)) == "wrong-service"


def test_the_location_is_held_to_one_value() -> None:
    """The location is not signed: with another one, or none, or in another case, a token is not taken."""
    rest = TOKEN[len(b"\x02\x01\x04l402") :]
    for location in (b"", b"\x01\x00", b"\x01\x04L402", b"\x01\x01\xff", b"\x01\x05l402\0"):
        assert refusal(b"\x02" + location + rest) == "wrong-service"


def test_the_preimage_is_the_payments() -> None:
    """Case 41: another preimage, or that of another invoice, proves nothing."""
    assert refusal(TOKEN, preimage=bytes(32)) == "invalid-preimage"
    assert refusal(TOKEN, preimage=HASH) == "invalid-preimage"
    assert refusal(TOKEN, preimage=PREIMAGE[::-1]) == "invalid-preimage"


def test_preimages_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Case 38: the preimage's hash and the payment's meet in `hmac.compare_digest`, and its word is the answer."""
    met: list[set[bytes]] = []

    def compare(ours: bytes, theirs: bytes) -> bool:
        met.append({bytes(ours), bytes(theirs)})
        return True

    monkeypatch.setattr(hmac, "compare_digest", compare)
    other = bytes(32)
    assert ISSUER.verify(Credential((TOKEN,), other), NOW).payment_hash == HASH
    assert {HASH, sha256(other).digest()} in met


def test_a_chosen_payment_hash_needs_a_signature() -> None:
    """Case 42: a token over a hash whose preimage is known to all fails its HMAC, even with an issued token's id."""
    zero_hash = sha256(bytes(32)).digest()
    forged = minting.mint(bytes(32), "l402", b"\0\0" + zero_hash + TOKEN_ID, ISSUER_CAVEATS)
    assert refusal(forged, preimage=bytes(32)) == "invalid-credential"
    assert refusal(TOKEN.replace(HASH, zero_hash), preimage=bytes(32)) == "invalid-credential"


def test_root_keys_differ_per_token() -> None:
    """The signature of one token says nothing about another's: each has its own root key."""
    other = b64decode(ISSUER.issue(HASH, TOKEN_ID[::-1], TERMS))
    assert refusal(other.replace(TOKEN_ID[::-1], TOKEN_ID)) == "invalid-credential"


NARROWED = attenuated(f"l402_valid_until={NOW + 10}")
FOREIGN = b64decode(Issuer("l402", KeyRing([KEY_B])).issue(HASH, TOKEN_ID, TERMS))
OTHER_PAYMENT = b64decode(ISSUER.issue(sha256(bytes(32)).digest(), TOKEN_ID, TERMS))
DEARER = b64decode(ISSUER.issue(HASH, TOKEN_ID, replace(TERMS, amount=msats(42_000))))


@pytest.mark.parametrize("macaroons", [(TOKEN, TOKEN), (TOKEN, NARROWED), (NARROWED, TOKEN)])
def test_several_macaroons_of_one_sale_are_taken(macaroons: tuple[bytes, ...]) -> None:
    """Case 8: all for one payment on the same terms; the narrowest time counts."""
    assert verified(*macaroons).payment_hash == HASH
    if NARROWED in macaroons:
        assert refusal([*macaroons], now=NOW + 10) == "expired"
    else:
        assert verified(*macaroons, now=NOW + 10).terms == TERMS


@pytest.mark.parametrize(
    ("other", "code"),
    [
        (FOREIGN, "invalid-credential"),
        (OTHER_PAYMENT, "invalid-preimage"),
        (DEARER, "invalid-credential"),
        (b64decode(Issuer("shop", KeyRing([KEY_A])).issue(HASH, TOKEN_ID, TERMS)), "wrong-service"),
        (b"", "malformed-credential"),
    ],
    ids=["foreign key", "other payment", "other terms", "other service", "no macaroon"],
)
def test_several_macaroons_must_all_be_ours(other: bytes, code: str) -> None:
    """Case 8: one that is foreign, of another payment or on other terms spoils the credential, in either place."""
    assert refusal([TOKEN, other]) == code
    assert refusal([other, TOKEN]) == code


@pytest.mark.parametrize(
    "change",
    [{"endpoint": "x"}, {"amount": msats(1)}, {"uses": None}, {"uses": 2}, {"request": "x"}],
    ids=lambda change: next(iter(change)),
)
def test_macaroons_on_other_terms_do_not_combine(change: dict[str, Any]) -> None:
    """Case 8: each of the terms but the time has to agree."""
    other = b64decode(ISSUER.issue(HASH, TOKEN_ID, replace(TERMS, **change)))
    assert verified(other).terms == replace(TERMS, **change)
    assert refusal([TOKEN, other]) == "invalid-credential"


def test_it_expires_at_the_second() -> None:
    """Case 30: `valid_until` equal to now is expired; a moment before, it is not."""
    assert verified(TOKEN, now=NOW + 99.999).terms == TERMS
    for now in (NOW + 100, NOW + 100.0, NOW + 101, 1e18):
        assert refusal(TOKEN, now=now) == "expired"
    assert refusal(attenuated("l402_valid_until=0"), now=0) == "expired"


GO_OUTCOMES = {
    "minted": None,
    "preimage caveat": None,
    "preimage caveat in upper case": None,
    "shorter validity": None,
    "foreign caveat": None,
    "two more caveats": None,
    "caveat of 200 bytes": None,
    "binary caveat": None,
    "longer validity": "invalid-credential",
    "another preimage": "invalid-credential",
    "another tier": "invalid-credential",
    "dearer offer": "invalid-credential",
    "third-party caveat": "malformed-credential",
    "version 1": "malformed-credential",
}


@pytest.mark.parametrize("name", LIBRARIES["go"]["tokens"])
def test_what_go_holders_make_of_it(name: str) -> None:
    """Case 40: our token after Go's library, which Aperture's clients use, appended caveats to it."""
    inputs = GOLDEN["inputs"]
    issuer = Issuer("l402", KeyRing([bytes.fromhex(inputs["secret_key"])]))
    credential = Credential((bytes.fromhex(LIBRARIES["go"]["tokens"][name]),), bytes.fromhex(inputs["preimage"]))
    try:
        terms, code = issuer.verify(credential, NOW).terms, None
    except BadCredential as error:
        terms, code = None, error.code
    assert code == GO_OUTCOMES[name]
    if terms is not None:
        assert terms.valid_until == (1_700_000_001 if name == "shorter validity" else 1_700_007_200)


@pytest.mark.parametrize(("service", "most"), [("l402", 600), ("a" * 32, 1024)], ids=["default", "longest name"])
def test_a_credential_is_small(service: str, most: int) -> None:
    """Cases 86, 116: with a request digest, the greatest amount and time, the field value stays under 600 bytes."""
    digest = request_digest("POST", "/convert", b"to=pdf", sha256(b"").digest())
    terms = Terms(endpoint_digest("POST /convert"), Msat(MAX_MSAT), 1_000_000, digest, 10**15 - 1)
    token = Issuer(service, KeyRing([KEY_A])).issue(HASH, TOKEN_ID, terms)
    assert len(f"L402 {token}:{PREIMAGE.hex()}") < most
    invoice = replace(decode(GOLDEN["inputs"]["invoice"]), bolt11="l" * 4096)
    assert len(Challenge(token, invoice).header()) < 8 * 1024 - 1024


@pytest.mark.parametrize("representation", [repr, str, "{!r}".format])
def test_an_issuer_shows_no_key(representation: Callable[[object], str]) -> None:
    """Case 113: no text made of an issuer holds a key or a sub-key."""
    shown = representation(ISSUER)
    for secret in (KEY_A, KeyRing([KEY_A]).subkeys("macaroon")[0]):
        assert secret.hex() not in shown
        assert repr(secret) not in shown


def test_an_issuer_is_not_pickled() -> None:
    """Case 113: its sub-keys do not leave the process."""
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(ISSUER)


def test_a_refusal_chains_nothing_that_is_secret() -> None:
    """Case 113: neither the message nor any error before it says anything of the credential."""
    for raw in (TOKEN[:-1], FOREIGN, attenuated("l402_x=secret"), signed(IDENTIFIER, [*ISSUER_CAVEATS[:2]])):
        with pytest.raises(BadCredential) as caught:
            ISSUER.verify(Credential((raw,), PREIMAGE), NOW)
        error: BaseException | None = caught.value
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
        while error is not None:
            assert "secret" not in str(error)
            assert PREIMAGE.hex() not in repr(error)
            error = error.__context__


def test_pymacaroons_opens_what_it_is_told_to() -> None:
    """The oracle itself: a macaroon that pymacaroons mints from the parts is, byte for byte, what we issue."""
    sub_key = KeyRing([KEY_A]).subkeys("macaroon")[0]
    made = PyMacaroon(location="l402", identifier=IDENTIFIER, key=hmac.digest(sub_key, TOKEN_ID, "sha256"), version=2)
    for caveat in CAVEATS:
        made.add_first_party_caveat(caveat)
    assert BinarySerializer().serialize_raw(made) == TOKEN
