"""Caveats: what is written is read back, and whatever a holder appends can only narrow it."""

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from l402_middleware.core.callers import ANYBODY, address_of, from_networks, with_certificate
from l402_middleware.core.caveats import Caveats, Terms, UnknownCaveats
from l402_middleware.core.errors import BadCredential, ConfigurationError
from l402_middleware.core.money import MAX_MSAT, Msat, msats

PREIMAGE = bytes(range(32))
TERMS = Terms("edNjU9kHDZM0vuKgbJWSFw", msats(21_000), 1, None, 1_700_000_000)
OFFER = "l402_offer=edNjU9kHDZM0vuKgbJWSFw.21000.1.-"
SOLD = ["services=l402:0", "l402_valid_until=1700000000", OFFER]

OURS = Caveats("l402")
STRICT = Caveats("l402", "reject")


def read(caveats: list[str | bytes], reader: Caveats = OURS) -> Terms:
    """The terms that these caveats leave."""
    raw = [caveat.encode() if isinstance(caveat, str) else caveat for caveat in caveats]
    return reader.read(raw, PREIMAGE)


def refusal(caveats: list[str | bytes], reader: Caveats = OURS) -> str:
    """The code with which these caveats are refused."""
    with pytest.raises(BadCredential) as caught:
        read(caveats, reader)
    return caught.value.code


def test_writes_exactly_three() -> None:
    """The three caveats, exactly and in this order."""
    assert OURS.write(TERMS) == SOLD
    assert OURS.write(replace(TERMS, uses=None, request="r"))[2] == "l402_offer=edNjU9kHDZM0vuKgbJWSFw.21000.*.r"


PRINT = "0123456789abcdef" * 4
BOUND = from_networks("192.0.2.7,2001:db8::/64") & with_certificate(PRINT)


def test_writes_one_more_for_a_caller() -> None:
    """A sale that is bound to its caller says so after the three, and only then."""
    assert OURS.write(replace(TERMS, callers=BOUND)) == [*SOLD, *CALLERS]


CALLERS = ["l402_ip=192.0.2.7,2001:db8::/64", f"l402_tls={PRINT}"]

digests = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", min_size=22, max_size=43)
services = st.from_regex("[A-Za-z0-9][A-Za-z0-9-]{0,31}", fullmatch=True)
terms_strategy = st.builds(
    Terms,
    endpoint=digests,
    amount=st.builds(Msat, st.integers(1, MAX_MSAT)),
    uses=st.none() | st.integers(1, 10**12),
    request=st.none() | digests.filter(lambda digest: digest != "-"),
    valid_until=st.integers(0, 10**15 - 1),
    callers=st.sampled_from([ANYBODY, from_networks("192.0.2.0/24"), with_certificate(PRINT), BOUND]),
)


@given(services, terms_strategy, st.sampled_from(["skip", "reject"]))
def test_reads_what_it_writes(service: str, terms: Terms, unknown: UnknownCaveats) -> None:
    """Any terms, for any service and either policy, come back as they were."""
    reader = Caveats(service, unknown)
    assert reader.read((caveat.encode() for caveat in reader.write(terms)), PREIMAGE) == terms


@pytest.mark.parametrize("valid_until", [10**15, 2**63, -1, 1.5])
def test_never_writes_what_it_can_not_read(valid_until: int) -> None:
    """A time that every reader refuses is our caller's mistake, before anybody has paid for it."""
    with pytest.raises(ConfigurationError, match="valid_for"):
        OURS.write(replace(TERMS, valid_until=valid_until))


ACCEPTED: dict[str, tuple[str | bytes, int]] = {
    "case 28: earlier": ("l402_valid_until=1699999999", 1_699_999_999),
    "case 28: the same": ("l402_valid_until=1700000000", 1_700_000_000),
    "case 30: zero": ("l402_valid_until=0", 0),
    "the same service again": ("services=l402:0", 1_700_000_000),
    "the same service twice": ("services=l402:0,l402:0", 1_700_000_000),
    "the same offer again": (OFFER, 1_700_000_000),
    "case 31: preimage": ("preimage=" + PREIMAGE.hex(), 1_700_000_000),
    "case 31: preimage in upper case": ("preimage=" + PREIMAGE.hex().upper(), 1_700_000_000),
    "capabilities": ("l402_capabilities=read,write", 1_700_000_000),
}


@pytest.mark.parametrize(("appended", "valid_until"), ACCEPTED.values(), ids=ACCEPTED.keys())
@pytest.mark.parametrize("reader", [OURS, STRICT], ids=["skip", "reject"])
def test_accepts_what_narrows(appended: str, valid_until: int, reader: Caveats) -> None:
    """Cases 27, 28, 31: a holder may take away, and repeat; `valid_until` is then the earliest."""
    assert read([*SOLD, appended], reader) == replace(TERMS, valid_until=valid_until)
    assert read([*SOLD, appended, appended], reader) == replace(TERMS, valid_until=valid_until)


def test_callers_only_become_fewer() -> None:
    """Each repeated condition must hold too, whichever comes first, whether it was sold or appended."""
    wide, narrow, elsewhere = "l402_ip=192.0.2.0/24", "l402_ip=192.0.2.7", "l402_ip=198.51.100.1"
    here, there = address_of("192.0.2.7"), address_of("192.0.2.8")
    for appended in ([wide, narrow], [narrow, wide]):
        callers = read([*SOLD, *appended]).callers
        assert callers.include(here, None)
        assert not callers.include(there, None)
    assert len(read([*SOLD, *[narrow] * 8]).callers) == 8
    assert refusal([*SOLD, *[narrow] * 9]) == "invalid-credential"
    assert not read([*SOLD, narrow, elsewhere]).callers.include(here, None)
    assert read([*SOLD, *CALLERS], STRICT) == replace(TERMS, callers=BOUND)


REFUSED: dict[str, str | bytes] = {
    "an address in another spelling": "l402_ip=192.0.2.07",
    "no address": "l402_ip=",
    "an address without an equals sign": "l402_ip",
    "binary for an address": b"l402_ip=\xff\xfe",
    "a fingerprint in upper case": "l402_tls=" + PRINT.upper(),
    "no fingerprint": "l402_tls=",
    "nine networks": "l402_ip=" + ",".join(["192.0.2.7"] * 9),
    "a caller's condition that is not known": "l402_asn=64496",
    "case 28: later": "l402_valid_until=1700000001",
    "case 29: another service": "services=other:0",
    "case 29: one service more": "services=l402:0,other:0",
    "another tier": "services=l402:1",
    "no tier": "services=l402",
    "no service": "services=",
    "an empty service": "services=l402:0,",
    "white space in the services": "services= l402:0",
    "case 30: negative": "l402_valid_until=-1",
    "case 30: a sign": "l402_valid_until=+5",
    "case 30: an exponent": "l402_valid_until=1e9",
    "case 30: a fraction": "l402_valid_until=5.0",
    "case 30: 30 digits": "l402_valid_until=" + "0" * 29 + "5",
    "case 30: 30 digits without a zero": "l402_valid_until=" + "1" * 30,
    "case 30: five thousand digits": "l402_valid_until=" + "1" * 5000,
    "case 30: empty": "l402_valid_until=",
    "case 30: a leading zero": "l402_valid_until=05",
    "case 30: hexadecimal": "l402_valid_until=0x5",
    "case 30: an underscore": "l402_valid_until=1_000",
    "case 30: white space before": "l402_valid_until= 5",
    "case 30: white space after": "l402_valid_until=5 ",
    "case 30: a newline after": "l402_valid_until=5\n",
    "case 30: digits of another script": "l402_valid_until=\u0661\u0662",
    "case 30: a date": "l402_valid_until=2023-11-14T22:13:20Z",
    "white space before the equals sign": "l402_valid_until =5",
    "a cheaper endpoint": "l402_offer=other.21000.1.-",
    "another amount": "l402_offer=edNjU9kHDZM0vuKgbJWSFw.1.1.-",
    "more uses": "l402_offer=edNjU9kHDZM0vuKgbJWSFw.21000.*.-",
    "an empty offer": "l402_offer=",
    "case 31: another preimage": "preimage=" + "00" * 32,
    "case 31: no preimage": "preimage=",
    "case 31: a preimage and more": "preimage=" + PREIMAGE.hex() + "0",
    "case 32: unknown and ours": "l402_anything=1",
    "case 32: the bare namespace": "l402_=1",
    "case 32: ours without an equals sign": "l402_valid_until",
    "case 33: ours, binary": b"l402_\xff\xfe=1",
    "an empty capability": "l402_capabilities=",
    "an empty one among capabilities": "l402_capabilities=read,,write",
}


@pytest.mark.parametrize("appended", REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.parametrize("reader", [OURS, STRICT], ids=["skip", "reject"])
def test_refuses_what_widens_or_is_not_understood(appended: str, reader: Caveats) -> None:
    """Cases 28 to 33: later, more, other, ill-formed, or in our namespace and unknown: under both policies."""
    assert refusal([*SOLD, appended], reader) == "invalid-credential"


FOREIGN: dict[str, str | bytes] = {
    "case 32: a foreign condition": "holder=alice",
    "another service's condition": "other_valid_until=1",
    "a service whose name begins like ours": "l402-b_valid_until=1",
    "our namespace in another case": "L402_valid_until=1",
    "case 33: no equals sign": "holder",
    "case 33: empty": "",
    "case 33: only an equals sign": "=",
    "case 33: binary": b"\xff\xfe\0",
    "case 33: binary on both sides": b"\xff=\xfe",
    "case 33: 16 KiB": "x" * 16383,
    "a known condition without its value": "preimage",
}


@pytest.mark.parametrize("appended", FOREIGN.values(), ids=FOREIGN.keys())
def test_foreign_conditions_follow_the_policy(appended: str) -> None:
    """Cases 32, 33: skipped, as the specification demands, or refused where the operator asks; never a crash."""
    assert read([*SOLD, appended]) == TERMS
    assert refusal([*SOLD, appended], STRICT) == "invalid-credential"


def test_services_without_a_value_refuses() -> None:
    """A holder that appends `services` alone names no service any more."""
    assert refusal([*SOLD, "services"]) == "wrong-service"
    assert refusal([*SOLD, "services"], STRICT) == "invalid-credential"


@pytest.mark.parametrize("missing", range(3))
def test_each_of_the_three_is_needed(missing: int) -> None:
    """An authentic macaroon that lacks a caveat, from an older or another issuer, opens nothing."""
    kept: list[str | bytes] = [*SOLD[:missing], *SOLD[missing + 1 :]]
    assert refusal(kept) == ("wrong-service" if missing == 0 else "invalid-credential")


@pytest.mark.parametrize("value", ["a.1.1", "a.1.1.-.-", "a.x.1.-", "a.0.1.-", "a.-1.1.-", "a.1.x.-", ""])
def test_an_authentic_offer_is_still_read_strictly(value: str) -> None:
    """An offer of another version of this program is refused, not guessed at."""
    assert refusal([*SOLD[:2], f"l402_offer={value}"]) == "invalid-credential"


@pytest.mark.parametrize("service", ["l402", "Shop-2"])
def test_capabilities_only_shrink(service: str) -> None:
    """A later list of capabilities is a subset of the one before it, whatever the service's name."""
    reader = Caveats(service)
    sold = reader.write(TERMS)
    wide, narrow = f"{service}_capabilities=read,write", f"{service}_capabilities=read"
    assert read([*sold, wide, narrow], reader) == TERMS
    assert refusal([*sold, narrow, wide], reader) == "invalid-credential"
    assert refusal([*sold, wide, narrow, wide], reader) == "invalid-credential"


def test_another_services_credential_is_refused() -> None:
    """Case 39: with the same keys, what was sold for one service opens nothing at another."""
    sold = [caveat.encode() for caveat in Caveats("shop").write(TERMS)]
    with pytest.raises(BadCredential) as caught:
        OURS.read(sold, PREIMAGE)
    assert caught.value.code == "wrong-service"


conditions = st.sampled_from(
    [
        *("services", "l402_valid_until", "l402_offer", "l402_capabilities", "l402_x", "preimage", "holder", ""),
        *("l402_ip", "l402_tls"),
    ]
)
values = st.one_of(
    st.sampled_from([*(caveat.partition("=")[2] for caveat in SOLD), "l402:0,x:0", "x:0", "-", "a.1.1.-"]),
    st.sampled_from(["192.0.2.7", "192.0.2.0/24", "0.0.0.0/0", "198.51.100.1,2001:db8::/64", "::/0", PRINT, "0" * 64]),
    st.just(PREIMAGE.hex()),
    st.integers(-10, 2_000_000_000).map(str),
    st.text(max_size=8),
)
appendable = st.one_of(
    st.sampled_from(SOLD).map(str.encode),
    st.tuples(conditions, values).map(lambda pair: "=".join(pair).encode()),
    st.integers(1_600_000_000, 1_700_000_000).map(lambda until: b"l402_valid_until=%d" % until),
    st.binary(max_size=20),
)


SOMEBODY = [
    (peer, certificate)
    for peer in (None, "192.0.2.7", "192.0.2.8", "198.51.100.1", "2001:db8::1", "2001:db9::1", "::ffff:192.0.2.7")
    for certificate in (None, PRINT, "0" * 64)
]


@given(st.lists(appendable, max_size=6), st.sampled_from([OURS, STRICT]))
@example([b"services", b"services=l402:0"], OURS)
@example([b"l402_valid_until=5", b"l402_valid_until=1700000000"], OURS)
def test_nothing_that_is_appended_widens(appended: list[bytes], reader: Caveats) -> None:
    """Any caveats at all, after ours: never later, for nobody else, nothing else changed; the refused stays refused."""
    sold = [caveat.encode() for caveat in SOLD]
    latest, refused, included = TERMS.valid_until, False, set(SOMEBODY)
    for count in range(len(appended) + 1):
        try:
            left = reader.read([*sold, *appended[:count]], PREIMAGE)
        except BadCredential:
            refused = True
            continue
        assert not refused
        assert left.valid_until <= latest
        assert replace(left, valid_until=TERMS.valid_until, callers=ANYBODY) == TERMS
        still = {caller for caller in SOMEBODY if left.callers.include(address_of(caller[0]), caller[1])}
        assert still <= included
        latest, included = left.valid_until, still


@given(st.lists(appendable, max_size=6))
def test_the_strict_policy_only_refuses_more(appended: list[bytes]) -> None:
    """What `reject` lets through, `skip` lets through on the same terms."""
    caveats = [*(caveat.encode() for caveat in SOLD), *appended]
    try:
        strict = STRICT.read(caveats, PREIMAGE)
    except BadCredential:
        return
    assert OURS.read(caveats, PREIMAGE) == strict


@pytest.mark.parametrize("service", ["", "a_b", "-a", "a" * 33, "a b", "a:0", "a,b", "caf\u00e9", "a\n", "a=b", "_"])
def test_refuses_a_service_name_that_could_be_mistaken(service: str) -> None:
    """Case 17: a name that could end early, or hold another's, is a `ConfigurationError` that names it."""
    with pytest.raises(ConfigurationError, match="letters, digits and hyphens"):
        Caveats(service)


@pytest.mark.parametrize("service", ["a", "0", "l402", "Shop-2", "a" * 32])
def test_accepts_a_service_name(service: str) -> None:
    """1 to 32 letters, digits and hyphens."""
    assert Caveats(service).service == service


def test_refuses_another_policy() -> None:
    """Only the two policies exist."""
    with pytest.raises(ConfigurationError, match="'skip' or 'reject', not 'ignore'"):
        Caveats("l402", "ignore")  # type: ignore[arg-type]
