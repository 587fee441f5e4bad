"""A wallet by URL, so that a deployment changes its wallet without a change of code."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from ...core.errors import ConfigurationError
from ...providers.registry import in_hex
from ..wallet import Wallet
from .core_lightning import CoreLightningWallet
from .development import DevelopmentWallet
from .lnbits import LNbitsWallet
from .lnd import LNDWallet
from .nostr_wallet_connect import NostrWalletConnectWallet
from .phoenixd import PhoenixdWallet

FORMS: Final = (
    "lnbits+https://HOST?admin_key_file=PATH, lnd+https://HOST:8080?macaroon_file=PATH&tls_cert=PATH, "
    "cln+https://HOST:3010?rune_file=PATH&tls_cert=PATH, phoenixd+http://HOST:9740?password_file=PATH, "
    "nostr+walletconnect://PUBLIC_KEY?relay=URL&secret_file=PATH, dev+http://127.0.0.1:8000 (development only)"
)


class _Kind(NamedTuple):
    make: Callable[..., Wallet]
    secret: str | None
    others: frozenset[str] = frozenset()


_KINDS: Final = {
    "lnbits": _Kind(LNbitsWallet, "admin_key"),
    "lnd": _Kind(LNDWallet, "macaroon", frozenset({"tls_cert"})),
    "cln": _Kind(CoreLightningWallet, "rune", frozenset({"tls_cert"})),
    "phoenixd": _Kind(PhoenixdWallet, "password"),
    "nostr": _Kind(NostrWalletConnectWallet, "secret"),
    "dev": _Kind(DevelopmentWallet, None),
}


def wallet_from_url(url: str) -> Wallet:
    """The wallet that `url` names, in the manner of `provider_from_url`, but with a key that can spend.

    `lnbits+https://host?admin_key=...`, `lnd+https://host:8080?macaroon=...&tls_cert=...`,
    `cln+https://host:3010?rune=...&tls_cert=...`, `phoenixd+http://host:9740?password=...`, a wallet's connection
    string, `nostr+walletconnect://...`, and `dev+http://127.0.0.1:8000` for a demo server's own wallet. With `_file`
    after its name a secret is read from that file, with `_env` from that environment variable. `network` and `timeout`
    go with every one but `dev+`. Raises `ConfigurationError`, which never repeats the URL.
    """
    try:
        parts = urlsplit(url.strip())
        named = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        raise ConfigurationError(f"wallet URL: it cannot be read; known are {FORMS}") from None
    name, _, scheme = parts.scheme.partition("+")
    kind = _KINDS.get(name)
    if kind is None or scheme not in (("walletconnect",) if name == "nostr" else ("http", "https")):
        raise ConfigurationError(f"wallet URL: unknown scheme {parts.scheme!r}; known are {FORMS}")
    if parts.fragment:
        raise ConfigurationError("wallet URL: write a '#' in it as %23")
    if name == "nostr":
        # A wallet may name several relays, and other things that we do not need.
        ours = {"secret", "secret_file", "secret_env", "network", "timeout"}
        options = _options(kind, [pair for pair in named if pair[0] in ours])
        query = urlencode([pair for pair in named if pair[0] not in ours] + [("secret", options.pop("secret"))])
        return kind.make(urlunsplit((parts.scheme, parts.netloc, parts.path, query, "")), **options)
    return kind.make(urlunsplit((scheme, parts.netloc, parts.path, "", "")), **_options(kind, named))


def _options(kind: _Kind, named: list[tuple[str, str]]) -> dict[str, Any]:
    places = set() if kind.secret is None else {kind.secret, f"{kind.secret}_file", f"{kind.secret}_env"}
    known = places | kind.others | (set() if kind.secret is None else {"network", "timeout"})
    options: dict[str, Any] = dict(named)
    if len(options) != len(named) or options.keys() - known:
        # Not repeated: behind a '&' that should have been escaped, the rest of a secret looks like a name.
        raise ConfigurationError(
            f"wallet URL: its parameters may be {', '.join(sorted(known)) or 'none'}, each once; write '&' within a "
            "value as %26"
        )
    if kind.secret is not None:
        given = options.keys() & places
        if len(given) != 1:
            raise ConfigurationError(f"wallet URL: give one of {', '.join(sorted(places))}")
        place = given.pop()
        options[kind.secret] = _secret(place, options.pop(place))
    if "timeout" in options:
        try:
            options["timeout"] = float(options["timeout"])
        except ValueError:
            raise ConfigurationError("wallet URL: timeout is a number of seconds, such as timeout=30") from None
    return options


def _secret(place: str, value: str) -> str:
    if place.endswith("_env"):
        found = os.environ.get(value)
        if found is None:
            raise ConfigurationError(f"wallet URL: the environment variable that {place} names is not set")
        return found.strip()
    if not place.endswith("_file"):
        return value
    try:
        content = Path(value).read_bytes()
        # LND writes bytes where others write a line of text.
        return in_hex(content) if place == "macaroon_file" else content.decode().strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise ConfigurationError(f"wallet URL: the file that {place} names cannot be read: {reason}") from None
