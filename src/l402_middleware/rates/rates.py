"""Several sources of exchange rates, asked together and believed where most of them agree."""

import logging
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Final

from ..bulkhead import HASTE, Bulkhead
from ..core.errors import ConfigurationError, ProviderError, RateError
from ..core.fiat import Fiat
from ..core.money import Msat
from ..event_loops import Signal
from ..flow import Flow, Step, do
from ..outgoing.told import Told
from .quotes import RateQuote, Together, agreed, quote_of
from .source import RateFunction, RateSource

# Seconds until sources that gave no rate are asked again.
_RETRY = 5.0

# Seconds that a request without any rate waits for the one that is asking for it.
_MAX_WAIT = 15.0

# How many threads of a process may wait for a first rate, and how many tasks, which one event wakes in each loop.
_WAITING_THREADS: Final = 3
_WAITING_TASKS: Final = 10_000

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
    While there is no rate yet, three threads of it wait for one, and more for a quarter of a second only: those who
    have paid need the others.
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
        self._given = None if sources is None else tuple(sources)
        if self._given == ():
            raise ConfigurationError("Rates: sources is empty; leave it out for the public ones")
        for source in self._given or ():
            if not callable(source) and not hasattr(source, "rate"):
                raise ConfigurationError(f"Rates: a source must have rate(), or be a function, not {source!r}")
        self._max_age = max_age
        self._refresh = refresh
        self._clock = clock
        self._known: dict[str, _Known] = {}
        # By process too: in a forked child nobody goes on asking.
        self._asking: dict[tuple[int, str], Signal] = {}
        self._bulkhead = Bulkhead(_WAITING_THREADS, _WAITING_TASKS)

    @cached_property
    def _sources(self) -> tuple[RateSource | RateFunction, ...]:
        if self._given is not None:
            return self._given
        from .sources import Bitstamp, Coinbase, Kraken  # noqa: PLC0415 - a price in sats needs none of them

        return Coinbase(), Kraken(), Bitstamp()

    def convert(self, price: Fiat, told: Told | None = None) -> Flow[Msat]:
        """What `price` is now, rounded up to whole msat. Raises `RateError` where there is no rate to say it."""
        rate = yield from self.rate(price.currency, told)
        try:
            return price.to_msat(rate)
        except ConfigurationError:
            raise RateError(f"{price} would be more than 21 million bitcoin, at {rate:f} for one") from None

    def rate(self, currency: str, told: Told | None = None) -> Flow[Decimal]:
        """Units of `currency` for one bitcoin, at most `max_age` seconds old. Raises `RateError` if there is none.

        `told` is called for each source that this call asks, with its name, the seconds it took, and the kind of its
        failure or None; it must not raise.
        """
        if self._is_due(currency):
            if (usable := self._usable(currency)) is not None:
                # One asks, and the others go on with what there is.
                yield from self._ask_in_turn(currency, told)
                return self._usable(currency) or usable
            yield from self._first(currency, told)
        rate = self._usable(currency)
        if rate is None:
            raise RateError(f"no {currency} rate: {self._known[currency].fault}")
        return rate

    def survey(self, currency: str) -> Flow[tuple[Decimal | None, list[tuple[str, Decimal | str]]]]:
        """What the sources agree on now, if they do; and for each its name and its rate, or why there is none."""
        answers = yield from self._answers(currency)
        rates = [answer.rate for answer in answers if answer.rate is not None]
        return agreed(rates), [(answer.name, answer.rate or answer.words) for answer in answers]

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

    def _first(self, currency: str, told: Told | None) -> Flow[None]:
        """Wait until the sources have been asked, by this request or by another."""
        has_failed = currency in self._known
        try:
            seat = yield from do(self._bulkhead.enter(after_a_failure=has_failed))
        except ProviderError as error:
            raise RateError(f"no {currency} rate yet: {error}") from None
        try:
            seconds = HASTE if seat.in_haste else _MAX_WAIT
            until = time.monotonic() + seconds
            while self._is_due(currency):
                asking = self._asking.get((os.getpid(), currency))
                if asking is not None:
                    if not (yield from do(_Wait(asking, until))):
                        late = f"the sources were asked, and did not answer within {seconds:g} s"
                        raise RateError(f"no {currency} rate: {late}")
                elif seat.in_haste:
                    # It has no time to ask.
                    raise RateError(f"no {currency} rate yet: too many wait for one")
                elif (yield from self._ask_in_turn(currency, told)):
                    return
        finally:
            seat.leave()

    def _ask_in_turn(self, currency: str, told: Told | None) -> Flow[bool]:
        """Ask the sources, unless another does; whether it was this one."""
        turn, mine = (os.getpid(), currency), Signal()
        if self._asking.setdefault(turn, mine) is not mine:
            return False
        try:
            # Another may have asked just before.
            if self._is_due(currency):
                yield from self._ask(currency, told)
        finally:
            del self._asking[turn]
            mine.give()
        return True

    def _ask(self, currency: str, told: Told | None) -> Flow[None]:
        now = self._clock()
        answers = yield from self._answers(currency)
        for answer in answers:
            if told is not None:
                told(answer.name, answer.seconds, answer.fault)
        rates = [answer.rate for answer in answers if answer.rate is not None]
        faults = [answer.words for answer in answers if answer.rate is None]
        rate = agreed(rates)
        if rates and rate is None:
            faults.append("the sources do not agree: " + ", ".join(f"{one:f}" for one in rates))
        for fault in faults:
            log.warning("a %s rate is missing: %s", currency, fault)
        if rate is not None:
            self._known[currency] = _Known(rate, now, now, now + self._refresh, "the last one is too old")
        else:
            last = self._known.get(currency)
            rate, rate_at = (last.rate, last.rate_at) if last else (None, now)
            next_at = self._clock() + min(_RETRY, self._refresh)
            self._known[currency] = _Known(rate, rate_at, now, next_at, "; ".join(faults))

    def _answers(self, currency: str) -> Flow[list[RateQuote]]:
        return (yield from do(Together([quote_of(source, currency) for source in self._sources])))


class _Wait(Step[bool]):
    """The wait for whoever is asking, in this process, until `until`: whether it is over by then."""

    def __init__(self, asking: Signal, until: float) -> None:
        self._asking = asking
        self._until = until

    def block(self) -> bool:
        return self._asking.block(self._left())

    async def wait(self) -> bool:
        return await self._asking.wait(self._left())

    def _left(self) -> float:
        return max(self._until - time.monotonic(), 0.0)
