"""What is asked of a server: the request, as far as a payment for it is bound to it."""

import ipaddress
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import urlsplit

from ..core.binding import request_digest

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: its method, its URL and its body."""

    method: str
    url: str
    body: bytes = b""

    @property
    def origin(self) -> str:
        """Scheme, host and port of the URL."""
        return origin_of(self.url)

    @property
    def endpoint(self) -> str:
        """Method (HEAD as GET), origin and path: what a credential that is not bound to one request is good for."""
        method = "GET" if self.method.upper() == "HEAD" else self.method.upper()
        return f"{method} {self.origin}{urlsplit(self.url).path or '/'}"

    @property
    def digest(self) -> str:
        """A digest of the whole request, headers apart: the same for the same request only."""
        parts = urlsplit(self.url)
        body = sha256(self.body).digest()
        return request_digest(self.method.upper(), self.origin + (parts.path or "/"), parts.query.encode(), body)


def origin_of(url: str) -> str:
    """`https://host:port` of a URL, in lower case; the port where it is not the scheme's own.

    Raises `ValueError` for what is no http or https URL.
    """
    parts = urlsplit(url)
    scheme, host = parts.scheme.lower(), parts.hostname
    if scheme not in _PORTS or not host:
        raise ValueError("not an http or https URL")
    name = f"[{host}]" if ":" in host else host
    port = "" if parts.port in (None, _PORTS[scheme]) else f":{parts.port}"
    return f"{scheme}://{name}{port}"


def is_private_line(origin: str) -> bool:
    """Whether nobody can listen in: TLS, or this very machine."""
    parts = urlsplit(origin)
    host = parts.hostname or ""
    if parts.scheme == "https" or host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
