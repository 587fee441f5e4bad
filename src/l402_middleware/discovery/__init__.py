"""What an application sells, written for programs that look for something to buy."""

from ..paywall.service import Service
from .sold import Sold, sold_by

__all__ = ["Service", "Sold", "sold_by"]
