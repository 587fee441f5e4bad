"""Where invoices come from: one file per Lightning backend."""

from .devnode import DevNode
from .lnbits import LNbits
from .provider import CreatedInvoice, Exchange, InvoiceRequest, Provider
from .url import provider_from_url

__all__ = ["CreatedInvoice", "DevNode", "Exchange", "InvoiceRequest", "LNbits", "Provider", "provider_from_url"]
