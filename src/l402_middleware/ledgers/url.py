"""A ledger named by a URL, as it stands in a setting or an environment variable."""

from ..core.errors import ConfigurationError
from .ledger import Ledger
from .memory import MemoryLedger
from .postgres import PostgresLedger
from .redis import RedisLedger
from .sqlite import SQLiteLedger


def ledger_from_url(url: str) -> Ledger:
    """The ledger that `url` names.

    `memory:`, `sqlite:///relative.db`, `sqlite:////absolute.db`, a Redis server (`redis://host:port/db`,
    `rediss://` for TLS, `unix:///socket`), or a PostgreSQL database (`postgresql://user:password@host:port/db` and
    whatever else libpq reads, `postgres://` too). Raises `ConfigurationError` for anything else. Its message repeats
    only the scheme, because the rest may hold a password.
    """
    scheme, colon, rest = url.partition(":")
    if url == "memory:":
        return MemoryLedger()
    if scheme == "sqlite" and rest.startswith("///") and not set("?#").intersection(rest):
        return SQLiteLedger(rest.removeprefix("///"))
    if scheme in ("redis", "rediss", "unix"):
        return RedisLedger(url)
    if scheme in ("postgresql", "postgres"):
        return PostgresLedger(url)
    named = f"ledger URL {scheme}:..." if colon else "ledger URL without a scheme"
    raise ConfigurationError(
        f"{named}: use memory: (one process), sqlite:///relative.db or sqlite:////absolute.db "
        "(several workers on one machine), without options, or redis://host:port/db or "
        "postgresql://user:password@host:port/db (several machines)"
    )
