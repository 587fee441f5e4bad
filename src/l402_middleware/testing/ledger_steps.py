"""Claims on payments of a test's own, and every way of taking a ledger's steps."""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Protocol, TypeVar, get_args

from anyio.from_thread import start_blocking_portal

from l402_middleware.flow import Step
from l402_middleware.ledgers.ledger import Claim, Ledger, What, day_of

T = TypeVar("T")

LEASE = 60.0
LIFE = 7200.0
REPLAY = 600.0

BACKENDS = ["asyncio", *(["trio"] if find_spec("trio") else [])]

ANSWER = bytes(range(256))

WHAT: tuple[What, ...] = get_args(What)


class Take(Protocol):
    """One way of taking a step: blocking, or awaiting on some event loop."""

    def __call__(self, step: Step[T]) -> T: ...


def claim(
    now: float,
    *,
    bought: int | None = 1,
    like: Claim | None = None,
    request: bytes = b"\x01" * 32,
    most: int = 1,
    least: int = 1,
    once: bool = False,
) -> Claim:
    """A claim on a new payment for an endpoint of its own, or a further one on the payment of `like`."""
    return Claim(
        payment_hash=like.payment_hash if like else os.urandom(32),
        token_id=like.token_id if like else os.urandom(32),
        hold_id=os.urandom(16),
        bought=bought,
        request=request,
        endpoint=like.endpoint if like else f"GET /forecast/{os.urandom(8).hex()}",
        msat=21_000,
        now=now,
        lease_until=now + LEASE,
        forget_at=now + LIFE,
        most=most,
        least=least,
        once=once,
    )


def settle(
    ledger: Ledger, held: Claim, answer: bytes | None = None, *, used: int = 1, after: float = 1.0
) -> Step[bool]:
    """Settle a hold `after` seconds from its claim, and keep the answer for `REPLAY` seconds from then."""
    now = held.now + after
    return ledger.settle(held.payment_hash, held.hold_id, used, now, answer, now + REPLAY)


def extend(ledger: Ledger, held: Claim, more: int, *, least: int = 1, after: float = 1.0) -> Step[int]:
    """Ask for more units for a hold `after` seconds from its claim, and renew its lease."""
    now = held.now + after
    return ledger.extend(held.payment_hash, held.hold_id, more, least, now, now + LEASE)


def release(ledger: Ledger, held: Claim, *, after: float = 1.0) -> Step[None]:
    """Give a hold back `after` seconds from its claim."""
    return ledger.release(held.payment_hash, held.hold_id, held.now + after)


def sums(take: Take, ledger: Ledger, held: Claim) -> dict[What, int]:
    """How often each thing is on record for the endpoint of `held`, from the day before its claim to the day after."""
    day = day_of(held.now)
    counts: Counter[What] = Counter()
    for total in take(ledger.totals(day - 1, day + 1)):
        if total.endpoint == held.endpoint:
            counts[total.what] += total.count
    return dict(counts)


def events(take: Take, ledger: Ledger, held: Claim) -> list[What]:
    """What is on record for the payment of `held`, oldest first."""
    history = take(ledger.history(held.payment_hash))
    return [] if history is None else [event.what for event in history.events]


@contextmanager
def taking(how: str) -> Iterator[Take]:
    """Take steps by blocking ("block"), or by awaiting on "asyncio" or "trio"."""
    if how == "block":
        yield lambda step: step.block()
    else:
        with start_blocking_portal(how) as portal:
            yield lambda step: portal.call(step.wait)
