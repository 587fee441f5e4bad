"""WWW-Authenticate values, from raw bytes to what they offer."""

from collections.abc import Callable
from random import Random

from l402_middleware.core.auth_params import MAX_BYTES, read_challenges, write_challenge
from l402_middleware.core.offered import L402Offer, parse_challenges
from l402_middleware.core.payment import PaymentChallenge

from .authorization import LINE_END
from .minted import GOOD
from .payment_credential import SOLD

_INVOICE = "lnbcrt100n1example"


def check(data: bytes) -> None:
    """Nothing is raised; what is read is written, and read as the same; what is offered can go back in a header."""
    values = data.split(LINE_END)
    challenges = read_challenges(values)
    assert not challenges or sum(map(len, values)) <= MAX_BYTES, "more was read than may be"
    for scheme, parameters in challenges:
        try:
            written = write_challenge(scheme, parameters)
        except ValueError:
            continue
        assert read_challenges([written.encode()]) == [(scheme, parameters)], "read as something else when written"
        assert "\n" not in written
        assert "\r" not in written
    for offer in parse_challenges(values):
        value = offer.authorization(bytes(32))
        assert value.isascii(), "what goes back is no field value"
        assert value.isprintable(), "what goes back is no field value"
        if isinstance(offer, L402Offer):
            assert offer.token
            continue
        again = parse_challenges([_escaped(offer.challenge)])
        assert again == [offer] or not _is_quotable(offer.challenge), "another offer when written again"


def _escaped(challenge: PaymentChallenge) -> bytes:
    return challenge.header().encode() if _is_quotable(challenge) else b""


def _is_quotable(challenge: PaymentChallenge) -> bool:
    try:
        challenge.header()
    except ValueError:
        return False
    return True


def seeds() -> list[bytes]:
    """Challenges as servers send them."""
    ours = f'L402 macaroon="{GOOD[0].raw.hex()}", invoice="{_INVOICE}", version="0", token="x"'.encode()
    payments = [charge.challenge.header().encode() for charge in SOLD[:2]]
    return [
        ours, *payments, b"", b"Basic realm=x", b"LSAT macaroon=AAAA==, invoice=lnbc1", b"Negotiate abc==",
        b", ".join([ours, *payments]), LINE_END.join([ours, *payments]),
    ]  # fmt: skip


def mutate(data: bytes, random: Random, mutate_bytes: Callable[[bytes], bytes]) -> bytes:
    """Other bytes; or challenges put together from parts."""
    if random.random() < 0.4:
        return mutate_bytes(data)
    found = random.choice([read_challenges(data.split(LINE_END)), read_challenges([random.choice(seeds())])])
    parts = []
    for scheme, parameters in found[:4]:
        named = [
            f"{name}{random.choice(['=', ' = ', '=  '])}{_quoted(value) if random.random() < 0.5 else value}"
            for name, value in random.sample(list(parameters.items()), len(parameters))
        ]
        if random.random() < 0.2:
            named.append(random.choice(['id=""', "id", "=", '"', 'x="\\', "realm=a b", 'request="e30"']))
        parts.append(f"{random.choice([scheme, scheme.upper()])} {random.choice([', ', ',', ' '])}".encode())
        parts.append(random.choice([", ", ",", "  "]).join(named).encode("utf-8", "replace"))
        parts.append(random.choice([b", ", b",", LINE_END, b" "]))
    return b"".join(parts)


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
