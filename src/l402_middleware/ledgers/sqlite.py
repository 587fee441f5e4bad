"""The ledger for several processes on one machine: one SQLite file."""

import atexit
import os
import threading
from collections.abc import Sequence
from typing import TypeVar
from weakref import WeakSet

from ..core.errors import ConfigurationError, LedgerError
from ..flow import Step
from . import sqlite_record as record
from . import sqlite_tables as tables
from .ledger import Claim, Credit, History, Outcome, Page, Total
from .sqlite_writer import Operation, Writer

T = TypeVar("T")


class SQLiteLedger:
    """Units counted in the SQLite file at `path`, for any number of processes, threads and event loops.

    The file, made at the first step, holds a key and kept answers: nobody but its owner may read it. A step
    that returned has reached the disk. A ledger may be made and used before a fork; every process then goes
    on for itself. `close` waits for the steps under way.
    """

    keeps_keys = True

    @classmethod
    def from_url(cls, url: str) -> "SQLiteLedger | None":
        """`sqlite:///` and a path, without options."""
        rest = url.removeprefix("sqlite:")
        return cls(rest[3:]) if rest.startswith("///") and not set("?#").intersection(rest) else None

    def __init__(self, path: str | os.PathLike[str]) -> None:
        name = os.fspath(path)
        if not name or name == ":memory:" or "\0" in name:
            raise ConfigurationError(
                f"SQLiteLedger({name!r}): give the path of a file, which all workers share; for one process "
                "without a file there is MemoryLedger()"
            )
        self.path = os.path.abspath(name)
        self._mutex = threading.Lock()
        self._writer: Writer | None = None
        _ledgers.add(self)

    def hold(self, claim: Claim) -> Step[Outcome]:
        return Operation(self._submit, lambda db: tables.hold(db, claim), claim.now)

    def extend(
        self, payment_hash: bytes, hold_id: bytes, more: int, least: int, now: float, lease_until: float
    ) -> Step[int]:
        hold = (payment_hash, hold_id)
        return Operation(self._submit, lambda db: tables.extend(db, hold, more, least, now, lease_until), now)

    def renew(self, payment_hash: bytes, hold_id: bytes, lease_until: float) -> Step[bool]:
        return Operation(self._submit, lambda db: tables.renew(db, (payment_hash, hold_id), lease_until))

    def settle(
        self, payment_hash: bytes, hold_id: bytes, used: int, now: float, answer: bytes | None, replay_until: float
    ) -> Step[bool]:
        hold = (payment_hash, hold_id)
        return Operation(self._submit, lambda db: tables.settle(db, hold, used, now, answer, replay_until), now)

    def release(self, payment_hash: bytes, hold_id: bytes, now: float) -> Step[None]:
        return Operation(self._submit, lambda db: tables.release(db, (payment_hash, hold_id), now))

    def credit(self, payment_hash: bytes, by: Claim) -> Step[Credit]:
        return Operation(self._submit, lambda db: tables.credit(db, payment_hash, by), by.now)

    def close_payment(self, payment_hash: bytes, now: float) -> Step[int | None]:
        return Operation(self._submit, lambda db: tables.close_payment(db, payment_hash, now), now)

    def confirm(self, payment_hash: bytes, now: float) -> Step[None]:
        return Operation(self._submit, lambda db: tables.confirm(db, payment_hash, now))

    def revoke(self, token_id: bytes) -> Step[None]:
        return Operation(self._submit, lambda db: tables.revoke(db, token_id))

    def revoked(self) -> Step[frozenset[bytes]]:
        return Operation(self._submit, tables.revoked)

    def count(self, totals: Sequence[Total]) -> Step[None]:
        return Operation(self._submit, lambda db: record.count(db, totals))

    def totals(self, since: int, until: int) -> Step[list[Total]]:
        return Operation(self._submit, lambda db: record.totals(db, since, until))

    def history(self, payment_hash: bytes) -> Step[History | None]:
        return Operation(self._submit, lambda db: record.history(db, payment_hash))

    def payments(self, following: bytes, most: int) -> Step[Page]:
        return Operation(self._submit, lambda db: record.payments(db, following, most))

    def keep_key(self, candidate: str) -> Step[str]:
        return Operation(self._submit, lambda db: tables.keep_key(db, candidate))

    def kept_key(self) -> Step[str | None]:
        return Operation(self._submit, tables.kept_key)

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
                    self._writer = Writer(self.path)
                except RuntimeError as error:
                    raise LedgerError(
                        f"ledger {self.path}: its thread cannot start ({error}); raise the limit of threads"
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
