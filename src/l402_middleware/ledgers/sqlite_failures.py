"""What the failures of a SQLite file mean, and what to do about each."""

import errno
import sqlite3

from ..core.errors import LedgerError
from .sqlite_turn import TOO_LONG

_FULL = "the disk is full; make room, and the next request goes through"
_NO_ENTRY = "it cannot be opened; make sure that its folder exists and that this process may write there"
GONE = (
    "it was moved, removed or replaced while in use; put it back, or restart to begin with an empty ledger (uses "
    "already delivered are then no longer known)"
)
_READ_ONLY = "it cannot be written; give this process the right to write to the file and to its folder"
_DAMAGED = (
    "it is not an intact SQLite database; restore a backup, or move it away and start with an empty one (uses "
    "already delivered are then no longer known)"
)
_IO = "the disk refused to read or write; look for a full disk, a quota or a file size limit, or a failing disk"

_REMEDIES: dict[int | None, str] = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_CANTOPEN: _NO_ENTRY,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_IOERR: _IO,
    sqlite3.SQLITE_BUSY: TOO_LONG,
    sqlite3.SQLITE_LOCKED: TOO_LONG,
}
_ERRNOS: dict[int | None, str] = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: _IO,
    errno.EIO: _IO,
    errno.EROFS: _READ_ONLY,
}


def explain(error: Exception) -> str:
    """What happened and what to do, without a word of what was to be stored."""
    if isinstance(error, LedgerError):
        return str(error)
    if isinstance(error, OSError):
        return f"{_ERRNOS.get(error.errno, _NO_ENTRY)} ({error.strerror})"
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None)
        if code is not None and (remedy := _REMEDIES.get(code & 0xFF)):
            return f"{remedy} ({error.sqlite_errorname})"
        return f"SQLite refused: {error}"
    return f"the step failed with {type(error).__name__}"
