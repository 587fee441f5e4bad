"""Several sources: which rate is believed, for how long, and who asks for it."""

import json
import os
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l402_middleware import ConfigurationError, Fiat, Rates, fiat, msats, usd
from l402_middleware.bulkhead import Bulkhead
from l402_middleware.core.errors import ProviderError, RateError
from l402_middleware.flow import Flow, adrive, drive
from l402_middleware.rates import Bitstamp, Coinbase, Kraken

from ..paywall.shop import Clock
from .test_sources import Answer, bitstamp, coinbase, kraken, serving


@dataclass
class Market:
    """A function as a source, which counts its calls and fails when it is told to."""

    price: Any = Decimal(100_000)
    calls: list[str] = field(default_factory=list)

    def __call__(self, currency: str) -> Decimal:
        self.calls.append(currency)
        if isinstance(self.price, Exception):
            raise self.price
        price: Decimal = self.price
        return price


def quoting(*prices: Any) -> Rates:
    """Rates whose sources quote these."""
    return Rates([Market(price) for price in prices])


ERROR = ValueError("secret")


@pytest.mark.parametrize(
    ("prices", "rate"),
    [
        (["100000"], "100000"),
        ([100_000], "100000"),
        ([Decimal(100_000) / 3], "33333.33333333333333333333333"),
        (["100", "101"], "100"),
        (["100", "110"], "100"),
        (["110", "100"], "100"),
        (["100", "101", "102"], "101"),
        (["102", "100", "101", "103"], "101"),
        # Outliers, up and down, one and two.
        (["100", "101", "1000"], "100"),
        (["0.001", "100", "101"], "100"),
        (["100", "101", "102", "1", "10000"], "101"),
        (["100", "112", "101"], "100"),
        # Failures beside them.
        ([ERROR, "100"], "100"),
        ([ERROR, ERROR, "100"], "100"),
        (["0", "-1", "NaN", 1.5, None, True, Decimal("Infinity"), Decimal("NaN"), "100"], "100"),
        ([RateError("a"), ProviderError("timeout", "b"), "100", "101", "102"], "101"),
    ],
)
def test_the_median_of_those_that_agree(prices: list[Any], rate: str) -> None:
    """What fails or is far from the median does not count; of an even number the lower middle is taken."""
    assert drive(quoting(*prices).rate("USD")) == Decimal(rate)


@pytest.mark.parametrize(
    ("prices", "words"),
    [
        ([ERROR], "Market raised ValueError"),
        ([RateError("Kraken is down"), ProviderError("timeout", "late")], "Kraken is down; late"),
        (["0"], "no decimal number"),
        ([0.5, float("inf"), None, "", b"1"], "no decimal number"),
        (["100", "111"], "do not agree: 100, 111"),
        (["111", "100"], "do not agree"),
        (["1", "10", "100"], "do not agree"),
        (["1", "1", "10", "10"], "do not agree"),
        ([ERROR, "100", "1"], "do not agree"),
    ],
)
def test_no_rate_is_no_guess(prices: list[Any], words: str) -> None:
    """Where all fail, or no majority agrees, there is an error that says why, without a function's own words."""
    with pytest.raises(RateError, match=words) as caught:
        drive(quoting(*prices).rate("USD"))
    assert "no USD rate" in str(caught.value)
    assert "secret" not in str(caught.value)


@given(st.lists(st.decimals("1e-6", "1e9", allow_nan=False, allow_infinity=False, places=6), min_size=1, max_size=7))
def test_a_rate_is_one_that_most_sources_say(prices: list[Decimal]) -> None:
    """The rate is one that a source said, and more than half are within 21 % of it; or there is none."""
    prices = [price + Decimal("0.000001") for price in prices]
    try:
        rate = drive(quoting(*prices).rate("USD"))
    except RateError:
        low = sorted(prices)[(len(prices) - 1) // 2]
        near = [price for price in prices if low * 10 <= price * 11 and price * 10 <= low * 11]
        assert len(near) * 2 <= len(prices)
    else:
        assert rate in prices
        near = [price for price in prices if rate * 100 <= price * 121 and price * 100 <= rate * 121]
        assert len(near) * 2 > len(prices)


def test_is_cached_then_kept_then_dropped() -> None:
    """Asked again after `refresh` seconds; where that fails the old one is good for `max_age` seconds."""
    clock, market = Clock(), Market()
    rates = Rates([market], refresh=60, max_age=600, clock=clock)
    start = clock.now
    for second, calls in ((0, 1), (59.9, 1), (60, 2)):
        clock.now = start + second
        assert drive(rates.rate("USD")) == 100_000
        assert len(market.calls) == calls
    market.price = ERROR
    clock.now = start + 60 + 599
    assert drive(rates.rate("USD")) == 100_000
    assert len(market.calls) == 3
    clock.now = start + 60 + 600.1
    with pytest.raises(RateError, match="ValueError"):
        drive(rates.rate("USD"))
    market.price = Decimal(90_000)
    clock.now += 5
    assert drive(rates.rate("USD")) == 90_000


def test_sources_that_fail_are_left_alone_for_a_moment() -> None:
    """With no rate, the next requests are refused at once; the sources are asked again after 5 seconds."""
    clock, market = Clock(), Market(ERROR)
    rates = Rates([market], clock=clock)
    for _ in range(10):
        with pytest.raises(RateError, match="no USD rate: Market raised ValueError"):
            drive(rates.rate("USD"))
    assert len(market.calls) == 1
    market.price = Decimal(1)
    clock.now += 5
    assert drive(rates.rate("USD")) == 1


def test_a_clock_that_is_set_back_keeps_no_rate_alive() -> None:
    """A rate from the future has no age: the sources are asked again, and without them there is none."""
    clock, market = Clock(), Market()
    rates = Rates([market], clock=clock)
    drive(rates.rate("USD"))
    clock.now -= 3600
    market.price = ERROR
    with pytest.raises(RateError):
        drive(rates.rate("USD"))
    assert len(market.calls) == 2


def test_currencies_are_kept_apart() -> None:
    """Each has its own rate and its own age."""
    prices = {"USD": Decimal(100_000), "JPY": Decimal(15_000_000)}
    rates = Rates([prices.__getitem__])
    assert drive(rates.convert(usd("1"))) == drive(rates.convert(fiat("150", "JPY"))) == msats(1_000_000)
    with pytest.raises(RateError, match="no CHF rate"):
        drive(rates.rate("CHF"))


def test_a_price_beyond_all_bitcoin_is_a_fault_of_the_rate() -> None:
    """A tiny rate makes no price that an invoice cannot have."""
    with pytest.raises(RateError, match="21 million bitcoin"):
        drive(quoting("0.000000001").convert(usd("1")))


@pytest.mark.anyio
@pytest.mark.parametrize("is_async", [False, True])
async def test_functions_plain_and_async_awaited(is_async: bool) -> None:
    """Both kinds of function are sources on an event loop, with the same outcome."""

    async def market(currency: str) -> Decimal:
        await anyio.sleep(0)
        return Decimal(100_000)

    rates = Rates([market if is_async else Market()])
    assert await adrive(rates.convert(usd("0.02"))) == msats(20_000)
    await rates.aclose()


def test_an_async_function_blocking() -> None:
    """A blocking server may have an async source."""

    async def market(currency: str) -> Decimal:
        await anyio.sleep(0)
        return Decimal(100_000)

    assert drive(Rates([market, Market()]).rate("USD")) == 100_000


@dataclass
class SlowMarket(Market):
    """A function that answers when it is let go."""

    go: threading.Event = field(default_factory=threading.Event)
    entered: threading.Event = field(default_factory=threading.Event)

    def __call__(self, currency: str) -> Decimal:
        self.entered.set()
        assert self.go.wait(10)
        return super().__call__(currency)


def test_one_asks_and_the_others_use_what_is_there() -> None:
    """While one thread asks anew, others get the rate of before at once."""
    clock, market = Clock(), SlowMarket()
    market.go.set()
    rates = Rates([market], clock=clock)
    drive(rates.rate("USD"))
    market.go.clear()
    market.entered.clear()
    market.price = Decimal(90_000)
    clock.now += 61
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(drive, rates.rate("USD"))
        assert market.entered.wait(10)
        assert [drive(rates.rate("USD")) for _ in range(5)] == [100_000] * 5
        assert not asking.done()
        market.go.set()
        assert asking.result(10) == 90_000
    assert drive(rates.rate("USD")) == 90_000
    assert len(market.calls) == 2


@pytest.mark.parametrize("price", [Decimal(100_000), ERROR], ids=["answers", "fails"])
def test_a_crowd_without_a_rate_asks_once(price: Any) -> None:
    """Threads and event loops that come at once wait for the first, and share its rate, or its failure."""
    market = SlowMarket(price)
    rates = Rates([market])

    def outcome(ask: Callable[[], Decimal]) -> Decimal | str:
        try:
            return ask()
        except RateError as error:
            return str(error)

    def of(number: int) -> Decimal | str:
        if number % 3 == 0:
            return outcome(lambda: drive(rates.rate("USD")))
        return outcome(lambda: anyio.run(adrive, rates.rate("USD"), backend=["asyncio", "trio"][number % 3 - 1]))

    with ThreadPoolExecutor(12) as pool:
        crowd = [pool.submit(of, number) for number in range(12)]
        assert market.entered.wait(10)
        time.sleep(0.1)
        market.go.set()
        outcomes = {each.result(20) for each in crowd}
    assert outcomes == ({price} if price != ERROR else {"no USD rate: SlowMarket raised ValueError"})
    assert market.calls == ["USD"]


@pytest.mark.anyio
async def test_who_gives_up_leaves_the_turn_to_others() -> None:
    """A request that is cancelled while it asks does not keep the next one from asking."""
    hang = True

    async def market(currency: str) -> Decimal:
        if hang:
            await anyio.sleep(60)
        return Decimal(100_000)

    rates = Rates([market, Market()])
    with anyio.move_on_after(0.05) as scope:
        await adrive(rates.rate("USD"))
    assert scope.cancelled_caught
    hang = False
    with anyio.fail_after(5):
        assert await adrive(rates.rate("USD")) == 100_000


@pytest.mark.parametrize("backend", ["drive", "asyncio", "trio"])
def test_who_waits_too_long_is_refused(monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    """A source that hangs holds up the one who asks it, and not everybody for ever."""
    monkeypatch.setattr("l402_middleware.rates.rates._MAX_WAIT", 0.1)
    market = SlowMarket()
    rates = Rates([market])
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(drive, rates.rate("USD"))
        assert market.entered.wait(10)
        with pytest.raises(RateError, match="did not answer within"):
            drive(rates.rate("USD")) if backend == "drive" else anyio.run(adrive, rates.rate("USD"), backend=backend)
        market.go.set()
        assert asking.result(10) == 100_000


def test_a_turn_held_during_a_fork_does_not_stop_the_child() -> None:
    """A process asks for itself: what another thread of its parent held is nobody's in the child."""
    market = SlowMarket()
    rates = Rates([market])
    with ThreadPoolExecutor(1) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside threads is what this is about
        asking = pool.submit(drive, rates.rate("USD"))
        assert market.entered.wait(10)
        child = os.fork()
        if child == 0:
            market.go = threading.Event()
            market.go.set()
            os._exit(0 if drive(rates.rate("USD")) == 100_000 else 1)
        assert os.waitpid(child, 0)[1] == 0
        market.go.set()
        assert asking.result(10) == 100_000
    assert market.calls == ["USD"]


@pytest.mark.parametrize("backend", ["drive", "asyncio", "trio"])
def test_three_servers_and_one_of_them_lies(backend: str) -> None:
    """Real sources on loopback, one of which is a factor of ten off: the other two are believed."""
    answers = (Answer(_json(coinbase("100000.5"))), Answer(_json(kraken("1000000"))), Answer(_json(bitstamp("99990"))))
    with serving(answers[0]) as one, serving(answers[1]) as two, serving(answers[2]) as three:
        rates = Rates([Coinbase(one), Kraken(two), Bitstamp(three)])
        assert _convert(rates, usd("1"), backend) == msats(1_000_101)


def test_sources_are_asked_at_the_same_time() -> None:
    """Two that each wait for the other both answer."""
    together = threading.Barrier(2, timeout=10)

    def market(currency: str) -> Decimal:
        together.wait()
        return Decimal(100_000)

    assert drive(Rates([market, market]).rate("USD")) == 100_000


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _convert(rates: Rates, price: Fiat, backend: str) -> Any:
    async def main() -> Any:
        try:
            return await adrive(rates.convert(price))
        finally:
            await rates.aclose()

    if backend != "drive":
        return anyio.run(main, backend=backend)
    try:
        return drive(rates.convert(price))
    finally:
        rates.close()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"refresh": 0}, "refresh"),
        ({"refresh": float("nan")}, "refresh"),
        ({"refresh": True}, "refresh"),
        ({"max_age": -1}, "max_age"),
        ({"max_age": float("inf")}, "max_age"),
        ({"max_age": "60"}, "max_age"),
        ({"max_age": 30}, "must not be below refresh"),
        ({"sources": []}, "sources is empty"),
        ({"sources": ["https://api.kraken.com"]}, "a source must"),
        ({"sources": Market()}, "must be a list"),
        ({"sources": Kraken()}, "must be a list"),
    ],
)
def test_refuses_what_can_not_work(options: dict[str, Any], words: str) -> None:
    """Each wrong setting is named at start-up."""
    with pytest.raises(ConfigurationError, match=words):
        Rates(**options)


def _flow_source(price: Decimal) -> Any:
    class Source:
        def rate(self, currency: str) -> Flow[Decimal]:
            yield from ()
            return price

        def close(self) -> None: ...

        async def aclose(self) -> None: ...

    return Source()


def test_a_source_of_ones_own_is_held_to_the_same_rules() -> None:
    """An object with `rate()` may be a source; what it gives is checked as everything is."""
    assert drive(Rates([_flow_source(Decimal(5))]).rate("USD")) == 5
    with pytest.raises(RateError, match="Source gave no decimal number above zero"):
        drive(Rates([_flow_source(Decimal(0))]).rate("USD"))


def test_silent_sources_hold_three_threads() -> None:
    """Of eight threads five are free again at once or in a quarter of a second, and serve those who have paid."""
    market = SlowMarket()
    rates = Rates([market])
    with ThreadPoolExecutor(8) as pool:
        first = [pool.submit(drive, rates.rate("USD"))]
        assert market.entered.wait(10)
        others = [pool.submit(drive, rates.rate("USD")) for _ in range(7)]
        refused = [each.exception() for _, each in zip(range(5), as_completed(first + others, 10), strict=False)]
        assert all(isinstance(error, RateError) for error in refused)
        assert not first[0].done()
        # Somebody who has paid: a thread is there.
        assert pool.submit(lambda: "served").result(10) == "served"
        market.go.set()
        assert [each.result(20) for each in first + others if each.exception(20) is None] == [Decimal(100_000)] * 3
    assert market.calls == ["USD"]


def test_a_seat_in_haste_is_not_for_asking() -> None:
    """Whoever has a quarter of a second only does not ask sources that need longer, and blames none of them."""
    market = SlowMarket()
    rates = Rates([market])
    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(drive, rates.rate(currency)) for currency in ("USD", "EUR", "CHF")]
        while len(rates._asking) < 3:
            time.sleep(0.001)
        rates._bulkhead = Bulkhead(1)
        seat = rates._bulkhead.enter().block()
        with pytest.raises(RateError, match="no GBP rate yet"):
            drive(rates.rate("GBP"))
        seat.leave()
        market.go.set()
        assert [each.result(10) for each in asking] == [Decimal(100_000)] * 3
    assert drive(rates.rate("GBP")) == 100_000


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_two_thousand_tasks_are_woken_together(backend: str) -> None:
    """While one asks, the others sleep until it is over, and all have its rate."""
    go = threading.Event()

    async def market(currency: str) -> Decimal:
        await anyio.to_thread.run_sync(go.wait)
        return Decimal(100_000)

    rates = Rates([market])
    found: list[Decimal] = []

    async def want() -> None:
        found.append(await adrive(rates.rate("USD")))

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(2000):
                tasks.start_soon(want)
            for _ in range(10):
                await anyio.lowlevel.checkpoint()
            (asking,) = rates._asking.values()
            assert len(asking._loops) == 1
            go.set()

    anyio.run(main, backend=backend)
    assert found == [Decimal(100_000)] * 2000


@pytest.mark.anyio
async def test_a_function_that_hangs_leaves_the_application_its_threads() -> None:
    """A plain function is called in threads of our own."""
    before = anyio.to_thread.current_default_thread_limiter().borrowed_tokens
    seen: list[float] = []

    def market(currency: str) -> Decimal:
        seen.append(limiter.borrowed_tokens)
        return Decimal(100_000)

    limiter = anyio.to_thread.current_default_thread_limiter()
    await adrive(Rates([market]).rate("USD"))
    assert seen == [before]


def test_who_listens_hears_of_each_source() -> None:
    """By name, with seconds, and the kind of what failed; of a rate that is there already nothing."""
    heard: list[tuple[str, bool, str | None]] = []

    def told(name: str, seconds: float, fault: str | None) -> None:
        heard.append((name, 0 <= seconds < 60, fault))

    def late(currency: str) -> Decimal:
        raise ProviderError("timeout", "late")

    def broken(currency: str) -> Decimal:
        raise ERROR

    rates = Rates([Market().__call__, late, broken])
    for _ in range(3):
        drive(rates.convert(usd("1"), told))
    assert heard == [("__call__", True, None), ("late", True, "timeout"), ("broken", True, "bad-answer")]
