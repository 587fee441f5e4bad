"""A provider by URL, so that a deployment changes its wallet without a change of code."""

import os
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit

from ..core.errors import ConfigurationError
from .access import read_secret
from .core_lightning import CoreLightning
from .devnode import DevNode
from .lightning_address import LightningAddress, VerifiableLightningAddress
from .lnbits import LNbits
from .lnd import LND
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
    others: frozenset[str]


def _lnd(address: str, *, route_hints: str = "no", **parameters: Any) -> LND:
    if route_hints not in ("yes", "no"):
        raise ConfigurationError("provider URL: route_hints is yes or no")
    return LND(address, **parameters, route_hints=route_hints == "yes")


_KINDS = {
    "lnbits": _Kind(LNbits, "invoice_key", frozenset({"network"})),
    "lnd": _Kind(_lnd, "macaroon", frozenset({"network", "tls_cert", "macaroon_file", "route_hints"})),
    "cln": _Kind(CoreLightning, "rune", frozenset({"network", "tls_cert"})),
    "phoenixd": _Kind(Phoenixd, "password", frozenset({"network"})),
}

_NOSTR = _Kind(NostrWalletConnect, "secret", frozenset({"network"}))


def provider_from_url(url: str) -> Provider:
    """The provider that `url` names.

    `dev:` for `DevNode`; `lnbits+https://host[/path]?invoice_key=...`, `lnd+https://host:8080?macaroon=...&tls_cert=...`
    (or `lnd+rest://...`), `cln+https://host:3010?rune=...&tls_cert=...`, `phoenixd+http://host:9740?password=...`, each
    also with `http` or `https` and with `network`; a wallet's connection string, `nostr+walletconnect://...`, also with
    `network`; `lightning:alice@wallet.example` (or `lightning:lnurl1...`) with `network`, `allow_private_hosts=a,b` and
    `verify=true` for `VerifiableLightningAddress`; a whole `lnurlp://...`. A secret need not stand in the URL: with
    `_file` after its name it is read from that file, with `_env` from that environment variable. Raises
    `ConfigurationError`, which never repeats the URL.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ConfigurationError(f"provider URL: it can not be read; known are {FORMS}") from None
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
    return _KINDS[name].make(address, **_parameters(_KINDS[name], parts.query))


def _lightning_address(parts: SplitResult) -> LightningAddress:
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = options.keys() - {"network", "verify", "allow_private_hosts"}
    if unknown:
        raise ConfigurationError(f"provider URL: unknown parameter {', '.join(sorted(unknown))}")
    verify = options.get("verify", "false")
    if verify not in ("true", "false"):
        raise ConfigurationError("provider URL: verify must be true or false")
    hosts = [host for host in options.get("allow_private_hosts", "").split(",") if host]
    kind = VerifiableLightningAddress if verify == "true" else LightningAddress
    return kind(parts.netloc + parts.path, options.get("network", "bitcoin"), allow_private_hosts=hosts)


def _nostr_wallet_connect(parts: SplitResult) -> NostrWalletConnect:
    # A wallet may name several relays, and more that is nothing to us.
    named = parse_qsl(parts.query, keep_blank_values=True)
    ours = ("secret", "secret_file", "secret_env", "network")
    options = _parameters(_NOSTR, urlencode([pair for pair in named if pair[0] in ours]))
    network = options.pop("network", "bitcoin")
    query = urlencode([pair for pair in named if pair[0] not in ours] + list(options.items()))
    return NostrWalletConnect(f"{parts.scheme}://{parts.netloc}{parts.path}?{query}", network)


def _parameters(kind: _Kind, query: str) -> dict[str, str]:
    parameters = dict(parse_qsl(query, keep_blank_values=True))
    file, variable = f"{kind.secret}_file", f"{kind.secret}_env"
    unknown = parameters.keys() - kind.others - {kind.secret, file, variable}
    if unknown:
        raise ConfigurationError(f"provider URL: unknown parameter {', '.join(sorted(unknown))}")
    if len(parameters.keys() & {kind.secret, file, variable}) != 1:
        raise ConfigurationError(f"provider URL: give one of {kind.secret}, {file} and {variable}")
    if file in parameters and file not in kind.others:
        try:
            parameters[kind.secret] = read_secret("provider URL", file, parameters.pop(file)).decode().strip()
        except UnicodeDecodeError:
            raise ConfigurationError(f"provider URL: {file} names a file that is no text") from None
    if variable in parameters:
        name = parameters.pop(variable)
        if name not in os.environ:
            raise ConfigurationError(f"provider URL: {variable}={name}, and that environment variable is not set")
        parameters[kind.secret] = os.environ[name].strip()
    return parameters
