"""The sources of exchange rates, each one GET request: how many units of a currency one bitcoin costs.

No part of an answer but its status reaches a message.
"""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from decimal import Decimal
from typing import Any

from ..core.errors import ConfigurationError, RateError
from ..core.fiat import exact
from ..flow import Flow
from ..outgoing.access import check_url
from ..outgoing.transport import Transport
from .source import RateSource


@dataclass(frozen=True, slots=True)
class _Ticker:
    """A server that answers a GET with JSON; `timeout` is in seconds, for a whole request."""

    url: str
    _: KW_ONLY
    timeout: float = 5.0
    _http: Transport = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_url(type(self).__name__, self.url, "https://rates.example")
        object.__setattr__(self, "_http", Transport(self.timeout))

    def rate(self, currency: str) -> Flow[Decimal]:
        """Units of `currency` for one bitcoin. Raises `RateError` or `ProviderError` where there is no such rate."""
        answer = yield from self._http.send("GET", self.url.rstrip("/") + self._path(currency))
        name = type(self).__name__
        if answer.status_code != 200:
            raise RateError(f"{name} has no {currency} rate (HTTP {answer.status_code})")
        try:
            # As they stand: a float has lost digits.
            found = exact(self._find(answer.json(parse_float=Decimal), currency))
        except (ValueError, ArithmeticError, RecursionError, LookupError, TypeError, AttributeError):
            found = None
        if found is None:
            raise RateError(f"{name} answered without a {currency} rate")
        return found

    def close(self) -> None:
        """Close the connections of blocking drivers."""
        self._http.close()

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        await self._http.aclose()

    def _path(self, currency: str) -> str:
        raise NotImplementedError

    def _find(self, answer: Any, currency: str) -> object:
        # May fail as a look-up in an answer of another shape fails.
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Coinbase(_Ticker):
    """Coinbase's exchange rates: most currencies of the world."""

    url: str = "https://api.coinbase.com"

    def _path(self, currency: str) -> str:
        return "/v2/exchange-rates?currency=BTC"

    def _find(self, answer: Any, currency: str) -> object:
        return answer["data"]["rates"][currency] if answer["data"]["currency"] == "BTC" else None


@dataclass(frozen=True, slots=True)
class Kraken(_Ticker):
    """The last trade on Kraken: USD, EUR, GBP, CHF, CAD, AUD, JPY."""

    url: str = "https://api.kraken.com"

    def _path(self, currency: str) -> str:
        return f"/0/public/Ticker?pair=XBT{currency}"

    def _find(self, answer: Any, currency: str) -> object:
        # The pair has another name in the answer: XXBTZUSD for XBTUSD, yet XBTCHF for XBTCHF.
        ((pair, ticker),) = answer["result"].items()
        return ticker["c"][0] if "XBT" in pair and pair.endswith(currency) else None


@dataclass(frozen=True, slots=True)
class Bitstamp(_Ticker):
    """The last trade on Bitstamp: USD, EUR, GBP."""

    url: str = "https://www.bitstamp.net"

    def _path(self, currency: str) -> str:
        return f"/api/v2/ticker/btc{currency.lower()}/"

    def _find(self, answer: Any, currency: str) -> object:
        return answer["last"]


@dataclass(frozen=True, slots=True)
class LNbitsRate(_Ticker):
    """The rate that an LNbits server computes from its own sources; needs no key. `url` is the server's address."""

    def _path(self, currency: str) -> str:
        return f"/api/v1/rate/{currency}"

    def _find(self, answer: Any, currency: str) -> object:
        # Zero where LNbits has none.
        return answer["price"]


_BY_NAME: dict[str, Callable[[], RateSource]] = {"coinbase": Coinbase, "kraken": Kraken, "bitstamp": Bitstamp}


def sources_from_text(text: str) -> list[RateSource]:
    """The sources that `text` names, with white space or commas between them.

    Known are `coinbase`, `kraken`, `bitstamp`, and `lnbits+https://HOST`. Raises `ConfigurationError` for any other.
    """
    found: list[RateSource] = []
    for number, name in enumerate(text.replace(",", " ").split(), 1):
        if name.lower() in _BY_NAME:
            found.append(_BY_NAME[name.lower()]())
        elif name.startswith(("lnbits+https://", "lnbits+http://")):
            found.append(LNbitsRate(name.removeprefix("lnbits+")))
        else:
            raise ConfigurationError(
                f"source {number} of exchange rates is none of {', '.join(_BY_NAME)} and lnbits+https://HOST"
            )
    return found
