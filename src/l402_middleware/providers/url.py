"""A provider by URL, so that a deployment changes its wallet without a change of code."""

from urllib.parse import parse_qsl, urlsplit, urlunsplit

from ..core.errors import ConfigurationError
from .devnode import DevNode
from .lnbits import LNbits
from .provider import Provider

FORMS = "dev: (development only), lnbits+https://HOST?invoice_key=KEY (or invoice_key_file=PATH)"


def provider_from_url(url: str) -> Provider:
    """The provider that `url` names: `dev:`, or `lnbits+https://host[/path]?invoice_key=...`.

    A parameter that ends in `_file` is read from that file, so that a secret need not stand in the URL; `network` can
    be given too. Raises `ConfigurationError`, which never repeats the URL.
    """
    parts = urlsplit(url)
    parameters = _parameters(parts.query)
    if parts.scheme == "dev" and not (parts.netloc or parts.path or parts.query):
        return DevNode()
    kind, _, transport = parts.scheme.partition("+")
    if kind == "lnbits" and transport in ("http", "https"):
        address = urlunsplit((transport, parts.netloc, parts.path, "", ""))
        unknown = parameters.keys() - {"invoice_key", "network"}
        if unknown:
            raise ConfigurationError(f"provider URL: unknown parameter {', '.join(sorted(unknown))}")
        return LNbits(address, parameters.get("invoice_key", ""), parameters.get("network", "bitcoin"))
    raise ConfigurationError(f"provider URL: unknown scheme {parts.scheme!r}; known are {FORMS}")


def _parameters(query: str) -> dict[str, str]:
    parameters = dict(parse_qsl(query, keep_blank_values=True))
    for name in [name for name in parameters if name.endswith("_file")]:
        path = parameters.pop(name)
        try:
            with open(path, encoding="utf-8") as file:
                parameters[name.removesuffix("_file")] = file.read().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"provider URL: {name}={path} can not be read: {error}") from None
    return parameters
