"""The Authorization header, from its raw bytes to a verified credential under a real key ring."""

from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from random import Random

from l402_middleware.core.authorization import Credential, parse_authorization
from l402_middleware.core.credential import Verified
from l402_middleware.core.errors import BadCredential
from l402_middleware.schemes import L402Scheme, SchemeSettings

from . import caveats, macaroon, oracle
from .minted import BAD, GOOD, ISSUER, KEYS, NOW, SERVICE, Sale, attenuated, chained, split

# Between two field values; a value itself may hold either byte alone.
LINE_END = b"\r\n"
_UNSIGNED_END = 35

_SOLD = {sale.token_id: sale for sale in GOOD}
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")


def check(data: bytes) -> None:
    """Nothing is raised, and whoever is let in holds what this server sold."""
    values = data.split(LINE_END)
    scheme = L402Scheme(SchemeSettings(SERVICE, KEYS))
    fields = [(b"authorization", value) for value in values]
    reading = scheme.read(fields, NOW)
    verified, fault = [each.verified for each in reading.shown], reading.fault
    for each in verified:
        _was_sold(each)
    assert len({each.payment_hash for each in verified}) == len(verified), "one payment counts twice"
    if verified:
        # A pass and a bundle are remembered: the second look has to see what the first one saw.
        again = [each.verified for each in scheme.read(fields, NOW).shown]
        assert again == verified, "remembered as something else"
        assert not scheme.read(fields, NOW + 3600).shown, "let in when all that was sold has expired"

    try:
        credentials = parse_authorization(values)
    except BadCredential:
        assert not verified
        assert fault is not None
        return
    let_in = {found.payment_hash for credential in credentials if (found := _verified(credential)) is not None}
    assert let_in == {each.payment_hash for each in verified}
    for credential in credentials:
        _was_sent(credential, data)


def _verified(credential: Credential) -> Verified | None:
    sales = [sale for sale in GOOD if all(raw == sale.raw for raw in credential.macaroons)]
    try:
        verified = ISSUER.verify(credential, NOW)
    except BadCredential:
        assert not sales or sales[0].preimage != credential.preimage, "what was sold and paid is refused"
        return None
    sale = _was_sold(verified)
    assert credential.preimage == sale.preimage, "let in without the preimage"
    for raw in credential.macaroons:
        _is_attenuation(raw, sale)
    return verified


def _was_sold(verified: Verified) -> Sale:
    sale = _SOLD.get(verified.token_id)
    assert sale is not None, "let in with a token that was never sold"
    assert verified.payment_hash == sha256(sale.preimage).digest()
    assert verified.sold_until == sale.terms.valid_until
    caveats.is_narrower(verified.terms, sale.terms)
    assert verified.terms.valid_until > NOW, "let in though it has expired"
    return sale


def _is_attenuation(raw: bytes, sale: Sale) -> None:
    """The very bytes that were sold, and after them caveats that the holder signed."""
    sold = sale.raw[:-_UNSIGNED_END]
    assert raw.startswith(sold), "let in with another token"
    appended = split(raw)[2][len(sale.caveats) :]
    assert raw == attenuated(sale.raw, *appended)
    assert raw[-32:] == chained(sale.raw[-32:], appended)
    if oracle.is_text(*appended):
        assert oracle.is_signed_with(sale.root_key, raw), "pymacaroons does not verify it"


def _was_sent(credential: Credential, data: bytes) -> None:
    """Nothing in a credential that is not in the header, and the plainest spelling of it is read as the same."""
    standard = data.translate(_TO_STANDARD)
    assert all(b64encode(raw).rstrip(b"=") in standard for raw in credential.macaroons)
    assert credential.preimage.hex().encode() in data.lower()
    plain = b"L402 " + b",".join(map(b64encode, credential.macaroons)) + b":" + credential.preimage.hex().encode()
    with suppress(BadCredential):  # longer than what was sent, where that was without padding
        assert parse_authorization([plain]) == [credential]


def seeds() -> list[bytes]:
    """Credentials as clients send them."""
    forms = [_written(Credential((sale.raw,), sale.preimage), Random(0)) for sale in GOOD + BAD]
    return [*forms, b"", b"Bearer abc", b"L402", LINE_END.join(forms[:2]), b", ".join(forms[1:3])]


def mutate(data: bytes, random: Random, mutate_bytes: Callable[[bytes], bytes]) -> bytes:
    """Other bytes; or another credential, made from one in `data` or from one that was sold."""
    if random.random() < 0.3:
        return mutate_bytes(data)
    lines = [_written(_altered(_taken(data, random), random, mutate_bytes), random)]
    while random.random() < 0.3:
        lines.append(
            random.choice([
                b"Bearer abc", b"Basic dXNlcjpwYXNz", b"", b"L402", b"LSAT x:y", b'Digest a="b, c", d="L402 e"', data,
                _written(_taken(data, random), random),
            ])
        )  # fmt: skip
    random.shuffle(lines)
    return random.choice([b", ", b",", LINE_END, b" ,\t,"]).join(lines)


def _taken(data: bytes, random: Random) -> Credential:
    if random.random() < 0.5:
        with suppress(BadCredential):
            if found := parse_authorization(data.split(LINE_END)):
                return random.choice(found)
    sale = random.choice(GOOD if random.random() < 0.8 else BAD)
    return Credential((sale.raw,), sale.preimage)


def _altered(credential: Credential, random: Random, mutate_bytes: Callable[[bytes], bytes]) -> Credential:
    macaroons, preimage = list(credential.macaroons), credential.preimage
    at = random.randrange(len(macaroons))
    match random.randrange(7):
        case 0:
            macaroons[at] = macaroon.altered(macaroons[at], random, mutate_bytes)
        case 1 | 2:
            with suppress(ValueError):
                macaroons[at] = attenuated(macaroons[at], caveats.invented(random, mutate_bytes, preimage))
        case 3:
            macaroons.append(random.choice(GOOD + BAD).raw)
        case 4:
            with suppress(ValueError):
                macaroons.append(attenuated(macaroons[at], caveats.invented(random, mutate_bytes, preimage)))
        case 5:
            preimage = random.choice([random.choice(GOOD + BAD).preimage, mutate_bytes(preimage)])
        case _:
            pass
    return Credential(tuple(raw for raw in macaroons if raw) or credential.macaroons, preimage)


def _written(credential: Credential, random: Random) -> bytes:
    encode = random.choice([b64encode, urlsafe_b64encode])
    texts = [encode(raw).rstrip(b"=") if random.random() < 0.3 else encode(raw) for raw in credential.macaroons]
    preimage = credential.preimage.hex()
    scheme = random.choice([b"L402 ", b"LSAT ", b"l402\t", b"L402 LSAT  "])
    comma = random.choice([b",", b", "])
    return scheme + comma.join(texts) + b":" + random.choice([preimage, preimage.upper()]).encode()
