"""What every framework's scenario application shares: its paywall, its prices, and the record of its runs.

A handler leaves a line in the file that `RUNS` names, so that runs are counted across processes. The paywall is the one
that the `L402_...` settings in the environment describe.
"""

import os
from typing import Any

from l402_middleware import Payment, Refusal, RequestView

PIECES = [b"one ", b"two ", b"three"]
PAUSE = float(os.environ.get("PAUSE", "0.01"))
EVENTS = [b"data: 1\n\n", b"data: 2\n\n"]
ENDLESS = b"x" * 65536


def record(name: str) -> None:
    """Note that a handler ran."""
    with open(os.environ["RUNS"], "a", encoding="utf-8") as file:
        file.write(f"{name}\n")


def shown(payment: Payment | None) -> dict[str, Any]:
    """What a handler tells of what it was paid."""
    if payment is None:
        return {"paid": None}
    return {"paid": payment.payment_hash, "sats": payment.amount.sats, "uses_left": payment.uses_left}


def by_length(request: RequestView) -> int:
    """A sat for each byte of the body; nothing for an empty one, which is refused."""
    assert request.body is not None
    if not request.body.size:
        raise Refusal(422, "empty", "There is nothing to do.")
    return request.body.size


async def by_query(request: RequestView) -> int:
    """An async price."""
    return int(request.query.get("pages", "1"))


def by_mistake(request: RequestView) -> int:
    """A price function with a bug."""
    raise ValueError("a mistake in a price")
