"""Asks every source at once, and says what most of them agree on."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final

import anyio

from ..core.errors import ProviderError, ProviderFault, RateError
from ..core.fiat import exact
from ..flow import Call, Flow, Step, Threads, adrive, do, drive
from .source import RateFunction, RateSource

# A source that is farther than this from the median is wrong: honest ones differ by a percent or two.
_FACTOR = Fraction(11, 10)

# A function that hangs must not hold up the application's own threads.
_THREADS: Final = Threads(8)


@dataclass(frozen=True, slots=True)
class RateQuote:
    """What one source said: its rate, or in a sentence why there is none, and the kind of that failure."""

    name: str
    seconds: float
    rate: Decimal | None = None
    words: str = ""
    fault: ProviderFault | None = None


def quote_of(source: RateSource | RateFunction, currency: str) -> Flow[RateQuote]:
    """What `source` says of a currency; it has no failure of its own."""
    name, began = str(getattr(source, "__name__", type(source).__name__)), time.monotonic()

    def without(words: str, fault: ProviderFault) -> RateQuote:
        return RateQuote(name, time.monotonic() - began, words=words, fault=fault)

    try:
        asked = do(Call[object](source, currency, threads=_THREADS)) if callable(source) else source.rate(currency)
        answer = yield from asked
    except (RateError, ProviderError) as error:
        return without(str(error), error.kind if isinstance(error, ProviderError) else "bad-answer")
    except Exception as error:
        return without(f"{name} raised {type(error).__name__}", "bad-answer")
    rate = exact(answer)
    if rate is None:
        return without(f"{name} gave no decimal number above zero", "bad-answer")
    return RateQuote(name, time.monotonic() - began, rate)


def agreed(rates: list[Decimal]) -> Decimal | None:
    """The median of those that are near it, if they are more than half of all."""
    if not rates:
        return None
    middle = Fraction(_median(rates))
    near = [rate for rate in rates if middle / _FACTOR <= Fraction(rate) <= middle * _FACTOR]
    return _median(near) if len(near) * 2 > len(rates) else None


def _median(rates: list[Decimal]) -> Decimal:
    """The one in the middle; of an even number the lower one, so that no price is too low."""
    return sorted(rates)[(len(rates) - 1) // 2]


class Together(Step[list[RateQuote]]):
    """Several flows at once: none waits for a slow one before it."""

    def __init__(self, flows: list[Flow[RateQuote]]) -> None:
        self._flows = flows

    def block(self) -> list[RateQuote]:
        with ThreadPoolExecutor(len(self._flows)) as pool:
            # In the caller's context, which a function of the application's may need.
            running = [pool.submit(copy_context().run, drive, flow) for flow in self._flows]
            return [each.result() for each in running]

    async def wait(self) -> list[RateQuote]:
        answers: dict[int, RateQuote] = {}

        async def run(number: int, flow: Flow[RateQuote]) -> None:
            answers[number] = await adrive(flow)

        async with anyio.create_task_group() as group:
            for number, flow in enumerate(self._flows):
                group.start_soon(run, number, flow)
        return [answers[number] for number in range(len(self._flows))]
