"""Every route of an application: what it sells, or why it sells nothing."""

from .exceptions import Exceptions
from .finding import Finding, Status, Verdict
from .place import audit

__all__ = ["Exceptions", "Finding", "Status", "Verdict", "audit"]
