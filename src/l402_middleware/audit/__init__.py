"""Every route of an application: what it sells, or why it sells nothing."""

from .audit import audit
from .exceptions import Exceptions
from .finding import Finding, Status, Verdict

__all__ = ["Exceptions", "Finding", "Status", "Verdict", "audit"]
