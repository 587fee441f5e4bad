"""Where exchange rates come from: one class per public source, and `Rates`, which asks several and trusts none."""

from .rates import RateFunction, Rates
from .sources import Bitstamp, Coinbase, Kraken, LNbitsRate, RateSource, sources_from_text

__all__ = ["Bitstamp", "Coinbase", "Kraken", "LNbitsRate", "RateFunction", "RateSource", "Rates", "sources_from_text"]
