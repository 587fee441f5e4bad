"""What gives exchange rates: a source, or a function."""

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Protocol, TypeAlias

from ..flow import Flow

RateFunction: TypeAlias = Callable[[str], Decimal | Awaitable[Decimal]]
"""From a currency ("USD") to the units of it for one bitcoin."""


class RateSource(Protocol):
    """What `Rates` needs of a source."""

    def rate(self, currency: str) -> Flow[Decimal]:
        """Units of `currency` (three capital letters) for one bitcoin.

        Raises `RateError` or `ProviderError` where there is no such rate.
        """
        ...

    def close(self) -> None:
        """Close the connections of blocking drivers."""
        ...

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        ...
