"""One thread per process that commits to the SQLite ledger.

A commit that survives a power cut waits for the disk, and costs the same for one step as for a hundred. So
the writer takes all the steps that wait, and commits them together.
"""

import asyncio
import os
import sqlite3
import sys
import threading
from collections.abc import Callable
from contextlib import nullcontext, suppress
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import anyio.to_thread

from ..core.errors import LedgerError
from ..flow import Step, asyncio_loop
from . import sqlite_turn
from .sqlite_failures import GONE, explain
from .sqlite_record import Database, finish
from .sqlite_schema import migrate
from .sqlite_turn import Turn

T = TypeVar("T")

BATCH = 256
"""How many steps one transaction takes at most."""


class Operation(Step[T]):
    """A step for the writer. Taken once.

    What it came to is stored here, not in the future that wakes the task: a task that was cancelled never
    looks, and asyncio would log an exception that nobody retrieved.
    """

    outcome: T

    def __init__(
        self,
        submit: "Callable[[Operation[T]], None]",
        run: Callable[[Database], T],
        now: float | None = None,
    ) -> None:
        self.run = run
        self.now = now
        self.failure: str | None = None
        self.waiting: threading.Lock | asyncio.Future[None]
        self._submit = submit

    def block(self) -> T:
        self._submitted().acquire()
        return self._result()

    async def wait(self) -> T:
        loop = asyncio_loop()
        if loop is None:
            # Submitted before there is a thread: cancelled, a hold must not come behind its own release.
            await anyio.to_thread.run_sync(self._submitted().acquire, abandon_on_cancel=True)
            return self._result()
        self.waiting = over = loop.create_future()
        self._submit(self)
        await over
        return self._result()

    def _submitted(self) -> threading.Lock:
        """A lock that can be acquired as soon as the step is over."""
        self.waiting = over = threading.Lock()
        over.acquire()
        self._submit(self)
        return over

    def _result(self) -> T:
        if self.failure is not None:
            raise LedgerError(self.failure)
        return self.outcome


class Writer:
    """The thread that commits what this process asks for. It ends at `None` in its queue."""

    def __init__(self, path: str) -> None:
        self.queue: SimpleQueue[Operation[Any] | None] = SimpleQueue()
        self._path = path
        self._turn: Turn | None = None
        self._db: Database | None = None
        self._file: tuple[int, int] | None = None
        self._thread = threading.Thread(target=self._run, name=f"ledger {path}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self.queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while self._serve():
            pass
        self._close()

    def _serve(self) -> bool:
        """Commit what waits; False after the last. Between batches no step is kept alive, nor a ledger by one."""
        batch = []
        operation = self.queue.get()
        with suppress(Empty):
            while operation is not None:
                batch.append(operation)
                if len(batch) == BATCH:
                    break
                operation = self.queue.get_nowait()
        if batch:
            self._commit(batch)
            _wake(batch)
        return operation is not None

    def _commit(self, batch: "list[Operation[Any]]") -> None:
        try:
            with self._take_turn():
                db = self._open()
                db.execute("BEGIN IMMEDIATE")
                now = None
                for operation in batch:
                    operation.outcome = operation.run(db)
                    now = operation.now or now
                finish(db, now, 2 * len(batch))
                db.execute("COMMIT")
        except Exception as error:  # whatever it is, those who wait must hear of it
            failure = f"ledger {self._path}: {explain(error)}"
            for operation in batch:
                operation.failure = failure
            # Rolls back, and lets the next batch begin with nothing left over from this failure.
            self._close()

    def _open(self) -> Database:
        """The connection to the file that has the ledger's name now.

        A file keeps taking writes after it was moved or removed, while another process already counts in its successor:
        then both would deliver. Nor is a file made anew while this process runs, for it would know of no delivery.
        """
        there = _identity(self._path)
        if self._file is not None and there != self._file and (there is None or self._db is not None):
            raise LedgerError(GONE)
        if self._db is None:
            self._db = _connect(self._path)
            self._file = _identity(self._path)
        return self._db

    def _take_turn(self) -> "Turn | nullcontext[None]":
        if sys.platform == "win32":
            return nullcontext()
        self._turn = self._turn or Turn(self._path)
        return self._turn

    def _close(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            with suppress(sqlite3.Error):
                db.close()
        turn, self._turn = self._turn, None
        if turn is not None:
            turn.close()


def _wake(batch: list[Operation[Any]]) -> None:
    """Wake every waiter, each event loop once."""
    loops: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
    for operation in batch:
        if isinstance(operation.waiting, asyncio.Future):
            loops.setdefault(operation.waiting.get_loop(), []).append(operation.waiting)
        else:
            operation.waiting.release()
    for loop, futures in loops.items():
        with suppress(RuntimeError):  # the loop was closed, so nobody waits
            loop.call_soon_threadsafe(_finish, futures)


def _finish(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        file = os.stat(path)
    except FileNotFoundError:
        return None
    return file.st_dev, file.st_ino


_connecting = threading.Lock()


def _connect(path: str) -> Database:
    # One thread at a time: closing the file just made would drop the locks that a connection of another
    # thread already had on it (POSIX locks belong to the process).
    with _connecting:
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        db = sqlite3.connect(path, timeout=sqlite_turn.LOCK_SECONDS, isolation_level=None, factory=Database)
    try:
        db.execute("BEGIN IMMEDIATE")
        migrate(db)
        db.execute("COMMIT")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        # A batch of large answers would leave a journal as large behind for ever.
        db.execute("PRAGMA journal_size_limit = 16777216")
    except BaseException:
        db.close()
        raise
    return db
