"""A purchase without an HTTP client, a server or a node: its steps are answered by hand."""

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from l402_middleware.client.asked import Asked
from l402_middleware.client.buyer import Buyer, Done
from l402_middleware.client.steps import Answer, Drain, Send, Sleep
from l402_middleware.client.wallet import UNKNOWN, Outgoing
from l402_middleware.core import bech32
from l402_middleware.core.caveats import Terms
from l402_middleware.core.credential import Issuer
from l402_middleware.core.errors import ProviderError
from l402_middleware.core.invoice import decode
from l402_middleware.core.keys import KeyRing
from l402_middleware.core.money import sats
from l402_middleware.flow import Flow

NOW = 1_700_000_000
ORIGIN = "https://api.example.com"
ASKED = Asked("GET", f"{ORIGIN}/forecast?days=2")
ISSUER = Issuer("l402", KeyRing([bytes(range(32))]))


def preimage(number: int) -> bytes:
    """The preimage of an invoice."""
    return number.to_bytes(32)


def payment_hash(number: int) -> bytes:
    """The payment hash of an invoice."""
    return sha256(preimage(number)).digest()


def invoice(number: int, prefix: str = "lnbcrt210n", created_at: int = NOW, expiry: int | None = None) -> str:
    """An invoice, over 21 sat unless its prefix says otherwise; an hour long unless told otherwise."""
    fields = bytes((1, 1, 20)) + bech32.from_octets(payment_hash(number))
    if expiry is not None:
        groups = bech32.from_number(expiry, -(-expiry.bit_length() // 5))
        fields += bytes((bech32.ALPHABET.index(b"x"), 0, len(groups))) + groups
    return bech32.encode(prefix, bech32.from_number(created_at, 7) + fields + bytes(104))


def challenge(number: int, uses: int | None = 1, request: str | None = None, bolt11: str | None = None) -> bytes:
    """What this package's server would send."""
    asked = decode(bolt11 or invoice(number))
    terms = Terms("edNjU9kHDZM0vuKgbJWSFw", asked.amount or sats(1), uses, request, NOW + 7200)
    token = ISSUER.issue(asked.payment_hash, number.to_bytes(32), terms)
    return f'L402 macaroon="{token}", invoice="{asked.bolt11}", version="0", token="{token}"'.encode()


def foreign(number: int, bolt11: str | None = None) -> bytes:
    """What another server would send, whose token says nothing."""
    return f'L402 macaroon="AAAA", invoice="{bolt11 or invoice(number)}"'.encode()


@dataclass
class HandWallet:
    """A wallet that knows the preimages, and fails as told."""

    network: str = "regtest"
    asked: list[str] = field(default_factory=list)
    fates: dict[bytes, Outgoing] = field(default_factory=dict)
    pays: Callable[[bytes], Outgoing] | None = None

    def pay(self, bolt11: str, payment_hash: bytes, max_fee_msat: int) -> Flow[Outgoing]:
        yield from ()
        self.asked.append(f"pay {payment_hash.hex()[:8]}")
        if self.pays is not None:
            return self.pays(payment_hash)
        return self.fates.setdefault(payment_hash, right(payment_hash))

    def look_up(self, bolt11: str, payment_hash: bytes) -> Flow[Outgoing]:
        yield from ()
        self.asked.append(f"look up {payment_hash.hex()[:8]}")
        return self.fates.get(payment_hash, UNKNOWN)

    def payments(self) -> int:
        """How often it was asked to pay."""
        return sum(each.startswith("pay") for each in self.asked)

    def close(self) -> None:
        """Nothing."""

    async def aclose(self) -> None:
        """Nothing."""


def right(payment_hash_: bytes) -> Outgoing:
    """A payment that was made, with 1 sat for routing."""
    (found,) = (number for number in range(200) if payment_hash(number) == payment_hash_)
    return Outgoing("paid", preimage(found), 1000)


def failing(kind: Any) -> Callable[[bytes], Outgoing]:
    """A wallet that raises."""

    def pays(payment_hash: bytes) -> Outgoing:
        raise ProviderError(kind, "the wallet failed")

    return pays


@dataclass
class Clock:
    """Time that passes when somebody sleeps."""

    now: float = NOW

    def __call__(self) -> float:
        return self.now


def answer(status: int, *offers: bytes, origin: str = ORIGIN, **fields: str) -> Answer:
    """An answer's head."""
    return Answer(status, origin, offers, **fields)


@dataclass
class Server:
    """Answers by turns; what it was sent is noted."""

    answers: list[Answer]
    body: bytes = b""
    sent: list[str | None] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)


def bought(buyer: Buyer, server: Server, asked: Asked = ASKED, clock: Clock | None = None) -> tuple[Done, int]:
    """Drive a purchase to its end; its last answer's status beside it. All of a body that is left over arrives."""
    trade = buyer.trade(asked)
    status = 0
    try:
        step = next(trade)
        while True:
            result: Any = None
            try:
                match step:
                    case Send():
                        server.sent.append(step.authorization)
                        result = server.answers.pop(0)
                        status = result.status
                    case Drain():
                        result = server.body
                    case Sleep():
                        server.slept.append(step.seconds)
                        if clock is not None:
                            clock.now += step.seconds
                    case _:
                        result = step.block()
            except BaseException as error:
                step = trade.throw(error)
            else:
                step = trade.send(result)
    except StopIteration as end:
        done: Done = end.value
    if done.end is not None:
        done.end(True)
    return done, status
