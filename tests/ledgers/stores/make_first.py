"""Writes what stands beside it: the stores of the first schema, made by the code that had no other.

Run it in a copy of commit 38a2dfb: `python make_first.py FOLDER`. It needs redis-server, PostgreSQL and pg_dump.
"""

# mypy: ignore-errors
# For it speaks to the ledgers of that commit.

import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from l402_middleware.ledgers import PostgresLedger, RedisLedger, SQLiteLedger
from l402_middleware.ledgers.ledger import Claim, Total, day_of
from tests.ledgers.postgres_server import PASSWORD, PostgresServer, programs
from tests.ledgers.redis_server import RedisServer

# Later than any run of the tests, so that no server's clock ends what is kept.
NOW = 4_000_000_000.0
ANSWER = bytes(range(256))
KEY = "a key that the first version kept"


def digest(text: str) -> bytes:
    """Bytes that are always the same for a name."""
    return hashlib.sha256(text.encode()).digest()


def claim(name: str, uses: int | None = 1, *, at: float = NOW, attempt: int = 0) -> Claim:
    """A claim on the payment of that name."""
    return Claim(
        payment_hash=digest(name),
        token_id=digest(f"token of {name}"),
        hold_id=digest(f"attempt {attempt} at {name}")[:16],
        bought=uses,
        request=digest(f"request of {name}"),
        endpoint=f"GET /{name.partition(' ')[0]}",
        msat=21_000,
        now=at,
        lease_until=at + 60,
        forget_at=NOW + 86_400,
    )


def fill(ledger: Any) -> None:
    """A payment in every state that there is."""

    def hold(name: str, uses: int | None = 1, **more: Any) -> Claim:
        asked = claim(name, uses, **more)
        ledger.hold(asked).block()
        return asked

    def settle(held: Claim, answer: bytes | None = None, replay: float = 600.0) -> None:
        assert ledger.settle(held.payment_hash, held.hold_id, held.now, answer, NOW + replay).block()

    def release(held: Claim) -> None:
        ledger.release(held.payment_hash, held.hold_id, held.now).block()

    release(hold("failed", at=NOW - 90_000))
    hold("held")
    hold("lapsed", at=NOW - 100)
    hold("taken over", at=NOW - 100)
    hold("taken over", attempt=1)
    settle(hold("bundle part-used", 3, at=NOW - 90_000))
    hold("bundle part-used", 3, attempt=1)
    for attempt in (0, 1, 2):
        hold("bundle lapsed", 3, at=NOW - 100 + attempt, attempt=attempt)
    for attempt in (0, 1):
        settle(hold("bundle spent", 2, attempt=attempt))
    settle(hold("kept"), ANSWER)
    settle(hold("spent"))
    settle(hold("over", at=NOW - 700), ANSWER, replay=-100)
    hold("pass", None)
    confirmed = hold("confirmed")
    ledger.confirm(confirmed.payment_hash, NOW).block()
    release(confirmed)
    for name in ("revoked", "revoked unsettled"):
        held = hold(name)
        if name == "revoked":
            settle(held, ANSWER)
        ledger.revoke(held.token_id).block()
    today = day_of(NOW)
    ledger.count([Total(today, "GET /held", "offered", 7), Total(today - 1, "GET /pass", "refused", 2)]).block()


NAMES: dict[str, int | None] = {
    "failed": 1,
    "held": 1,
    "lapsed": 1,
    "taken over": 1,
    "bundle part-used": 3,
    "bundle lapsed": 3,
    "bundle spent": 2,
    "kept": 1,
    "spent": 1,
    "over": 1,
    "pass": None,
    "confirmed": 1,
    "revoked": 1,
    "revoked unsettled": 1,
}


def told(ledger: Any) -> dict[str, Any]:
    """The record, and then what each payment comes to when its request is made once more."""
    record = {
        "totals": [
            [total.day, total.endpoint, total.what, total.count, total.msat]
            for total in ledger.totals(0, 10**6).block()
        ],
        "histories": {
            name: [history.uses, history.delivered, [[event.at, event.what] for event in history.events]]
            for name in NAMES
            if (history := ledger.history(digest(name)).block())
        },
    }
    outcomes = {}
    for name, uses in NAMES.items():
        outcome = ledger.hold(claim(name, uses, at=NOW + 1, attempt=9)).block()
        kind = type(outcome).__name__
        outcomes[name] = [kind, *([outcome.uses_left, outcome.confirmed] if kind == "Held" else [])]
    return {**record, "outcomes": outcomes}


def text(value: bytes) -> str:
    """Bytes as JSON can hold them."""
    return value.decode("latin-1")


def redis_commands(client: Any) -> list[list[str]]:
    """What makes the keys anew."""
    commands = []
    for key in sorted(client.keys("*")):
        match client.type(key):
            case b"hash":
                pairs = [part for pair in sorted(client.hgetall(key).items()) for part in pair]
                commands.append(["HSET", key, *pairs])
            case b"set":
                commands.append(["SADD", key, *sorted(client.smembers(key))])
            case b"string":
                commands.append(["SET", key, client.get(key)])
        if client.pttl(key) > 0:
            commands.append(["PEXPIRE", key, str(86_400_000)])
    return [[part if isinstance(part, str) else text(part) for part in command] for command in commands]


def main(folder: Path) -> None:
    """Fill one store of each kind, and ask it once its state is written down."""
    found: list[dict[str, Any]] = []

    def use(ledger: Any, dump: Callable[[], None]) -> None:
        fill(ledger)
        dump()
        found.append(told(ledger))
        ledger.close()

    path = folder / "first.sqlite"
    working = folder / "working.db"
    sqlite = SQLiteLedger(working)
    sqlite.keep_key(KEY).block()

    def copy() -> None:
        sqlite.close()
        shutil.copy(working, path)

    use(sqlite, copy)
    for left in folder.glob("working.db*"):
        left.unlink()

    redis = RedisServer()
    redis.start()
    try:
        with redis.client() as client:
            use(
                RedisLedger(redis.url),
                lambda: (folder / "first_redis.json").write_text(json.dumps(redis_commands(client), indent=0) + "\n"),
            )
    finally:
        redis.remove()

    folder_of_programs = programs()
    assert folder_of_programs is not None
    server = PostgresServer(folder_of_programs)
    try:
        server.start()
        url = server.database()
        postgres = PostgresLedger(url)
        postgres.keep_key(KEY).block()

        def dump() -> None:
            command = [folder_of_programs / "pg_dump", "--schema=l402", "--column-inserts", "--no-owner", url]
            sql = subprocess.run(command, capture_output=True, check=True, env={"PGPASSWORD": PASSWORD}, text=True)
            lines = [
                line
                for line in sql.stdout.splitlines()
                if line and not re.match(r"--|\\|SET |SELECT pg_catalog.set_config", line)
            ]
            (folder / "first_postgres.sql").write_text("SET check_function_bodies = off;\n" + "\n".join(lines) + "\n")

        use(postgres, dump)
    finally:
        server.remove()

    first, *others = found
    for other in others:
        assert other == first, (first, other)
    (folder / "first_told.json").write_text(json.dumps(first, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
