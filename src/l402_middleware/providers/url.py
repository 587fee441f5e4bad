"""A provider by URL, so that a deployment changes its wallet without a change of code."""

import os
from collections.abc import Set
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit

from ..core.errors import ConfigurationError
from ..invoicing.failover import Failover
from ..invoicing.provider import Provider
from .registry import BACKENDS, Backend

_FORMS: Final = ", ".join(backend.form for backend in BACKENDS.values())


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
        raise ConfigurationError(f"provider URL: it cannot be read; known are {_FORMS}") from None
    if parts.scheme == "dev" and not (parts.netloc or parts.path or parts.query):
        return BACKENDS["dev"].make()
    if parts.scheme == "lnurlp":
        return BACKENDS["lnurlp"].make(url)
    if parts.scheme == "lightning":
        return _lightning_address(BACKENDS["lightning"], parts)
    if parts.scheme == "nostr+walletconnect":
        return _nostr_wallet_connect(BACKENDS["nostr+walletconnect"], parts)
    return _at_an_address(parts)


def _at_an_address(parts: SplitResult) -> Provider:
    name, _, scheme = parts.scheme.partition("+")
    if parts.scheme == "lnd+rest":
        scheme = "https"
    backend = BACKENDS.get(name)
    # Only those that have a secret are asked over HTTP at an address of the operator's.
    if backend is None or not backend.secret or scheme not in ("http", "https"):
        raise ConfigurationError(f"provider URL: unknown scheme {parts.scheme!r}; known are {_FORMS}")
    if parts.fragment:
        raise ConfigurationError("provider URL: write a '#' in it as %23")
    address = urlunsplit((scheme, parts.netloc, parts.path, "", ""))
    return backend.make(address, **_parameters(backend, parse_qsl(parts.query, keep_blank_values=True)))


def _lightning_address(backend: Backend, parts: SplitResult) -> Provider:
    options = _known(backend, parse_qsl(parts.query, keep_blank_values=True), frozenset())
    address = parts.netloc + parts.path
    if not options.pop("verify", False):
        return backend.make(address, **options)
    from .lightning_address import VerifiableLightningAddress  # noqa: PLC0415 - its HTTP is loaded where it is wanted

    return VerifiableLightningAddress(address, **options)


def _nostr_wallet_connect(backend: Backend, parts: SplitResult) -> Provider:
    # A wallet may name several relays, and other things that we do not need.
    named = parse_qsl(parts.query, keep_blank_values=True)
    ours = {*_places(backend), *backend.parameters}
    options = _parameters(backend, [pair for pair in named if pair[0] in ours])
    query = urlencode([pair for pair in named if pair[0] not in ours] + [("secret", options.pop("secret"))])
    return backend.make(f"{parts.scheme}://{parts.netloc}{parts.path}?{query}", **options)


def _places(backend: Backend) -> tuple[str, str, str]:
    """Where its secret may be: in the URL, in a file, in an environment variable."""
    return backend.secret, f"{backend.secret}_file", f"{backend.secret}_env"


def _parameters(backend: Backend, named: list[tuple[str, str]]) -> dict[str, Any]:
    secret, file, variable = _places(backend)
    parameters = _known(backend, named, {secret, file, variable})
    if len(parameters.keys() & {secret, file, variable}) != 1:
        raise ConfigurationError(f"provider URL: give one of {secret}, {file} and {variable}")
    if file in parameters:
        parameters[secret] = _read(backend, file, parameters.pop(file))
    if variable in parameters:
        found = os.environ.get(parameters.pop(variable))
        if found is None:
            raise ConfigurationError(f"provider URL: the environment variable that {variable} names is not set")
        parameters[secret] = found.strip()
    return parameters


def _known(backend: Backend, named: list[tuple[str, str]], secret: Set[str]) -> dict[str, Any]:
    """The parameters by name, each of which has to be one of the backend's, or say where its secret is."""
    names = backend.parameters.keys() | secret
    for number, (name, _) in enumerate(named, 1):
        # Not repeated: behind a '&' that should have been escaped, the rest of a secret looks like a name.
        if name not in names:
            known = ", ".join(sorted(names))
            raise ConfigurationError(
                f"provider URL: parameter {number} is none of {known}; write '&' within a value as %26"
            )
    parameters: dict[str, Any] = dict(named)
    for name in parameters.keys() & backend.parameters.keys():
        parameter = backend.parameters[name]
        try:
            parameters[name] = parameter.read(parameters[name])
        except (ValueError, KeyError):
            raise ConfigurationError(f"provider URL: {name} is {parameter.what}") from None
    return parameters


def _read(backend: Backend, file: str, path: str) -> str:
    """The secret in the file at `path`, which is not repeated: it may be the secret itself."""
    try:
        return backend.of_file(Path(path).read_bytes())
    except UnicodeDecodeError:
        raise ConfigurationError(f"provider URL: {file} names a file that is no text") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise ConfigurationError(f"provider URL: the file that {file} names cannot be read: {reason}") from None
