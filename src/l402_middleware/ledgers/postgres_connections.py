"""Connections to PostgreSQL: a few for each event loop, and a few for all threads of the process.

They are opened by the step that needs one, not in the background: a step that cannot have one says why, at once, and
the first step after an outage goes through. A step is one statement, committed by itself, and never sent again: once
it was sent, only the server knows whether it was done.
"""

import asyncio
import os
import re
import selectors
import threading
import time
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any, Final, Generic, TypeAlias, TypeVar
from urllib.parse import urlsplit
from weakref import WeakSet

import anyio
import anyio.to_thread
import psycopg
from anyio.lowlevel import RunVar
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict

from ..core.errors import ConfigurationError, LedgerError
from ..flow import asyncio_loop

Rows: TypeAlias = list[tuple[Any, ...]]

T = TypeVar("T")

SECONDS: Final = 5
"""How long a step waits for its turn, for a connection to open, and for its answer: each."""

SCHEMA_VERSION: Final = 1

# The server gives up before we do: then it is certain that nothing was changed.
# What was delivered has to survive the server's crash, whatever else the database is good for.
_SESSION: Final = """
    SET statement_timeout = '4500ms';
    SET lock_timeout = '3s';
    SET default_transaction_isolation = 'read committed';
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'
"""
_VERSION: Final = "SELECT version FROM l402.schema_version"


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
        with _connecting():
            db = _Connection.connect(self._url, **_PARAMETERS)
        try:
            db.execute(_SESSION)
            try:
                version = db.execute(_VERSION).fetchone()
            except _NO_SCHEMA:
                version = None
            if _is_old(version):
                db.execute(_migration())
        except BaseException:
            db.pgconn.finish()
            raise
        return db

    async def _aconnect(self) -> "_AsyncConnection":
        with _connecting():
            db = await _AsyncConnection.connect(self._url, **_PARAMETERS)
        try:
            await db.execute(_SESSION)
            try:
                version = await (await db.execute(_VERSION)).fetchone()
            except _NO_SCHEMA:
                version = None
            if _is_old(version):
                await db.execute(_migration())
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
            raise LedgerError(f"ledger {self._place}: {_explain(error)}") from None


class _Connection(psycopg.Connection[tuple[Any, ...]]):
    def wait(self, gen: PQGen[T], *args: Any, **kwargs: Any) -> T:
        return super().wait(_bounded(gen), *args, **kwargs)


class _AsyncConnection(psycopg.AsyncConnection[tuple[Any, ...]]):
    async def wait(self, gen: PQGen[T], *args: Any, **kwargs: Any) -> T:
        return await super().wait(_bounded(gen), *args, **kwargs)


def _bounded(gen: PQGen[T]) -> PQGen[T]:
    """Give up on a server that says nothing: its machine may be gone, and then nothing would ever end the wait."""
    deadline = time.monotonic() + SECONDS
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if not ready and time.monotonic() > deadline:
                raise _NoAnswer
            wanted = gen.send(ready)
    except StopIteration as end:
        value: T = end.value
        return value


class _NoAnswer(psycopg.OperationalError):
    pass


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
_NO_SCHEMA: Final = (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName)


def _is_old(version: tuple[Any, ...] | None) -> bool:
    """Whether the schema has to be made or brought up to date. Raises `LedgerError` where it is newer than we are."""
    found = version[0] if version else 0
    if found > SCHEMA_VERSION:
        raise LedgerError(
            f"the schema l402 has version {found}, and this l402_middleware knows {SCHEMA_VERSION}; "
            "upgrade the package to the version that made it"
        )
    return bool(found < SCHEMA_VERSION)


def _migration() -> bytes:
    return files(__package__).joinpath("postgres.sql").read_bytes()


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
def _connecting() -> Generator[None]:
    try:
        yield
    except psycopg.Error as error:
        text = " ".join(str(error).partition("\n")[0].split())
        remedy = next(remedy for pattern, remedy in _REASONS if re.search(pattern, text))
        raise LedgerError(f"{text}; {remedy}") from None


def _explain(error: Exception) -> str:
    """What happened and what to do, without a word of what was to be stored."""
    if isinstance(error, _NoAnswer):
        return f"the server did not answer within {SECONDS} s, and it is not known whether the step was done"
    sqlstate = getattr(error, "sqlstate", None)
    if sqlstate in _REMEDIES:
        return f"{_REMEDIES[sqlstate]} ({sqlstate})"
    if sqlstate is not None or not isinstance(error, psycopg.OperationalError):
        return f"PostgreSQL refused the step ({type(error).__name__}, {sqlstate or 'before it was sent'})"
    return "the connection broke off, and it is not known whether the step was done; the next one opens another"
