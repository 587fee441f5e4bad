"""Single use on a ledger against one bare command or commit on the same store.

Hold and settle are both awaited, 32 uses at once, and 32 of the bare ones at once.
"""

import asyncio
import os
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import psycopg
import redis.asyncio

from l402_middleware.ledgers import ledger_from_url
from l402_middleware.ledgers.ledger import Claim, Held, Ledger

from .databases import Ledgers, versions
from .measure import PAIRS, Result, from_times

AT_ONCE = 32
ROUNDS = 20

Once = Callable[[], Awaitable[object]]


__all__ = ["results", "versions"]


def results() -> Iterator[Result]:
    """Every ledger but that in memory, which has no store to be compared with."""
    with Ledgers() as ledgers, asyncio.Runner() as runner:
        for name, url in list(ledgers.urls())[1:]:
            make, floor, bar = {
                "SQLite": (_sqlite, "one inline commit", 0.55),
                "Redis": (_redis, "one bare command", 3.0),
                "PostgreSQL": (_postgres, "one bare commit", 3.0),
            }[name]
            ledger = ledger_from_url(url)
            bare, close = runner.run(make(url))
            use = _single_use(ledger)
            times = [(runner.run(_seconds(use)), runner.run(_seconds(bare))) for _ in range(PAIRS + 1)][1:]
            yield from_times(f"single use on {name}, hold and settle, against {floor}", times, bar)
            runner.run(close())
            ledger.close()


def _single_use(ledger: Ledger) -> Once:
    async def use() -> None:
        now = time.time()
        claim = Claim(
            os.urandom(32), os.urandom(32), os.urandom(16), 1, b"request", "GET /", 21_000, now, now + 60, now + 3600
        )
        assert isinstance(await ledger.hold(claim).wait(), Held)
        assert await ledger.settle(claim.payment_hash, claim.hold_id, 1, now, None, now).wait()

    return use


async def _seconds(once: Once) -> float:
    """Seconds that one of them takes."""
    started = time.perf_counter()
    for _ in range(ROUNDS):
        await asyncio.gather(*(once() for _ in range(AT_ONCE)))
    return (time.perf_counter() - started) / (ROUNDS * AT_ONCE)


async def _sqlite(url: str) -> tuple[Once, Once]:
    db = sqlite3.connect(f"{url.removeprefix('sqlite:///')}-bare", isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("CREATE TABLE uses (hash BLOB PRIMARY KEY, at REAL)")

    async def commit() -> None:
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO uses VALUES (?, ?)", (os.urandom(32), time.time()))
        db.execute("COMMIT")

    async def close() -> None:
        db.close()

    return commit, close


async def _redis(url: str) -> tuple[Once, Once]:
    client = redis.asyncio.Redis.from_url(url, protocol=2)

    async def command() -> None:
        await client.set(os.urandom(32), b"1")

    return command, client.aclose


async def _postgres(url: str) -> tuple[Once, Once]:
    # As many connections as the ledger has for one event loop, so that both wait alike for their turn.
    idle: asyncio.Queue[Any] = asyncio.Queue()
    for _ in range(8):
        idle.put_nowait(await psycopg.AsyncConnection.connect(url, autocommit=True))
    db = await idle.get()
    await db.execute("CREATE TABLE uses (hash BYTEA PRIMARY KEY, at FLOAT8)")
    idle.put_nowait(db)

    async def commit() -> None:
        db = await idle.get()
        await db.execute("INSERT INTO uses VALUES (%s, %s)", (os.urandom(32), time.time()))
        idle.put_nowait(db)

    async def close() -> None:
        while not idle.empty():
            await idle.get_nowait().close()

    return commit, close
