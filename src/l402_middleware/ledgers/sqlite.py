"""The ledger for several processes on one machine: one SQLite file."""

import atexit
import os
import sqlite3
import threading
from typing import TypeVar
from weakref import WeakSet

from ..core.errors import ConfigurationError, LedgerError
from ..flow import Step
from .ledger import Busy, Claim, Held, Kept, Outcome, Spent
from .sqlite_writer import Operation, Writer

T = TypeVar("T")

APPLICATION_ID = int.from_bytes(b"L402")

MIGRATIONS = (
    (
        """CREATE TABLE payments (
            id INTEGER PRIMARY KEY,
            payment_hash BLOB NOT NULL UNIQUE,
            endpoint TEXT NOT NULL,
            msat INTEGER NOT NULL,
            uses INTEGER NOT NULL,
            settled INTEGER NOT NULL DEFAULT 0,
            first_held_at REAL NOT NULL,
            settled_at REAL,
            forget_at REAL NOT NULL
        )""",
        "CREATE INDEX payments_forget_at ON payments (forget_at)",
        """CREATE TABLE holds (
            payment_hash BLOB NOT NULL,
            hold_id BLOB NOT NULL,
            request BLOB NOT NULL,
            lease_until REAL NOT NULL,
            PRIMARY KEY (payment_hash, hold_id)
        ) WITHOUT ROWID""",
        """CREATE TABLE answers (
            payment_hash BLOB PRIMARY KEY,
            request BLOB NOT NULL,
            replay_until REAL NOT NULL,
            answer BLOB NOT NULL
        )""",
        "CREATE INDEX answers_replay_until ON answers (replay_until)",
        "CREATE TABLE keys (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    ),
)
"""The statements that lead from each schema version to the next; `PRAGMA user_version` counts them."""


class SQLiteLedger:
    """Uses counted in the SQLite file at `path`, for any number of processes, threads and event loops.

    The file, made at the first step, holds a key and kept answers: nobody but its owner may read it. A step
    that returned has reached the disk. A ledger may be made and used before a fork; every process then goes
    on for itself. `close` waits for the steps under way.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        name = os.fspath(path)
        if not name or name == ":memory:" or "\0" in name:
            raise ConfigurationError(
                f"SQLiteLedger({name!r}): give the path of a file, which all workers share; for one process "
                "without a file there is MemoryLedger()"
            )
        self._path = os.path.abspath(name)
        self._mutex = threading.Lock()
        self._writer: Writer | None = None
        _ledgers.add(self)

    def hold(self, claim: Claim) -> Step[Outcome]:
        return Operation(self._submit, lambda db: _hold(db, claim), claim.now)

    def renew(self, payment_hash: bytes, hold_id: bytes, lease_until: float) -> Step[bool]:
        return Operation(self._submit, lambda db: _renew(db, payment_hash, hold_id, lease_until))

    def settle(
        self, payment_hash: bytes, hold_id: bytes, now: float, answer: bytes | None, replay_until: float
    ) -> Step[bool]:
        return Operation(self._submit, lambda db: _settle(db, (payment_hash, hold_id), now, answer, replay_until), now)

    def release(self, payment_hash: bytes, hold_id: bytes) -> Step[None]:
        return Operation(self._submit, lambda db: _release(db, payment_hash, hold_id))

    def keep_key(self, candidate: str) -> Step[str]:
        return Operation(self._submit, lambda db: _keep_key(db, candidate))

    def close(self) -> None:
        with self._mutex:
            self._stop_writer()

    def __del__(self) -> None:
        # Not waited for: the last reference may be dropped anywhere, even in the writer.
        writer = getattr(self, "_writer", None)
        if writer is not None:
            writer.queue.put(None)

    def _submit(self, operation: Operation[T]) -> None:
        with self._mutex:
            if self._writer is None:
                try:
                    self._writer = Writer(self._path, _migrate, _prune)
                except RuntimeError as error:
                    raise LedgerError(
                        f"ledger {self._path}: its thread can not start ({error}); raise the limit of threads"
                    ) from None
            self._writer.queue.put(operation)

    def _stop_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.stop()

    def _before_fork(self) -> None:
        # SQLite forbids carrying a connection over a fork, and a lock held by a thread that the child
        # does not have would never be given back there. The next step, in either process, starts anew.
        self._mutex.acquire()
        self._stop_writer()

    def _after_fork(self) -> None:
        self._mutex.release()


_ledgers: WeakSet[SQLiteLedger] = WeakSet()
_forking: list[SQLiteLedger] = []
_fork_mutex = threading.Lock()


def _before_fork() -> None:
    _fork_mutex.acquire()
    _forking.extend(_ledgers)
    for ledger in _forking:
        ledger._before_fork()


def _after_fork() -> None:
    for ledger in _forking:
        ledger._after_fork()
    _forking.clear()
    _fork_mutex.release()


def _close_all() -> None:
    for ledger in list(_ledgers):
        ledger.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
atexit.register(_close_all)


def _migrate(db: sqlite3.Connection) -> None:
    (owner,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if owner != APPLICATION_ID and (owner or version or tables):
        raise LedgerError("the file is another application's database; give the ledger a file of its own")
    if version > len(MIGRATIONS):
        raise LedgerError(
            f"the file has schema {version}, and this l402_middleware knows {len(MIGRATIONS)}; "
            "upgrade the package to the version that wrote the file"
        )
    for statements in MIGRATIONS[version:]:
        for statement in statements:
            db.execute(statement)
    if version < len(MIGRATIONS):
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _hold(db: sqlite3.Connection, claim: Claim) -> Outcome:
    created = db.execute(
        "INSERT INTO payments (payment_hash, endpoint, msat, uses, first_held_at, forget_at)"
        " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (payment_hash) DO NOTHING",
        (claim.payment_hash, claim.endpoint, claim.msat, claim.uses, claim.now, claim.forget_at),
    )
    if created.rowcount == 1:
        uses, settled, leases = claim.uses, 0, []
    else:
        uses, settled, forget_at = db.execute(
            "SELECT uses, settled, forget_at FROM payments WHERE payment_hash = ?", (claim.payment_hash,)
        ).fetchone()
        if claim.forget_at > forget_at:
            db.execute(
                "UPDATE payments SET forget_at = ? WHERE payment_hash = ?",
                (claim.forget_at, claim.payment_hash),
            )
        leases = db.execute(
            "SELECT lease_until, hold_id FROM holds WHERE payment_hash = ? ORDER BY lease_until",
            (claim.payment_hash,),
        ).fetchall()
    active = sum(lease_until > claim.now for lease_until, _ in leases)
    if settled + active < uses:
        if settled + len(leases) >= uses:
            _drop(db, claim.payment_hash, leases[0][1])
        db.execute(
            "INSERT OR REPLACE INTO holds (payment_hash, hold_id, request, lease_until) VALUES (?, ?, ?, ?)",
            (claim.payment_hash, claim.hold_id, claim.request, claim.lease_until),
        )
        return Held(uses - settled - active - 1)
    if settled < uses:
        return Busy()
    answer = db.execute(
        "SELECT answer FROM answers WHERE payment_hash = ? AND request = ? AND replay_until > ?",
        (claim.payment_hash, claim.request, claim.now),
    ).fetchone()
    return Spent() if answer is None else Kept(answer[0])


def _renew(db: sqlite3.Connection, payment_hash: bytes, hold_id: bytes, lease_until: float) -> bool:
    renewed = db.execute(
        "UPDATE holds SET lease_until = ? WHERE payment_hash = ? AND hold_id = ?",
        (lease_until, payment_hash, hold_id),
    )
    return renewed.rowcount == 1


def _settle(
    db: sqlite3.Connection,
    hold: tuple[bytes, bytes],
    now: float,
    answer: bytes | None,
    replay_until: float,
) -> bool:
    if answer is not None:
        db.execute(
            "INSERT OR REPLACE INTO answers (payment_hash, request, replay_until, answer)"
            " SELECT payment_hash, request, ?, ? FROM holds WHERE payment_hash = ? AND hold_id = ?",
            (replay_until, answer, *hold),
        )
    if not _drop(db, *hold):
        return False
    db.execute("UPDATE payments SET settled = settled + 1, settled_at = ? WHERE payment_hash = ?", (now, hold[0]))
    return True


def _release(db: sqlite3.Connection, payment_hash: bytes, hold_id: bytes) -> None:
    _drop(db, payment_hash, hold_id)


def _drop(db: sqlite3.Connection, payment_hash: bytes, hold_id: bytes) -> bool:
    dropped = db.execute("DELETE FROM holds WHERE payment_hash = ? AND hold_id = ?", (payment_hash, hold_id))
    return dropped.rowcount == 1


def _keep_key(db: sqlite3.Connection, candidate: str) -> str:
    db.execute("INSERT OR IGNORE INTO keys (name, value) VALUES ('secret', ?)", (candidate,))
    (key,) = db.execute("SELECT value FROM keys WHERE name = 'secret'").fetchone()
    return str(key)


def _prune(db: sqlite3.Connection, now: float, most: int) -> None:
    """Drop up to `most` answers and `most` payments whose time is over, but none that a running request holds."""
    db.execute(
        "DELETE FROM answers WHERE payment_hash IN (SELECT payment_hash FROM answers WHERE replay_until <= ? LIMIT ?)",
        (now, most),
    )
    over = db.execute(
        "SELECT payment_hash FROM payments WHERE forget_at <= ? AND NOT EXISTS"
        " (SELECT 1 FROM holds WHERE holds.payment_hash = payments.payment_hash AND lease_until > ?) LIMIT ?",
        (now, now, most),
    ).fetchall()
    db.executemany("DELETE FROM answers WHERE payment_hash = ?", over)
    db.executemany("DELETE FROM holds WHERE payment_hash = ?", over)
    db.executemany("DELETE FROM payments WHERE payment_hash = ?", over)
