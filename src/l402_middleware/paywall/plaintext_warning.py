"""Credentials that travel in the open: over plain HTTP, from somewhere on the internet."""

import logging

from ..core.callers import address_of
from .request import RequestView

log = logging.getLogger("l402_middleware")


class PlaintextWarning:
    """Warns, once, of a client that speaks plain HTTP to the application, or to the proxy in front of it."""

    def __init__(self, *, is_behind_proxies: bool) -> None:
        self._is_behind_proxies = is_behind_proxies
        self._has_warned = False

    def look_at(self, request: RequestView) -> None:
        """Look at a request that was not paid for.

        A client with a private address may be a proxy that nobody told us of, and says nothing.
        """
        if self._has_warned or self._scheme(request) != "http":
            return
        address = address_of(request.peer)
        if address is not None and address.is_global:
            self._has_warned = True
            log.warning(
                "a client on the internet asked over plain HTTP: whoever carries its requests can read the credentials "
                "it pays for. Serve over TLS; behind a proxy that does, set trusted_proxies and forwarded_header, and "
                "let it set X-Forwarded-Proto"
            )

    def _scheme(self, request: RequestView) -> str:
        # Anybody can send this header, but only to keep a warning about himself quiet.
        forwarded = request.header("x-forwarded-proto") if self._is_behind_proxies else None
        return forwarded.rpartition(",")[2].strip().lower() if forwarded else request.scheme
