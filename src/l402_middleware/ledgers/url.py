"""The ledgers that there are, and one named by a URL, as it stands in a setting or an environment variable."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final, cast

from ..core.errors import ConfigurationError
from .ledger import Ledger


@dataclass(frozen=True, slots=True)
class _Store:
    """A class in a module beside this one; the URLs that name it; and the extra that brings what it imports."""

    module: str
    schemes: tuple[str, ...]
    extra: str | None = None


_LEDGERS: Final = {
    "MemoryLedger": _Store("memory", ("memory",)),
    "SQLiteLedger": _Store("sqlite", ("sqlite",)),
    "RedisLedger": _Store("redis", ("redis", "rediss", "unix"), "redis"),
    "PostgresLedger": _Store("postgres", ("postgresql", "postgres"), "postgres"),
}
"""A new ledger is entered here, and nowhere else; its `from_url` makes one, or None where it cannot read the URL."""

_BY_SCHEME: Final = {scheme: name for name, kind in _LEDGERS.items() for scheme in kind.schemes}


def ledger_class(name: str) -> Any:
    """The class of that name, imported now: only what is used is loaded.

    Raises `AttributeError` where there is none, and `ConfigurationError` where its extra is not installed.
    """
    kind = _LEDGERS.get(name)
    if kind is None:
        raise AttributeError(f"l402_middleware.ledgers has no {name}")
    try:
        module = import_module(f".{kind.module}", __package__)
    except ModuleNotFoundError as missing:
        if kind.extra is None:
            raise
        raise ConfigurationError(
            f"{name} needs {missing.name}, which is not installed: pip install 'l402_middleware[{kind.extra}]'"
        ) from missing
    return getattr(module, name)


def ledger_from_url(url: str) -> Ledger:
    """The ledger that `url` names.

    `memory:`, `sqlite:///relative.db`, `sqlite:////absolute.db`, a Redis server (`redis://host:port/db`,
    `rediss://` for TLS, `unix:///socket`), or a PostgreSQL database (`postgresql://user:password@host:port/db` and
    whatever else libpq reads, `postgres://` too). Raises `ConfigurationError` for anything else. Its message repeats
    only the scheme, because the rest may hold a password.
    """
    scheme, colon, _ = url.partition(":")
    if colon and scheme in _BY_SCHEME:
        ledger = ledger_class(_BY_SCHEME[scheme]).from_url(url)
        if ledger is not None:
            return cast(Ledger, ledger)
    named = f"ledger URL {scheme}:..." if colon else "ledger URL without a scheme"
    raise ConfigurationError(
        f"{named}: use memory: (one process), sqlite:///relative.db or sqlite:////absolute.db "
        "(several workers on one machine), without options, or redis://host:port/db or "
        "postgresql://user:password@host:port/db (several machines)"
    )
