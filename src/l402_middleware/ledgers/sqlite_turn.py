"""Whose turn it is to write to the SQLite ledger, by lock files: SQLite's own waiting is neither quick nor fair."""

import os
import sys
import time
from types import TracebackType

from ..core.errors import LedgerError

if sys.platform != "win32":
    import fcntl

LOCK_SECONDS = 5.0
"""How long a batch waits for other processes before its steps fail."""

TOO_LONG = (
    f"another process has kept it locked for more than {LOCK_SECONDS:.0f} s; end whatever holds a transaction "
    "on it (a database shell, a backup, a stopped worker)"
)


class Turn:
    """Whose turn it is to write: one lock file is the turn, the other the place next in line.

    Without the second, a busy writer that has just given up the turn takes it again before anyone wakes up.
    The kernel drops both with the process. SQLite's own lock still stands behind them.
    """

    def __init__(self, path: str) -> None:
        self._turn = os.open(path + "-lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._next = os.open(path + "-next", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:
            os.close(self._turn)
            raise

    def close(self) -> None:
        os.close(self._turn)
        os.close(self._next)

    def __enter__(self) -> None:
        deadline = time.monotonic() + LOCK_SECONDS
        self._take(self._next, deadline)
        try:
            self._take(self._turn, deadline)
        finally:
            fcntl.flock(self._next, fcntl.LOCK_UN)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        fcntl.flock(self._turn, fcntl.LOCK_UN)

    @staticmethod
    def _take(file: int, deadline: float) -> None:
        pause = 0.0001
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise LedgerError(TOO_LONG) from None
            else:
                return
            time.sleep(pause)
            pause = min(2 * pause, 0.002)
