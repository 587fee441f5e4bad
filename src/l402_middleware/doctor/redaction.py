"""What may be said of settings, and what of them no message may repeat."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from ..paywall.parameters import SETTINGS
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
    for row in SETTINGS:
        if row.hides:
            yield from _WHERE[row.hides](settings.get(row.setting, ""))


def _keys(text: str) -> Iterator[str]:
    for part in text.split(","):
        yield part.strip()


def _path(text: str) -> Iterator[str]:
    if _looks_secret(text):
        yield text


def _providers(text: str) -> Iterator[str]:
    for url in text.split():
        yield from _passwords(url)
        for name, value in parse_qsl(url.partition("?")[2], keep_blank_values=True):
            refers = name.endswith(("_file", "_env"))
            if name not in OPEN and (not refers or _looks_secret(value)):
                yield value
            if _looks_secret(name):
                yield name


def _url(text: str) -> Iterator[str]:
    yield from _passwords(text)
    yield from (value for name, value in parse_qsl(text.partition("?")[2]) if name.endswith("password"))


def _passwords(url: str) -> Iterator[str]:
    try:
        password = urlsplit(url).password
    except ValueError:
        password = url
    if password:
        yield from (password, unquote(password))


def _looks_secret(text: str) -> bool:
    return len(text) >= 16 and not set(text) & {"/", "."} and any(character.isdigit() for character in text)


_WHERE: Final[Mapping[str, Callable[[str], Iterator[str]]]] = {
    "keys": _keys,
    "path": _path,
    "provider": _providers,
    "url": _url,
}
