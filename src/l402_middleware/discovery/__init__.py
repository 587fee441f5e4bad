"""What an application sells, written for programs that look for something to buy."""

from ..paywall.service import Service
from .documents import document_for
from .sold import Sold, sold_by

__all__ = ["Service", "Sold", "document_for", "sold_by"]
