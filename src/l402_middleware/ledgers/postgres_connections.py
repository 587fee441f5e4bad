"""Connections to PostgreSQL: a few for each event loop, and a few for all threads of the process.

They are opened by the step that needs one, not in the background: a step that cannot have one says why, at once, and
the first step after an outage goes through. A step is one statement, committed by itself, and never sent again: once
it was sent, only the server knows whether it was done.
"""

import asyncio
import os
import selectors
import threading
import time
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final, Generic, TypeAlias, TypeVar
from weakref import WeakSet

import anyio
import anyio.to_thread
import psycopg
from anyio.lowlevel import RunVar
from psycopg.abc import PQGen

from ..core.errors import LedgerError
from ..flow import asyncio_loop
from .postgres_failures import NoAnswer, connecting, explain
from .postgres_schema import NO_SCHEMA, READ_VERSION, is_old, migration

Rows: TypeAlias = list[tuple[Any, ...]]

T = TypeVar("T")

SECONDS: Final = 5
"""How long a step waits for its turn, for a connection to open, and for its answer: each."""

# The server gives up before we do: then it is certain that nothing was changed.
# What was delivered has to survive the server's crash, whatever else the database is good for.
_SESSION: Final = """
    SET statement_timeout = '4500ms';
    SET lock_timeout = '3s';
    SET default_transaction_isolation = 'read committed';
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'
"""
# For as long as the schema is brought up to date.
_PATIENTLY: Final = "SET statement_timeout = 0; SET lock_timeout = 0"


class Connections:
    """Runs statements on the database at `url`, on `pool_size` connections per event loop and as many for all threads.

    `place` stands for the URL in messages.
    Made or used before a fork, it opens connections of its own in the child.
    """

    def __init__(self, url: str, place: str, pool_size: int) -> None:
        self._url = url
        self._place = place
        self._pool_size = pool_size
        self._limiter: RunVar[anyio.CapacityLimiter] = RunVar("l402_middleware PostgreSQL threads")
        self._start()
        _all.add(self)

    def _start(self) -> None:
        self._mutex = threading.Lock()
        self._threads = _Pool[_Connection, threading.Semaphore](threading.Semaphore(self._pool_size))
        self._loops: dict[asyncio.AbstractEventLoop, _Pool[_AsyncConnection, asyncio.Semaphore]] = {}

    def run(self, query: str, values: tuple[object, ...]) -> Rows:
        """The rows that `query` gives, blocking. Raises `LedgerError`."""
        pool = self._threads
        if not pool.turns.acquire(timeout=SECONDS):
            raise self._busy()
        try:
            with self._failures():
                db = pool.take() or self._connect()
                try:
                    rows = db.execute(query, values, binary=True).fetchall()
                except BaseException:
                    db.pgconn.finish()
                    raise
            pool.put(db)
            return rows
        finally:
            pool.turns.release()

    async def arun(self, query: str, values: tuple[object, ...]) -> Rows:
        """The rows that `query` gives, awaited. Raises `LedgerError`."""
        loop = _usable_loop()
        if loop is None:
            # Threads of our own: the application's may all be busy with requests that wait for this step.
            limiter = self._limiter.get(None)
            if limiter is None:
                limiter = anyio.CapacityLimiter(self._pool_size)
                self._limiter.set(limiter)
            return await anyio.to_thread.run_sync(self.run, query, values, limiter=limiter)
        pool = self._pool_of(loop)
        try:
            async with asyncio.timeout(SECONDS):
                await pool.turns.acquire()
        except TimeoutError:
            raise self._busy() from None
        try:
            # Cancelled half-way, a hold could be taken after its release had found nothing to give back.
            with anyio.CancelScope(shield=True), self._failures():
                db = pool.take() or await self._aconnect()
                try:
                    cursor = await db.execute(query, values, binary=True)
                    rows = await cursor.fetchall()
                except BaseException:
                    db.pgconn.finish()
                    raise
            pool.put(db)
            return rows
        finally:
            pool.turns.release()

    def close(self) -> None:
        """Close the connections that are idle now, and those in use as soon as they are not."""
        with self._mutex:
            pools: list[_Pool[Any, Any]] = [self._threads, *self._loops.values()]
            self._threads = _Pool(threading.Semaphore(self._pool_size))
            self._loops = {}
        for pool in pools:
            pool.close()

    def __del__(self) -> None:
        self.close()

    def _pool_of(self, loop: asyncio.AbstractEventLoop) -> "_Pool[_AsyncConnection, asyncio.Semaphore]":
        pool = self._loops.get(loop)
        if pool is None:
            pool = _Pool(asyncio.Semaphore(self._pool_size))
            with self._mutex:
                over = [self._loops.pop(other) for other in list(self._loops) if other.is_closed()]
                self._loops[loop] = pool
            for each in over:
                each.close()
        return pool

    def _connect(self) -> "_Connection":
        with connecting():
            db = _Connection.connect(self._url, **_PARAMETERS)
        try:
            db.execute(_SESSION)
            try:
                version = db.execute(READ_VERSION).fetchone()
            except NO_SCHEMA:
                version = None
            if is_old(version):
                db.patient = True
                db.execute(_PATIENTLY)
                db.execute(migration())
                db.execute(_SESSION)
                db.patient = False
        except BaseException:
            db.pgconn.finish()
            raise
        return db

    async def _aconnect(self) -> "_AsyncConnection":
        with connecting():
            db = await _AsyncConnection.connect(self._url, **_PARAMETERS)
        try:
            await db.execute(_SESSION)
            try:
                version = await (await db.execute(READ_VERSION)).fetchone()
            except NO_SCHEMA:
                version = None
            if is_old(version):
                db.patient = True
                await db.execute(_PATIENTLY)
                await db.execute(migration())
                await db.execute(_SESSION)
                db.patient = False
        except BaseException:
            db.pgconn.finish()
            raise
        return db

    def _busy(self) -> LedgerError:
        return LedgerError(
            f"ledger {self._place}: all {self._pool_size} connections of this process were busy for {SECONDS} s; "
            "look for what slows the database down, or give PostgresLedger a larger pool_size"
        )

    @contextmanager
    def _failures(self) -> Generator[None]:
        # `from None`: a cause's traceback holds the URL with its password.
        try:
            yield
        except LedgerError as error:
            raise LedgerError(f"ledger {self._place}: {error}") from None
        except (psycopg.Error, OSError) as error:
            raise LedgerError(f"ledger {self._place}: {explain(error)}") from None


class _Connection(psycopg.Connection[tuple[Any, ...]]):
    patient = False

    def wait(self, gen: PQGen[T], *args: Any, **kwargs: Any) -> T:
        return super().wait(gen if self.patient else _bounded(gen), *args, **kwargs)


class _AsyncConnection(psycopg.AsyncConnection[tuple[Any, ...]]):
    patient = False

    async def wait(self, gen: PQGen[T], *args: Any, **kwargs: Any) -> T:
        return await super().wait(gen if self.patient else _bounded(gen), *args, **kwargs)


def _bounded(gen: PQGen[T]) -> PQGen[T]:
    """Give up on a server that says nothing: its machine may be gone, and then nothing would ever end the wait."""
    deadline = time.monotonic() + SECONDS
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if not ready and time.monotonic() > deadline:
                raise NoAnswer(
                    f"the server did not answer within {SECONDS} s, and it is not known whether the step was done"
                )
            wanted = gen.send(ready)
    except StopIteration as end:
        value: T = end.value
        return value


C = TypeVar("C", bound=psycopg.Connection[Any] | psycopg.AsyncConnection[Any])
S = TypeVar("S", bound=threading.Semaphore | asyncio.Semaphore)


class _Pool(Generic[C, S]):
    """The turns that may be taken at once, and the connections that nobody uses, the last used one first."""

    def __init__(self, turns: S) -> None:
        self.turns = turns
        self._idle: deque[C] = deque()
        self._closed = False

    def take(self) -> C | None:
        while (db := self._pop()) is not None:
            # A server that says something unasked has hung up, or is about to.
            if not db.closed and not _has_input(db.pgconn.socket):
                return db
            db.pgconn.finish()
        return None

    def put(self, db: C) -> None:
        self._idle.append(db)
        if self._closed:
            self.close()

    def close(self) -> None:
        self._closed = True
        while (db := self._pop()) is not None:
            db.pgconn.finish()

    def _pop(self) -> C | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None


_Selector = getattr(selectors, "PollSelector", selectors.SelectSelector)


def _has_input(socket: int) -> bool:
    with _Selector() as selector:
        selector.register(socket, selectors.EVENT_READ)
        return bool(selector.select(0))


def _usable_loop() -> asyncio.AbstractEventLoop | None:
    """The running loop, where the caller is an asyncio task and psycopg can watch a socket in that loop."""
    loop = asyncio_loop()
    return None if isinstance(loop, getattr(asyncio, "ProactorEventLoop", ())) else loop


_all: WeakSet[Connections] = WeakSet()
_inherited: list[object] = []


def _after_fork() -> None:
    # The parent goes on using its connections: here they are neither used nor closed.
    for connections in list(_all):
        _inherited.append((connections._threads, connections._loops))
        connections._start()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


_PARAMETERS: Final[dict[str, Any]] = {
    "autocommit": True,
    "connect_timeout": SECONDS,
    "client_encoding": "utf8",
    "fallback_application_name": "l402_middleware",
}
