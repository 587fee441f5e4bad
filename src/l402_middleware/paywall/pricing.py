"""What a request costs now: computed by the application's own function, or converted from a currency, or fixed.

A stranger can have a price computed as often as it likes, so a price function has few threads of its own, and takes
none from those who have paid.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from ..bulkhead import HASTE, Bulkhead
from ..core.errors import ConfigurationError, ProviderError, ProviderFault, Refusal
from ..core.fiat import Fiat
from ..core.money import Msat
from ..events import RateAsked
from ..flow import Call, Flow, Threads, do
from ..rates import Rates
from .observers import Observers
from .offer import Offer, PriceFunction, as_amount
from .request import RequestView

# For this many seconds after a slow price, at most `price_threads` threads compute prices.
SLOW_FOR: Final = 60.0


class Pricing:
    """Says what a request costs.

    In a blocking server `threads` of a process compute prices for as long as that takes, and more of them only while
    prices come within `bulkhead.HASTE` seconds; on an event loop there are as many threads for plain functions, which
    are nobody else's.
    """

    def __init__(self, rates: Rates, observers: Observers, threads: int, clock: Callable[[], float]) -> None:
        self._rates = rates
        self._observers = observers
        self._clock = clock
        self._bulkhead = Bulkhead(threads)
        self._threads = Threads(threads)
        self._slow_until = float("-inf")

    def price_of(self, request: RequestView, offer: Offer) -> Flow[Msat]:
        """What `offer` is sold for to this request, whose body is read.

        Raises `RateError`; `Refusal`, the price function's own, or 503 (`too-many-prices`) where too many are computed
        at the moment; `ConfigurationError` for a price that is none; and whatever else a price function raises.
        """
        price = offer.price
        if callable(price):
            price = yield from self._computed(price, request)
        if isinstance(price, Fiat):
            price = yield from self._converted(price)
        return price

    def _computed(self, price: PriceFunction, request: RequestView) -> Flow[Msat | Fiat]:
        # What is sold to HEAD is sold to GET.
        asked = replace(request, method="GET") if request.method == "HEAD" else request
        try:
            seat = yield from do(self._bulkhead.enter(after_a_failure=time.monotonic() < self._slow_until))
        except ProviderError:
            raise Refusal(
                503, "too-many-prices", "Too many prices are being computed at the moment; repeat the request.", 5
            ) from None
        started = time.monotonic()
        try:
            amount: object = yield from do(Call(price, asked, threads=self._threads))
        finally:
            seat.leave()
            now = time.monotonic()
            if now - started > HASTE:
                self._slow_until = now + SLOW_FOR
        try:
            return as_amount(amount)
        except ConfigurationError as error:
            name = getattr(price, "__qualname__", type(price).__qualname__)
            raise ConfigurationError(
                f"the price function {name} of {request.endpoint_name} gave {amount!r}: {error}"
            ) from None

    def _converted(self, price: Fiat) -> Flow[Msat]:
        if not self._observers.anybody:
            return (yield from self._rates.convert(price))

        def told(source: str, seconds: float, fault: ProviderFault | None) -> None:
            self._observers.tell(RateAsked, self._clock(), source, price.currency, seconds, fault)

        return (yield from self._rates.convert(price, told))
