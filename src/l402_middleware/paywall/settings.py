"""A paywall from settings: a mapping such as `os.environ` or Flask's `app.config`."""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final
from urllib.parse import parse_qsl

from ..core.errors import ConfigurationError
from ..providers.url import provider_from_url
from ..rates import Rates
from .parameters import SETTINGS
from .paywall import Paywall

NAMES = frozenset(row.setting for row in SETTINGS if row.setting)
"""Every setting there is."""

_OTHER_NAMES: Final = frozenset({"L402_DEV", "L402_ENV"})

# All names begin alike, so a typo is more alike than difflib's usual 0.6.
_ALIKE: Final = 0.8

log = logging.getLogger("l402_middleware")


def paywall_from_settings(settings: Mapping[str, Any] | None = None) -> Paywall:
    """The paywall that `settings` describe; by default, the environment's.

    `L402_PROVIDER` (a provider's URL, or a provider) is required; `L402_LEDGER` (a ledger's URL, or a ledger) is but
    with `dev:`; `L402_SECRET_KEYS` are comma-separated, oldest first, and may come from the file
    `L402_SECRET_KEYS_FILE` names. Raises `ConfigurationError` that names the setting.
    """
    settings = os.environ if settings is None else settings
    provider = settings.get("L402_PROVIDER")
    if not provider:
        raise ConfigurationError(
            "no paywall was given, and L402_PROVIDER is not set: pass Paywall(...), or set "
            "L402_PROVIDER (such as lnbits+https://HOST?invoice_key_file=PATH) and L402_LEDGER (sqlite:///l402.db)"
        )
    for name, meant in unknown_settings(settings):
        if meant:
            log.warning("there is no setting %s, so it does nothing; is %s meant?", name, meant)
    arguments = rules_from(settings)
    return Paywall(
        [provider_from_url(url) for url in provider.split() or [""]] if isinstance(provider, str) else provider,
        secret_keys=keys_from(settings),
        **arguments,
    )


def unknown_settings(settings: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    """Names that begin with `L402_` and that nothing reads, each with the setting that it resembles."""
    providers = settings.get("L402_PROVIDER")
    queries = [url.partition("?")[2] for url in providers.split()] if isinstance(providers, str) else []
    named = {value for query in queries for key, value in parse_qsl(query) if key.endswith("_env")}
    known = NAMES | _OTHER_NAMES
    for name in sorted({name for name in settings if name.startswith("L402_")} - known - named):
        yield name, next(iter(get_close_matches(name, known, 1, _ALIKE)), None)


def rules_from(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `Paywall` beside provider and keys. Raises `ConfigurationError` for one that cannot be read."""
    arguments = {}
    for row in SETTINGS:
        given = settings.get(row.setting)
        if row.read is not None and given not in (None, ""):
            try:
                arguments[row.parameter] = row.read(given)
            except (TypeError, ValueError):
                raise ConfigurationError(f"{row.setting} is {given!r}, which cannot be read") from None
    rates = rates_from(settings)
    return arguments if rates is None else arguments | {"rates": rates}


def rates_from(settings: Mapping[str, Any]) -> Rates | None:
    """What `L402_RATES` and `L402_RATES_MAX_AGE` say of exchange rates, or None. Raises `ConfigurationError`."""
    named, max_age = settings.get("L402_RATES") or None, settings.get("L402_RATES_MAX_AGE") or None
    if isinstance(named, Rates):
        return named
    try:
        limit: dict[str, Any] = {} if max_age is None else {"max_age": float(max_age)}
    except (TypeError, ValueError):
        raise ConfigurationError(f"L402_RATES_MAX_AGE is {max_age!r}, which is no number of seconds") from None
    if limit:
        # The sources are asked again while the last rate is still good.
        limit["refresh"] = min(60, limit["max_age"] / 2)
    if named is None and not limit:
        return None
    from ..rates.sources import sources_from_text  # noqa: PLC0415 - it brings HTTP, which only named sources need

    try:
        return Rates(None if named is None else sources_from_text(str(named)), **limit)
    except ConfigurationError as error:
        raise ConfigurationError(f"L402_RATES, L402_RATES_MAX_AGE: {error}") from None


def keys_from(settings: Mapping[str, Any]) -> Iterable[str | bytes] | None:
    """The secrets, oldest first, or None where none are set. Raises `ConfigurationError` for a file without any."""
    keys: str | Iterable[str | bytes] | None = settings.get("L402_SECRET_KEYS")
    path = settings.get("L402_SECRET_KEYS_FILE")
    if path:
        try:
            with open(path, encoding="utf-8") as file:
                keys = file.read().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"L402_SECRET_KEYS_FILE cannot be read: {error}") from None
        if not keys:
            raise ConfigurationError(f"L402_SECRET_KEYS_FILE={path} is empty; `l402 keygen` makes a key")
    if not keys:
        return None
    return [part.strip() for part in keys.split(",")] if isinstance(keys, str) else keys
