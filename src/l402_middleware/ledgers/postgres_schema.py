"""Which schema the PostgreSQL ledger needs, and how it is made or brought up to date."""

from importlib.resources import files
from typing import Any, Final

import psycopg

from ..core.errors import LedgerError

SCHEMA_VERSION: Final = 2

READ_VERSION: Final = "SELECT version FROM l402.schema_version"
NO_SCHEMA: Final = (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName)


def is_old(version: tuple[Any, ...] | None) -> bool:
    """Whether the schema has to be made or brought up to date. Raises `LedgerError` where it is newer than we are."""
    found = version[0] if version else 0
    if found > SCHEMA_VERSION:
        raise LedgerError(
            f"the schema l402 has version {found}, and this l402_middleware knows {SCHEMA_VERSION}; "
            "upgrade the package to the version that made it"
        )
    return bool(found < SCHEMA_VERSION)


def migration() -> bytes:
    """Statements that are one transaction, if sent together. They take as long as there are payments to change."""
    names = ("postgres_tables.sql", "postgres_steps.sql", "postgres_record.sql")
    return b"".join(files(__package__).joinpath(name).read_bytes() for name in names)
