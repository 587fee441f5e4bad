"""The Payment scheme's Authorization values, from raw bytes to a verified charge under a real key ring."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from random import Random
from typing import Any

from l402_middleware.core import base64url, bech32
from l402_middleware.core.caveats import Terms
from l402_middleware.core.charge import ChargeIssuer
from l402_middleware.core.errors import BadCredential
from l402_middleware.core.invoice import decode
from l402_middleware.core.keys import KeyRing
from l402_middleware.core.payment import PaymentChallenge, parse_payment_authorization

from .authorization import LINE_END
from .minted import BAD, GOOD, NOW, SERVICE

# As `minted` has them: a corpus is worth something only under the keys that it was found with.
_OLD, _NEW, _STRANGER = (sha256(name).digest() for name in (b"old", b"new", b"stranger"))
ISSUER = ChargeIssuer(SERVICE, "api.example.com", KeyRing([_OLD, _NEW]))


@dataclass(frozen=True, slots=True)
class Charge:
    """A challenge that was issued, its preimage, and what it was sold for."""

    challenge: PaymentChallenge
    preimage: bytes
    terms: Terms


def _charge(preimage: bytes, terms: Terms, issuer: ChargeIssuer = ISSUER, created_at: int = NOW) -> Charge:
    fields = bytes((1, 1, 20)) + bech32.from_octets(sha256(preimage).digest())
    bolt11 = bech32.encode("lnbcrt100n", bech32.from_number(created_at, 7) + fields + bytes(104))
    return Charge(issuer.issue(decode(bolt11), sha256(preimage + b"token").digest(), terms), preimage, terms)


SOLD = tuple(_charge(sale.preimage, sale.terms) for sale in GOOD)
USELESS = (
    _charge(BAD[0].preimage, GOOD[0].terms, created_at=NOW - 3600),
    _charge(BAD[1].preimage, GOOD[0].terms, ChargeIssuer("shop", "api.example.com", KeyRing([_NEW]))),
    _charge(BAD[2].preimage, GOOD[0].terms, ChargeIssuer(SERVICE, "api.example.com", KeyRing([_STRANGER]))),
)
_BY_HASH = {sha256(charge.preimage).digest(): charge for charge in SOLD}


def check(data: bytes) -> None:
    """Nothing is raised but the one error, and whoever is let in shows what was sold, with its preimage."""
    try:
        credentials = parse_payment_authorization(data.split(LINE_END))
    except BadCredential:
        return
    for credential in credentials:
        # A payload with a fraction, or one that grows above 16 KiB, is not written again.
        with suppress(BadCredential, ValueError):
            again = parse_payment_authorization([credential.header().encode()])
            assert again == [credential], "read as something else when written again"
        try:
            verified = ISSUER.verify(credential, NOW)
        except BadCredential:
            echo = [charge for charge in SOLD if _echoes(credential.challenge, charge.challenge)]
            paid = [charge for charge in echo if credential.payload.get("preimage") == charge.preimage.hex()]
            assert not paid, "what was sold and paid is refused"
            continue
        charge = _BY_HASH.get(verified.payment_hash)
        assert charge is not None, "let in for a payment that was never asked for"
        assert credential.payload["preimage"] == charge.preimage.hex(), "let in without the preimage"
        assert _echoes(credential.challenge, charge.challenge), "let in with another challenge"
        assert verified.terms == charge.terms, "let in to something else"


def _echoes(shown: PaymentChallenge, issued: PaymentChallenge) -> bool:
    names = ("realm", "method", "intent", "request", "expires")
    same = all(getattr(shown, name) == getattr(issued, name) for name in names)
    # Padded or not, it is the same.
    return same and shown.id.rstrip("=") == issued.id


def seeds() -> list[bytes]:
    """Credentials as clients send them."""
    forms = [_written(_members(charge), Random(0)) for charge in SOLD + USELESS]
    return [*forms, b"", b"Payment", b"Payment e30", b"Bearer abc", LINE_END.join(forms[:2]), b", ".join(forms[1:3])]


def mutate(data: bytes, random: Random, mutate_bytes: Callable[[bytes], bytes]) -> bytes:
    """Other bytes; or another credential, made from one that was sold."""
    if random.random() < 0.3:
        return mutate_bytes(data)
    members = _members(random.choice(SOLD if random.random() < 0.8 else USELESS))
    match random.randrange(8):
        case 0 | 1:
            name = random.choice(list(members["challenge"]))
            text = members["challenge"][name]
            members["challenge"][name] = mutate_bytes(text.encode()).decode("latin-1")
        case 2:
            other = _members(random.choice(SOLD + USELESS))
            name = random.choice(list(members["challenge"]))
            members["challenge"][name] = other["challenge"].get(name)
        case 3:
            members["payload"]["preimage"] = random.choice(SOLD + USELESS).preimage.hex()
        case 4:
            members["payload"] = random.choice([[], None, "x", 1, {"preimage": [1]}, {"preimage": 1.5}])
        case 5:
            members[random.choice(["source", "more"])] = random.choice(["did:key:x", 1, None, {"a": [{}]}, "\ud800"])
        case 6:
            raw = base64url.decode(members["challenge"]["id"])
            members["challenge"]["id"] = base64url.encode(mutate_bytes(raw))
        case _:
            pass
    lines = [_written(members, random)]
    while random.random() < 0.3:
        lines.append(random.choice([b"Bearer abc", b"", b"Payment", data, b"L402 x:y", b'Digest a="b, Payment e30"']))
    random.shuffle(lines)
    return random.choice([b", ", b",", LINE_END]).join(lines)


def _members(charge: Charge) -> dict[str, Any]:
    challenge = replace(charge.challenge, description=None)
    return {"challenge": challenge.parameters(), "payload": {"preimage": charge.preimage.hex()}}


def _written(members: dict[str, Any], random: Random) -> bytes:
    text = json.dumps(members, separators=random.choice([(",", ":"), (", ", ": ")]))
    if random.random() < 0.1:
        text = random.choice(
            [text[:-1] + ',"payload":{}}', "[" * 40 + text + "]" * 40, text.replace('"', "'"), text + text]
        )
    token = base64url.encode(text.encode("utf-8", "surrogatepass"))
    padding = "=" * (-len(token) % 4) if random.random() < 0.3 else ""
    scheme = random.choice(["Payment ", "payment  ", "PAYMENT \t"])
    return f"{scheme}{token}{padding}".encode()
