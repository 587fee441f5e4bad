"""What may be said of settings, and what of them no message may repeat."""

from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from ..providers.registry import OPEN

# Anything shorter guards nothing, and stands in ordinary words.
_SHORTEST: Final = 4


def place(url: str) -> str:
    """Of a URL only what never is a secret: its scheme, host and port."""
    try:
        parts = urlsplit(url)
        port = "" if parts.port is None else f":{parts.port}"
    except ValueError:
        return "(its URL cannot be read)"
    return f"{parts.scheme}://{parts.hostname}{port}" if parts.hostname else f"{parts.scheme}:"


def provider_urls(settings: Mapping[str, str]) -> list[str]:
    """One or several; one that is empty where none is set."""
    return settings.get("L402_PROVIDER", "").split() or [""]


class Redaction:
    """Takes the secrets in `settings` out of messages, also where one stands in the place of its name or its file."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        found = {secret for secret in _secrets(settings) if len(secret) >= _SHORTEST}
        self._secrets = sorted(found, key=len, reverse=True)

    def hide(self, text: str) -> str:
        """`text` without them."""
        for secret in self._secrets:
            text = text.replace(secret, "(hidden)")
        return text


def _secrets(settings: Mapping[str, str]) -> Iterator[str]:
    for part in settings.get("L402_SECRET_KEYS", "").split(","):
        yield part.strip()
    path = settings.get("L402_SECRET_KEYS_FILE", "")
    if _looks_secret(path):
        yield path
    for url in provider_urls(settings):
        yield from _passwords(url)
        for name, value in parse_qsl(url.partition("?")[2], keep_blank_values=True):
            refers = name.endswith(("_file", "_env"))
            if name not in OPEN and (not refers or _looks_secret(value)):
                yield value
            if _looks_secret(name):
                yield name
    for store in (settings.get("L402_LEDGER", ""), settings.get("L402_LIMIT_STORAGE", "")):
        yield from _passwords(store)
        yield from (value for name, value in parse_qsl(store.partition("?")[2]) if name.endswith("password"))


def _passwords(url: str) -> Iterator[str]:
    try:
        password = urlsplit(url).password
    except ValueError:
        password = url
    if password:
        yield from (password, unquote(password))


def _looks_secret(text: str) -> bool:
    return len(text) >= 16 and not set(text) & {"/", "."} and any(character.isdigit() for character in text)
