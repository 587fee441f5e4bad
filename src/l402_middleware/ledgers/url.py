"""A ledger named by a URL, as it stands in a setting or an environment variable."""

from ..core.errors import ConfigurationError
from .ledger import Ledger
from .memory import MemoryLedger
from .sqlite import SQLiteLedger


def ledger_from_url(url: str) -> Ledger:
    """The ledger that `url` names: `memory:`, `sqlite:///relative.db` or `sqlite:////absolute.db`.

    Raises `ConfigurationError` for anything else. Its message repeats only the scheme, because the rest may
    hold a password.
    """
    scheme, colon, rest = url.partition(":")
    if url == "memory:":
        return MemoryLedger()
    if scheme == "sqlite" and rest.startswith("///") and not set("?#").intersection(rest):
        return SQLiteLedger(rest.removeprefix("///"))
    named = f"ledger URL {scheme}:..." if colon else "ledger URL without a scheme"
    raise ConfigurationError(
        f"{named}: use memory: (one process), sqlite:///relative.db or sqlite:////absolute.db "
        "(several workers on one machine), without options"
    )
