"""Caveats: whatever a holder appends to what was sold can only narrow it."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

from l402_middleware.core.callers import address_of
from l402_middleware.core.caveats import Caveats, Terms
from l402_middleware.core.errors import BadCredential
from l402_middleware.core.macaroon import MAX_CAVEATS

from .minted import GOOD, NOW, SERVICE

# Between two caveats in an input.
RECORD_SEPARATOR = b"\x1e"

_SALE = GOOD[0]
_SKIPPING, _STRICT = Caveats(SERVICE), Caveats(SERVICE, "reject")
_KNOWN = (b"valid_until", b"offer", b"capabilities", b"ip", b"tls")
_PRINT = "ab" * 32
_SOMEBODY = [
    (address_of(peer), certificate)
    for peer in (None, "192.0.2.7", "198.51.100.9", "2001:db8::1", "::1")
    for certificate in (None, _PRINT, "0" * 64)
]


def check(data: bytes) -> None:
    """Appended one after the other, no caveat widens, revives, or is understood where nobody defined it."""
    appended = data.split(RECORD_SEPARATOR)[: MAX_CAVEATS - len(_SALE.caveats)]
    _read(_SKIPPING, appended)  # not even ours at the beginning: an issuer of another time or version
    terms: Terms | None = _SALE.terms
    for count in range(len(appended) + 1):
        caveats = [*_SALE.caveats, *appended[:count]]
        before, terms = terms, _read(_SKIPPING, caveats)
        strict = _read(_STRICT, caveats)
        assert strict is None or strict == terms, "the strict policy lets in more, or something else"
        if terms is None:
            continue
        assert before is not None, "refused, and with one caveat more accepted"
        is_narrower(terms, before)
        assert _SKIPPING.sold_until(caveats) == _SALE.terms.valid_until
        if count:
            _is_understood(appended[count - 1], before, terms)


def is_narrower(terms: Terms, sold: Terms) -> None:
    """`terms` are `sold`, or end earlier, or are for fewer callers; everything else is as it was."""
    assert terms.valid_until <= sold.valid_until, "widened"
    restored = replace(terms, valid_until=sold.valid_until, callers=sold.callers)
    assert restored == sold, "something else than what was sold"
    for caller in _SOMEBODY:
        assert sold.callers.include(*caller) or not terms.callers.include(*caller), "for somebody else"


def _is_understood(caveat: bytes, before: Terms, after: Terms) -> None:
    condition, equals, value = caveat.partition(b"=")
    namespace, _, name = condition.partition(b"_")
    ours = namespace == SERVICE.encode() and b"_" in condition
    assert not ours or (name in _KNOWN and equals), "a condition of ours that nobody defined"
    if ours and name == b"valid_until":
        assert after.valid_until == int(value) <= before.valid_until
        assert value == str(int(value)).encode()
    elif ours and name in (b"ip", b"tls"):
        assert replace(after, callers=before.callers) == before
        assert caveat.decode() in after.callers.write(SERVICE), "another spelling than ours"
        assert len(after.callers) > len(before.callers)
    else:
        assert after == before
    if condition == b"preimage" and equals:
        assert value.decode().lower() == _SALE.preimage.hex()


def _read(reader: Caveats, caveats: list[bytes]) -> Terms | None:
    try:
        return reader.read(caveats, _SALE.preimage)
    except BadCredential:
        return None


def seeds() -> list[bytes]:
    """What clients append, and what an attacker would."""
    return [
        b"l402_valid_until=%d" % (NOW + 60),
        b"l402_valid_until=%d" % (NOW + 7200),
        b"preimage=" + _SALE.preimage.hex().encode(),
        RECORD_SEPARATOR.join([b"l402_capabilities=read,write", b"l402_capabilities=read", b"holder=alice"]),
        RECORD_SEPARATOR.join(_SALE.caveats),
        b"services",
        b"l402_ip=192.0.2.7,2001:db8::/64",
        RECORD_SEPARATOR.join([b"l402_ip=0.0.0.0/0", b"l402_ip=192.0.2.0/24"]),
        b"l402_tls=" + _PRINT.encode(),
    ]


def mutate(data: bytes, random: Random, mutate_bytes: Callable[[bytes], bytes]) -> bytes:
    """Other bytes, or one caveat more, less or elsewhere."""
    caveats = data.split(RECORD_SEPARATOR)
    at = random.randrange(len(caveats))
    match random.randrange(6):
        case 0:
            return mutate_bytes(data)
        case 1:
            caveats[at] = mutate_bytes(caveats[at])
        case 2:
            caveats.append(caveats.pop(at))
        case 3:
            del caveats[at]
        case _:
            caveats.insert(at, invented(random, mutate_bytes, _SALE.preimage))
    return RECORD_SEPARATOR.join(caveats)


def invented(random: Random, mutate_bytes: Callable[[bytes], bytes], preimage: bytes) -> bytes:
    """A caveat that somebody might append."""
    ours = SERVICE.encode() + b"_"
    condition = random.choice([
        ours + b"valid_until", ours + b"valid_until", ours + b"offer", ours + b"capabilities", ours + b"x", ours,
        ours + b"ip", ours + b"ip", ours + b"tls",
        b"services", b"preimage", b"holder", b"", b"L402_valid_until", b"shop_valid_until",
    ])  # fmt: skip
    value = random.choice([
        b"%d" % (NOW + random.randrange(-10, 4000)), b"%d" % random.randrange(1 << 70), b"-1", b"+5", b"1e9", b"05",
        b"", b"l402:0", b"l402:0,shop:0", b"l402:1", b"read,write", b"read", b"read,,write",
        preimage.hex().encode(), preimage.hex().upper().encode(), bytes(64),
        random.choice(GOOD).caveats[2].partition(b"=")[2], b"\xff\xfe",
        b"192.0.2.7", b"192.0.2.0/24", b"0.0.0.0/0,::/0", b"2001:db8::/64", b"::ffff:192.0.2.7", _PRINT.encode(),
    ])  # fmt: skip
    caveat = condition + random.choice([b"=", b"=", b"=", b"", b" = "]) + value
    return mutate_bytes(caveat) if random.random() < 0.2 else caveat
