"""A provider by URL, so that a deployment changes its wallet without a change of code."""

import os
from collections.abc import Callable, Set
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit

from ..core.errors import ConfigurationError
from .core_lightning import CoreLightning
from .devnode import DevNode
from .failover import Failover
from .lightning_address import LightningAddress, VerifiableLightningAddress
from .lnbits import LNbits
from .lnd import LND, in_hex
from .nostr_wallet_connect import NostrWalletConnect
from .phoenixd import Phoenixd
from .provider import Provider

FORMS = (
    "dev: (development only), lnbits+https://HOST?invoice_key_file=PATH, "
    "lnd+https://HOST:8080?macaroon_file=PATH&tls_cert=PATH, cln+https://HOST:3010?rune_file=PATH&tls_cert=PATH, "
    "phoenixd+http://HOST:9740?password_file=PATH, lightning:USER@HOST, lnurlp://HOST/PATH, "
    "nostr+walletconnect://PUBLIC_KEY?relay=URL&secret_file=PATH"
)


class _Kind(NamedTuple):
    make: Callable[..., Provider]
    secret: str
    others: frozenset[str] = frozenset()


def _lnd(address: str, *, route_hints: str = "no", **parameters: Any) -> LND:
    if route_hints not in ("yes", "no"):
        raise ConfigurationError("provider URL: route_hints is yes or no")
    return LND(address, **parameters, route_hints=route_hints == "yes")


_KINDS = {
    "lnbits": _Kind(LNbits, "invoice_key"),
    "lnd": _Kind(_lnd, "macaroon", frozenset({"tls_cert", "route_hints"})),
    "cln": _Kind(CoreLightning, "rune", frozenset({"tls_cert"})),
    "phoenixd": _Kind(Phoenixd, "password"),
}

_NOSTR = _Kind(NostrWalletConnect, "secret")

_OF_ALL = frozenset({"network", "timeout"})


def provider_from_url(url: str) -> Provider:
    """The provider that `url` names.

    `dev:` for `DevNode`; `lnbits+https://host[/path]?invoice_key=...`, `lnd+https://host:8080?macaroon=...&tls_cert=...`
    (or `lnd+rest://...`), `cln+https://host:3010?rune=...&tls_cert=...`, `phoenixd+http://host:9740?password=...`, each
    also with `http` or `https` and with `network`; a wallet's connection string, `nostr+walletconnect://...`, also with
    `network`; `lightning:alice@wallet.example` (or `lightning:lnurl1...`) with `network`, `allow_private_hosts=a,b` and
    `verify=true` for `VerifiableLightningAddress`; a whole `lnurlp://...`. A secret need not stand in the URL: with
    `_file` after its name it is read from that file, with `_env` from that environment variable. `timeout`, in seconds,
    goes with every one but `dev:` and `lnurlp:`. Several URLs, with white space between them, are a `Failover` in that
    order. Raises `ConfigurationError`, which never repeats the URL.
    """
    several = url.split()
    if len(several) > 1:
        return Failover(*map(provider_from_url, several))
    url = url.strip()
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ConfigurationError(f"provider URL: it cannot be read; known are {FORMS}") from None
    if parts.scheme == "dev" and not (parts.netloc or parts.path or parts.query):
        return DevNode()
    if parts.scheme == "lnurlp":
        return LightningAddress(url)
    if parts.scheme == "lightning":
        return _lightning_address(parts)
    if parts.scheme == "nostr+walletconnect":
        return _nostr_wallet_connect(parts)
    name, _, scheme = parts.scheme.partition("+")
    if parts.scheme == "lnd+rest":
        scheme = "https"
    if name not in _KINDS or scheme not in ("http", "https"):
        raise ConfigurationError(f"provider URL: unknown scheme {parts.scheme!r}; known are {FORMS}")
    if parts.fragment:
        raise ConfigurationError("provider URL: write a '#' in it as %23")
    address = urlunsplit((scheme, parts.netloc, parts.path, "", ""))
    kind = _KINDS[name]
    return kind.make(address, **_parameters(kind, parse_qsl(parts.query, keep_blank_values=True)))


def _lightning_address(parts: SplitResult) -> LightningAddress:
    options = _known(parse_qsl(parts.query, keep_blank_values=True), _OF_ALL | {"verify", "allow_private_hosts"})
    verify = options.pop("verify", "false")
    if verify not in ("true", "false"):
        raise ConfigurationError("provider URL: verify must be true or false")
    hosts = [host for host in options.pop("allow_private_hosts", "").split(",") if host]
    kind = VerifiableLightningAddress if verify == "true" else LightningAddress
    return kind(parts.netloc + parts.path, **options, allow_private_hosts=hosts)


def _nostr_wallet_connect(parts: SplitResult) -> NostrWalletConnect:
    # A wallet may name several relays, and more that is nothing to us.
    named = parse_qsl(parts.query, keep_blank_values=True)
    ours = {"secret", "secret_file", "secret_env", *_OF_ALL}
    options = _parameters(_NOSTR, [pair for pair in named if pair[0] in ours])
    query = urlencode([pair for pair in named if pair[0] not in ours] + [("secret", options.pop("secret"))])
    return NostrWalletConnect(f"{parts.scheme}://{parts.netloc}{parts.path}?{query}", **options)


def _parameters(kind: _Kind, named: list[tuple[str, str]]) -> dict[str, Any]:
    file, variable = f"{kind.secret}_file", f"{kind.secret}_env"
    places = {kind.secret, file, variable}
    parameters = _known(named, kind.others | _OF_ALL | places)
    if len(parameters.keys() & places) != 1:
        raise ConfigurationError(f"provider URL: give one of {kind.secret}, {file} and {variable}")
    if file in parameters:
        parameters[kind.secret] = _read(kind, file, parameters.pop(file))
    if variable in parameters:
        found = os.environ.get(parameters.pop(variable))
        if found is None:
            raise ConfigurationError(f"provider URL: the environment variable that {variable} names is not set")
        parameters[kind.secret] = found.strip()
    return parameters


def _known(named: list[tuple[str, str]], names: Set[str]) -> dict[str, Any]:
    """The parameters by name, each of which has to be one of `names`."""
    for number, (name, _) in enumerate(named, 1):
        # Not repeated: behind a '&' that should have been escaped, the rest of a secret looks like a name.
        if name not in names:
            known = ", ".join(sorted(names))
            raise ConfigurationError(
                f"provider URL: parameter {number} is none of {known}; write '&' within a value as %26"
            )
    parameters: dict[str, Any] = dict(named)
    if "timeout" in parameters:
        try:
            parameters["timeout"] = float(parameters["timeout"])
        except ValueError:
            raise ConfigurationError("provider URL: timeout is a number of seconds, such as timeout=3") from None
    return parameters


def _read(kind: _Kind, file: str, path: str) -> str:
    """The secret in the file at `path`, which is not repeated: it may be the secret itself."""
    try:
        content = Path(path).read_bytes()
        # LND writes bytes where others write a line of text.
        return in_hex(content) if kind.make is _lnd else content.decode().strip()
    except UnicodeDecodeError:
        raise ConfigurationError(f"provider URL: {file} names a file that is no text") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise ConfigurationError(f"provider URL: the file that {file} names cannot be read: {reason}") from None
