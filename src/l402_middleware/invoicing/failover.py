"""Several providers in order, each behind a circuit breaker: the first that makes an invoice will do."""

import logging
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, TypeVar, cast

from ..bulkhead import HASTE, Bulkhead
from ..core.errors import ConfigurationError, ProviderError, ProviderFault
from ..core.invoice import Invoice
from ..flow import Flow, do, within
from ..outgoing.told import Told
from ..throttled_log import ThrottledLog
from .breaker import Attempt, Breaker
from .provider import CreatedInvoice, InvoiceRequest, Provider, SettlementCheck

# How many invoices' makers are remembered. For one that is forgotten, all providers are asked.
MAX_REMEMBERED: Final = 10_000

# For an invoice, where nothing else is said. Callers do not wait much longer, and some servers not either.
_SECONDS: Final = 20.0

T = TypeVar("T")
Accepted = TypeVar("Accepted", CreatedInvoice, Invoice)

log = logging.getLogger("l402_middleware")


class Failover:
    """A `Provider` made of others, which are asked for an invoice in order until one makes it.

    One that failed `failures` times in a row is passed over for `pause` seconds. Then one request in `pause` seconds
    tries it, until it works again. `rejected` does not count, because the request may be to blame; a cancelled attempt
    does not either.

    `timeout` bounds the whole, in seconds (20, or the longest `timeout` of a provider's own): each provider has an
    equal share of what is left of it, and never more than its own `timeout`. So the last one still has time when all
    before it hang. `max_threads` threads of a process wait for a provider as long as that; more do only while it
    answers within a quarter of a second (see `bulkhead.Bulkhead`).

    Amounts are multiples of what each can express. Settlement is asked of the provider that made the invoice; where
    this process does not know which, of all. `clock` gives seconds that never go back. Raises `ConfigurationError` for
    providers on different networks.
    """

    def __init__(
        self,
        *providers: Provider,
        failures: int = 5,
        pause: float = 30.0,
        timeout: float | None = None,
        max_threads: int = 3,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not providers:
            raise ConfigurationError("Failover needs at least one provider")
        for provider in providers:
            if isinstance(provider, Failover):
                raise ConfigurationError("a Failover in another one: give the outer one all the providers, in order")
            if not hasattr(provider, "create_invoice"):
                raise ConfigurationError(f"Failover takes providers, not {type(provider).__name__}")
        if len({provider.network for provider in providers}) > 1:
            networks = ", ".join(f"{_name(provider)} on {provider.network}" for provider in providers)
            raise ConfigurationError(f"all providers must be on the same network, not {networks}")
        self.providers: Final = providers
        self.network: Final = providers[0].network
        self.granularity_msat: Final = math.lcm(*(provider.granularity_msat for provider in providers))
        if timeout is None:
            own = (getattr(provider, "timeout", None) for provider in providers)
            timeout = max([_SECONDS, *(seconds for seconds in own if isinstance(seconds, int | float))])
        if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout < float("inf"):
            raise ConfigurationError(f"timeout must be a number of seconds above 0, not {timeout!r}")
        self._pause = pause
        self._timeout = timeout
        self._bulkheads = [Bulkhead(max_threads) for _ in providers]
        self._breakers = [Breaker(failures, pause, clock) for _ in providers]
        self._makers: OrderedDict[bytes, Provider] = OrderedDict()
        self._lock = threading.Lock()
        self._log = ThrottledLog()

    def __repr__(self) -> str:
        return f"Failover({', '.join(map(repr, self.providers))})"

    def __eq__(self, other: object) -> bool:
        return self.providers == other.providers if isinstance(other, Failover) else NotImplemented

    def __hash__(self) -> int:
        # An operator's own provider may be equal to others, and have no hash.
        return hash(tuple(map(type, self.providers)))

    def create_invoice(self, request: InvoiceRequest) -> Flow[CreatedInvoice]:
        """The first invoice that a provider makes. Raises `ProviderError` where none does."""
        return (yield from self.create(request, lambda created: created))

    def create(
        self, request: InvoiceRequest, accept: Callable[[CreatedInvoice], Accepted], told: Told | None = None
    ) -> Flow[Accepted]:
        """What `accept` makes of the first invoice that it takes; `told` is called for each provider that was asked.

        An invoice for which it raises `ProviderError` is a failure of its provider. Where no provider is left, a
        `ProviderError` names each of them and the kind of its failure.
        """
        faults: list[str] = []
        error = None
        until = time.monotonic() + self._timeout
        for number, provider in enumerate(self.providers):
            attempt = self._breakers[number].begin()
            if attempt is None:
                faults.append(f"{_name(provider)}: {self._breakers[number].fault}, and not asked again yet")
                continue
            seconds = (until - time.monotonic()) / (len(self.providers) - number)
            try:
                return (yield from self._try(number, attempt, seconds, request, accept, told))
            except ProviderError as failure:
                error = failure
                faults.append(f"{_name(provider)}: {failure.kind}")
        if error is not None and len(self.providers) == 1:
            raise error
        kind = error.kind if error is not None else self._breakers[-1].fault
        raise ProviderError(kind, f"no provider made an invoice ({'; '.join(faults)})")

    def _try(
        self,
        number: int,
        attempt: Attempt,
        seconds: float,
        request: InvoiceRequest,
        accept: Callable[[CreatedInvoice], Accepted],
        told: Told | None,
    ) -> Flow[Accepted]:
        provider, breaker = self.providers[number], self._breakers[number]
        seat, began = None, 0.0
        try:
            seat = yield from do(self._bulkheads[number].enter(after_a_failure=breaker.has_failed))
            seconds = min(seconds, HASTE) if seat.in_haste else seconds
            began = time.monotonic()
            accepted = accept((yield from _in_time(provider, seconds, provider.create_invoice(request))))
        except ProviderError as error:
            if seat is not None:
                _tell(told, provider, began, error.kind)
            had_time = seat is not None and not seat.in_haste and seconds > 0
            # Neither a price that a wallet does not take nor a crowd may close it to everybody else.
            if error.kind == "rejected" or (error.kind in ("timeout", "busy") and not had_time):
                breaker.abandoned(attempt)
            elif breaker.failed(attempt, error.kind):
                log.error("%s fails, and is tried once every %g s from now on: %s", _name(provider), self._pause, error)
            if len(self.providers) > 1:
                message = "%s made no invoice (%s): %s"
                self._log.log(logging.WARNING, message, _name(provider), error.kind, error)
            raise
        except BaseException:
            breaker.abandoned(attempt)
            raise
        finally:
            if seat is not None:
                seat.leave()
        breaker.succeeded(attempt)
        _tell(told, provider, began, None)
        self._remember(accepted.payment_hash, provider)
        return accepted

    def is_settled(self, payment_hash: bytes, told: Told | None = None) -> Flow[bool]:
        """Whether the provider that made the invoice has received the payment; where that is unknown, whether any has.

        Open breakers do not matter here: whoever asks has paid. Raises `ProviderError` where that provider cannot be
        asked; where all are, if none says yes and one cannot be asked. `told` is called
        for each that was asked.
        """
        with self._lock:
            maker = self._makers.get(payment_hash)
        error = None
        asked = self.providers if maker is None else (maker,)
        until = time.monotonic() + self._timeout
        for number, provider in enumerate(asked):
            seconds = (until - time.monotonic()) / (len(asked) - number)
            began = time.monotonic()
            try:
                if not hasattr(provider, "is_settled"):
                    raise ProviderError("rejected", f"{_name(provider)} cannot say whether a payment was received")
                check = cast(SettlementCheck, provider).is_settled(payment_hash)
                settled = yield from _in_time(provider, seconds, check)
            except ProviderError as failure:
                error = failure
                _tell(told, provider, began, failure.kind)
            else:
                _tell(told, provider, began, None)
                if settled:
                    return True
        if error is not None:
            raise error
        return False

    def close(self) -> None:
        """Close every provider's connections of blocking drivers."""
        for provider in self.providers:
            provider.close()

    async def aclose(self) -> None:
        """Close every provider's connections of the running event loop."""
        for provider in self.providers:
            await provider.aclose()

    def _remember(self, payment_hash: bytes | None, maker: Provider) -> None:
        if payment_hash is None or len(self.providers) == 1:
            return
        with self._lock:
            self._makers[payment_hash] = maker
            if len(self._makers) > MAX_REMEMBERED:
                self._makers.popitem(last=False)


def _in_time(provider: Provider, seconds: float, flow: Flow[T]) -> Flow[T]:
    """`flow`, ended by a `ProviderError` where it takes longer than `seconds`."""
    return within(
        seconds, flow, lambda: ProviderError("timeout", f"{_name(provider)} did not answer within {seconds:.3g} s")
    )


def _tell(told: Told | None, provider: Provider, began: float, fault: ProviderFault | None) -> None:
    if told is not None:
        told(_name(provider), time.monotonic() - began, fault)


def _name(provider: Provider) -> str:
    return type(provider).__name__
