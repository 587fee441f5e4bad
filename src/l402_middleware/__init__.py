"""Charge for HTTP endpoints in sats: the L402 protocol for Starlette, FastAPI and Flask."""

from typing import TYPE_CHECKING

from .lazy_imports import lazily

if TYPE_CHECKING:
    from .core.errors import (
        BadCredential,
        ConfigurationError,
        L402Error,
        LedgerError,
        ProviderError,
        RateError,
        Refusal,
    )
    from .core.fiat import Fiat, fiat, usd
    from .core.money import Msat, msats, sats
    from .paywall.delivery import Payment
    from .paywall.offer import Offer
    from .paywall.paywall import Paywall
    from .paywall.request import RequestView
    from .paywall.settings import paywall_from_settings
    from .rates import Rates

__all__ = [
    "BadCredential",
    "ConfigurationError",
    "Fiat",
    "L402Error",
    "LedgerError",
    "Msat",
    "Offer",
    "Payment",
    "Paywall",
    "ProviderError",
    "RateError",
    "Rates",
    "Refusal",
    "RequestView",
    "fiat",
    "msats",
    "paywall_from_settings",
    "sats",
    "usd",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            ".core.errors": (
                "BadCredential",
                "ConfigurationError",
                "L402Error",
                "LedgerError",
                "ProviderError",
                "RateError",
                "Refusal",
            ),
            ".core.fiat": ("Fiat", "fiat", "usd"),
            ".core.money": ("Msat", "msats", "sats"),
            ".paywall.delivery": ("Payment",),
            ".paywall.offer": ("Offer",),
            ".paywall.paywall": ("Paywall",),
            ".paywall.request": ("RequestView",),
            ".paywall.settings": ("paywall_from_settings",),
            ".rates": ("Rates",),
        },
    )
