"""Every backend there is: how a URL names it, which of its parameters is its secret, and which extra it needs.

A new backend is a file beside this one, a row here, and its name in the package's `__init__`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType
from typing import Any, Final

from ..core.errors import ConfigurationError
from ..invoicing.provider import Provider


def _yes(text: str) -> bool:
    return {"yes": True, "no": False}[text]


def _true(text: str) -> bool:
    return {"true": True, "false": False}[text]


def _hosts(text: str) -> list[str]:
    return [host for host in text.split(",") if host]


def in_hex(content: bytes) -> str:
    """A macaroon file's content in hex, which is what some deployments keep in the file to begin with."""
    text = content.strip()
    return text.decode() if re.fullmatch(b"[0-9A-Fa-f]+", text) else content.hex()


def _text(content: bytes) -> str:
    return content.decode().strip()


@dataclass(frozen=True, slots=True)
class Parameter:
    """One that a provider's URL may have: how its text is read, and what it has to be."""

    read: Callable[[str], Any] = str
    what: str = ""


_OF_ALL: Final = {
    "network": Parameter(),
    "timeout": Parameter(float, "a number of seconds, such as timeout=3"),
}
_TLS: Final = {"tls_cert": Parameter()}


@dataclass(frozen=True, slots=True)
class Backend:
    """A class of this package, and the URLs that make one.

    - `name`: the class; `module`: where it is.
    - `form`: the URL, as it is shown to somebody who gave another.
    - `secret`: the parameter that holds its secret; `_file` and `_env` may follow it. Empty where it has none.
    - `parameters`: what else may stand in the URL, and all of which may be shown.
    - `of_file`: the secret of what its file holds.
    - `extra`: what has to be installed for it, and `package`: what that brings.
    """

    name: str
    module: str
    form: str
    secret: str = ""
    parameters: Mapping[str, Parameter] = field(default_factory=lambda: _OF_ALL)
    of_file: Callable[[bytes], str] = _text
    extra: str = ""
    package: str = ""

    def make(self, *arguments: Any, **parameters: Any) -> Provider:
        """One of them. Raises `ConfigurationError` for what cannot work."""
        made: Provider = getattr(import_module(f".{self.module}", __package__), self.name)(*arguments, **parameters)
        return made

    def required(self) -> ModuleType:
        """The package that it needs. Raises `ConfigurationError`, which names the extra, where that is missing."""
        try:
            return import_module(self.package)
        except ImportError as missing:
            raise ConfigurationError(
                f"{self.name} needs the package {self.package}, which is not installed: "
                f"pip install 'l402_middleware[{self.extra}]'"
            ) from missing


BACKENDS: Final[Mapping[str, Backend]] = {
    "dev": Backend("DevNode", "devnode", "dev: (development only)", parameters={}, extra="dev", package="coincurve"),
    "lnbits": Backend("LNbits", "lnbits", "lnbits+https://HOST?invoice_key_file=PATH", "invoice_key"),
    "lnd": Backend(
        "LND",
        "lnd",
        "lnd+https://HOST:8080?macaroon_file=PATH&tls_cert=PATH",
        "macaroon",
        _OF_ALL | _TLS | {"route_hints": Parameter(_yes, "yes or no")},
        of_file=in_hex,
    ),
    "cln": Backend(
        "CoreLightning",
        "core_lightning",
        "cln+https://HOST:3010?rune_file=PATH&tls_cert=PATH",
        "rune",
        _OF_ALL | _TLS,
    ),
    "phoenixd": Backend("Phoenixd", "phoenixd", "phoenixd+http://HOST:9740?password_file=PATH", "password"),
    "lightning": Backend(
        "LightningAddress",
        "lightning_address",
        "lightning:USER@HOST",
        parameters=_OF_ALL | {"verify": Parameter(_true, "true or false"), "allow_private_hosts": Parameter(_hosts)},
    ),
    "lnurlp": Backend("LightningAddress", "lightning_address", "lnurlp://HOST/PATH", parameters={}),
    "nostr+walletconnect": Backend(
        "NostrWalletConnect",
        "nostr_wallet_connect",
        "nostr+walletconnect://PUBLIC_KEY?relay=URL&secret_file=PATH",
        "secret",
        extra="nwc",
        package="nostr_sdk",
    ),
}
"""By the scheme of their URLs, of which those over HTTP add `+http` or `+https` to it."""

OPEN: Final = frozenset({"relay", *(name for backend in BACKENDS.values() for name in backend.parameters)})
"""What a provider's URL says openly; any other value in its query is somebody's secret."""
