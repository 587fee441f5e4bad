"""Where units of payments are counted: a ledger for each kind of store, loaded when it is first named."""

from typing import TYPE_CHECKING, Any

from .url import ledger_class as _ledger_class
from .url import ledger_from_url

if TYPE_CHECKING:
    from .memory import MemoryLedger
    from .postgres import PostgresLedger
    from .redis import RedisLedger
    from .sqlite import SQLiteLedger

__all__ = ["MemoryLedger", "PostgresLedger", "RedisLedger", "SQLiteLedger", "ledger_from_url"]


if not TYPE_CHECKING:  # where any name would pass for one of these

    def __getattr__(name: str) -> Any:
        found = globals()[name] = _ledger_class(name)
        return found
