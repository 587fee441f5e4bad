"""Charge for HTTP endpoints in sats: the L402 protocol for Starlette, FastAPI and Flask."""

from .core.errors import BadCredential, ConfigurationError, L402Error, LedgerError, ProviderError, RateError, Refusal
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
