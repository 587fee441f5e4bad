"""The name under which `l402_middleware.credentials.attenuate` was documented first."""

from .credentials import attenuate as narrow

__all__ = ["narrow"]
