"""Prices in a currency: what is quoted, what is honoured, and what happens without a rate."""

import logging
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import anyio
import pytest

from l402_middleware import ConfigurationError, Fiat, Offer, Paywall, Rates, RequestView, fiat, usd
from l402_middleware.core.errors import RateError
from l402_middleware.flow import Flow
from l402_middleware.paywall.paywall import Decision
from l402_middleware.providers import InvoiceRequest

from .shop import Clock, Shop, ask, code, deliver, field_of, members

Decide = Callable[[Shop, Offer, RequestView], Decision]


@pytest.fixture(params=["drive", "asyncio", "trio"])
def decide(request: pytest.FixtureRequest) -> Decide:
    """Let a shop decide with one of the drivers."""

    def awaiting(shop: Shop, offer: Offer, view: RequestView) -> Decision:
        return anyio.run(shop.adecide, offer, view, backend=request.param)

    return Shop.decide if request.param == "drive" else awaiting


def shop_at(price: dict[str, Decimal]) -> Shop:
    """A shop whose rate is whatever stands in `price` at the moment."""

    def market(currency: str) -> Decimal:
        return price[currency]

    clock = Clock()
    return Shop({"rates": Rates([market], clock=clock)}, clock)


async def in_euro(request: RequestView) -> Fiat:
    """A price function that awaits, and computes in euro."""
    await anyio.sleep(0)
    return fiat("0.45", "EUR")


@pytest.mark.parametrize(
    ("offer", "msat"),
    [
        (Offer(usd("0.02")), 20_000),
        (Offer(price=usd("1")), 1_000_000),
        (Offer(fiat("0.09", "EUR")), 100_000),
        (Offer(lambda request: usd("0.05")), 50_000),
        (Offer(in_euro), 500_000),
        (Offer(usd("0.000000000001")), 1),
        (Offer(usd("0.0200000001")), 20_001),
    ],
)
def test_quoted_at_the_rate(decide: Decide, offer: Offer, msat: int) -> None:
    """The challenge is over the price in millisatoshi, rounded up, and what it buys is delivered."""
    shop = shop_at({"USD": Decimal(100_000), "EUR": Decimal(90_000)})
    challenge = decide(shop, offer, ask())
    assert code(challenge) == (402, "payment-required")
    assert members(challenge)["amount_msat"] == msat
    assert deliver(decide(shop, offer, ask("GET /thing", shop.pay(challenge))))


def test_without_sources_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A paywall asks the public ones, again after a minute by its own clock."""
    market = {"USD": Decimal(100_000)}
    for name in ("Coinbase", "Kraken", "Bitstamp"):
        monkeypatch.setattr(f"l402_middleware.rates.sources.{name}", lambda: market.__getitem__)
    shop, offer = Shop(), Offer(usd("0.02"))
    amounts = []
    for seconds, price in ((0, 100_000), (59, 50_000), (1, 50_000)):
        shop.clock.now += seconds
        market["USD"] = Decimal(price)
        amounts.append(members(shop.decide(offer, ask()))["amount_sats"])
    assert amounts == [20, 20, 40]


def test_the_rate_of_the_challenge_is_honoured(decide: Decide) -> None:
    """What was quoted and paid opens the door, however much the rate has moved, or is gone, since."""
    market = {"USD": Decimal(100_000)}
    shop, offer = shop_at(market), Offer(usd("0.02"), uses=2)
    credential = shop.pay(decide(shop, offer, ask()))
    market["USD"] = Decimal(50_000)
    shop.clock.now += 61
    assert members(decide(shop, offer, ask()))["amount_msat"] == 40_000
    assert deliver(decide(shop, offer, ask("GET /thing", credential)))
    del market["USD"]
    shop.clock.now += 601
    assert code(decide(shop, offer, ask())) == (503, "rate-unavailable")
    assert deliver(decide(shop, offer, ask("GET /thing", credential)))


def test_without_a_rate_nothing_is_quoted(decide: Decide, caplog: pytest.LogCaptureFixture) -> None:
    """503 with a code and when to come again; the log says why, and no invoice was made."""
    shop, offer = shop_at({}), Offer(usd("0.02"))
    with caplog.at_level(logging.ERROR, "l402_middleware"):
        refused = decide(shop, offer, ask())
    assert code(refused) == (503, "rate-unavailable")
    assert field_of(refused, b"retry-after") == [b"5"]
    assert not field_of(refused, b"www-authenticate")
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("ERROR", "no rate, so 503 for GET /thing: no USD rate: market raised KeyError")
    ]


def test_a_price_in_sats_needs_no_rate(decide: Decide) -> None:
    """Sources are asked for fiat prices only."""
    asked: list[str] = []

    def market(currency: str) -> Decimal:
        asked.append(currency)
        return Decimal(1)

    shop = Shop({"rates": Rates([market])})
    assert members(decide(shop, Offer(21), ask()))["amount_sats"] == 21
    assert not asked


def test_a_price_function_may_use_rates_of_its_own(decide: Decide) -> None:
    """Its `RateError` is the same 503."""

    def price(request: RequestView) -> int:
        raise RateError("no rate of mine")

    assert code(decide(Shop(), Offer(price), ask())) == (503, "rate-unavailable")


def test_whole_sats_where_the_backend_knows_no_less(decide: Decide) -> None:
    """The price is rounded up once more to what the provider can make an invoice over."""
    market = {"USD": Decimal(99_999)}
    amounts: list[int] = []

    def provider(request: InvoiceRequest) -> str:
        amounts.append(request.amount.msat)
        raise OSError

    whole = shop_at(market)
    whole.paywall = Paywall(provider, "memory:", rates=Rates([market.__getitem__]))
    assert code(decide(whole, Offer(usd("0.02")), ask())) == (503, "invoice-unavailable")
    assert amounts == [21_000]
    assert members(decide(shop_at(market), Offer(usd("0.02")), ask()))["amount_msat"] == 20_001


@pytest.mark.parametrize("price", [0.02, "0.02", Decimal("0.02"), "$0.02"], ids=repr)
def test_a_bare_number_is_no_fiat_price(price: Any) -> None:
    """A currency is always named; what is meant otherwise cannot be known."""
    with pytest.raises(ConfigurationError, match=r"usd\(\) or fiat\(\)"):
        Offer(price)


@pytest.mark.parametrize("backend", ["drive", "asyncio", "trio"])
def test_closing_the_paywall_closes_its_sources(backend: str) -> None:
    """Whoever closes a paywall has closed every connection: those to the sources of rates too."""
    closed: list[str] = []

    class Source:
        def rate(self, currency: str) -> Flow[Decimal]:
            raise AssertionError("nobody asked for a rate")

        def close(self) -> None:
            closed.append("blocking")

        async def aclose(self) -> None:
            closed.append("awaiting")

    paywall = Shop({"rates": Rates([Source()])}).paywall
    if backend == "drive":
        paywall.close()
        assert closed == ["blocking"]
    else:
        anyio.run(paywall.aclose, backend=backend)
        assert closed == ["awaiting", "blocking"]
