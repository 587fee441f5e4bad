"""Charge for HTTP endpoints in sats: the L402 protocol for Starlette, FastAPI and Flask."""

from .core.errors import BadCredential, ConfigurationError, L402Error, LedgerError, ProviderError, Refusal
from .core.money import Msat, msats, sats
from .paywall.delivery import Payment
from .paywall.offer import Offer
from .paywall.paywall import Paywall
from .paywall.request import RequestView
from .paywall.settings import paywall_from_settings

__all__ = [
    "BadCredential",
    "ConfigurationError",
    "L402Error",
    "LedgerError",
    "Msat",
    "Offer",
    "Payment",
    "Paywall",
    "ProviderError",
    "Refusal",
    "RequestView",
    "msats",
    "paywall_from_settings",
    "sats",
]
