"""PostgresLedger: the contract, several processes and machines, forks, and every way in which a server can fail."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import NoReturn

import anyio
import httpx2
import psycopg
import pytest

from l402_middleware.core.errors import ConfigurationError, LedgerError
from l402_middleware.ledgers import PostgresLedger, ledger_from_url, postgres_connections
from l402_middleware.ledgers.ledger import Busy, Claim, Held, Kept, Spent, Total
from l402_middleware.testing.ledger_contract import LedgerContract
from l402_middleware.testing.ledger_steps import ANSWER, LEASE, LIFE, claim, release, settle
from tests.adapters.servers import GUNICORN_THREADS, UVICORN_H11, running

from .postgres_server import PASSWORD, QUOTED, PostgresServer, programs

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def started() -> Iterator[PostgresServer | None]:
    """A server for all tests of this module, where PostgreSQL is installed."""
    folder = programs()
    if folder is None:
        yield None
        return
    server = PostgresServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def server(started: PostgresServer | None, skip_or_fail: Callable[[str], NoReturn]) -> PostgresServer:
    """The running server."""
    if started is None:
        skip_or_fail("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    return started


@pytest.fixture(scope="module")
def shared_url(started: PostgresServer | None) -> str:
    """One database for the tests that do not mind each other's payments."""
    return started.database() if started is not None else ""


@pytest.fixture
def url(server: PostgresServer, shared_url: str) -> str:
    """A database without a ledger's schema."""
    server.sql(shared_url, "DROP SCHEMA IF EXISTS l402 CASCADE")
    return shared_url


@pytest.fixture
def own_url(server: PostgresServer) -> str:
    """An empty database of the test's own, which it may set up as it likes."""
    return server.database()


@pytest.fixture
def ledger(url: str) -> Iterator[PostgresLedger]:
    """A new ledger, not yet opened."""
    ledger = PostgresLedger(url)
    yield ledger
    ledger.close()


class TestPostgresLedger(LedgerContract):
    @pytest.fixture
    def ledger(self, server: PostgresServer, shared_url: str) -> Iterator[PostgresLedger]:
        ledger = PostgresLedger(shared_url)
        yield ledger
        ledger.close()

    @pytest.fixture
    def another(self, server: PostgresServer, shared_url: str) -> Iterator[PostgresLedger]:
        ledger = PostgresLedger(shared_url, pool_size=3)
        yield ledger
        ledger.close()


def run_child(work: Callable[[], int]) -> int:
    """Fork, run `work` in the child, and give how the child ended."""
    if (child := os.fork()) == 0:
        status = 99
        try:
            status = work()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def deliver(ledger: PostgresLedger, held: Claim) -> bool:
    """Whether the use could be held and settled."""
    return isinstance(ledger.hold(held).block(), Held) and settle(ledger, held).block()


# The URL


@pytest.mark.parametrize(
    "url",
    [
        "",
        "shop",
        "host=127.0.0.1 password=hunter2",
        "mysql://me:hunter2@db/shop",
        "postgresql://me:hun/ter2@db/shop",
        "postgresql://me:12/hunter2@db/shop",
        "postgresql://me:hun@ter2@db/shop",
        "postgresql://me:hun?ter2@db/shop",
        "postgresql://me:12?hunter2@db/shop",
        "postgresql://me:hun#ter2@db/shop",
        "postgresql://me:hunter2@db:port/shop",
        "postgresql://me:hunter2@db/shop?hunter2=1",
        "postgresql://me:hunter2%zz@db/shop",
        "postgresql://me:hunter2@[db/shop",
    ],
)
def test_a_url_that_can_not_be_read(url: str) -> None:
    """It is refused at once, and no part of it is repeated: it may be part of the password."""
    with pytest.raises(ConfigurationError, match="percent-encode") as refused:
        PostgresLedger(url)
    assert "ter2" not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
def test_a_setting_names_a_database(url: str, scheme: str) -> None:
    """Both schemes that libpq knows make this ledger."""
    ledger = ledger_from_url(url.replace("postgresql", scheme))
    assert isinstance(ledger, PostgresLedger)
    assert ledger.hold(claim(time.time())).block() == Held(0)
    ledger.close()


def test_a_pool_needs_a_connection() -> None:
    """A pool of none is refused."""
    with pytest.raises(ConfigurationError, match="pool_size=0"):
        PostgresLedger("postgresql://db/shop", pool_size=0)


def test_without_psycopg(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the extra is not installed, the message says which one to install."""
    for module in ("postgres", "postgres_connections"):
        monkeypatch.delitem(sys.modules, f"l402_middleware.ledgers.{module}", raising=False)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'l402_middleware\[postgres\]'"):
        ledger_from_url("postgresql://db/shop")


# The database


@pytest.mark.parametrize("encoding", ["UTF8", "SQL_ASCII", "LATIN1"])
def test_every_endpoint_is_counted(server: PostgresServer, encoding: str) -> None:
    """Whatever path strangers ask for, in a database of whatever encoding, the record tells it as it was."""
    name = f"encoded_{encoding.lower()}"
    server.sql("postgres", "CREATE DATABASE {} TEMPLATE template0 ENCODING " + encoding, name)
    ledger = PostgresLedger(server.url(name))
    odd = ["GET /\0", "GET /\udcff", "GET /caf\u00e9 \u2603 \U0001f300", "GET /'%s\\{}"]
    ledger.count([Total(20_000, endpoint, "refused", 1) for endpoint in odd]).block()
    held = replace(claim(20_001 * 86400.0), endpoint=odd[0])
    assert deliver(ledger, held)
    assert [total.endpoint for total in ledger.totals(20_000, 20_000).block()] == sorted(odd)
    history = ledger.history(held.payment_hash).block()
    assert history is not None
    assert history.endpoint == odd[0]
    ledger.close()


def test_the_application_keeps_its_tables(server: PostgresServer, own_url: str) -> None:
    """In the application's own database, names such as `payments` stay the application's."""
    server.sql(own_url, "CREATE TABLE payments (mine text)")
    ledger = PostgresLedger(own_url)
    assert deliver(ledger, claim(time.time()))
    assert server.sql(own_url, "SELECT count(*) FROM payments") == [(0,)]
    tables = "SELECT schemaname FROM pg_tables WHERE tablename IN ('events', 'payments') ORDER BY 1"
    assert server.sql(own_url, tables) == [("l402",), ("l402",), ("public",)]
    ledger.close()


def test_a_delivery_is_durable(server: PostgresServer, own_url: str) -> None:
    """Where the database commits without waiting for its disk, the ledger's sessions wait all the same."""
    server.sql(own_url, "ALTER DATABASE {} SET synchronous_commit = off", own_url.rpartition("/")[2])
    assert server.sql(own_url, "SHOW synchronous_commit") == [("off",)]
    ledger = PostgresLedger(own_url)
    assert ledger._connections.run("SHOW synchronous_commit", ()) == [("on",)]
    ledger.close()


def test_what_is_over_is_forgotten(server: PostgresServer, url: str, ledger: PostgresLedger) -> None:
    """Case 53: a long life of traffic leaves a constant number of rows behind, and one total for each day."""
    now, step = time.time() // 86400 * 86400, 100
    for second in range(0, 10 * int(LIFE), step):
        held = claim(now + second)
        held = replace(held, endpoint="GET /forecast")
        assert ledger.hold(held).block() == Held(0)
        assert settle(ledger, held, ANSWER, after=0).block() is True
    counts = [
        server.sql(url, "SELECT count(*) FROM l402.{}", table)[0][0] for table in ("payments", "events", "answers")
    ]
    assert counts[0] <= LIFE / step + 16
    assert counts[1] == counts[0]
    assert counts[2] <= 600 / step + 16
    (delivered, paid) = ledger.totals(0, 100_000).block()
    assert (delivered.count, paid.count, paid.msat) == (720, 720, 720 * 21_000)


def test_failing_requests_do_not_fill_the_table(server: PostgresServer, url: str, ledger: PostgresLedger) -> None:
    """One payment whose requests fail for ever keeps few rows; its history and its totals lack nothing."""
    now = time.time() // 86400 * 86400
    first = claim(now)
    for second in range(700):
        held = claim(now + second, like=first)
        assert ledger.hold(held).block() == Held(0)
        release(ledger, held, after=0).block()
    assert server.sql(url, "SELECT count(*) FROM l402.events")[0][0] < 250
    history = ledger.history(first.payment_hash).block()
    assert history is not None
    assert [event.at - now for event in history.events] == list(range(600, 700))
    assert ledger.totals(0, 100_000).block() == [
        Total(int(now // 86400), first.endpoint, "paid", 1, first.msat),
        Total(int(now // 86400), first.endpoint, "released", 700),
    ]


# Failures: what a user reads, and that nothing is lost


def no_server(server: PostgresServer, url: str) -> str:
    """A port where nothing listens."""
    return url.replace(f":{server.port}/", ":1/")


def no_database(server: PostgresServer, url: str) -> str:
    """A database that is not there."""
    return server.url("elsewhere")


def no_role(server: PostgresServer, url: str) -> str:
    """A role that is not there."""
    return url.replace("shop:", "nobody:", 1)


def wrong_password(server: PostgresServer, url: str) -> str:
    """A password that is not right."""
    return url.replace(QUOTED, "hunter2")


def read_only(server: PostgresServer, url: str) -> str:
    """A server that does not write, as a replica."""
    server.sql(url, "ALTER DATABASE {} SET default_transaction_read_only = on", url.rpartition("/")[2])
    return url


def no_rights(server: PostgresServer, url: str) -> str:
    """A role that may connect, and nothing else."""
    name = url.rpartition("/")[2]
    server.sql("postgres", "CREATE ROLE {} LOGIN PASSWORD 'hunter2'", f"guest_{name}")
    return server.url(name, user=f"guest_{name}", password="hunter2")


def no_place(server: PostgresServer, url: str) -> str:
    """A role that has all the connections it may have."""
    url = no_rights(server, url)
    server.sql("postgres", "ALTER ROLE {} CONNECTION LIMIT 0", f"guest_{url.rpartition('/')[2]}")
    return url


def newer(server: PostgresServer, url: str) -> str:
    """The schema of a version to come."""
    ledger = PostgresLedger(url)
    ledger.revoked().block()
    ledger.close()
    server.sql(url, "UPDATE l402.schema_version SET version = 99")
    return url


def foreign(server: PostgresServer, url: str) -> str:
    """Somebody else's schema of that name."""
    server.sql(url, "CREATE SCHEMA l402")
    server.sql(url, "CREATE TABLE l402.payments (mine text)")
    return url


FAILURES = [
    (no_server, "Connection refused; is the server running"),
    (no_database, 'database "elsewhere" does not exist; create the database'),
    (no_role, "look at user and password"),
    (wrong_password, "password authentication failed .*look at user and password"),
    (read_only, "read-only replica; give the URL of the primary"),
    (no_rights, r"GRANT CREATE ON DATABASE.*42501"),
    (no_place, "too many connections .*no connection left; lower pool_size"),
    (newer, "has version 99, and this l402_middleware knows 2; upgrade the package"),
    (foreign, r"refused the step \(DuplicateTable, 42P07\)"),
]


@pytest.mark.parametrize(("break_it", "message"), FAILURES)
def test_a_database_that_can_not_be_used(
    server: PostgresServer,
    own_url: str,
    caplog: pytest.LogCaptureFixture,
    break_it: Callable[[PostgresServer, str], str],
    message: str,
) -> None:
    """Case 48: each failure says which database, what is wrong and what to do, never a password, not even to DEBUG."""
    caplog.set_level(logging.DEBUG)
    broken = break_it(server, own_url)
    ledger = PostgresLedger(broken)

    async def wait() -> None:
        await ledger.hold(claim(time.time())).wait()

    for fail in (
        ledger.hold(claim(time.time())).block,
        lambda: asyncio.run(wait()),
        lambda: anyio.run(wait, backend="trio"),
    ):
        with pytest.raises(LedgerError, match=message) as failed:
            fail()
        place = "postgresql://127.0.0.1:" + broken.rpartition(":")[2]
        assert str(failed.value).startswith(f"ledger {place}: ")
        assert failed.value.__cause__ is None
        for secret in (PASSWORD, QUOTED, "hunter2"):
            assert secret not in str(failed.value)
            assert secret not in repr(ledger)
            assert secret not in caplog.text
    ledger.close()


def test_a_failure_ends_with_its_cause(server: PostgresServer, own_url: str) -> None:
    """The same ledger goes on as soon as what was wrong is mended."""
    ledger = PostgresLedger(read_only(server, own_url))
    with pytest.raises(LedgerError, match="read-only"):
        ledger.revoked().block()
    server.sql("postgres", "ALTER DATABASE {} RESET default_transaction_read_only", own_url.rpartition("/")[2])
    assert deliver(ledger, claim(time.time()))
    ledger.close()


@contextmanager
def locked(url: str, held: Claim) -> Iterator[None]:
    """Another session's transaction on a payment's row, open for as long as the block runs."""
    with psycopg.connect(url) as db:
        db.execute("SELECT FROM l402.payments WHERE payment_hash = %s FOR UPDATE", (held.payment_hash,))
        yield


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lock_timeout = '3s'", "keeps a row or table locked.*55P03"),
        ("statement_timeout = '4500ms'", "too long.*57014"),
    ],
)
@pytest.mark.anyio
async def test_a_lock_that_is_never_given_back(
    url: str, ledger: PostgresLedger, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    """Case 48: past the server's time limits a step fails and says what to look for; nothing of it was done."""
    shorter = postgres_connections._SESSION.replace(name, name.partition("=")[0] + "= '200ms'")
    assert shorter != postgres_connections._SESSION
    monkeypatch.setattr(postgres_connections, "_SESSION", shorter)
    held, other = claim(time.time()), claim(time.time())
    assert await ledger.hold(held).wait() == Held(0)
    with locked(url, held):
        with pytest.raises(LedgerError, match=message):
            await settle(ledger, held, ANSWER).wait()
        assert await ledger.hold(other).wait() == Held(0)
    assert await settle(ledger, held, ANSWER).wait() is True


@pytest.mark.anyio
async def test_a_pool_that_is_busy(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that gets no turn fails in time, and says what to change."""
    monkeypatch.setattr(postgres_connections, "SECONDS", 0.3)
    ledger = PostgresLedger(url, pool_size=1)
    held = claim(time.time())
    assert await ledger.hold(held).wait() == Held(0)
    failures: list[str] = []

    async def fail() -> None:
        with pytest.raises(LedgerError) as failed:
            await settle(ledger, held).wait()
        failures.append(str(failed.value))

    with locked(url, held):
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(fail)
    assert any("did not answer" in failure for failure in failures)
    ledger.close()


# A server that goes away


@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.anyio
async def test_a_server_that_stands_still(
    server: PostgresServer, ledger: PostgresLedger, monkeypatch: pytest.MonkeyPatch, opened: bool
) -> None:
    """Case 48: while a server says nothing, every step ends in time with LedgerError, and the event loop goes on."""
    monkeypatch.setattr(postgres_connections, "SECONDS", 1)
    monkeypatch.setitem(postgres_connections._PARAMETERS, "connect_timeout", 2)
    held = claim(time.time())
    if opened:
        assert await ledger.hold(held).wait() == Held(0)
        assert ledger.hold(claim(time.time())).block() == Held(0)
    worst, took = 0.0, list[float]()

    async def probe() -> None:
        nonlocal worst
        while True:
            before = time.perf_counter()
            await anyio.sleep(0.001)
            worst = max(worst, time.perf_counter() - before)

    async def fail(step: Callable[[], Awaitable[object]]) -> None:
        before = time.perf_counter()
        with pytest.raises(LedgerError, match=r"did not answer|timeout|were busy"):
            await step()
        took.append(time.perf_counter() - before)

    async with anyio.create_task_group() as probing:
        probing.start_soon(probe)
        await anyio.sleep(0.01)
        with server.frozen():
            async with anyio.create_task_group() as tasks:
                for _ in range(8):
                    tasks.start_soon(fail, settle(ledger, held).wait)
                tasks.start_soon(fail, lambda: anyio.to_thread.run_sync(settle(ledger, held).block))
        probing.cancel_scope.cancel()
    assert len(took) == 9
    assert max(took) < 6
    assert worst < 0.2
    outcome = await ledger.hold(claim(held.now, like=held)).wait()
    assert outcome in ([Busy(), Spent()] if opened else [Held(0)])


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["fast", "immediate"])
def test_a_server_that_is_stopped_and_started(server: PostgresServer, url: str, how: signal.Signals) -> None:
    """Case 48: away, it is a LedgerError at once; back, the next step goes through, and nothing held was lost."""
    ledger = PostgresLedger(url)
    now = time.time()
    before = [claim(now) for _ in range(20)]

    async def hold_all() -> None:
        await asyncio.gather(*(ledger.hold(held).wait() for held in before))

    async def settle_all() -> list[object]:
        return list(await asyncio.gather(*(settle(ledger, held).wait() for held in before), return_exceptions=True))

    async def main() -> None:
        await hold_all()
        server.stop(how)
        try:
            begun = time.perf_counter()
            assert {type(outcome) for outcome in await settle_all()} == {LedgerError}
            with pytest.raises(LedgerError):
                settle(ledger, before[0]).block()
            assert time.perf_counter() - begun < 2
        finally:
            server.start()
        assert await settle_all() == [True] * 20
        assert await settle_all() == [False] * 20

    asyncio.run(main())
    ledger.close()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["fast", "immediate"])
def test_a_restart_between_two_requests(server: PostgresServer, ledger: PostgresLedger, how: signal.Signals) -> None:
    """Case 48: a server that was restarted while nobody asked is not noticed: broken connections are not used again."""

    async def main() -> None:
        for _ in range(2):
            await asyncio.gather(*(_awaited(ledger, claim(time.time())) for _ in range(20)))
            assert ledger.hold(claim(time.time())).block() == Held(0)
            server.stop(how)
            server.start()
        outcomes = await asyncio.gather(*(_awaited(ledger, claim(time.time())) for _ in range(20)))
        assert outcomes == [Held(0)] * 20
        assert ledger.hold(claim(time.time())).block() == Held(0)

    asyncio.run(main())


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["fast", "immediate"])
def test_a_server_that_is_stopped_and_started_under_load(server: PostgresServer, url: str, how: signal.Signals) -> None:
    """Case 48: whatever a step was doing, it is done or a LedgerError; what was told to be delivered stays so."""
    ledger = PostgresLedger(url)
    over, now = threading.Event(), time.time()
    delivered: list[Claim] = []
    doubtful: list[Claim] = []
    failures = count()

    async def customer() -> None:
        while not over.is_set():
            held = claim(now)
            try:
                assert await ledger.hold(held).wait() == Held(0)
            except LedgerError:
                next(failures)
                await asyncio.sleep(0.01)
                continue
            try:
                assert await settle(ledger, held, ANSWER).wait() is True
                delivered.append(held)
            except LedgerError:
                next(failures)
                doubtful.append(held)

    async def customers() -> None:
        await asyncio.gather(*(customer() for _ in range(16)))

    with ThreadPoolExecutor(1) as thread:
        serving = thread.submit(asyncio.run, customers())
        try:
            for _ in range(2):
                time.sleep(0.3)
                server.stop(how)
                time.sleep(0.1)
                server.start()
            time.sleep(0.3)
        finally:
            over.set()
        serving.result()
    assert delivered
    assert next(failures) > 0
    for held in delivered:
        assert ledger.hold(claim(now, like=held)).block() == Kept(ANSWER)
    for held in doubtful:
        if settle(ledger, held, ANSWER).block() is False:
            assert ledger.hold(claim(now, like=held)).block() == Kept(ANSWER)
    assert sum(total.count for total in ledger.totals(0, 100_000).block() if total.what == "delivered") >= len(
        delivered
    )
    ledger.close()


@pytest.mark.parametrize("delay", [0.0, 0.0005, 0.002, 0.01])
def test_a_cancelled_task_leaves_no_doubt(url: str, ledger: PostgresLedger, delay: float) -> None:
    """Case 78: also of asyncio's own cancelling, a hold that was cancelled is over when its release is asked for."""

    async def main() -> None:
        for _ in range(20):
            held = claim(time.time())
            task = asyncio.ensure_future(_awaited(ledger, held))
            await asyncio.sleep(delay)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await release(ledger, held).wait()
            assert await ledger.hold(claim(held.now, like=held)).wait() == Held(0)

    asyncio.run(main())


async def _awaited(ledger: PostgresLedger, held: Claim) -> object:
    return await ledger.hold(held).wait()


def test_closing_gives_the_connections_up(server: PostgresServer, url: str, ledger: PostgresLedger) -> None:
    """A closed ledger has no session left, of threads or of event loops, running ones included."""

    def sessions() -> int:
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        return int(server.sql(url, query)[0][0]) - 1

    async def main() -> None:
        await asyncio.gather(*(ledger.hold(claim(time.time())).wait() for _ in range(20)))
        assert sessions() == 9
        ledger.close()
        deadline = time.monotonic() + 5
        while sessions() and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        assert sessions() == 0
        assert await ledger.hold(claim(time.time())).wait() == Held(0)

    assert ledger.hold(claim(time.time())).block() == Held(0)
    asyncio.run(main())


# Forks, several processes, several machines


@pytest.mark.parametrize("used", [False, True])
def test_a_fork(ledger: PostgresLedger, used: bool) -> None:
    """Case 84: made, even used, before a fork, a ledger counts with the parent in every worker."""
    first = claim(time.time(), bought=9)

    async def awaited() -> bool:
        held = claim(first.now, bought=9, like=first)
        return isinstance(await ledger.hold(held).wait(), Held) and await settle(ledger, held).wait()

    def work() -> int:
        return 0 if deliver(ledger, claim(first.now, bought=9, like=first)) and asyncio.run(awaited()) else 1

    if used:
        assert deliver(ledger, first)
    for _ in range(4):
        assert run_child(work) == 0
        if used:
            ledger.revoked().block()
    assert asyncio.run(awaited()) is not used


def test_a_fork_amid_traffic(ledger: PostgresLedger) -> None:
    """Case 84: forked while threads use the ledger, the child does not hang and the threads lose nothing."""
    now, stop, counted = time.time(), threading.Event(), [0, 0, 0, 0]

    def traffic(which: int) -> None:
        while not stop.is_set():
            assert deliver(ledger, claim(now))
            counted[which] += 1

    with ThreadPoolExecutor(4) as threads:
        running = [threads.submit(traffic, which) for which in range(4)]
        try:
            for _ in range(5):
                assert run_child(lambda: not deliver(ledger, claim(now))) == 0
        finally:
            stop.set()
        for thread in running:
            thread.result()
    assert min(counted) > 0


def test_workers_that_start_together(url: str) -> None:
    """Eight processes that open an empty database at the same moment make one schema, and keep one key."""
    start = time.time() + 0.5

    def work(number: int) -> int:
        time.sleep(max(0, start - time.time()))
        ledger = PostgresLedger(url)
        return 0 if ledger.keep_key(f"{number}" * 32).block() == ledger.keep_key("other" * 8).block() else 1

    with ThreadPoolExecutor(8) as threads:
        children = [threads.submit(run_child, partial(work, number)) for number in range(8)]
        assert [child.result() for child in children] == [0] * 8
    ledger = PostgresLedger(url)
    assert set(ledger.keep_key("late" * 8).block()) < set("01234567")
    ledger.close()


CONTENDER = """
import os, sys
from concurrent.futures import ThreadPoolExecutor
from l402_middleware.ledgers import PostgresLedger
from l402_middleware.ledgers.ledger import Claim, Held

url, payment, now, uses = sys.argv[1], bytes.fromhex(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
ledger = PostgresLedger(url)
print("ready", flush=True)
sys.stdin.readline()

def contend(_):
    hold_id = os.urandom(16)
    claim = Claim(payment, b"t" * 32, hold_id, uses, b"r" * 32, "GET /", 21_000, now, now + 60, now + 7200)
    return isinstance(ledger.hold(claim).block(), Held) and ledger.settle(payment, hold_id, 1, now, None, now).block()

with ThreadPoolExecutor(100) as threads:
    print(sum(threads.map(contend, range(100))))
ledger.close()
"""


@pytest.mark.parametrize("uses", [1, 20])
def test_two_machines(url: str, uses: int) -> None:
    """Cases 46 and 47: of two processes that share PostgreSQL alone, with 100 threads each, exactly `uses` deliver."""
    first = claim(time.time())
    command = [sys.executable, "-c", CONTENDER, url, first.payment_hash.hex(), repr(first.now), str(uses)]
    started = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    delivered = [int(process.communicate(timeout=60)[0]) for process in started]
    assert [process.returncode for process in started] == [0, 0]
    assert sum(delivered) == uses


def test_a_killed_process(server: PostgresServer, url: str, ledger: PostgresLedger) -> None:
    """Case 52: what a killed process held is busy during its lease and usable, once, after it."""
    first = claim(time.time())

    def work() -> int:
        assert ledger.hold(first).block() == Held(0)
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    assert run_child(work) == -signal.SIGKILL
    assert ledger.hold(claim(first.now + 1, like=first)).block() == Busy()
    taken = claim(first.now + LEASE, like=first)
    assert ledger.hold(taken).block() == Held(0)
    assert settle(ledger, taken).block() is True
    assert ledger.hold(claim(first.now + LEASE + 2, like=first)).block() == Spent()


def test_two_applications(url: str, tmp_path: Path) -> None:
    """Cases 45 and 46: Starlette and Flask, each in processes of its own, share a payment through PostgreSQL alone."""
    for name in ("starlette", "flask"):
        (tmp_path / name).mkdir()
    with (
        running(UVICORN_H11, "starlette_app", tmp_path / "starlette", L402_LEDGER=url) as one,
        running(GUNICORN_THREADS, "flask_app", tmp_path / "flask", L402_LEDGER=url) as other,
    ):
        for buyer in (one, other):
            credential = buyer.buy("GET", "/slow")

            def ask(port: int, credential: str = credential) -> httpx2.Response:
                with httpx2.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20) as client:
                    return client.get("/slow", headers={"Authorization": credential})

            with ThreadPoolExecutor(20) as threads:
                answers = list(threads.map(ask, [one.port, other.port] * 10))
            assert {answer.status_code for answer in answers} <= {200, 409}
            assert one.runs() + other.runs() == ["slow"]
            assert [ask(site.port).status_code for site in (one, other)] == [200, 200]
            assert one.runs() + other.runs() == []


def test_the_interpreter_ends(url: str) -> None:
    """A program that never closes its ledger ends by itself, without a warning."""
    script = """
import asyncio, sys, time
from l402_middleware.ledgers import PostgresLedger
from l402_middleware.testing.ledger_steps import claim
async def main():
    await ledger.hold(claim(time.time())).wait()
ledger = PostgresLedger(sys.argv[1])
ledger.hold(claim(time.time())).block()
asyncio.run(main())
asyncio.run(main())
"""
    command = [sys.executable, "-X", "dev", "-c", script, url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    assert "Warning" not in done.stderr
    assert "Error" not in done.stderr
