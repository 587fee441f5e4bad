"""What an exchange needs of a paywall: one that decides as it is told, over a ledger that a test scripts."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from l402_middleware import LedgerError, Offer, RequestView
from l402_middleware.core.money import Msat
from l402_middleware.exchange.exchange import Exchange
from l402_middleware.flow import Flow, Step, do, drive
from l402_middleware.paywall.delivery import Delivery, Payment, Replay
from l402_middleware.paywall.holds import Hold
from l402_middleware.paywall.response import Response, unpack

OFFER = Offer(21)
ENDPOINT = "GET /thing"
MAX_BYTES = 100
REFUSAL = Response(402, [], b"pay")


class Asked(Step[Any]):
    """A step whose outcome a test chooses by hand."""

    def block(self) -> Any:
        raise AssertionError("nobody drives this")

    async def wait(self) -> Any:
        raise AssertionError("nobody drives this")


@dataclass
class ModelHolds:
    """The use of one payment, as a ledger counts it: held, then settled or given back, once."""

    outcome: Callable[[], bool] = lambda: True
    is_held: bool = True
    charges: int = 0
    releases: int = 0
    kept: list[bytes] = field(default_factory=list)
    """The bodies of the answers that were kept."""
    kept_for: list[bytes | None] = field(default_factory=list)
    """The digests of the request bodies that they are the answers to, None where not known."""
    pauses: bool = False

    def settle(self, hold: Hold, packed: bytes | None, replay_for: float) -> Flow[bool]:
        try:
            if self.pauses:
                yield from do(Asked())
            settled = self.outcome()
        except BaseException:
            yield from self.release(hold)
            raise
        if settled:
            assert self.is_held, "a use was settled that is not held"
            self.is_held = False
            self.charges += 1
            if packed is not None:
                response, to = unpack(packed, self.now())
                self.kept.append(response.body)
                self.kept_for.append(to.body_digest)
        else:
            # Another request took it over.
            self.is_held = False
        return settled

    def release(self, hold: Hold) -> Flow[None]:
        yield from ()
        self.is_held = False
        self.releases += 1

    def now(self) -> float:
        return 0.0


def failing() -> bool:
    """A settlement that fails."""
    raise LedgerError("the disk is full")


def use(
    holds: Any,
    *,
    replay: bool = True,
    charge_if: Callable[[int], bool] = lambda status: status < 400,
    note_unkept: Callable[[], None] | None = None,
) -> Delivery:
    """A request that was admitted with a use of a payment."""
    hold = Hold(b"", b"", 0.0)
    kept = Replay(600, MAX_BYTES) if replay else None
    return Delivery(Payment("00" * 32, Msat(21_000), 0), charge_if, holds, hold, kept, "", note_unkept)


def passed() -> Delivery:
    """A request that was admitted with a pass."""
    nobody: Any = None
    return Delivery(Payment("00" * 32, Msat(21_000), None), lambda status: True, nobody)


class ModelPaywall:
    """Decides what it is told; an exception it raises."""

    def __init__(self, decision: Delivery | Response | Exception) -> None:
        self.decision = decision

    def admit(self, request: RequestView, offer: Offer) -> Flow[Delivery | Response]:
        yield from ()
        if isinstance(self.decision, Exception):
            raise self.decision
        return self.decision


def exchange_with(decision: Delivery | Response | Exception) -> Exchange:
    """An exchange whose paywall will decide so."""
    paywall: Any = ModelPaywall(decision)
    return Exchange(paywall)


def decided(decision: Delivery | Response) -> Exchange:
    """One whose paywall has."""
    exchange = exchange_with(decision)
    request: Any = None
    assert exchange.is_new(OFFER, ENDPOINT)
    drive(exchange.decide(request, OFFER))
    return exchange
