"""Where uses of payments are counted: one file per store."""

from .memory import MemoryLedger
from .postgres import PostgresLedger
from .redis import RedisLedger
from .sqlite import SQLiteLedger
from .url import ledger_from_url

__all__ = ["MemoryLedger", "PostgresLedger", "RedisLedger", "SQLiteLedger", "ledger_from_url"]
