"""Several sources of exchange rates, asked together and believed where most of them agree."""

import logging
import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from statistics import median_low
from typing import TypeAlias

import anyio

from ..core.errors import ConfigurationError, ProviderError, RateError
from ..core.fiat import Fiat, exact
from ..core.money import Msat
from ..flow import Call, Flow, Step, adrive, do, drive
from .sources import Bitstamp, Coinbase, Kraken, RateSource

RateFunction: TypeAlias = Callable[[str], Decimal | Awaitable[Decimal]]

# A source that is farther than this from the median is wrong: honest ones differ by a percent or two.
_FACTOR = Fraction(11, 10)

# Seconds until sources that gave no rate are asked again.
_RETRY = 5.0

# Seconds that a request without any rate waits for the one that is asking for it.
_MAX_WAIT = 15.0

log = logging.getLogger("l402_middleware")


@dataclass(frozen=True, slots=True)
class _Known:
    """What the sources said: the last rate and when it was asked for, until when that will do, and what failed."""

    rate: Decimal | None
    rate_at: float
    asked_at: float
    next_at: float
    fault: str


class Rates:
    """What one bitcoin costs, from several sources.

    - `sources`: sources from `l402_middleware.rates`, or functions, plain or async, from a currency ("USD") to the
      units of it for one bitcoin, as a `Decimal`; without it Coinbase, Kraken and Bitstamp.
    - `max_age`: seconds after which a rate is not used any more, even where no source answers.
    - `refresh`: seconds after which the sources are asked again.
    - `clock`: the time in seconds.

    All sources are asked at once. Of those that answer, more than half must be within 10 % of their median, which is
    taken (of an even number the lower one, so that no price is too low). Raises `ConfigurationError` for what cannot
    work. One object serves any number of threads, event loops and forked workers; a process asks once at a time.
    """

    def __init__(
        self,
        sources: Iterable[RateSource | RateFunction] | None = None,
        *,
        max_age: float = 600,
        refresh: float = 60,
        clock: Callable[[], float] = time.time,
    ) -> None:
        for name, value in (("refresh", refresh), ("max_age", max_age)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
                raise ConfigurationError(f"Rates: {name} must be a number of seconds above 0, not {value!r}")
        if max_age < refresh:
            raise ConfigurationError(f"Rates: max_age={max_age} must not be below refresh={refresh}")
        if callable(sources) or hasattr(sources, "rate"):
            raise ConfigurationError("Rates: sources must be a list, even of a single source")
        self._sources = (Coinbase(), Kraken(), Bitstamp()) if sources is None else tuple(sources)
        if not self._sources:
            raise ConfigurationError("Rates: sources is empty; leave it out for the public ones")
        for source in self._sources:
            if not callable(source) and not hasattr(source, "rate"):
                raise ConfigurationError(f"Rates: a source must have rate(), or be a function, not {source!r}")
        self._max_age = max_age
        self._refresh = refresh
        self._clock = clock
        self._known: dict[str, _Known] = {}
        # By process too: a lock that was held during a fork would be held forever in the child.
        self._turns: dict[tuple[int, str], threading.Lock] = {}

    def convert(self, price: Fiat) -> Flow[Msat]:
        """What `price` is now, rounded up to whole msat. Raises `RateError` where there is no rate to say it."""
        rate = yield from self.rate(price.currency)
        try:
            return price.to_msat(rate)
        except ConfigurationError:
            raise RateError(f"{price} would be more than 21 million bitcoin, at {rate:f} for one") from None

    def rate(self, currency: str) -> Flow[Decimal]:
        """Units of `currency` for one bitcoin, at most `max_age` seconds old. Raises `RateError` if there is none."""
        if self._is_due(currency):
            turn = self._turns.setdefault((os.getpid(), currency), threading.Lock())
            usable = self._usable(currency)
            if usable is None:
                yield from do(_Turn(turn, currency))
            elif not turn.acquire(blocking=False):
                return usable
            try:
                # While this one waited, another may have asked.
                if self._is_due(currency):
                    yield from self._ask(currency)
            finally:
                turn.release()
        rate = self._usable(currency)
        if rate is None:
            raise RateError(f"no {currency} rate: {self._known[currency].fault}")
        return rate

    def survey(self, currency: str) -> Flow[tuple[Decimal | None, list[tuple[str, Decimal | str]]]]:
        """What the sources agree on now, if they do; and for each its name and its rate, or why there is none."""
        answers = yield from do(_Together([_answer(source, currency) for source in self._sources]))
        rates = [answer for answer in answers if isinstance(answer, Decimal)]
        return _agreed(rates), list(zip(map(_name, self._sources), answers, strict=True))

    def close(self) -> None:
        """Close the connections of blocking drivers."""
        for source in self._sources:
            if not callable(source):
                source.close()

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        for source in self._sources:
            if not callable(source):
                await source.aclose()

    def _is_due(self, currency: str) -> bool:
        known = self._known.get(currency)
        # Outside these limits the clock was set back, and no age means anything.
        return known is None or not known.asked_at <= self._clock() < known.next_at

    def _usable(self, currency: str) -> Decimal | None:
        known = self._known.get(currency)
        return known.rate if known is not None and 0 <= self._clock() - known.rate_at <= self._max_age else None

    def _ask(self, currency: str) -> Flow[None]:
        now = self._clock()
        answers = yield from do(_Together([_answer(source, currency) for source in self._sources]))
        rates = [answer for answer in answers if isinstance(answer, Decimal)]
        faults = [answer for answer in answers if isinstance(answer, str)]
        agreed = _agreed(rates)
        if rates and agreed is None:
            faults.append("the sources do not agree: " + ", ".join(f"{rate:f}" for rate in rates))
        for fault in faults:
            log.warning("a %s rate is missing: %s", currency, fault)
        if agreed is not None:
            self._known[currency] = _Known(agreed, now, now, now + self._refresh, "the last one is too old")
        else:
            last = self._known.get(currency)
            rate, rate_at = (last.rate, last.rate_at) if last else (None, now)
            next_at = self._clock() + min(_RETRY, self._refresh)
            self._known[currency] = _Known(rate, rate_at, now, next_at, "; ".join(faults))


def _answer(source: RateSource | RateFunction, currency: str) -> Flow[Decimal | str]:
    """The source's rate, or in a sentence why there is none."""
    name = _name(source)
    try:
        answer = yield from (do(Call[object](source, currency)) if callable(source) else source.rate(currency))
    except (RateError, ProviderError) as error:
        return str(error)
    except Exception as error:
        return f"{name} raised {type(error).__name__}"
    rate = exact(answer)
    return rate if rate is not None else f"{name} gave no decimal number above zero"


def _name(source: RateSource | RateFunction) -> str:
    return str(getattr(source, "__name__", type(source).__name__))


def _agreed(rates: list[Decimal]) -> Decimal | None:
    """The median of those that are near it, if they are more than half of all."""
    if not rates:
        return None
    middle = Fraction(median_low(rates))
    near = [rate for rate in rates if middle / _FACTOR <= Fraction(rate) <= middle * _FACTOR]
    return median_low(near) if len(near) * 2 > len(rates) else None


class _Turn(Step[None]):
    """The wait for whoever is asking, in this process: a thread, or a task of any event loop."""

    def __init__(self, turn: threading.Lock, currency: str) -> None:
        self._turn = turn
        self._currency = currency

    def block(self) -> None:
        if not self._turn.acquire(timeout=_MAX_WAIT):
            raise self._late()

    async def wait(self) -> None:
        # The other may be on another loop or none, so there is nothing to await.
        until = anyio.current_time() + _MAX_WAIT
        while not self._turn.acquire(blocking=False):
            if anyio.current_time() > until:
                raise self._late()
            await anyio.sleep(0.02)

    def _late(self) -> RateError:
        return RateError(f"no {self._currency} rate: the sources were asked, and did not answer within {_MAX_WAIT:g} s")


class _Together(Step[list[Decimal | str]]):
    """Several flows at once: none waits for a slow one before it."""

    def __init__(self, flows: list[Flow[Decimal | str]]) -> None:
        self._flows = flows

    def block(self) -> list[Decimal | str]:
        with ThreadPoolExecutor(len(self._flows)) as pool:
            # In the caller's context, which a function of the application's may need.
            running = [pool.submit(copy_context().run, drive, flow) for flow in self._flows]
            return [each.result() for each in running]

    async def wait(self) -> list[Decimal | str]:
        answers: list[Decimal | str] = [""] * len(self._flows)

        async def run(number: int, flow: Flow[Decimal | str]) -> None:
            answers[number] = await adrive(flow)

        async with anyio.create_task_group() as group:
            for number, flow in enumerate(self._flows):
                group.start_soon(run, number, flow)
        return answers
