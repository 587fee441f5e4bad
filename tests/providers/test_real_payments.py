"""A real LND is paid by another one: the paid loop over a real server, and payments that are held.

The nodes are given by LND_TEST_URL and LND_TEST_PAYER_URL, see CONTRIBUTING.md.
"""

import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx2
import pytest
from flask import Flask
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from l402_middleware import Offer, Paywall
from l402_middleware.flask import L402
from l402_middleware.flask import l402_required as flask_required
from l402_middleware.flow import Flow, adrive, drive
from l402_middleware.paywall.delivery import Delivery
from l402_middleware.providers import LND, CreatedInvoice, InvoiceRequest, provider_from_url
from l402_middleware.starlette import L402Middleware, l402_required
from tests.paywall.shop import KEY, ask, code, members
from tests.real.lab import serving

from .paying_node import HoldingLND, PayingLND, paying_node

pytestmark = [pytest.mark.lnd, pytest.mark.slow]


@pytest.fixture
def node() -> Iterator[LND]:
    """The node that is paid."""
    url = os.environ.get("LND_TEST_URL")
    if not url:
        pytest.skip("LND_TEST_URL is not set")
    found = provider_from_url(url)
    assert isinstance(found, LND)
    yield found
    found.close()


@pytest.fixture
def payer() -> Iterator[PayingLND]:
    """The node that pays."""
    found = paying_node()
    yield found
    found.close()


@pytest.fixture
def holding(node: LND) -> Iterator[HoldingLND]:
    """The first node's hold invoices."""
    found = HoldingLND(node)
    yield found
    found.close()


def wait_for(condition: Callable[[], bool]) -> None:
    """Return as soon as the condition holds."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def buy_twice(http: httpx2.Client, payer: PayingLND) -> None:
    """Unpaid 402; paid 200; the same answer again; and an unpaid invoice's token with a made-up preimage is a 402."""
    unpaid = http.get("/report")
    assert unpaid.status_code == 402
    quoted = unpaid.json()
    headers = {"Authorization": f"L402 {quoted['macaroon']}:{payer.pay(quoted['invoice'])}"}
    first, second = (http.get("/report", headers=headers) for _ in range(2))
    assert (first.status_code, first.json()) == (200, {"runs": 1})
    assert (second.status_code, second.json()) == (200, {"runs": 1})
    refused = http.get("/report", headers={"Authorization": f"L402 {quoted['macaroon']}:{'00' * 32}"})
    assert (refused.status_code, refused.json()["code"]) == (402, "invalid-preimage")


def test_starlette_sells_to_a_lightning_node(node: LND, payer: PayingLND, tmp_path: Path) -> None:
    """Case 56: with `verify_settlement`, LND is asked, and says SETTLED of what was paid over a channel."""
    runs: list[str] = []

    @l402_required(price=21)
    async def report(request: Request) -> JSONResponse:
        runs.append(request.state.l402.payment_hash)
        return JSONResponse({"runs": len(runs)})

    paywall = Paywall(node, f"sqlite:///{tmp_path}/l402.db", verify_settlement=True)
    app = Starlette(routes=[Route("/report", report)], middleware=[Middleware(L402Middleware, paywall=paywall)])
    with serving(app) as url, httpx2.Client(base_url=url, trust_env=False) as http:
        buy_twice(http, payer)
    assert len(runs) == 1


def test_flask_sells_to_a_lightning_node(node: LND, payer: PayingLND, tmp_path: Path) -> None:
    """Case 56: the same, blocking."""
    app = Flask(__name__)
    paywall = Paywall(node, f"sqlite:///{tmp_path}/l402.db", verify_settlement=True)
    L402(app, paywall)
    runs: list[int] = []

    @app.get("/report")
    @flask_required(price=21)
    def report() -> dict[str, int]:
        runs.append(1)
        return {"runs": len(runs)}

    with httpx2.Client(base_url="http://shop.example", transport=httpx2.WSGITransport(app.wsgi_app)) as http:
        buy_twice(http, payer)
    assert len(runs) == 1
    paywall.close()


class Holding:
    """A provider of hold invoices, whose preimage is known before any payment is final."""

    granularity_msat = 1

    def __init__(self, node: LND, holding: HoldingLND) -> None:
        self.network = node.network
        self.is_settled = node.is_settled
        self.preimage = secrets.token_bytes(32)
        self._holding = holding

    def create_invoice(self, request: InvoiceRequest) -> Flow[CreatedInvoice]:
        yield from ()
        payment_hash = sha256(self.preimage).digest()
        bolt11 = self._holding.invoice(payment_hash, request.amount.msat, request.memo, request.expiry)
        return CreatedInvoice(bolt11, payment_hash)

    def close(self) -> None: ...

    async def aclose(self) -> None: ...


@pytest.mark.parametrize("end", ["settled", "canceled"])
def test_a_held_payment_opens_nothing(node: LND, payer: PayingLND, holding: HoldingLND, end: str) -> None:
    """Case 56: ACCEPTED is not settled: 409, and the credential is not burnt; once it is settled, the goods.

    Taken back, it stays a 409 and is never served.
    """
    provider: Any = Holding(node, holding)
    payment_hash = sha256(provider.preimage).digest()
    shop, offer = Paywall(provider, "memory:", secret_keys=[KEY], verify_settlement=True), Offer(21)
    quoted = members(drive(shop.admit(ask(), offer)))
    assert holding.state(payment_hash) == "OPEN"
    failures: list[BaseException] = []

    def pay() -> None:
        try:
            payer.pay(quoted["invoice"])
        except AssertionError as error:
            failures.append(error)

    paying = threading.Thread(target=pay)
    paying.start()
    wait_for(lambda: holding.state(payment_hash) == "ACCEPTED")
    paid = ask("GET /thing", f"L402 {quoted['macaroon']}:{provider.preimage.hex()}".encode())
    for _ in range(2):
        assert code(drive(shop.admit(paid, offer))) == (409, "payment-pending")
    if end == "settled":
        holding.settle(provider.preimage)
    else:
        holding.cancel(payment_hash)
    paying.join()
    wait_for(lambda: holding.state(payment_hash) == end.upper())
    decision = drive(shop.admit(paid, offer))
    if end == "settled":
        assert isinstance(decision, Delivery)
        assert not failures
    else:
        assert code(decision) == (409, "payment-pending")
        assert len(failures) == 1


@pytest.mark.anyio
async def test_a_settled_payment_awaited(node: LND, payer: PayingLND) -> None:
    """On both event loops: not settled before the payment, settled after it."""
    shop, offer = Paywall(node, "memory:", secret_keys=[KEY], verify_settlement=True), Offer(1)
    quoted = members(await adrive(shop.admit(ask(), offer)))
    payment_hash = bytes.fromhex(quoted["payment_hash"])
    assert await adrive(node.is_settled(payment_hash)) is False
    paid = ask("GET /thing", f"L402 {quoted['macaroon']}:{payer.pay(quoted['invoice'])}".encode())
    assert await adrive(node.is_settled(payment_hash)) is True
    assert isinstance(await adrive(shop.admit(paid, offer)), Delivery)
    await shop.aclose()
