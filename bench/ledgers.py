"""Single use on a ledger: hold and settle, both awaited, 32 at once, against one bare commit on the same disk."""

import asyncio
import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from l402_middleware.ledgers import SQLiteLedger
from l402_middleware.ledgers.ledger import Claim, Held

from .measure import PAIRS, Result, from_times

AT_ONCE = 32
ROUNDS = 20


def results() -> Iterator[Result]:
    """SQLite, which needs nothing beside it."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        ledger = SQLiteLedger(Path(folder) / "ledger.db")
        bare = sqlite3.connect(Path(folder) / "bare.db", isolation_level=None)
        bare.execute("PRAGMA journal_mode=WAL")
        bare.execute("PRAGMA synchronous=FULL")
        bare.execute("CREATE TABLE uses (hash BLOB PRIMARY KEY, at REAL)")
        with asyncio.Runner() as runner:
            times = [(runner.run(_single_uses(ledger)), runner.run(_commits(bare))) for _ in range(PAIRS + 1)][1:]
        yield from_times("single use on SQLite, hold and settle, against one inline commit", times, 0.40)
        ledger.close()
        bare.close()


async def _single_uses(ledger: SQLiteLedger) -> float:
    async def use() -> None:
        now = time.time()
        claim = Claim(
            os.urandom(32), os.urandom(32), os.urandom(16), 1, b"request", "GET /", 21_000, now, now + 60, now + 3600
        )
        assert isinstance(await ledger.hold(claim).wait(), Held)
        assert await ledger.settle(claim.payment_hash, claim.hold_id, now, None, now).wait()

    started = time.perf_counter()
    for _ in range(ROUNDS):
        await asyncio.gather(*(use() for _ in range(AT_ONCE)))
    return (time.perf_counter() - started) / (ROUNDS * AT_ONCE)


async def _commits(bare: sqlite3.Connection) -> float:
    async def commit() -> None:
        bare.execute("BEGIN IMMEDIATE")
        bare.execute("INSERT INTO uses VALUES (?, ?)", (os.urandom(32), time.time()))
        bare.execute("COMMIT")

    started = time.perf_counter()
    for _ in range(ROUNDS):
        await asyncio.gather(*(commit() for _ in range(AT_ONCE)))
    return (time.perf_counter() - started) / (ROUNDS * AT_ONCE)
