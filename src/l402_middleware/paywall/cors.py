"""What a script of another origin in a browser needs, to be shown a 402 and the answer that it paid for.

The Fetch standard, "CORS protocol". Cookies are never allowed: what is sold here is paid for by a header.
"""

import re
from collections.abc import Iterable
from typing import Final, Literal

from ..core.errors import ConfigurationError
from .response import Headers, Response

EXPOSED: Final = (b"WWW-Authenticate", b"Payment-Receipt", b"Retry-After", b"Age", b"L402-Replayed")
"""The fields that no script sees otherwise: how to pay, what was paid, when to come again, and an answer's age."""

# Scheme, host and port as browsers send them (RFC 6454, section 6.2).
_ORIGIN: Final = re.compile(r"https?://[a-z0-9.\-\[\]:]+", re.ASCII)
_TOKENS: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z, \t-]+")

# Seconds for which a browser need not ask again; none remembers it for longer than two hours.
_MAX_AGE: Final = b"7200"


class Cors:
    """What pages of certain origins may read; `origins` is "*" for all, or a list such as ["https://shop.example"].

    Raises `ConfigurationError` for what is no origin.
    """

    def __init__(self, origins: Literal["*"] | Iterable[str]) -> None:
        listed = [origins] if isinstance(origins, str) else list(origins)
        self._allows_all = listed == ["*"]
        for each in listed:
            if not self._allows_all and not (isinstance(each, str) and _ORIGIN.fullmatch(each)):
                raise ConfigurationError(
                    f'cors={each!r}: give "*", or origins such as "https://shop.example", without a path, in lower case'
                )
        self._origins = frozenset(each.encode() for each in listed)

    def fields(self, headers: Iterable[tuple[bytes, bytes]]) -> Headers:
        """The fields of the answer to a request with these; the origin of who asks may differ, so caches are told."""
        fields = self._allow(_value(headers, b"origin"))
        if fields:
            fields.append((b"access-control-expose-headers", b", ".join(EXPOSED)))
        return fields if self._allows_all else [*fields, (b"vary", b"Origin")]

    def add_to(self, response: Response, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Put them into an answer to such a request, unless it says who may read it."""
        response.headers[:] = with_fields(response.headers, self.fields(headers))

    def preflight(self, headers: Iterable[tuple[bytes, bytes]]) -> Response:
        """The answer to a preflight, which a browser sends before a request that has an Authorization field."""
        fields = self._allow(_value(headers, b"origin"))
        method = wanted_method(headers)
        if fields and method is not None:
            fields.append((b"access-control-allow-methods", method))
            asked = _value(headers, b"access-control-request-headers")
            # Named one by one: a `*` would not stand for Authorization.
            if asked and _TOKENS.fullmatch(asked):
                fields.append((b"access-control-allow-headers", asked))
            fields.append((b"access-control-max-age", _MAX_AGE))
        vary = (b"vary", b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers")
        return Response(204, [*fields, vary, (b"cache-control", b"no-store")], b"")

    def _allow(self, origin: bytes | None) -> Headers:
        if origin is None or not (self._allows_all or origin in self._origins):
            return []
        return [(b"access-control-allow-origin", b"*" if self._allows_all else origin)]


def wanted_method(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """The method that an OPTIONS request is the preflight of; None where it is none."""
    if _value(headers, b"origin") is None:
        return None
    method = _value(headers, b"access-control-request-method")
    return method if method and _TOKENS.fullmatch(method) else None


def with_fields(headers: Headers, fields: Headers) -> Headers:
    """`headers` and `fields`; as they are where they say already who may read the answer."""
    if not fields or any(name.lower() == b"access-control-allow-origin" for name, _ in headers):
        return headers
    vary = [value for name, value in fields if name == b"vary"]
    others = [pair for pair in fields if pair[0] != b"vary"]
    if vary:
        vary = [value for name, value in headers if name.lower() == b"vary"] + vary
        headers = [pair for pair in headers if pair[0].lower() != b"vary"]
        others.append((b"vary", b", ".join(vary)))
    return headers + others


def _value(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    return next((value for key, value in headers if key.lower() == name), None)
