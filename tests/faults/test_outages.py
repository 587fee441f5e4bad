"""The ledger goes away while a shop sells: a 503 until it is back, nothing for free, and nothing lost."""

import os
import re
import resource
import shutil
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

from l402_middleware.ledgers.url import ledger_from_url
from tests.adapters.servers import UVICORN_HTTPTOOLS
from tests.ledgers.postgres_server import PostgresServer
from tests.ledgers.redis_server import RedisServer

from .customer import BROKEN, Answer
from .shop import Purchase, Shop, command, free_port, serving, wait_for

pytestmark = pytest.mark.slow

LEASE = 2
AWAY = 2.0

# So late may a handler start on a busy machine after its use was held.
LATE = 0.5
CUSTOMERS = 8
PAYMENTS = 60


def is_refused(answer: Answer) -> bool:
    """Whether it says that the ledger is away, and when to come again."""
    codes = ("ledger-unavailable", "not-settled")
    return answer.status == 503 and answer.code in codes and int(answer.headers["retry-after"]) > 0


def check_outage(ledger: str, folder: Path, stop: Callable[[], None], start: Callable[[], None]) -> None:
    """Customers with paid credentials ask until they are answered, while the ledger's server is stopped and started."""
    port = free_port()
    heard: list[tuple[float, float, Purchase, Answer]] = []

    def redeem(purchase: Purchase) -> None:
        while not heard or heard[-1][0] < deadline:
            asked_at = time.time()
            answer = shop.ask("/work?seconds=0.1", purchase.credential)
            heard.append((asked_at, time.time(), purchase, answer))
            if answer.status not in (409, 503):
                return
            time.sleep(0.1)

    settings = {"L402_LEDGER": ledger, "L402_LEASE": str(LEASE)}
    with serving(command(UVICORN_HTTPTOOLS, "starlette_shop", port), port, folder, **settings) as shop:
        purchases = [shop.buy() for _ in range(PAYMENTS)]
        deadline = time.time() + 60
        with ThreadPoolExecutor(CUSTOMERS) as pool:
            done = [pool.submit(redeem, purchase) for purchase in purchases]
            wait_for(lambda: len(heard) > CUSTOMERS, "some answers")
            stop()
            away_from = time.time()
            time.sleep(AWAY)
            unpaid = shop.ask("/work")
            away_until = time.time()
            start()
            back_at = time.time()
            for each in done:
                each.result()
        runs = shop.runs()
        assert "Traceback" not in shop.output.read_text()
    assert unpaid.status in (402, 503)
    meanwhile = [answer for began, ended, _, answer in heard if began > away_from and ended < away_until]
    assert len(meanwhile) > CUSTOMERS
    assert all(is_refused(answer) for answer in meanwhile)
    assert not [run for run in runs if away_from + LATE < run.start < away_until]
    assert {answer.status for *_, answer in heard} <= {200, 409, 503}
    # Those that were held when it went are free after the lease; queued ones may wait for a worker too.
    last = max(ended for _, ended, _, _ in heard)
    assert last < back_at + LEASE + 10
    opened = ledger_from_url(ledger)
    for purchase in purchases:
        delivered = [answer.body for _, _, each, answer in heard if each is purchase and answer.status == 200]
        own = [run for run in runs if run.payment_hash == purchase.payment_hash]
        assert len(delivered) == 1
        assert delivered[0] in [run.name.encode() for run in own]
        # A run whose answer could not be settled gave nothing away, and was repeated.
        assert all(run.start < away_from + LATE for run in own[:-1])
        refusals = [answer.code for _, _, each, answer in heard if each is purchase and answer.status == 503]
        assert len(own) <= 1 + refusals.count("not-settled")
        history = opened.history(bytes.fromhex(purchase.payment_hash)).block()
        assert history is not None
        events = Counter(event.what for event in history.events)
        assert (history.settled, events["paid"], events["delivered"]) == (1, 1, 1)
    opened.close()


def test_redis_is_restarted(redis_server: RedisServer, tmp_path: Path) -> None:
    """Case 48: a Redis that is killed, and started two seconds later."""
    check_outage(redis_server.url, tmp_path, redis_server.kill, redis_server.start)


def test_postgres_is_restarted(postgres_server: PostgresServer, tmp_path: Path) -> None:
    """Case 48: a PostgreSQL that is shut down, and started two seconds later."""
    check_outage(postgres_server.database(), tmp_path, postgres_server.stop, postgres_server.start)


# One SQLite file


@contextmanager
def read_only(shop: Shop, data: Path) -> Iterator[None]:
    """The file loses its write permission, and the worker is replaced by one that opens it anew."""
    file = data / "l402.db"
    file.chmod(0o400)
    os.kill(shop.workers()[0], signal.SIGKILL)
    yield
    file.chmod(0o600)


@contextmanager
def moved_away(shop: Shop, data: Path) -> Iterator[None]:
    """The folder is gone, though the worker has the file open."""
    elsewhere = data.with_name("elsewhere")
    data.rename(elsewhere)
    yield
    elsewhere.rename(data)


@contextmanager
def emptied(shop: Shop, data: Path) -> Iterator[None]:
    """The files are gone, and their folder is there: an empty ledger in their place would sell everything again."""
    elsewhere = data.with_name("elsewhere")
    shutil.move(data, elsewhere)
    data.mkdir()
    yield
    shutil.rmtree(data)
    shutil.move(elsewhere, data)


@contextmanager
def full(shop: Shop, data: Path) -> Iterator[None]:
    """No file of the worker may grow any more: less than a page of the journal fits."""
    (pid,) = shop.workers()
    _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, most))
    yield
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, most))


FAULTS = [
    pytest.param(read_only, "it cannot be written; give this process the right", id="read-only"),
    pytest.param(moved_away, "make sure that its folder exists|was moved, removed or replaced", id="moved-away"),
    pytest.param(emptied, "was moved, removed or replaced", id="emptied"),
    pytest.param(full, "the disk refused to read or write|the disk is full", id="full"),
]
Fault = Callable[[Shop, Path], AbstractContextManager[None]]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The folder of the ledger's file."""
    data = tmp_path / "data"
    data.mkdir()
    return data


@pytest.fixture
def shop(data: Path, tmp_path: Path, skip_or_fail: Callable[[str], NoReturn]) -> Iterator[Shop]:
    """One uvicorn worker, which is started again when it dies; file permissions hold for it even as root."""
    port = free_port()
    command = [sys.executable, "-m", "tests.faults.workers", str(port), "1"]
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            skip_or_fail("there is no setpriv (Debian: apt-get install util-linux)")
        command = ["setpriv", "--inh-caps=-dac_override", "--bounding-set=-dac_override", *command]
    settings = {"L402_LEDGER": f"sqlite:///{data}/l402.db", "L402_LEASE": "1"}
    with serving(command, port, tmp_path, **settings) as shop:
        yield shop


@pytest.mark.parametrize(("fault", "says"), FAULTS)
def test_the_file_fails(fault: Fault, says: str, shop: Shop, data: Path) -> None:
    """Case 48: nothing is delivered meanwhile, each 503 leaves one line that says what to do, and all is good after."""
    used, bought = shop.buy(), shop.buy()
    first = shop.ask("/work", used.credential)
    assert first.status == 200
    with fault(shop, data):
        wait_for(lambda: is_up(shop), "the shop")
        answers = [shop.ask("/work", purchase.credential) for purchase in (bought, used, bought)]
        assert all(is_refused(answer) for answer in answers), answers
        assert shop.ask("/work").status in (402, 503)
    lines = shop.output.read_text().splitlines()
    refusals = [line for line in lines if "no ledger, so 503 for GET /work" in line]
    assert len(refusals) == len(answers)
    assert all(re.search(says, line) for line in refusals), refusals
    assert not [line for line in lines if "Traceback" in line]
    assert shop.ask("/work", used.credential).body == first.body
    assert shop.ask("/work?other", used.credential).code == "already-used"
    assert shop.ask("/work", bought.credential).status == 200
    assert [run.payment_hash for run in shop.runs()] == [used.payment_hash, bought.payment_hash]


@pytest.mark.parametrize(("fault", "says"), FAULTS[1:])
def test_the_file_fails_while_a_handler_runs(fault: Fault, says: str, shop: Shop, data: Path) -> None:
    """Case 48: an answer that cannot be settled is not delivered; after the lease the same credential works."""
    purchase = shop.buy()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(shop.ask, "/work?seconds=0.5", purchase.credential)
        wait_for(lambda: len(shop.runs()) == 1, "the handler")
        with fault(shop, data):
            answer = asked.result()
            assert is_refused(answer), answer
    assert len(re.findall(f"an answer could not be settled.*({says})", shop.output.read_text())) == 1
    wait_for(lambda: shop.ask("/work?seconds=0.5", purchase.credential).status == 200, "the answer", seconds=5)
    assert [run.payment_hash for run in shop.runs()] == [purchase.payment_hash] * 2
    assert shop.ask("/work?other", purchase.credential).code == "already-used"


def is_up(shop: Shop) -> bool:
    """Whether the free endpoint answers: a worker that was killed has a successor."""
    try:
        return shop.ask("/free").status == 200
    except BROKEN:
        return False


def test_the_file_is_replaced(shop: Shop, data: Path) -> None:
    """Case 48: after a restored backup took the file's place, the worker counts in it, and knows what it knows."""
    used, bought = shop.buy(), shop.buy()
    first = shop.ask("/work", used.credential)
    with closing(sqlite3.connect(data / "l402.db")) as old, closing(sqlite3.connect(data / "backup")) as new:
        old.backup(new)
    (data / "l402.db").unlink()
    (data / "l402.db-wal").unlink()
    (data / "l402.db-shm").unlink()
    (data / "backup").rename(data / "l402.db")
    assert is_refused(shop.ask("/work", bought.credential))
    assert shop.ask("/work", used.credential).body == first.body
    assert shop.ask("/work?other", used.credential).code == "already-used"
    assert shop.ask("/work", bought.credential).status == 200
    with closing(sqlite3.connect(data / "l402.db")) as now:
        assert now.execute("SELECT sum(settled) FROM payments").fetchone() == (2,)
    assert len(shop.runs()) == 2
    assert len(re.findall("was moved, removed or replaced", shop.output.read_text())) == 1
