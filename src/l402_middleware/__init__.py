"""Charge for HTTP endpoints in sats: the L402 protocol for Starlette, FastAPI and Flask."""

from .core.errors import Refusal

__all__ = ["Refusal"]
