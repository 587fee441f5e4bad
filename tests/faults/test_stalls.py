"""A worker that stands still for longer than its lease, and then goes on as if nothing had been."""

import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.ledgers.postgres_server import PostgresServer
from tests.ledgers.redis_server import RedisServer

from .customer import Answer
from .shop import Shop, free_port, serving, wait_for

pytestmark = pytest.mark.slow

TARGET = "/work?seconds=0.7"


@pytest.fixture(params=["sqlite", "redis", "postgres"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty ledger of each kind."""
    if request.param == "redis":
        redis_server: RedisServer = request.getfixturevalue("redis_server")
        return redis_server.url
    if request.param == "postgres":
        postgres_server: PostgresServer = request.getfixturevalue("postgres_server")
        return postgres_server.database()
    return f"sqlite:///{tmp_path}/l402.db"


@pytest.mark.parametrize("comes_again", [True, False], ids=["taken", "not-taken"])
def test_a_frozen_worker(ledger: str, comes_again: bool, tmp_path: Path) -> None:
    """Case 52: the late answer is delivered only if nobody else got the use in the meantime."""
    port = free_port()
    command = [sys.executable, "-m", "tests.faults.workers", str(port), "2"]
    with serving(command, port, tmp_path, L402_LEDGER=ledger, L402_LEASE="1") as shop, ThreadPoolExecutor(1) as pool:
        purchase = shop.buy(TARGET)
        asked = pool.submit(shop.ask, TARGET, purchase.credential)
        wait_for(lambda: len(shop.runs()) == 1, "the handler")
        frozen = shop.runs()[0].pid
        os.kill(frozen, signal.SIGSTOP)
        try:
            second = _ask_until_answered(shop, purchase.credential) if comes_again else None
            # In any case for longer than the lease, and than what was left of the handler's work.
            time.sleep(0 if comes_again else 1.5)
        finally:
            os.kill(frozen, signal.SIGCONT)
        first = asked.result()
        again = shop.ask(TARGET, purchase.credential)
        runs = shop.runs()
    if second is None:
        assert (first.status, len(runs)) == (200, 1)
        assert again.body == first.body
    else:
        assert (first.status, first.code, len(runs)) == (503, "not-settled", 2)
        assert again.body == second.body == runs[1].name.encode()


def _ask_until_answered(shop: Shop, credential: str) -> Answer:
    answers: list[Answer] = []

    def answered() -> bool:
        answers.append(shop.ask(TARGET, credential))
        return answers[-1].status == 200

    wait_for(answered, "the lease's end")
    assert {answer.status for answer in answers} <= {200, 409}
    return answers[-1]
