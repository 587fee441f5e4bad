"""A hundred uses at the same time of what was paid for once: applications, processes, frameworks and machines."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import anyio
import httpx2
import pytest

from l402_middleware import Paywall
from l402_middleware.providers import DevNode
from tests.adapters.servers import GRANIAN, GUNICORN_SYNC, GUNICORN_THREADS, KEY, UVICORN_HTTPTOOLS, Server
from tests.ledgers.postgres_server import PostgresServer
from tests.ledgers.redis_server import RedisServer

from . import flask_shop, log, starlette_shop
from .customer import Answer
from .shop import Purchase, Shop, Wallet, command, free_port, serving

pytestmark = pytest.mark.slow

AT_ONCE = 100
BUNDLE = 20


def check_single(answers: Sequence[Answer], runs: Sequence[log.Run], purchase: Purchase) -> None:
    """One run; everybody has its answer, or was told that it runs."""
    assert [run.payment_hash for run in runs] == [purchase.payment_hash]
    assert {answer.status for answer in answers} <= {200, 409}, Counter(answer.status for answer in answers)
    assert {answer.body for answer in answers if answer.status == 200} == {runs[0].name.encode()}
    assert all(answer.headers["retry-after"] for answer in answers if answer.status == 409)


def check_bundle(answers: Sequence[Answer], runs: Sequence[log.Run], purchase: Purchase) -> None:
    """Twenty runs, each delivered to one customer; the others were told that it is used, or in use."""
    assert Counter(run.payment_hash for run in runs) == {purchase.payment_hash: BUNDLE}
    delivered = [answer.body for answer in answers if answer.status == 200]
    assert sorted(delivered) == sorted(run.name.encode() for run in runs)
    others = {answer.code for answer in answers if answer.status != 200}
    assert others <= {"already-used", "in-use"}


CHECKS = [
    pytest.param("/work", check_single, id="single"),
    pytest.param("/bundle", check_bundle, id="bundle"),
]
Check = Callable[[Sequence[Answer], Sequence[log.Run], Purchase], None]


def crowd(shops: Sequence[Shop], target: str, purchase: Purchase) -> list[Answer]:
    """All at once, each shop in turn."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(
            pool.map(lambda number: shops[number % len(shops)].ask(target, purchase.credential), range(AT_ONCE))
        )


@pytest.fixture(params=["memory", "sqlite"])
def paywall(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Paywall]:
    """A paywall of this process."""
    ledger = "memory:" if request.param == "memory" else f"sqlite:///{tmp_path}/l402.db"
    paywall = Paywall(DevNode(), ledger, secret_keys=[KEY])
    yield paywall
    paywall.close()


@pytest.mark.parametrize(("target", "check"), CHECKS)
def test_threads(paywall: Paywall, runs_file: Path, target: str, check: Check) -> None:
    """Cases 46, 47: a hundred threads in one Flask application."""
    app = flask_shop.create(paywall)

    def ask(credential: str | None) -> Answer:
        got = app.test_client().get(target, headers={"Authorization": credential} if credential else {})
        return Answer(got.status_code, {name.lower(): value for name, value in got.headers}, got.data)

    purchase = Wallet().pay(ask(None).body)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(ask, [purchase.credential] * AT_ONCE))
    check(answers, log.read(runs_file), purchase)


@pytest.mark.anyio
@pytest.mark.parametrize(("target", "check"), CHECKS)
async def test_tasks(paywall: Paywall, runs_file: Path, target: str, check: Check) -> None:
    """Cases 46, 47: a hundred tasks in one Starlette application, on both event loops."""
    answers: list[Answer] = []
    transport = httpx2.ASGITransport(starlette_shop.create(paywall))
    async with httpx2.AsyncClient(transport=transport, base_url="http://test", trust_env=False) as client:

        async def ask(credential: str) -> None:
            got = await client.get(target, headers={"Authorization": credential})
            answers.append(Answer(got.status_code, dict(got.headers), got.content))

        purchase = Wallet().pay((await client.get(target)).content)
        async with anyio.create_task_group() as group:
            for _ in range(AT_ONCE):
                group.start_soon(ask, purchase.credential)
    check(answers, log.read(runs_file), purchase)


@pytest.mark.parametrize(
    ("server", "module"),
    [
        (UVICORN_HTTPTOOLS, "starlette_shop"),
        (GRANIAN, "starlette_shop"),
        (GUNICORN_SYNC, "flask_shop"),
        (GUNICORN_THREADS, "flask_shop"),
    ],
    ids=lambda value: value.name if isinstance(value, Server) else value,
)
def test_four_workers(server: Server, module: str, tmp_path: Path) -> None:
    """Cases 46, 47: four processes of a real server, on one SQLite file."""
    port = free_port()
    with serving(command(server, module, port, 4), port, tmp_path) as shop:
        check_races([shop])


def check_races(shops: Sequence[Shop]) -> None:
    """One single use and one bundle, sold by the first shop and fought for at all of them."""
    for target, check in (("/work?seconds=0.2", check_single), ("/bundle", check_bundle)):
        purchase = shops[0].buy(target)
        answers = crowd(shops, target, purchase)
        check(answers, [run for run in shops[0].runs() if run.payment_hash == purchase.payment_hash], purchase)


def check_two_shops(ledger: str, folder: Path) -> None:
    """A Starlette and a Flask shop that share `ledger` and the key, and nothing else."""
    with ExitStack() as stack:
        shops = []
        for server, module in ((UVICORN_HTTPTOOLS, "starlette_shop"), (GUNICORN_THREADS, "flask_shop")):
            own, port = folder / module, free_port()
            own.mkdir()
            started = serving(command(server, module, port), port, own, RUNS=str(folder / "runs"), L402_LEDGER=ledger)
            shops.append(stack.enter_context(started))
        for seller, deliverer in (shops, reversed(shops)):
            purchase = seller.buy()
            answer = deliverer.ask("/work", purchase.credential)
            assert answer.status == 200
            assert deliverer.ask("/work?other", purchase.credential).code == "already-used"
            assert seller.ask("/work?other", purchase.credential).code == "already-used"
            # Kept by the one, given again by the other.
            assert seller.ask("/work", purchase.credential).body == answer.body
        check_races(shops)
        check_races(shops[::-1])


def test_two_frameworks_on_redis(redis_server: RedisServer, tmp_path: Path) -> None:
    """Cases 46, 47: two applications in two frameworks share a Redis; what one sells the other delivers, once."""
    check_two_shops(redis_server.url, tmp_path)


def test_two_frameworks_on_postgres(postgres_server: PostgresServer, tmp_path: Path) -> None:
    """Cases 46, 47: two applications in two frameworks share a PostgreSQL database."""
    check_two_shops(postgres_server.database(), tmp_path)
