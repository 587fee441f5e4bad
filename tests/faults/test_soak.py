"""A short soak in the suite; `make soak` runs the long one."""

from pathlib import Path

import pytest

from tests.ledgers.postgres_server import PostgresServer
from tests.ledgers.redis_server import RedisServer

from . import soak

pytestmark = pytest.mark.slow


def check(outcome: soak.Outcome, kills: int) -> None:
    """Nothing was broken, and there was something to break."""
    assert not outcome.broken, "\n".join([*outcome.broken, *soak.table({"": outcome.counts})])
    assert outcome.counts["workers killed"] == kills
    assert int(outcome.counts["payments run again after a kill"]) > 0


@pytest.mark.parametrize("replay_for", [600, 0], ids=["replay", "no-replay"])
def test_killed_workers_on_sqlite(replay_for: int, tmp_path: Path) -> None:
    """Case 52: twenty workers are killed under load; whoever paid is answered, once, and nothing runs twice at once."""
    check(soak.run(f"sqlite:///{tmp_path}/l402.db", tmp_path, kills=20, replay_for=replay_for), 20)


def test_killed_workers_on_redis(redis_server: RedisServer, tmp_path: Path) -> None:
    """Case 52: the same with the ledger on a Redis."""
    check(soak.run(redis_server.url, tmp_path, kills=8, replay_for=600), 8)


def test_killed_workers_on_postgres(postgres_server: PostgresServer, tmp_path: Path) -> None:
    """Case 52: the same with the ledger in PostgreSQL."""
    check(soak.run(postgres_server.database(), tmp_path, kills=8, replay_for=600), 8)
