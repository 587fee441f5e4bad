"""Where exchange rates come from: one class per public source, and `Rates`, which asks several and trusts none."""

from typing import TYPE_CHECKING

from ..lazy_imports import lazily

if TYPE_CHECKING:
    from .rates import Rates
    from .source import RateFunction, RateSource
    from .sources import Bitstamp, Coinbase, Kraken, LNbitsRate, sources_from_text

__all__ = ["Bitstamp", "Coinbase", "Kraken", "LNbitsRate", "RateFunction", "RateSource", "Rates", "sources_from_text"]

if not TYPE_CHECKING:
    # They bring HTTP, which takes longer to load than all the rest; a price in sats needs none of them.
    __getattr__, __dir__ = lazily(
        __name__,
        {
            ".rates": ("Rates",),
            ".source": ("RateFunction", "RateSource"),
            ".sources": ("Bitstamp", "Coinbase", "Kraken", "LNbitsRate", "sources_from_text"),
        },
    )
