"""Where exchange rates come from: one class per public source, and `Rates`, which asks several and trusts none."""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from .rates import Rates
from .source import RateFunction, RateSource

if TYPE_CHECKING:
    from .sources import Bitstamp, Coinbase, Kraken, LNbitsRate, sources_from_text

__all__ = ["Bitstamp", "Coinbase", "Kraken", "LNbitsRate", "RateFunction", "RateSource", "Rates", "sources_from_text"]

_OF_SOURCES: Final = frozenset({"Bitstamp", "Coinbase", "Kraken", "LNbitsRate", "sources_from_text"})

if not TYPE_CHECKING:  # a type checker would take any name for one that is there

    def __getattr__(name: str) -> Any:
        # PEP 562. They bring HTTP, which takes longer to load than all the rest; a price in sats needs none of them.
        if name not in _OF_SOURCES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = found = getattr(import_module(".sources", __name__), name)
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_OF_SOURCES})
