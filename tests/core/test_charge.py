"""Charges of the Payment scheme: issued without a store, and good for what was sold only."""

import json
import pickle
import re
from contextlib import suppress
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l402_middleware.core import base64url, bech32, rfc3339, strict_json
from l402_middleware.core.callers import from_networks
from l402_middleware.core.caveats import Terms
from l402_middleware.core.charge import ChargeIssuer, can_charge
from l402_middleware.core.errors import BadCredential, ConfigurationError, CredentialCode
from l402_middleware.core.invoice import Invoice, decode
from l402_middleware.core.keys import KeyRing
from l402_middleware.core.money import sats
from l402_middleware.core.payment import (
    PaymentChallenge,
    PaymentCredential,
    PaymentReceipt,
    parse_payment_authorization,
    read_receipt,
)
from l402_middleware.core.payment_problems import STATUS, problem_type

NOW = 1_700_000_000
OLD, NEW, OTHER = (sha256(name).digest() for name in (b"old", b"new", b"other"))
PREIMAGE = bytes(range(32))
TOKEN_ID = bytes(range(32, 64))
TERMS = Terms("edNjU9kHDZM0vuKgbJWSFw", sats(21), 1, None, NOW + 7200)
PROOF = {"preimage": PREIMAGE.hex()}


def invoice(prefix: str = "lnbcrt210n", preimage: bytes = PREIMAGE) -> Invoice:
    """An invoice that reads well and that nobody can pay."""
    fields = bytes((1, 1, 20)) + bech32.from_octets(sha256(preimage).digest())
    return decode(bech32.encode(prefix, bech32.from_number(NOW, 7) + fields + bytes(104)))


def issuer(*keys: bytes, service: str = "l402", realm: str = "api.example.com") -> ChargeIssuer:
    """An issuer with these keys, oldest first."""
    return ChargeIssuer(service, realm, KeyRing(keys or (OLD, NEW)))


def refusal(credential: PaymentCredential, now: float = NOW, seller: ChargeIssuer | None = None) -> CredentialCode:
    """Why a credential is refused."""
    with pytest.raises(BadCredential) as caught:
        (seller or issuer()).verify(credential, now)
    return caught.value.code


CHALLENGE = issuer().issue(invoice(), TOKEN_ID, TERMS, description="A forecast")
GOOD = PaymentCredential(CHALLENGE, PROOF)


@pytest.mark.parametrize(
    "terms",
    [
        TERMS,
        replace(TERMS, uses=20),
        replace(TERMS, uses=None, request="rYvXqVwZ1k8u2m3n4o5p6q7r8s9t0uAvBwCxDyEzF01"),
        replace(TERMS, callers=from_networks("192.0.2.7,2001:db8::/64")),
    ],
)
def test_what_was_sold_comes_back(terms: Terms) -> None:
    """The same value as an L402 credential gives, from the header alone, with the macaroon's token id."""
    challenge = issuer().issue(invoice(), TOKEN_ID, terms)
    (credential,) = parse_payment_authorization([PaymentCredential(challenge, PROOF).header().encode()])
    verified = issuer().verify(credential, NOW)
    assert verified.terms == terms
    assert (verified.payment_hash, verified.token_id) == (sha256(PREIMAGE).digest(), TOKEN_ID)
    assert verified.sold_until == terms.valid_until


def test_the_challenge_is_the_drafts() -> None:
    """Every parameter quoted, no blank around the equals sign, `request` before `description`, canonical JSON."""
    header = CHALLENGE.header()
    assert re.fullmatch(r'Payment (?:[a-z]+="[^",\\]*"(?:, |$))+', header)
    assert re.findall("([a-z]+)=", re.sub('"[^"]*"', "", header)) == [
        "id", "realm", "method", "intent", "request", "expires", "description",
    ]  # fmt: skip
    request = base64url.decode(CHALLENGE.request)
    said = json.loads(request)
    assert strict_json.canonical(said) == request
    assert said == {
        "amount": "21",
        "currency": "sat",
        "methodDetails": {
            "invoice": invoice().bolt11,
            "network": "regtest",
            "paymentHash": invoice().payment_hash.hex(),
        },
    }
    assert CHALLENGE.expires == rfc3339.write(invoice().expires_at)
    assert len(header) < 1024


def test_a_client_that_echoes_six_parameters_is_served() -> None:
    """Trap 2: one client sends back neither description nor digest; others send both, and may lose or change them."""
    challenge = issuer().issue(invoice(), TOKEN_ID, TERMS, digest="sha-256=:AA==:", description="A forecast")
    for shown in (challenge, replace(challenge, digest=None, description=None), replace(challenge, opaque="e30")):
        assert issuer().verify(PaymentCredential(shown, PROOF, "did:key:x"), NOW).terms == TERMS


@pytest.mark.parametrize("name", ["realm", "request", "expires"])
def test_nothing_that_is_signed_can_be_changed(name: str) -> None:
    """Another realm, another invoice or more time is no challenge of ours."""
    other = issuer(realm="other.example").issue(invoice(preimage=bytes(32)), TOKEN_ID, replace(TERMS, valid_until=NOW))
    shown = replace(CHALLENGE, **{name: getattr(other, name)})
    assert refusal(PaymentCredential(shown, {"preimage": bytes(32).hex()})) == "invalid-credential"


def test_no_byte_of_the_id_can_be_changed() -> None:
    """Not the token, not the sale, not the tag; nor is an id of another length one."""
    raw = base64url.decode(CHALLENGE.id)
    for at in range(len(raw)):
        changed = raw[:at] + bytes((raw[at] ^ 1,)) + raw[at + 1 :]
        assert refusal(PaymentCredential(replace(CHALLENGE, id=base64url.encode(changed)), PROOF)) == (
            "invalid-credential"
        )
    for text in (CHALLENGE.id[:-4], CHALLENGE.id + "AAAA", "AAAA", "A", "!", "\u00e9", CHALLENGE.id[44:]):
        assert refusal(PaymentCredential(replace(CHALLENGE, id=text), PROOF)) == "invalid-credential"


def test_slots_do_not_slide() -> None:
    """Trap 10: what ends one slot cannot begin the next."""
    shown = replace(CHALLENGE, request=CHALLENGE.request[:-4], expires=CHALLENGE.request[-4:] + str(CHALLENGE.expires))
    assert refusal(PaymentCredential(shown, PROOF)) == "invalid-credential"
    shown = replace(CHALLENGE, realm=CHALLENGE.realm + "l", method="lightning"[1:])
    assert refusal(PaymentCredential(shown, PROOF)) == "method-unsupported"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"method": "tempo"}, "method-unsupported"),
        ({"intent": "session"}, "method-unsupported"),
        ({"method": "Lightning"}, "method-unsupported"),
    ],
)
def test_other_methods_are_refused(change: dict[str, str], code: str) -> None:
    """With the code whose status is 400."""
    assert refusal(PaymentCredential(replace(CHALLENGE, **change), PROOF)) == code
    assert STATUS["method-unsupported"] == 400


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({}, "malformed-credential"),
        ({"preimage": None}, "malformed-credential"),
        ({"preimage": ["00" * 32]}, "malformed-credential"),
        ({"preimage": PREIMAGE.hex().upper()}, "malformed-credential"),
        ({"preimage": PREIMAGE.hex() + "\n"}, "malformed-credential"),
        ({"preimage": " ".join(re.findall("..", PREIMAGE.hex()))}, "malformed-credential"),
        ({"preimage": "\uff10" * 64}, "malformed-credential"),
        ({"preimage": PREIMAGE.hex()[:-2]}, "malformed-credential"),
        ({"preimage": "00" * 32}, "invalid-preimage"),
    ],
)
def test_the_proof_is_64_lower_case_digits(payload: dict[str, Any], code: str) -> None:
    """Trap 11: what `bytes.fromhex` is lenient about is refused."""
    assert refusal(PaymentCredential(CHALLENGE, payload)) == code


def test_it_ends_with_the_invoice() -> None:
    """Not a second later; or with the sale, where that is sooner."""
    ends = invoice().expires_at
    assert issuer().verify(GOOD, ends - 1)
    assert refusal(GOOD, ends) == "challenge-expired"
    short = PaymentCredential(issuer().issue(invoice(), TOKEN_ID, replace(TERMS, valid_until=NOW + 10)), PROOF)
    assert issuer().verify(short, NOW + 9)
    assert refusal(short, NOW + 10) == "challenge-expired"


def test_keys_rotate() -> None:
    """The newest signs, all verify, and what was signed by none of them is nobody's."""
    old = PaymentCredential(issuer(OLD).issue(invoice(), TOKEN_ID, TERMS), PROOF)
    assert issuer(OLD, NEW).verify(old, NOW) == issuer(OLD, NEW).verify(GOOD, NOW)
    assert refusal(old, seller=issuer(NEW)) == refusal(GOOD, seller=issuer(OTHER)) == "invalid-credential"


def test_another_service_does_not_take_it() -> None:
    """Two services that share a key ring and a realm stay two."""
    assert refusal(GOOD, seller=issuer(service="shop")) == "wrong-service"


@pytest.mark.parametrize("realm", ["", "a|b", 'a"b', "a,b", "a\\b", "caf\u00e9", "a\nb"])
def test_a_realm_is_plain(realm: str) -> None:
    """Trap 7 and 10: each of these locks clients out, or joins two slots."""
    with pytest.raises(ConfigurationError, match="realm"):
        issuer(realm=realm)


@given(st.text(max_size=300))
def test_a_description_is_what_everybody_can_read(text: str) -> None:
    """Trap 3 and 7: of any text what is left is printable ASCII without quote, comma, backslash and bar, or nothing."""
    words = issuer().issue(invoice(), TOKEN_ID, TERMS, description=text).description
    assert words is None or re.fullmatch(r'[^\x00-\x1f",\\|\x7f-\U0010ffff]{1,200}', words)


@pytest.mark.parametrize("prefix", ["lnbcrt215n", "lnbcrt10p", "lnbcrt", "lntb210n", "lnsb210n"])
def test_what_it_has_no_words_for_is_l402s_alone(prefix: str) -> None:
    """Whole sats on mainnet, regtest and signet; the rest is sold by L402 only."""
    asked = invoice(prefix)
    assert asked.amount is None or not can_charge(asked.network, asked.amount)
    with pytest.raises(ValueError, match="whole sats"):
        issuer().issue(asked, TOKEN_ID, TERMS)


def test_an_issuer_keeps_its_keys() -> None:
    """It is not pickled, and says nothing of them."""
    with pytest.raises(TypeError, match="keys"):
        pickle.dumps(issuer())


def test_secrets_are_not_shown() -> None:
    """Neither proof nor id in a repr."""
    shown = repr(GOOD)
    assert PREIMAGE.hex() not in shown
    assert CHALLENGE.id not in shown


def test_a_receipt_comes_back() -> None:
    """Canonical, with the payment hash and never the preimage."""
    header = PaymentReceipt(CHALLENGE.id, invoice().payment_hash.hex(), NOW).header()
    assert strict_json.canonical(read_receipt(header)) == base64url.decode(header)
    assert read_receipt(header) == {
        "challengeId": CHALLENGE.id,
        "method": "lightning",
        "reference": sha256(PREIMAGE).hexdigest(),
        "status": "success",
        "timestamp": "2023-11-14T22:13:20Z",
    }


def header_of(members: object) -> bytes:
    """A credential with any members."""
    return b"Payment " + base64url.encode(json.dumps(members).encode()).encode()


MEMBERS: dict[str, Any] = {"payload": PROOF, "challenge": dict(reversed(CHALLENGE.parameters().items()))}


@pytest.mark.parametrize(
    "values",
    [
        [header_of(MEMBERS)],
        [header_of({**MEMBERS, "more": [1, 2.5, None], "source": "did:key:x"})],
        [header_of(MEMBERS) + b"=" * (-(len(header_of(MEMBERS)) - 8) % 4)],
        [b"pAyMeNt \t " + header_of(MEMBERS)[8:] + b" \t"],
        [b"Bearer x, " + header_of(MEMBERS) + b", Basic eA=="],
        [b"Bearer x", header_of(MEMBERS)],
        [header_of({**MEMBERS, "challenge": {**CHALLENGE.parameters(), "new": {"a": [1]}, "digest": None}})],
    ],
)
def test_each_spelling_of_a_credential_is_read(values: list[bytes]) -> None:
    """Any order, unknown members, padding, blanks, other schemes beside it."""
    (credential,) = parse_payment_authorization(values)
    assert issuer().verify(credential, NOW).token_id == TOKEN_ID


@pytest.mark.parametrize(
    "value",
    [
        b"Payment",
        b"Payment ",
        header_of([]),
        header_of({}),
        header_of({**MEMBERS, "payload": []}),
        header_of({**MEMBERS, "challenge": []}),
        header_of({**MEMBERS, "challenge": "id"}),
        header_of({**MEMBERS, "source": 1}),
        header_of({**MEMBERS, "challenge": {**CHALLENGE.parameters(), "id": ""}}),
        header_of({**MEMBERS, "challenge": {**CHALLENGE.parameters(), "realm": 1}}),
        header_of({**MEMBERS, "challenge": {**CHALLENGE.parameters(), "expires": ["x"]}}),
        b"Payment " + base64url.encode(b'{"challenge":{},"challenge":{},"payload":{}}').encode(),
        b"Payment " + base64url.encode(b'{"a":' + b"[" * 9000).encode(),
        header_of(MEMBERS) + b" x",
        b"Payment e30+",
        b"Payment " + b"A" * 20_000,
        header_of(MEMBERS) + b"\x00",
    ],
)
def test_a_malformed_credential_is_one(value: bytes) -> None:
    """One code, whatever is wrong with it."""
    with pytest.raises(BadCredential) as caught:
        parse_payment_authorization([value])
    assert caught.value.code == "malformed-credential"


@pytest.mark.parametrize("values", [[], [b""], [b"Bearer x"], [b"L402 a:b, Basic eA=="], [b"paymentx e30"]])
def test_other_schemes_are_left_alone(values: list[bytes]) -> None:
    """They are the application's, or L402's."""
    assert parse_payment_authorization(values) == []


@given(st.lists(st.binary(max_size=50) | st.binary(max_size=50).map(lambda raw: b"Payment " + raw), max_size=3))
def test_any_bytes_give_credentials_or_the_one_error(values: list[bytes]) -> None:
    """Nothing else is raised."""
    with suppress(BadCredential):
        parse_payment_authorization(values)


def test_each_code_has_a_type() -> None:
    """Every refusal of a Payment credential has the drafts' word beside ours."""
    for code in get_args(CredentialCode):
        assert problem_type(code).startswith("https://paymentauth.org/problems/")
    assert problem_type("invalid-preimage").endswith("/lightning/invalid-preimage")


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="".join(map(chr, [*range(9), *range(10, 32), 127]))))


@given(st.builds(partial(PaymentChallenge, intent="charge"), *[TEXTS.filter(bool)] * 2, TEXTS, request=TEXTS))
def test_a_credential_comes_back(challenge: PaymentChallenge) -> None:
    """Whatever a server's challenge said, its echo says."""
    credential = PaymentCredential(challenge, PROOF)
    assert parse_payment_authorization([credential.header().encode()]) == [credential]
