"""Processes that draw on one balance at once, with nothing in common but its store."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NoReturn

import pytest

from l402_middleware.ledgers import ledger_from_url
from l402_middleware.testing.ledger_steps import claim

from .postgres_server import PostgresServer, programs
from .redis_server import RedisServer

pytestmark = pytest.mark.slow

BOUGHT = 20_000

WORKER = """
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from l402_middleware.flow import drive
from l402_middleware.ledgers import ledger_from_url
from l402_middleware.testing.ledger_races import draw_on
from l402_middleware.testing.ledger_steps import claim

url, payment, token, now, bought, seed = sys.argv[1:]
ledger = ledger_from_url(url)
first = replace(
    claim(float(now), bought=int(bought)), payment_hash=bytes.fromhex(payment), token_id=bytes.fromhex(token)
)
print("ready", flush=True)
sys.stdin.readline()
with ThreadPoolExecutor(20) as threads:
    print(sum(threads.map(lambda number: drive(draw_on(ledger, first, 1000 * int(seed) + number)), range(40))))
ledger.close()
"""


@pytest.fixture(params=["sqlite", "redis", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path, skip_or_fail: Callable[[str], NoReturn]) -> Iterator[str]:
    """An empty ledger that processes can share."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/l402.db"
        return
    server: RedisServer | PostgresServer
    if request.param == "redis":
        if shutil.which("redis-server") is None:
            skip_or_fail("there is no redis-server on PATH (Debian: apt-get install redis-server)")
        server = RedisServer()
    else:
        if (folder := programs()) is None:
            skip_or_fail("PostgreSQL is not installed (Debian: apt-get install postgresql)")
        server = PostgresServer(folder)
    try:
        server.start()
        yield server.url if isinstance(server, RedisServer) else server.database()
    finally:
        server.remove()


def test_processes_never_overdraw_a_balance(url: str) -> None:
    """What three processes settled and what is left when the balance is closed are what was bought."""
    first = claim(time.time(), bought=BOUGHT)
    command = [sys.executable, "-c", WORKER, url, first.payment_hash.hex(), first.token_id.hex(), repr(first.now)]
    processes = [
        subprocess.Popen([*command, str(BOUGHT), str(seed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for seed in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    used = sum(int(process.communicate(timeout=60)[0]) for process in processes)
    assert [process.returncode for process in processes] == [0] * 3
    with closing(ledger_from_url(url)) as ledger:
        history = ledger.history(first.payment_hash).block()
        assert history is not None
        assert history.settled == used
        left = ledger.close_payment(first.payment_hash, first.now).block()
        assert left is not None
        assert left >= 0
        assert used + left == BOUGHT
