"""Where purchases are written down before anything is paid, so that nothing is paid twice.

A purchase that is under way is claimed by whoever makes it. A claim ends with its process, however that ends: each
process holds a lock on a file of its own, which the operating system gives up for it. What a dead process left behind
is taken over by the next one that asks the same; what a living one is busy with is left to it.
"""

import importlib
import os
import secrets
import sqlite3
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final

from ..core.errors import ConfigurationError, LedgerError
from .asked import Asked
from .budget import DAY, HOUR, Budget, Spending
from .errors import NotPaid
from .purchase import Purchase

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS purchases (
    payment_hash BLOB PRIMARY KEY, digest TEXT NOT NULL, endpoint TEXT NOT NULL, origin TEXT NOT NULL,
    challenge TEXT NOT NULL, msat INTEGER NOT NULL, uses INTEGER, exact INTEGER NOT NULL, state TEXT NOT NULL,
    created_at REAL NOT NULL, valid_until INTEGER, preimage BLOB, fee_msat INTEGER NOT NULL, owner TEXT
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS purchases_by_endpoint ON purchases (endpoint, state);
CREATE INDEX IF NOT EXISTS purchases_by_time ON purchases (created_at);
"""
_VERSION: Final = 1

_COLUMNS: Final = ", ".join(field.name for field in fields(Purchase))

# The very request first. What was answered and has no uses left is for the very request only: it asks for the same
# answer again. The rest is good for each request to its endpoint.
_USABLE: Final = f"""
SELECT {_COLUMNS}, owner FROM purchases
WHERE endpoint = :endpoint AND state IN ('paying', 'paid', 'answered')
AND (valid_until IS NULL OR valid_until > :now OR state = 'paying')
AND (digest = :digest OR (NOT exact AND (uses IS NULL OR uses > 0)))
ORDER BY digest = :digest DESC, state = 'paying' DESC, created_at
"""  # noqa: S608 - the columns are a dataclass's
_SPENT: Final = """
SELECT coalesce(sum(CASE WHEN created_at > :now - :hour THEN msat + fee_msat END), 0),
coalesce(sum(CASE WHEN created_at > :now - :day THEN msat + fee_msat END), 0), coalesce(sum(msat + fee_msat), 0)
FROM purchases WHERE state != 'failed'
"""


class AnotherBuys:
    """Somebody else is about to buy what will be good for this request too."""


class MemoryStore:
    """A store for one process, which forgets everything when it ends."""

    _path: Path | None = None

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._claimed: set[bytes] = set()
        self._process: int | None = None
        self._connection: sqlite3.Connection | None = None
        self._owner = ""
        self._owner_file: int | None = None

    def open(self, asked: Asked, now: float, mine: set[bytes]) -> Purchase | AnotherBuys | None:
        """The purchase to answer this request with; None where there is none, or one in `mine` only.

        One that is `paying` was interrupted: what became of it has to be found out first. It is claimed, and its
        payment hash added to `mine`, unless it has been honoured before and is good for more: that is anybody's.
        """
        wanted = {"endpoint": asked.endpoint, "digest": asked.digest, "now": now}
        with self._writing() as connection:
            for *values, owner in connection.execute(_USABLE, wanted).fetchall():
                purchase = _purchase(values)
                if purchase.payment_hash in mine:
                    continue
                if purchase.state == "answered" and purchase.uses != 0:
                    return purchase
                if not self._is_claimed(purchase.payment_hash, owner):
                    self._claim(connection, purchase.payment_hash, mine)
                    return purchase
                if _is_for_many(purchase):
                    return AnotherBuys()
        return None

    def begin(self, purchase: Purchase, budget: Budget, mine: set[bytes]) -> AnotherBuys | None:
        """Write a purchase down and claim it, adding its payment hash to `mine`, unless that would break the budget.

        `AnotherBuys` where it is for many requests, and somebody else is about to buy such a one: nothing is written
        down then. Raises `NotPaid` where it would, and where its payment is on record already: whoever asks for it
        again gets nothing. Once this returns, no crash forgets the purchase.
        """
        with self._writing() as connection:
            known = connection.execute(
                "SELECT state FROM purchases WHERE payment_hash = ?", (purchase.payment_hash,)
            ).fetchone()
            if known is not None and known[0] != "failed":
                raise NotPaid("invoice-seen", "the server asks for a payment that was begun or made before")
            if _is_for_many(purchase) and self._others_buy(connection, purchase.endpoint, mine):
                return AnotherBuys()
            budget.check_spent(purchase.amount, _spent(connection, purchase.created_at))
            values = [getattr(purchase, field.name) for field in fields(Purchase)]
            connection.execute(
                f"INSERT OR REPLACE INTO purchases ({_COLUMNS}) VALUES ({', '.join('?' * len(values))})",  # noqa: S608
                values,
            )
            self._claim(connection, purchase.payment_hash, mine)
        return None

    def paid(self, payment_hash: bytes, preimage: bytes, fee_msat: int) -> None:
        """The payment was made."""
        self._set(payment_hash, "state = 'paid', preimage = ?, fee_msat = ?", preimage, fee_msat)

    def failed(self, payment_hash: bytes) -> None:
        """Nothing was paid, and nothing will be."""
        self._set(payment_hash, "state = 'failed'")

    def answered(self, payment_hash: bytes) -> None:
        """The credential opened its answer, and has one use less."""
        self._set(payment_hash, "state = 'answered', uses = max(uses - 1, 0)")

    def over(self, payment_hash: bytes) -> None:
        """The credential is used up, or no good any more."""
        self._set(payment_hash, "state = 'over'")

    def delivered(self, payment_hash: bytes) -> None:
        """All of the answer has arrived: if that was the last use, it is over."""
        with self._writing() as connection:
            connection.execute(
                "UPDATE purchases SET state = 'over' WHERE payment_hash = ? AND uses = 0", (payment_hash,)
            )

    def refused(self, payment_hash: bytes) -> None:
        """The server does not honour what was paid."""
        self._set(payment_hash, "state = 'refused'")

    def release(self, mine: set[bytes]) -> None:
        """Whoever claimed these is done with them, or has given up."""
        self._claimed -= mine

    def spent(self, now: float) -> Spending:
        """What was spent, and is being spent."""
        with self._writing() as connection:
            return _spent(connection, now)

    def purchases(self) -> list[Purchase]:
        """All that is on record, oldest first."""
        with self._writing() as connection:
            rows = connection.execute(f"SELECT {_COLUMNS} FROM purchases ORDER BY created_at")  # noqa: S608
            return [_purchase(row) for row in rows]

    def close(self) -> None:
        """Give up what is open. A later call opens it again; a store in memory then begins anew."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            self._leave()

    def _set(self, payment_hash: bytes, changes: str, *values: object) -> None:
        with self._writing() as connection:
            connection.execute(f"UPDATE purchases SET {changes} WHERE payment_hash = ?", (*values, payment_hash))  # noqa: S608

    def _claim(self, connection: sqlite3.Connection, payment_hash: bytes, mine: set[bytes]) -> None:
        connection.execute("UPDATE purchases SET owner = ? WHERE payment_hash = ?", (self._owner, payment_hash))
        self._claimed.add(payment_hash)
        mine.add(payment_hash)

    def _others_buy(self, connection: sqlite3.Connection, endpoint: str, mine: set[bytes]) -> bool:
        begun = connection.execute(
            "SELECT payment_hash, owner FROM purchases WHERE endpoint = ? AND state IN ('paying', 'paid') "
            "AND NOT exact AND (uses IS NULL OR uses > 1)",
            (endpoint,),
        ).fetchall()
        return any(payment_hash not in mine and self._is_claimed(payment_hash, owner) for payment_hash, owner in begun)

    def _is_claimed(self, payment_hash: bytes, owner: str | None) -> bool:
        if owner is None or owner == self._owner:
            return payment_hash in self._claimed
        return self._is_alive(owner)

    def _is_alive(self, owner: str) -> bool:
        """Whether another process is still there; one that shares a store in memory is not."""
        return False

    def _enter(self) -> None:
        self._owner = secrets.token_hex(8)

    def _leave(self) -> None:
        self._claimed.clear()
        self._process = None

    @contextmanager
    def _writing(self) -> Generator[sqlite3.Connection]:
        """A transaction, and everything of it or nothing."""
        with self._lock:
            try:
                connection = self._opened()
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                except BaseException:
                    connection.execute("ROLLBACK")
                    raise
                connection.execute("COMMIT")
            except sqlite3.Error as error:
                raise LedgerError(f"the store of purchases failed: {type(error).__name__}: {error}") from None

    def _opened(self) -> sqlite3.Connection:
        if self._process != os.getpid():
            # After a fork: neither connection nor claims are this process's.
            self._connection = None
            self._claimed.clear()
            self._enter()
            self._process = os.getpid()
        if self._connection is None:
            self._connection = sqlite3.connect(
                self._path or ":memory:", timeout=20, isolation_level=None, check_same_thread=False
            )
            self._connection.execute("PRAGMA journal_mode = WAL")
            # A payment must not be forgotten because the machine lost power.
            self._connection.execute("PRAGMA synchronous = FULL")
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            if version not in (0, _VERSION):
                raise LedgerError("the store of purchases was made by a newer version of this package")
            self._connection.executescript(f"{_SCHEMA}; PRAGMA user_version = {_VERSION}")
        return self._connection


class SQLiteStore(MemoryStore):
    """A store in a file that processes of one machine share, and that outlives them.

    It holds preimages: it is made readable by its owner only, and belongs where other secrets are. Beside it each
    process that uses it has a small file with `.owner` at its end. Raises `ConfigurationError` where the folder cannot
    be written, and on systems without `fcntl`.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__()
        try:
            self._fcntl: Any = importlib.import_module("fcntl")
        except ImportError:
            raise ConfigurationError("SQLiteStore needs POSIX file locks, which this system does not have") from None
        self._path = Path(path).absolute()
        try:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise ConfigurationError(f"SQLiteStore: {path} cannot be written: {error.strerror}") from None

    def _enter(self) -> None:
        if self._owner_file is not None:
            # The parent's; its lock stays, because the parent holds the file too.
            os.close(self._owner_file)
        super()._enter()
        self._owner_file = os.open(self._file_of(self._owner), os.O_RDWR | os.O_CREAT, 0o600)
        self._fcntl.flock(self._owner_file, self._fcntl.LOCK_EX)

    def _leave(self) -> None:
        super()._leave()
        if self._owner_file is not None:
            self._file_of(self._owner).unlink(missing_ok=True)
            os.close(self._owner_file)
            self._owner_file = None

    def _is_alive(self, owner: str) -> bool:
        path = self._file_of(owner)
        try:
            file = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            self._fcntl.flock(file, self._fcntl.LOCK_EX | self._fcntl.LOCK_NB)
        except OSError:
            return True
        else:
            # Nobody else looks for it: the caller holds the database's lock.
            with suppress(FileNotFoundError):
                path.unlink()
            return False
        finally:
            os.close(file)

    def _file_of(self, owner: str) -> Path:
        assert self._path is not None
        return self._path.with_name(f"{self._path.name}.{owner}.owner")


def _is_for_many(purchase: Purchase) -> bool:
    return purchase.uses not in (0, 1) and not purchase.exact


def _purchase(row: Sequence[Any]) -> Purchase:
    purchase = Purchase(*row)
    return replace(purchase, exact=bool(purchase.exact))


def _spent(connection: sqlite3.Connection, now: float) -> Spending:
    return Spending(*connection.execute(_SPENT, {"now": now, "hour": HOUR, "day": DAY}).fetchone())
