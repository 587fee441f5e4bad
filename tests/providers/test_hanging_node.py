"""A node that takes every connection and answers none, under a flood of unpaid requests."""

import logging
import time
import tracemalloc
from collections import Counter

import anyio
import httpx2
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from l402_middleware import Paywall
from l402_middleware.ledgers import MemoryLedger
from l402_middleware.outgoing.transport import MAX_REQUESTS
from l402_middleware.providers import DevNode, Failover, LNbits, Provider
from l402_middleware.starlette import L402Middleware, l402_required
from tests.paywall.shop import KEY

from ..faults.node_outage import WalletProcess
from .hanging import hanging

TIMEOUT = 1.0
PAUSE = 1.0
PER_SECOND = 200
SECONDS = 8


@l402_required(price=21, uses=None)
async def sold(request: Request) -> PlainTextResponse:
    """A pass."""
    return PlainTextResponse("goods")


def shop(provider: Provider) -> Starlette:
    """The same shop, with its keys, over any provider."""
    paywall = Paywall(provider, MemoryLedger(), secret_keys=[KEY])
    return Starlette(routes=[Route("/", sold)], middleware=[Middleware(L402Middleware, paywall=paywall)])


def client_of(app: Starlette) -> httpx2.AsyncClient:
    """A client in the same process."""
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://shop.example")


async def bought() -> str:
    """A pass, sold while there was a node."""
    node = DevNode()
    async with client_of(shop(node)) as client:
        quoted = (await client.get("/")).json()
    return f"L402 {quoted['macaroon']}:{node.pay(quoted['invoice']).hex()}"


@pytest.mark.slow
@pytest.mark.anyio
async def test_a_flood_of_unpaid_requests_while_the_node_hangs(caplog: pytest.LogCaptureFixture) -> None:
    """Case 98: paid requests go on, unpaid ones get their 503 in time, and the node gets few of them.

    Those that come before the first failures are known wait for the node; the others are answered at once.
    """
    # Or pytest would keep a record of each refusal.
    caplog.set_level(logging.CRITICAL)
    caplog.clear()
    headers = {"Authorization": await bought()}
    statuses: Counter[tuple[str, int]] = Counter()
    early, late, paid = [0.0], [0.0], [0.0]
    sizes: list[int] = []
    with hanging() as node:
        wallet = LNbits(node.url, invoice_key="key", network="regtest", timeout=TIMEOUT)
        async with client_of(shop(Failover(wallet, pause=PAUSE))) as client, anyio.create_task_group() as tasks:
            started = time.monotonic()

            async def ask(kind: str, headers: dict[str, str]) -> None:
                begun = time.monotonic()
                answer = await client.get("/", headers=headers)
                statuses[kind, answer.status_code] += 1
                took = time.monotonic() - begun
                if kind == "paid":
                    paid.append(took)
                else:
                    # By then the first failures are known.
                    (early if begun < started + 2 * TIMEOUT else late).append(took)

            tracemalloc.start()
            for number in range(PER_SECOND * SECONDS):
                tasks.start_soon(ask, "unpaid", {})
                if number % 10 == 0:
                    tasks.start_soon(ask, "paid", headers)
                if number % PER_SECOND == 0:
                    sizes.append(tracemalloc.get_traced_memory()[0])
                await anyio.sleep(max(0.0, started + number / PER_SECOND - time.monotonic()))
        elapsed = time.monotonic() - started
        await wallet.aclose()
        tracemalloc.stop()
    assert statuses == {("unpaid", 503): PER_SECOND * SECONDS, ("paid", 200): PER_SECOND * SECONDS // 10}
    # A wait for a turn and one for the answer, and what a busy machine adds.
    assert max(early) < 2 * TIMEOUT + 3
    # All but the probes, and whoever met with a pause of the machine's.
    assert sorted(late)[len(late) * 95 // 100] < TIMEOUT / 2
    assert max(paid) < 3
    # Two rounds of turns, four where the machine is late, and the probes; without a breaker, a round in each second.
    assert 0 < node.requests <= 4 * MAX_REQUESTS + elapsed / PAUSE
    assert sizes[-1] < sizes[3] + 2_000_000


@pytest.mark.slow
@pytest.mark.anyio
@pytest.mark.parametrize("end", ["stopped", "killed"])
async def test_a_node_that_goes_and_comes_back(end: str, caplog: pytest.LogCaptureFixture) -> None:
    """Case 98: away in the middle of a flood, refusing connections or silent, it is tried again, and sells again."""
    caplog.set_level(logging.CRITICAL)
    caplog.clear()
    node = WalletProcess()
    wallet = LNbits(f"http://127.0.0.1:{node.port}", invoice_key="key", network="regtest", timeout=TIMEOUT)
    statuses: Counter[int] = Counter()
    paid: Counter[int] = Counter()
    headers = {"Authorization": await bought()}

    async def flood(client: httpx2.AsyncClient, seconds: float) -> None:
        async def ask(counter: Counter[int], headers: dict[str, str]) -> None:
            counter[(await client.get("/", headers=headers)).status_code] += 1

        async with anyio.create_task_group() as tasks:
            for _ in range(int(seconds * 50)):
                tasks.start_soon(ask, statuses, {})
                tasks.start_soon(ask, paid, headers)
                await anyio.sleep(0.02)

    try:
        async with client_of(shop(Failover(wallet, pause=PAUSE))) as client:
            await flood(client, 0.5)
            assert statuses.keys() == {402}
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(flood, client, 2.5)
                await anyio.sleep(0.5)
                if end == "killed":
                    node.kill()
                else:
                    node.stop()
            assert statuses.keys() == {402, 503}
            if end == "killed":
                node.start()
            else:
                node.go_on()
            with anyio.fail_after(10):
                while (await client.get("/")).status_code != 402:
                    await anyio.sleep(0.1)
            statuses.clear()
            await flood(client, 0.5)
            assert statuses.keys() == {402}
    finally:
        await wallet.aclose()
        node.go_on()
        node.kill()
    assert paid.keys() == {200}
