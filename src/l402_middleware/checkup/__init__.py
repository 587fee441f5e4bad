"""What a crawler, a browser and a careful client hold against a service, found out from outside and without paying."""

from .examine import examine
from .finding import Objection, Status

__all__ = ["Objection", "Status", "examine"]
