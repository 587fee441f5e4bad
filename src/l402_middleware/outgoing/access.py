"""What a provider is given to reach its node: an address, a secret and a certificate, each checked at start-up.

Every check raises `ConfigurationError`, which names the provider and the setting and never repeats a value that
may be a secret.
"""

import os
import re
import ssl
from pathlib import Path

import httpx2

from ..core.errors import ConfigurationError


def check_url(provider: str, url: str, example: str) -> None:
    """Require `url` to be an http or https address without a query, a fragment or a password."""
    try:
        parsed = httpx2.URL(url)
    except (httpx2.InvalidURL, TypeError):
        parsed = httpx2.URL("")
    is_bare = not (parsed.query or parsed.fragment or parsed.userinfo)
    if parsed.scheme not in ("http", "https") or not parsed.host or not is_bare:
        raise ConfigurationError(f"{provider}: url must be the server's address, such as {example}")


def check_secret(provider: str, setting: str, secret: object, remedy: str) -> None:
    """Require a text that fits into a header; anything else would fail at the first request instead of here."""
    if not isinstance(secret, str) or not re.fullmatch("[!-~]+", secret):
        raise ConfigurationError(
            f"{provider}: {setting} is empty, or has spaces, line ends or other characters that none has; {remedy}"
        )


def read_secret(provider: str, setting: str, path: str | os.PathLike[str]) -> bytes:
    """What stands in a file that `setting` names."""
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError, TypeError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise ConfigurationError(f"{provider}: {setting}={path} cannot be read: {reason}") from None


def pinned(provider: str, url: str, tls_cert: str | os.PathLike[str] | None) -> ssl.SSLContext | None:
    """TLS that trusts the certificate in the file `tls_cert` and no other; `None` for the usual authorities."""
    if tls_cert is None:
        return None
    if not url.startswith("https:"):
        raise ConfigurationError(f"{provider}: tls_cert needs a url that begins with https://")
    try:
        context = ssl.create_default_context(cafile=tls_cert)
    except (OSError, ValueError, TypeError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
        raise ConfigurationError(f"{provider}: tls_cert={tls_cert} is no certificate in PEM form: {reason}") from None
    # The file may hold a certificate that somebody else signed: then it is trusted, and its signer is not.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
