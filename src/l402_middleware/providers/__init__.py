"""Where invoices come from: one file per Lightning backend."""

from .devnode import DevNode
from .lnbits import LNbits
from .provider import CreatedInvoice, InvoiceRequest, Provider, SettlementCheck
from .url import provider_from_url

__all__ = [
    "CreatedInvoice",
    "DevNode",
    "InvoiceRequest",
    "LNbits",
    "Provider",
    "SettlementCheck",
    "provider_from_url",
]
