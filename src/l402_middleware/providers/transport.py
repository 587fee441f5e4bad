"""The transport by its old name."""

from ..outgoing.transport import Transport

__all__ = ["Transport"]
