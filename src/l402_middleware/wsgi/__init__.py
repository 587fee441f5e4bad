"""WSGI: `L402Middleware` sells a whole application; the adapters for single frameworks stand on the rest."""

from .middleware import L402Middleware

__all__ = ["L402Middleware"]
