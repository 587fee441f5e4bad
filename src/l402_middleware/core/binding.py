"""What a credential is bound to: the endpoint, and, where the price depends on it, the request."""

from base64 import urlsafe_b64encode
from functools import lru_cache
from hashlib import sha256


# Small, because an endpoint may hold a path, and a path may have 64 KiB.
@lru_cache(maxsize=256)
def endpoint_digest(endpoint: str) -> str:
    """128 bits of SHA-256 over "METHOD /full/route/template", as text for a caveat."""
    return _text(sha256(endpoint.encode("utf-8", "surrogateescape")).digest()[:16])


def request_digest(method: str, path: str, query: bytes, body_digest: bytes) -> str:
    """SHA-256 over method, path, raw query and the body's own SHA-256, as text for a caveat.

    Each part stands behind its length, so that no two requests can run together into the same bytes.
    """
    digest = sha256()
    for part in (method.encode("latin-1", "replace"), path.encode("utf-8", "surrogateescape"), query, body_digest):
        digest.update(len(part).to_bytes(8))
        digest.update(part)
    return _text(digest.digest())


def _text(digest: bytes) -> str:
    return urlsafe_b64encode(digest).rstrip(b"=").decode()
