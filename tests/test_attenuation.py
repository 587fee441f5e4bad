"""`attenuate`: what a holder appends, and what is refused before it could spoil a credential."""

from base64 import b64encode
from hashlib import sha256

import pymacaroons
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l402_middleware.core.authorization import parse_authorization
from l402_middleware.core.callers import ANYBODY, from_networks, with_certificate
from l402_middleware.core.caveats import Terms
from l402_middleware.core.credential import Issuer
from l402_middleware.core.keys import KeyRing
from l402_middleware.core.macaroon import read
from l402_middleware.core.money import msats
from l402_middleware.credentials import attenuate

PREIMAGE = bytes(range(32))
UNTIL = 1_700_000_000
TERMS = Terms("edNjU9kHDZM0vuKgbJWSFw", msats(21_000), 1, None, UNTIL)
ISSUER = Issuer("l402", KeyRing([bytes(range(32))]))
TOKEN = ISSUER.issue(sha256(PREIMAGE).digest(), bytes(32), TERMS)
CREDENTIAL = f"L402 {TOKEN}:{PREIMAGE.hex()}"
PRINT = "0123456789abcdef" * 4


def terms_of(credential: str) -> Terms:
    """What the server that issued it makes of a credential."""
    (parsed,) = parse_authorization([credential.encode()])
    return ISSUER.verify(parsed, UNTIL - 1000).terms


def caveats_of(token: str) -> list[bytes]:
    """What was appended to a macaroon in base64."""
    (parsed,) = parse_authorization([f"L402 {token}:{PREIMAGE.hex()}".encode()])
    return list(read(parsed.macaroons[0]).caveats[3:])


def test_the_server_understands_it() -> None:
    """Every condition at once, as people write them, is what the server reads."""
    colons = ":".join(PRINT[at : at + 2] for at in range(0, 64, 2)).upper()
    narrowed = attenuate(CREDENTIAL, ip=" 192.0.2.7/32, 2001:DB8:0::/64", tls=colons, valid_until=UNTIL - 1)
    terms = terms_of(narrowed)
    assert terms.valid_until == UNTIL - 1
    assert terms.callers == from_networks("192.0.2.7,2001:db8::/64") & with_certificate(PRINT)
    assert (terms.endpoint, terms.amount, terms.uses) == (TERMS.endpoint, TERMS.amount, TERMS.uses)


def test_a_macaroon_comes_back_as_a_macaroon() -> None:
    """So that it can be narrowed before it is paid for; byte for byte as pymacaroons does it."""
    narrowed = attenuate(TOKEN, ip="192.0.2.7")
    theirs = pymacaroons.Macaroon.deserialize(TOKEN)
    theirs.add_first_party_caveat("l402_ip=192.0.2.7")
    assert narrowed.rstrip("=").translate(str.maketrans("+/", "-_")) == theirs.serialize().rstrip("=")
    assert terms_of(f"L402 {narrowed}:{PREIMAGE.hex()}").callers == from_networks("192.0.2.7")


@pytest.mark.parametrize("prefix", ["Authorization: L402 ", "authorization:LSAT ", "  lsat  "])
def test_reads_what_is_pasted(prefix: str) -> None:
    """With or without the header's name, in either scheme, with a line's end."""
    text = f"{prefix}{TOKEN}:{PREIMAGE.hex()}\r\n"
    assert attenuate(text, ip="192.0.2.7") == attenuate(CREDENTIAL, ip="192.0.2.7")


@pytest.mark.parametrize("until", [UNTIL, UNTIL + 1, 10**15 - 1])
def test_a_later_time_changes_nothing(until: int) -> None:
    """To append it would make the credential worthless, not longer."""
    assert attenuate(CREDENTIAL, valid_until=until) == CREDENTIAL
    shorter = attenuate(CREDENTIAL, valid_until=UNTIL - 5)
    assert attenuate(shorter, valid_until=until) == shorter
    assert terms_of(attenuate(shorter, valid_until=UNTIL - 6)).valid_until == UNTIL - 6


def test_of_several_macaroons_all_are_narrowed() -> None:
    """None of them is left as it was, to be shown alone."""
    other = attenuate(TOKEN, valid_until=UNTIL - 1)
    narrowed = attenuate(f"L402 {TOKEN},{other}:{PREIMAGE.hex()}", ip="192.0.2.7")
    for token in narrowed.removeprefix("L402 ").partition(":")[0].split(","):
        assert caveats_of(token)[-1] == b"l402_ip=192.0.2.7"


FULL = CREDENTIAL
for earlier in range(1, 14):
    FULL = attenuate(FULL, valid_until=UNTIL - earlier)


@pytest.mark.parametrize(
    ("credential", "conditions", "message"),
    [
        (CREDENTIAL, {}, "nothing to narrow it to"),
        (CREDENTIAL, {"ip": ""}, "IPv4 or IPv6"),
        (CREDENTIAL, {"ip": "localhost"}, "IPv4 or IPv6"),
        (CREDENTIAL, {"ip": "192.0.2.7/24"}, "host bits"),
        (CREDENTIAL, {"ip": "::ffff:192.0.2.7"}, "write it as IPv4"),
        (CREDENTIAL, {"ip": "fe80::1%eth0"}, "address"),
        (CREDENTIAL, {"ip": ",".join(["192.0.2.7"] * 9)}, "more than 8"),
        (attenuate(CREDENTIAL, ip=",".join(["192.0.2.7"] * 8)), {"tls": PRINT}, "more than 8"),
        (CREDENTIAL, {"tls": ""}, "SHA-256"),
        (CREDENTIAL, {"tls": PRINT[:40]}, "SHA-256"),
        (CREDENTIAL, {"valid_until": -1}, "unix seconds"),
        (CREDENTIAL, {"valid_until": 10**15}, "unix seconds"),
        ("", {"ip": "192.0.2.7"}, "neither"),
        ("L402 ", {"ip": "192.0.2.7"}, "cannot be narrowed"),
        ("L402 x", {"ip": "192.0.2.7"}, "well-formed"),
        (f"{CREDENTIAL}, {CREDENTIAL}", {"ip": "192.0.2.7"}, "one well-formed"),
        (b64encode(b"junk").decode(), {"ip": "192.0.2.7"}, "cannot be narrowed"),
        (FULL, {"ip": "192.0.2.7"}, "too many caveats"),
        ("A" * 17_000, {"ip": "192.0.2.7"}, "17000 characters"),
    ],
)
def test_what_can_not_be_narrowed(credential: str, conditions: dict[str, str | int], message: str) -> None:
    """A `ValueError` that says what is wrong, and repeats nothing of the credential."""
    with pytest.raises(ValueError, match=message) as caught:
        attenuate(credential, **conditions)  # type: ignore[arg-type]
    assert PREIMAGE.hex() not in str(caught.value)
    assert TOKEN[:20] not in str(caught.value)


@given(st.text(max_size=60) | st.binary(max_size=80).map(lambda raw: b64encode(raw).decode()))
def test_any_text_is_refused(text: str) -> None:
    """Whatever is not a credential is a `ValueError`."""
    with pytest.raises(ValueError, match=r".+"):
        attenuate(text, ip="192.0.2.7")


def test_the_credential_itself_is_for_anybody() -> None:
    """The vectors above are not bound by themselves."""
    assert terms_of(CREDENTIAL).callers == ANYBODY


def test_the_first_name_still_works() -> None:
    """`l402_middleware.narrowing.narrow`, as it was documented first, is the same function."""
    from l402_middleware.narrowing import narrow

    assert narrow is attenuate
