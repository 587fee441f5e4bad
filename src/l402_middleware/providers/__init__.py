"""Where invoices come from: one file per Lightning backend."""

from .core_lightning import CoreLightning
from .devnode import DevNode
from .failover import Failover
from .function import FunctionProvider
from .lightning_address import LightningAddress, VerifiableLightningAddress
from .lnbits import LNbits
from .lnd import LND
from .nostr_wallet_connect import NostrWalletConnect
from .phoenixd import Phoenixd
from .provider import CreatedInvoice, InvoiceRequest, Provider, SettlementCheck
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
