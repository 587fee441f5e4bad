"""What becomes of a paid credential: passes, revocation, settlement checks, memory and the record."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pymacaroons
import pytest

from l402_middleware import ConfigurationError, LedgerError, Offer, Paywall
from l402_middleware.core.errors import ProviderError
from l402_middleware.flow import Flow, Step, drive
from l402_middleware.ledgers import MemoryLedger
from l402_middleware.ledgers.ledger import Claim, Outcome, Total, day_of
from l402_middleware.paywall import redemption
from l402_middleware.paywall.counters import FLUSH_EVERY
from l402_middleware.paywall.delivery import Delivery
from l402_middleware.paywall.redemption import MEMORY
from l402_middleware.providers.devnode import DevNode

from .shop import KEY, NOW, Shop, ask, code, deliver

T = TypeVar("T")

CALL = Offer(10)
BUNDLE = Offer(10, uses=3)
PASS = Offer(10, uses=None)
DAY = day_of(NOW)


@dataclass
class Failing(Step[T]):
    """A step of a ledger that is away."""

    def block(self) -> T:
        raise LedgerError("away")

    async def wait(self) -> T:
        raise LedgerError("away")


class Ledger(MemoryLedger):
    """A ledger that notes what is asked of it, and can go away."""

    def __init__(self) -> None:
        super().__init__()
        self.claims: list[Claim] = []
        self.writes = 0
        self.asked = 0
        self.away = False
        self.meanwhile: Callable[[], None] | None = None

    def hold(self, claim: Claim) -> Step[Outcome]:
        self.claims.append(claim)
        return Failing() if self.away else super().hold(claim)

    def revoked(self) -> Step[frozenset[bytes]]:
        self.asked += 1
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return Failing() if self.away else super().revoked()

    def count(self, totals: Sequence[Total]) -> Step[None]:
        self.writes += 1
        return Failing() if self.away else super().count(totals)


@dataclass
class Node(DevNode):
    """A node where a preimage can be known before its payment is final."""

    clock: Callable[[], float]
    received: bool = False
    broken: bool = False
    asked: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(clock=self.clock)

    def is_settled(self, payment_hash: bytes) -> Flow[bool]:
        yield from ()
        self.asked.append(payment_hash)
        if self.broken:
            raise ProviderError("unreachable", "the node is away")
        return self.received


class SlowShop(Shop):
    """A shop that asks its node whether a payment was received."""

    def __post_init__(self) -> None:
        self.node = self.slow = Node(self.clock)
        self.paywall = Paywall(
            self.node, secret_keys=[KEY], clock=self.clock, **{"verify_settlement": True, **self.options}
        )


def hash_of(credential: bytes) -> bytes:
    """The payment hash in a credential."""
    token = credential.split()[1].partition(b":")[0].decode()
    return bytes(pymacaroons.Macaroon.deserialize(token.rstrip("=")).identifier_bytes[2:34])


def token_id_of(credential: bytes) -> bytes:
    """The token id in a credential."""
    token = credential.split()[1].partition(b":")[0].decode()
    return bytes(pymacaroons.Macaroon.deserialize(token.rstrip("=")).identifier_bytes[34:])


def record(shop: Shop) -> dict[str, tuple[int, int]]:
    """Count and msat of everything that happened, over all endpoints and days."""
    shop.paywall.close()
    sums: dict[str, tuple[int, int]] = {}
    for total in shop.paywall.ledger.totals(0, 10**6).block():
        count, msat = sums.get(total.what, (0, 0))
        sums[total.what] = (count + total.count, msat + total.msat)
    return sums


# --- passes


def test_a_pass_asks_the_ledger_once() -> None:
    """A pass is recorded at its first use in a process, and costs no further claim however often it is used."""
    ledger = Ledger()
    shop = Shop({"ledger": ledger})
    credential = shop.buy(PASS)
    for _ in range(20):
        decision = shop.decide(PASS, ask("GET /thing", credential))
        assert isinstance(decision, Delivery)
        assert decision.payment.uses_left is None
        assert deliver(decision)
    assert len(ledger.claims) == 1
    assert record(shop) == {"offered": (1, 0), "paid": (1, 10_000), "delivered": (20, 0)}


def test_a_pass_that_a_process_forgot_asks_the_ledger_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only so many passes are known: the one that is known for longest goes, and is good all the same."""
    monkeypatch.setattr(redemption, "KNOWN_PASSES", 2)
    ledger = Ledger()
    shop = Shop({"ledger": ledger})
    one, two, three = (shop.buy(PASS) for _ in range(3))
    for credential in (one, two, one, three, two, three, one):
        assert deliver(shop.decide(PASS, ask("GET /thing", credential)))
    assert [claim.payment_hash for claim in ledger.claims] == [hash_of(each) for each in (one, two, three, one)]


def test_a_failing_handler_does_not_end_a_pass() -> None:
    """Case 49: whatever the handler answers, a pass goes on."""
    shop = Shop()
    credential = shop.buy(PASS)
    for status in (500, 404, 200):
        assert deliver(shop.decide(PASS, ask("GET /thing", credential)), status=status)


def test_a_revoked_pass_ends_within_five_seconds() -> None:
    """A pass is checked against a copy of the denylist that is at most five seconds old."""
    shop = Shop()
    credential = shop.buy(PASS)
    assert isinstance(shop.decide(PASS, ask("GET /thing", credential)), Delivery)
    drive(shop.paywall.revoke(token_id_of(credential)))
    shop.clock.now += 5
    assert code(shop.decide(PASS, ask("GET /thing", credential))) == (402, "revoked")


def test_a_pass_goes_on_for_a_minute_without_the_ledger_and_not_longer() -> None:
    """Nothing is served on a denylist older than a minute: 503, and the pass is good when the ledger is back."""
    ledger = Ledger()
    shop = Shop({"ledger": ledger})
    credential = shop.buy(PASS)
    assert isinstance(shop.decide(PASS, ask("GET /thing", credential)), Delivery)
    ledger.away = True
    shop.clock.now += 59
    assert isinstance(shop.decide(PASS, ask("GET /thing", credential)), Delivery)
    shop.clock.now += 1
    assert code(shop.decide(PASS, ask("GET /thing", credential))) == (503, "ledger-unavailable")
    ledger.away = False
    shop.clock.now += 5
    assert isinstance(shop.decide(PASS, ask("GET /thing", credential)), Delivery)


def test_passes_that_come_together_wait_for_the_denylist() -> None:
    """Whoever comes while the first denylist, or the first in a minute, is still being read is served all the same."""
    ledger = Ledger()
    shop = Shop({"ledger": ledger})
    credential = shop.buy(PASS)
    meanwhile = []
    for _ in range(2):
        ledger.meanwhile = lambda: meanwhile.append(shop.decide(PASS, ask("GET /thing", credential)))
        assert isinstance(shop.decide(PASS, ask("GET /thing", credential)), Delivery)
        assert isinstance(meanwhile.pop(), Delivery)
        shop.clock.now += 60


def test_a_denylist_that_can_not_be_read_is_asked_for_every_five_seconds() -> None:
    """While the ledger fails, a pass is refused without asking it again each time."""
    ledger = Ledger()
    shop = Shop({"ledger": ledger})
    credential = shop.buy(PASS)
    ledger.away = True
    for _ in range(3):
        assert code(shop.decide(PASS, ask("GET /thing", credential))) == (503, "ledger-unavailable")
    assert ledger.asked == 1


# --- revocation


@pytest.mark.parametrize("offer", [CALL, BUNDLE, PASS], ids=["call", "bundle", "pass"])
def test_a_revoked_token_is_refused_everywhere(offer: Offer) -> None:
    """A revoked token is refused by every process that shares the ledger, at once where it is new there."""
    ledger = MemoryLedger()
    here, there = Shop({"ledger": ledger}), Shop({"ledger": ledger})
    credential, other = here.buy(offer), here.buy(offer)
    drive(there.paywall.revoke(token_id_of(credential)))
    assert code(here.decide(offer, ask("GET /thing", credential))) == (402, "revoked")
    assert code(there.decide(offer, ask("GET /thing", credential))) == (402, "revoked")
    assert isinstance(here.decide(offer, ask("GET /thing", other)), Delivery)


# --- the settlement check


@pytest.mark.parametrize("offer", [CALL, BUNDLE, PASS], ids=["call", "bundle", "pass"])
def test_a_payment_that_has_not_arrived_is_asked_to_come_again(offer: Offer) -> None:
    """Case 56: 409 until the backend has it, no new invoice, the credential not burnt; then it is asked no more."""
    shop = SlowShop()
    credential = shop.buy(offer)
    for _ in range(3):
        pending = shop.decide(offer, ask("GET /thing", credential))
        assert code(pending) == (409, "payment-pending")
    shop.slow.received = True
    assert deliver(shop.decide(offer, ask("GET /thing", credential)), status=500)
    assert deliver(shop.decide(offer, ask("GET /thing", credential)))
    assert shop.slow.asked == [hash_of(credential)] * 4


def test_a_backend_that_can_not_be_asked_serves_nothing() -> None:
    """503 while it is away, and the use is back when it can be asked."""
    shop = SlowShop()
    credential = shop.buy(CALL)
    shop.slow.broken = True
    assert code(shop.decide(CALL, ask("GET /thing", credential))) == (503, "settlement-unknown")
    shop.slow.broken, shop.slow.received = False, True
    assert deliver(shop.decide(CALL, ask("GET /thing", credential)))


def test_what_was_confirmed_is_remembered_by_the_ledger() -> None:
    """Another process on the same ledger does not ask the backend again."""
    ledger = MemoryLedger()
    here, there = SlowShop({"ledger": ledger}), SlowShop({"ledger": ledger})
    credential = here.buy(BUNDLE)
    here.slow.received = True
    assert deliver(here.decide(BUNDLE, ask("GET /thing", credential)))
    assert deliver(there.decide(BUNDLE, ask("GET /thing", credential)))
    assert there.slow.asked == []


def test_a_provider_that_can_not_say_is_refused_at_start_up() -> None:
    """`verify_settlement=True` with a plain function is the operator's mistake, not the first caller's."""
    with pytest.raises(ConfigurationError, match="is_settled"):
        Paywall(lambda request: "", MemoryLedger(), verify_settlement=True)


# --- memory


def test_a_narrowed_credential_is_remembered_as_long_as_the_one_that_was_sold() -> None:
    """Case 53: used once with a `valid_until` of its holder's, it is not forgotten before the original ends."""
    ledger = Ledger()
    shop = Shop({"ledger": ledger})
    token, _, preimage = shop.buy(Offer(10, valid_for=30 * 86400)).split()[1].partition(b":")
    macaroon = pymacaroons.Macaroon.deserialize(token.decode().rstrip("="))
    macaroon.add_first_party_caveat(f"l402_valid_until={int(NOW) + 60}")
    narrowed = f"L402 {macaroon.serialize()}:{preimage.decode()}".encode()
    assert deliver(shop.decide(CALL, ask("GET /thing", narrowed)))
    assert ledger.claims[0].forget_at == NOW + 600 + 30 * 86400 + MEMORY


# --- the record


def test_revenue_is_payments_not_requests() -> None:
    """A bundle of three, used three times with a failure and a refusal between, is one payment of ten sats."""
    shop = Shop()
    credential = shop.buy(BUNDLE)
    for status in (200, 500, 200, 200):
        assert deliver(shop.decide(BUNDLE, ask("GET /thing", credential)), status=status)
    assert code(shop.decide(BUNDLE, ask("GET /thing", credential))) == (402, "already-used")
    assert record(shop) == {
        "offered": (1, 0),
        "paid": (1, 10_000),
        "delivered": (3, 0),
        "released": (1, 0),
        "refused": (1, 0),
    }
    history = shop.paywall.ledger.history(hash_of(credential)).block()
    assert history is not None
    assert [event.what for event in history.events] == ["paid", "delivered", "released", "delivered", "delivered"]


def test_a_replay_is_recorded() -> None:
    """An answer given again is neither a payment nor a delivery."""
    shop = Shop()
    credential = shop.buy(CALL)
    assert deliver(shop.decide(CALL, ask("GET /thing", credential)))
    again = shop.decide(CALL, ask("GET /thing", credential))
    assert not isinstance(again, Delivery)
    assert (again.status, again.body) == (200, b"goods")
    assert record(shop) == {"offered": (1, 0), "paid": (1, 10_000), "delivered": (1, 0), "replayed": (1, 0)}


def test_unpaid_challenges_are_counted_and_never_get_a_row() -> None:
    """A flood of strangers costs the ledger a write in a few seconds, and no payment is recorded."""
    ledger = Ledger()
    shop = Shop({"ledger": ledger})
    started = time.monotonic()
    for _ in range(300):
        shop.decide(CALL, ask())
        shop.clock.now += 0.1
    assert ledger.writes <= 2 + (time.monotonic() - started) / FLUSH_EVERY
    assert ledger.claims == []
    shop.paywall.close()
    assert sum(total.count for total in ledger.totals(DAY, DAY + 1).block() if total.what == "offered") == 300


def test_counts_survive_a_ledger_that_is_away() -> None:
    """What could not be written is written later; a challenge is made all the same."""
    ledger = Ledger()
    shop = Shop({"ledger": ledger})
    ledger.away = True
    for _ in range(5):
        assert code(shop.decide(CALL, ask()))[0] == 402
        shop.clock.now += 11
    ledger.away = False
    shop.paywall.close()
    assert ledger.totals(DAY, DAY).block() == [Total(DAY, "GET /thing", "offered", 5)]


def test_many_endpoints_of_strangers_making_do_not_grow_the_counts() -> None:
    """Where a host or a mount's parameter is in the name, anybody can choose it: past a thousand they share a line."""
    shop = Shop()
    for number in range(1500):
        shop.decide(CALL, ask(f"GET /{number}"))
        shop.clock.now += 0.1
    shop.clock.now += 24 * 3600
    shop.decide(CALL, ask("GET /the-next-day"))
    shop.paywall.close()
    totals = shop.paywall.ledger.totals(0, 10**6).block()
    assert len(totals) == 1002
    assert sum(total.count for total in totals) == 1501
    assert [total.endpoint for total in totals if total.count > 1] == ["(other)"]
    assert totals[-1].endpoint == "GET /the-next-day"


@pytest.mark.parametrize("path", ["/a\0b", "/\udc80", "/" + "x" * 10_000, "/\n"])
def test_no_path_breaks_a_ledger(path: str, tmp_path: Path) -> None:
    """Where a path stands for an endpoint, one that no store can hold must not fail the customers beside it."""
    shop = Shop({"ledger": f"sqlite:///{tmp_path / 'l402.db'}"})
    request = ask(f"GET {path}")
    credential = shop.pay(shop.decide(CALL, request))
    assert deliver(shop.decide(CALL, ask(f"GET {path}", credential)))
    assert record(shop) == {"offered": (1, 0), "paid": (1, 10_000), "delivered": (1, 0)}
