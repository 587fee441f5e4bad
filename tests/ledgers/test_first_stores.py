"""Stores as the first version left them: what they hold is taken along, and nothing in them can be used twice."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import psycopg
import pytest

from l402_middleware.ledgers import PostgresLedger, RedisLedger, SQLiteLedger
from l402_middleware.ledgers.ledger import Claim, Held, Kept, Ledger, Spent, Total, day_of

from .first_workers import FirstWorker, OnPostgres, OnRedis, OnSQLite
from .postgres_server import PostgresServer, programs
from .redis_server import RedisServer

pytestmark = pytest.mark.slow

STORES = Path(__file__).parent / "stores"
NOW = 4_000_000_000.0
KEY = "a key that the first version kept"
TOLD = json.loads((STORES / "first_told.json").read_text())

# As many as each payment bought, as `stores/make_first.py` sold them.
BOUGHT = {name: bought for name, (bought, _, _) in TOLD["histories"].items()}
UNCOUNTED = {name for name, (bought, settled, _) in TOLD["histories"].items() if bought is not None and not settled}


def digest(text: str) -> bytes:
    """Bytes that are always the same for a name."""
    return hashlib.sha256(text.encode()).digest()


def claim(name: str, *, at: float = NOW + 1, attempt: int = 9) -> Claim:
    """A claim on the payment of that name, for the request that it was first made for."""
    return Claim(
        payment_hash=digest(name),
        token_id=digest(f"token of {name}"),
        hold_id=digest(f"attempt {attempt} at {name}")[:16],
        bought=BOUGHT[name],
        request=digest(f"request of {name}"),
        endpoint=f"GET /{name.partition(' ')[0]}",
        msat=21_000,
        now=at,
        lease_until=at + 60,
        forget_at=NOW + 86_400,
    )


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Ledger]:
    """The file of the first version."""
    path = tmp_path / "l402.db"
    shutil.copy(STORES / "first.sqlite", path)
    ledger = SQLiteLedger(path)
    yield ledger
    ledger.close()


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer | None]:
    """A server for all tests of this module, where there is one."""
    if shutil.which("redis-server") is None:
        yield None
        return
    server = RedisServer()
    server.start()
    yield server
    server.remove()


@pytest.fixture
def redis(redis_server: RedisServer | None, skip_or_fail: Callable[[str], NoReturn]) -> Iterator[Ledger]:
    """A server with the keys of the first version."""
    if redis_server is None:
        skip_or_fail("there is no redis-server on PATH (Debian: apt-get install redis-server)")
    with redis_server.client() as client:
        client.flushall()
        for command in json.loads((STORES / "first_redis.json").read_text()):
            client.execute_command(*(part.encode("latin-1") for part in command))
    ledger = RedisLedger(redis_server.url)
    yield ledger
    ledger.close()


@pytest.fixture(scope="module")
def postgres_server() -> Iterator[PostgresServer | None]:
    """A server for all tests of this module, where there is one."""
    if (folder := programs()) is None:
        yield None
        return
    server = PostgresServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def postgres(postgres_server: PostgresServer | None, skip_or_fail: Callable[[str], NoReturn]) -> Iterator[Ledger]:
    """A database with the schema of the first version."""
    if postgres_server is None:
        skip_or_fail("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    url = postgres_server.database()
    with psycopg.connect(url, autocommit=True) as db:
        db.execute((STORES / "first_postgres.sql").read_bytes())
    ledger = PostgresLedger(url)
    yield ledger
    ledger.close()


@pytest.fixture(params=["sqlite", "redis", "postgres"])
def first(request: pytest.FixtureRequest) -> Ledger:
    """A ledger on a store of the first version."""
    ledger: Ledger = request.getfixturevalue(request.param)
    return ledger


@pytest.fixture
def old(first: Ledger, redis_server: RedisServer | None) -> Iterator[FirstWorker]:
    """A worker of the first version on the same store, which one of this version has opened by now."""
    first.revoked().block()
    worker: FirstWorker
    if isinstance(first, SQLiteLedger):
        worker = OnSQLite(Path(first.path))
    elif isinstance(first, PostgresLedger):
        worker = OnPostgres(first._connections._url)
    else:
        assert redis_server is not None
        worker = OnRedis(redis_server)
    yield worker
    worker.close()


def told_by(outcome: object) -> list[Any]:
    """An outcome as the first version told it."""
    kind = type(outcome).__name__
    return [kind, outcome.left, outcome.confirmed] if isinstance(outcome, Held) else [kind]


def test_every_payment_comes_to_the_same(first: Ledger) -> None:
    """Held, lapsed, part-used, spent, kept, a pass, confirmed or revoked: each request gets what it got before."""
    outcomes = {name: told_by(first.hold(claim(name)).block()) for name in BOUGHT}
    assert outcomes == TOLD["outcomes"]
    assert first.hold(claim("kept", at=NOW + 2)).block() == Kept(bytes(range(256)))
    assert first.hold(replace(claim("kept"), request=digest("another"))).block() == Spent()


def test_what_was_held_is_still_held(first: Ledger) -> None:
    """Holds of the first version are settled, renewed and released by their ids, as of one unit."""
    held, part, lapsed = (
        claim(name, attempt=attempt) for name, attempt in (("held", 0), ("bundle part-used", 1), ("lapsed", 0))
    )
    assert first.renew(held.payment_hash, held.hold_id, NOW + 500).block() is True
    for each in (held, part, lapsed):
        assert first.settle(each.payment_hash, each.hold_id, 2, NOW + 9, None, NOW).block() is False
        assert first.settle(each.payment_hash, each.hold_id, 1, NOW + 9, b"answer", NOW + 99).block() is True
    assert first.hold(claim("held", at=NOW + 20)).block() == Kept(b"answer")
    history = first.history(part.payment_hash).block()
    assert history is not None
    assert (history.bought, history.settled) == (3, 2)


def test_the_record_is_as_it_was(first: Ledger) -> None:
    """Each total and each event is still there, and each payment that was never counted is counted as paid, once."""
    for name in BOUGHT:
        for at in (NOW + 1, NOW + 90):
            first.hold(claim(name, at=at)).block()
    today = day_of(NOW)
    totals = [Total(*total) for total in TOLD["totals"]]
    found = first.totals(0, 10**6).block()
    before = {(total.day, total.endpoint, total.what): total for total in totals if total.what == "paid"}
    paid = [total for total in found if total.what == "paid"]
    assert sum(total.count for total in paid) == sum(total.count for total in before.values()) + len(
        UNCOUNTED - {"revoked unsettled"}
    ) + (0 if isinstance(first, RedisLedger) else 1)
    assert sum(total.msat for total in paid) == 21_000 * sum(total.count for total in paid)
    for total in totals:
        if total.what in ("offered", "refused", "delivered", "confirmed"):
            assert total in found
    for name, (bought, settled, events) in TOLD["histories"].items():
        history = first.history(digest(name)).block()
        assert history is not None
        assert (history.bought, history.settled, history.scheme, history.backend) == (bought, settled, "l402", "")
        assert history.closed_with is None
        assert [[event.at, event.what] for event in history.events][: len(events)] == events
        if name != "revoked unsettled":
            assert [event.what for event in history.events].count("paid") == 1
        if events:
            assert history.shown_at == events[0][0]
    assert max(total.day for total in found) == today


def test_the_key_is_the_same(first: Ledger) -> None:
    """What was signed with the ledger's own key stays good; a Redis keeps none."""
    if isinstance(first, RedisLedger):
        assert first.kept_key().block() is None
    else:
        assert first.kept_key().block() == KEY
        assert first.keep_key("x" * 40).block() == KEY


def test_what_came_along_can_be_topped_up_and_closed(first: Ledger) -> None:
    """A payment of the first version takes part in everything that is new."""
    bundle, single = claim("bundle part-used"), claim("failed")
    assert type(first.credit(bundle.payment_hash, single).block()).__name__ == "Credited"
    assert first.hold(single).block() == Spent()
    # Of three and one, one is settled and one held.
    assert first.close_payment(bundle.payment_hash, NOW + 1).block() == 2
    assert first.hold(bundle).block() == Spent()


# Workers of both versions on one store, while one replaces the other


def paid_and_delivered(ledger: Ledger, payment: Claim) -> tuple[int, int, int]:
    """How often that was counted at the payment's endpoint, and the units that are settled."""
    history = ledger.history(payment.payment_hash).block()
    assert history is not None
    day = day_of(payment.now)
    counts = {
        total.what: total.count for total in ledger.totals(day, day).block() if total.endpoint == payment.endpoint
    }
    return counts["paid"], counts["delivered"], history.settled


@pytest.mark.parametrize("bought", [1, 20])
def test_workers_of_both_versions_never_deliver_twice(first: Ledger, old: FirstWorker, bought: int) -> None:
    """Of 60 that claim at once, half of them through each version, as many deliver as were paid for."""
    BOUGHT["race"] = bought

    def contend(number: int) -> bool:
        mine = claim("race", attempt=number)
        if number % 2:
            return old.hold(mine) and old.settle(mine)
        held = isinstance(first.hold(mine).block(), Held)
        return held and first.settle(mine.payment_hash, mine.hold_id, 1, mine.now, b"answer", mine.now + 600).block()

    with ThreadPoolExecutor(12) as threads:
        delivered = sum(threads.map(contend, range(60)))
        # Busy ones come again.
        delivered += sum(threads.map(contend, range(60, 120)))
    assert delivered == bought
    assert isinstance(first.hold(claim("race", attempt=500)).block(), Spent | Kept)
    assert not old.hold(claim("race", attempt=501))
    assert paid_and_delivered(first, claim("race"))[1:] == (bought, bought)


@pytest.mark.parametrize("holder", ["old", "new"])
def test_a_use_that_one_version_holds_the_other_leaves_alone(first: Ledger, old: FirstWorker, holder: str) -> None:
    """Held by a worker of either version, a payment is busy for the other's, settled once, and counted once."""
    name = f"{holder} holds it"
    BOUGHT[name] = 1
    mine, other = claim(name, attempt=1), claim(name, attempt=2)
    if holder == "old":
        assert old.hold(mine)
        assert told_by(first.hold(other).block()) == ["Busy"]
        assert old.settle(mine)
        assert isinstance(first.hold(other).block(), Spent | Kept)
    else:
        assert told_by(first.hold(mine).block()) == ["Held", 0, False]
        assert not old.hold(other)
        assert first.settle(mine.payment_hash, mine.hold_id, 1, mine.now, None, mine.now).block() is True
        assert not old.hold(other)
    assert not old.settle(mine)
    assert paid_and_delivered(first, mine) == (1, 1, 1)
