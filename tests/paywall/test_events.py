"""What listeners are told: each request once, each use to its end, and nothing that opens anything."""

import logging
from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest

from l402_middleware import ConfigurationError, Offer, RateError, Rates, Refusal, usd
from l402_middleware.core.errors import ProviderError
from l402_middleware.events import (
    Admitted,
    Challenged,
    Event,
    Lapsed,
    Paid,
    ProviderAsked,
    RateAsked,
    Refused,
    Released,
    Replayed,
    Settled,
)
from l402_middleware.flow import drive
from l402_middleware.ledgers import MemoryLedger
from l402_middleware.paywall.delivery import Delivery

from .shop import KEY, NOW, Shop, ask, code, deliver
from .test_redemption import SlowShop, hash_of

CALL = Offer(10)
BUNDLE = Offer(10, uses=3)
PASS = Offer(10, uses=None)


class Watcher:
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.told.append(event)

    def news(self) -> list[str]:
        """The kinds of what was told since the last look."""
        told, self.told = self.told, []
        return [type(event).__name__ for event in told]


@pytest.fixture(name="watcher")
def _watcher() -> Watcher:
    return Watcher()


@pytest.fixture(name="shop")
def _shop(watcher: Watcher) -> Shop:
    return Shop({"observe": watcher})


def test_a_sale_from_its_challenge_to_its_replay(shop: Shop, watcher: Watcher) -> None:
    """Each step of it once, with the payment's hash, the amount and the endpoint."""
    credential = shop.buy(CALL)
    payment = hash_of(credential).hex()
    asked, challenged = watcher.told
    assert isinstance(asked, ProviderAsked)
    assert (asked.at, asked.provider, asked.fault) == (NOW, "DevNode", None)
    assert 0 <= asked.seconds < 60
    assert challenged == Challenged(NOW, "GET /thing", payment, 10_000, None, ("l402", "payment"))
    watcher.news()
    shop.clock.now += 1
    running = shop.decide(CALL, ask("GET /thing", credential))
    shop.clock.now += 1
    assert code(shop.decide(CALL, ask("GET /thing", credential))) == (409, "in-use")
    assert deliver(running)
    shop.decide(CALL, ask("GET /thing", credential))
    paid, admitted, refused, settled, replayed = watcher.told
    assert paid == Paid(NOW + 1, "GET /thing", payment, 10_000)
    assert admitted == Admitted(NOW + 1, "GET /thing", payment, 10_000, 0, "l402")
    assert refused == Refused(NOW + 2, "GET /thing", 409, "in-use")
    assert isinstance(settled, Settled)
    assert (settled.at, settled.endpoint, settled.payment_hash) == (NOW + 2, "GET /thing", payment)
    assert 0 <= settled.seconds < 60
    assert replayed == Replayed(NOW + 2, "GET /thing", payment, "l402")


def test_a_credential_that_is_no_good(shop: Shop, watcher: Watcher) -> None:
    """The new challenge says why."""
    credential = shop.buy(CALL, ask("GET /other"))
    watcher.news()
    assert code(shop.decide(CALL, ask("GET /thing", credential)))[1] == "wrong-endpoint"
    [challenged] = [event for event in watcher.told if isinstance(event, Challenged)]
    assert (challenged.endpoint, challenged.why) == ("GET /thing", "wrong-endpoint")


def test_a_use_that_is_given_back(shop: Shop, watcher: Watcher) -> None:
    """By a handler that fails, each time; a payment is told of once."""
    credential = shop.buy(BUNDLE)
    watcher.news()
    for _ in range(2):
        deliver(shop.decide(BUNDLE, ask("GET /thing", credential)), status=500)
    assert watcher.news() == ["Paid", "Admitted", "Released", "Admitted", "Released"]
    deliver(shop.decide(BUNDLE, ask("GET /thing", credential)))
    assert watcher.news() == ["Admitted", "Settled"]


def test_a_use_whose_lease_another_request_took(shop: Shop, watcher: Watcher) -> None:
    """The answer that came too late is told of as lapsed, the other as settled."""
    credential = shop.buy(CALL)
    late = shop.decide(CALL, ask("GET /thing", credential))
    shop.clock.now += 61
    in_time = shop.decide(CALL, ask("GET /thing", credential))
    watcher.news()
    assert not deliver(late)
    assert deliver(in_time)
    assert watcher.news() == ["Lapsed", "Settled"]


def test_a_pass(shop: Shop, watcher: Watcher) -> None:
    """Nothing is held, so nothing is settled, however it ends."""
    credential = shop.buy(PASS)
    watcher.news()
    for status in (200, 500):
        deliver(shop.decide(PASS, ask("GET /thing", credential)), status=status)
    assert [event.uses_left for event in watcher.told if isinstance(event, Admitted)] == [None, None]
    assert watcher.news() == ["Paid", "Admitted", "Admitted"]


def test_a_payment_that_did_not_arrive_is_not_paid(watcher: Watcher) -> None:
    """With `verify_settlement` it counts from when the backend has it; each question is told of."""
    shop = SlowShop({"observe": [watcher]})
    credential = shop.buy(CALL)
    watcher.news()
    assert code(shop.decide(CALL, ask("GET /thing", credential)))[1] == "payment-pending"
    assert watcher.news() == ["ProviderAsked", "Released", "Refused"]
    shop.slow.broken = True
    assert code(shop.decide(CALL, ask("GET /thing", credential)))[1] == "settlement-unknown"
    [asked] = [event for event in watcher.told if isinstance(event, ProviderAsked)]
    assert (asked.provider, asked.fault) == ("Node", "unreachable")
    watcher.news()
    shop.slow.broken, shop.slow.received = False, True
    assert isinstance(shop.decide(CALL, ask("GET /thing", credential)), Delivery)
    assert watcher.news() == ["ProviderAsked", "Paid", "Admitted"]


def refusing(request: object) -> int:
    """A price for nobody."""
    raise Refusal(422, "too-thin", "There is nothing to convert.")


def no_rate(currency: str) -> Any:
    """A source that has none."""
    raise RateError("none")


def test_what_is_not_sold(shop: Shop, watcher: Watcher, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal says its status and its code, a provider or a rate that fails is told of before it."""
    shop.decide(Offer(refusing), ask())
    assert watcher.told == [Refused(NOW, "GET /thing", 422, "too-thin")]
    watcher.news()

    def fail(request: object) -> Any:
        raise ProviderError("timeout", "late")
        yield

    monkeypatch.setattr(shop.node, "create_invoice", fail)
    shop.decide(CALL, ask())
    asked, refused = watcher.told
    assert isinstance(asked, ProviderAsked)
    assert asked.fault == "timeout"
    assert refused == Refused(NOW, "GET /thing", 503, "invoice-unavailable")
    watcher.news()
    poor = Shop({"observe": watcher, "rates": Rates([no_rate])})
    poor.decide(Offer(usd("1.00")), ask())
    rate, refused = watcher.told
    assert isinstance(rate, RateAsked)
    assert (rate.source, rate.currency, rate.fault is None) == ("no_rate", "USD", False)
    assert refused == Refused(NOW, "GET /thing", 503, "rate-unavailable")


def test_a_listener_that_raises_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """Neither who pays nor the other listeners, nor the record; of what it raised the log has the kind, ten times."""

    def broken(event: Event) -> None:
        raise RuntimeError("hunter2")

    watcher = Watcher()
    shop = Shop({"observe": [broken, watcher]})
    credential = shop.buy(BUNDLE)
    for _ in range(3):
        assert deliver(shop.decide(BUNDLE, ask("GET /thing", credential)))
    for _ in range(20):
        assert code(shop.decide(BUNDLE, ask("GET /thing", credential)))[1] == "already-used"
    assert len(watcher.told) > 20
    shop.paywall.close()
    totals = {total.what: total.count for total in shop.paywall.ledger.totals(0, 10**6).block()}
    assert (totals["offered"], totals["refused"]) == (1, 20)
    lines = [record for record in caplog.records if "observe" in record.getMessage()]
    assert {(line.levelno, line.getMessage().partition("broken")[2]) for line in lines} == {
        (logging.ERROR, " raised RuntimeError")
    }
    assert len(lines) == 10
    assert "hunter2" not in caplog.text


def test_no_event_holds_a_secret(shop: Shop, watcher: Watcher) -> None:
    """Neither keys nor preimages, tokens or invoices; and nobody can change what the next listener is told."""
    credential = shop.buy(CALL)
    for _ in range(2):
        decision = shop.decide(CALL, ask("GET /thing", credential))
        assert isinstance(decision, Delivery) == (_ == 0)
        if isinstance(decision, Delivery):
            deliver(decision)
    shown = repr(watcher.told)
    token, _, preimage = credential.removeprefix(b"L402 ").partition(b":")
    for secret in (KEY, token.decode(), preimage.decode(), "lnbcrt"):
        assert secret not in shown
    for event in watcher.told:
        with pytest.raises(FrozenInstanceError):
            setattr(event, fields(event)[0].name, 0)


async def awaited(event: Event) -> None:
    """A listener that nobody would wait for."""


class Awaited:
    """Another one."""

    async def __call__(self, event: Event) -> None: ...


@pytest.mark.parametrize("observe", [awaited, Awaited(), [Watcher(), awaited], 7, ["print"], "print"])
def test_what_cannot_listen(observe: Any) -> None:
    """It is refused at start-up."""
    with pytest.raises(ConfigurationError, match="observe must be"):
        Shop({"observe": observe})


def test_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Events that nobody is told of are not made."""
    for kind in (Paid, Settled, Refused, Replayed, ProviderAsked, Lapsed, Released):
        monkeypatch.setattr(kind, "__init__", lambda *args: pytest.fail("made"))
    shop = Shop({"ledger": MemoryLedger()})
    credential = shop.buy(CALL)
    for _ in range(2):
        decision = shop.decide(CALL, ask("GET /thing", credential))
        if isinstance(decision, Delivery):
            deliver(decision)
    drive(shop.paywall.check())
