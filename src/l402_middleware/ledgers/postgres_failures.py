"""Where PostgreSQL is, and what its failures mean: without a password, or a word of what was to be stored."""

import re
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

from ..core.errors import ConfigurationError, LedgerError


class NoAnswer(psycopg.OperationalError):
    """The server said nothing for too long; says for how long."""


def place_of(url: str) -> str:
    """Where `url` leads, for messages. Raises `ConfigurationError`, without a part of it, for what cannot be read.

    That is also what libpq would read otherwise than it was meant: then its messages show parts of the password.
    """
    try:
        parts = urlsplit(url)
        parameters = conninfo_to_dict(url)
        host, port = (str(parameters.get(name, default)) for name, default in (("host", "localhost"), ("port", "5432")))
        readable = (
            parts.scheme in ("postgresql", "postgres")
            and url.count("@") == parts.netloc.count("@") <= 1
            and all(each.isdecimal() for each in port.split(","))
        )
    except (psycopg.Error, ValueError):
        readable = False
    if not readable:
        raise ConfigurationError(
            "PostgresLedger: the URL cannot be read; it looks like postgresql://user:password@host:5432/database, "
            "with special characters in user and password percent-encoded (@ is %40, / is %2F)"
        )
    return f"postgresql://{host}:{port}/{parameters.get('dbname', '')}"


_STOPPING = "the server is being stopped or started; the next step goes through once it is back"
_CROWDED = "the server has no connection left; lower pool_size or the number of workers, or raise its max_connections"
_NOT_PRIMARY = (
    "the server is a read-only replica; give the URL of the primary (or all hosts, and target_session_attrs=read-write)"
)
_REMEDIES: Final = {
    "25006": _NOT_PRIMARY,
    "42501": "the role may not do this; let it create the schema l402 (GRANT CREATE ON DATABASE), or give it an empty "
    "schema l402 that it owns",
    "53100": "the server's disk is full; make room, and the next step goes through",
    "53300": _CROWDED,
    "55P03": "another session keeps a row or table locked; end whatever holds a transaction open on the schema l402",
    "57014": "the step took the server too long, and was undone; look for what slows the database down",
    "57P01": _STOPPING,
    "57P02": _STOPPING,
    "57P03": _STOPPING,
}
# Of a connection that it does not get, libpq tells the reason in words only.
_REASONS: Final = (
    (r"too many (clients|connections)|remaining connection slots", _CROWDED),
    (r"starting up|shutting down|in recovery mode|not yet accepting", _STOPPING),
    (r"read-only|session is not|hot standby", _NOT_PRIMARY),
    (r"authentication|no password|pg_hba", "look at user and password in the URL, and at the server's pg_hba.conf"),
    (r"does not exist", "create the database or the role, or name another one in the URL"),
    (r"timeout", "is the server running, and can this machine reach it?"),
    (r"", "is the server running, and is the URL right?"),
)


@contextmanager
def connecting() -> Generator[None]:
    """Raises `LedgerError` where a connection is not had, and says why."""
    try:
        yield
    except psycopg.Error as error:
        text = " ".join(str(error).partition("\n")[0].split())
        remedy = next(remedy for pattern, remedy in _REASONS if re.search(pattern, text))
        raise LedgerError(f"{text}; {remedy}") from None


def explain(error: Exception) -> str:
    """What happened and what to do, without a word of what was to be stored."""
    if isinstance(error, NoAnswer):
        return str(error)
    sqlstate = getattr(error, "sqlstate", None)
    if sqlstate in _REMEDIES:
        return f"{_REMEDIES[sqlstate]} ({sqlstate})"
    if sqlstate is not None or not isinstance(error, psycopg.OperationalError):
        return f"PostgreSQL refused the step ({type(error).__name__}, {sqlstate or 'before it was sent'})"
    return "the connection broke off, and it is not known whether the step was done; the next one opens another"
