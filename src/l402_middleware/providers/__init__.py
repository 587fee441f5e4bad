"""Where invoices come from: one file per Lightning backend, each of which is loaded when somebody asks for it."""

from typing import TYPE_CHECKING

from ..lazy_imports import lazily

if TYPE_CHECKING:
    from ..invoicing.failover import Failover
    from ..invoicing.function import FunctionProvider
    from ..invoicing.provider import CreatedInvoice, InvoiceRequest, Provider, SettlementCheck
    from .core_lightning import CoreLightning
    from .devnode import DevNode
    from .lightning_address import LightningAddress, VerifiableLightningAddress
    from .lnbits import LNbits
    from .lnd import LND
    from .nostr_wallet_connect import NostrWalletConnect
    from .phoenixd import Phoenixd
    from .url import provider_from_url

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

if not TYPE_CHECKING:
    # An application has one backend, and HTTP takes longer to load than all the rest.
    __getattr__, __dir__ = lazily(
        __name__,
        {
            ".core_lightning": ("CoreLightning",),
            ".devnode": ("DevNode",),
            ".lightning_address": ("LightningAddress", "VerifiableLightningAddress"),
            ".lnbits": ("LNbits",),
            ".lnd": ("LND",),
            ".nostr_wallet_connect": ("NostrWalletConnect",),
            ".phoenixd": ("Phoenixd",),
            ".url": ("provider_from_url",),
            "..invoicing.failover": ("Failover",),
            "..invoicing.function": ("FunctionProvider",),
            "..invoicing.provider": ("CreatedInvoice", "InvoiceRequest", "Provider", "SettlementCheck"),
        },
    )
