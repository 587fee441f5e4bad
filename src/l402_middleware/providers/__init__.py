"""Where invoices come from: one file per Lightning backend, each of which is loaded when somebody asks for it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from ..invoicing.failover import Failover
from ..invoicing.function import FunctionProvider
from ..invoicing.provider import CreatedInvoice, InvoiceRequest, Provider, SettlementCheck
from .url import provider_from_url

if TYPE_CHECKING:
    from .core_lightning import CoreLightning
    from .devnode import DevNode
    from .lightning_address import LightningAddress, VerifiableLightningAddress
    from .lnbits import LNbits
    from .lnd import LND
    from .nostr_wallet_connect import NostrWalletConnect
    from .phoenixd import Phoenixd

__all__ = [  # noqa: RUF022 - as sorted() has it, which does not take LND for a constant
    "CoreLightning",
    "CreatedInvoice",
    "DevNode",
    "Failover",
    "FunctionProvider",
    "InvoiceRequest",
    "LND",
    "LNbits",
    "LightningAddress",
    "NostrWalletConnect",
    "Phoenixd",
    "Provider",
    "SettlementCheck",
    "VerifiableLightningAddress",
    "provider_from_url",
]

_MODULES: Final = {
    "CoreLightning": "core_lightning",
    "DevNode": "devnode",
    "LND": "lnd",
    "LNbits": "lnbits",
    "LightningAddress": "lightning_address",
    "NostrWalletConnect": "nostr_wallet_connect",
    "Phoenixd": "phoenixd",
    "VerifiableLightningAddress": "lightning_address",
}


if not TYPE_CHECKING:  # a type checker would take any name for one that is there

    def __getattr__(name: str) -> Any:
        # PEP 562. An application has one backend, and HTTP takes longer to load than all the rest.
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = found = getattr(import_module(f".{_MODULES[name]}", __name__), name)
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
