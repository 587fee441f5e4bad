"""Our client's wallet at a real LNbits, which pays what our own server asks for through the same LNbits."""

import asyncio
from collections.abc import Callable
from hashlib import sha256

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from l402_middleware import Paywall
from l402_middleware.client import Budget, L402Auth, LNbitsWallet, MemoryStore, NotPaid
from l402_middleware.core.errors import ProviderError
from l402_middleware.core.invoice import decode
from l402_middleware.flow import drive
from l402_middleware.ledgers import MemoryLedger
from l402_middleware.providers import LNbits
from l402_middleware.starlette import L402Middleware, l402_required

from .lab import LNbitsServer

pytestmark = pytest.mark.slow


@l402_required(price=21)
async def forecast(request: Request) -> Response:
    """Something to buy."""
    return JSONResponse({"paid": request.state.l402.payment_hash})


@pytest.fixture
def url(lnbits: LNbitsServer, serve: Callable[[ASGIApp], str]) -> str:
    """A shop whose invoices are LNbits'."""
    paywall = Paywall(LNbits(lnbits.url, lnbits.invoice_key), ledger=MemoryLedger(), verify_settlement=True)
    middleware = [Middleware(L402Middleware, paywall=paywall)]
    return serve(Starlette(routes=[Route("/forecast", forecast)], middleware=middleware))


def test_a_real_wallet_pays(lnbits: LNbitsServer, url: str) -> None:
    """Blocking and awaiting; LNbits says that each payment arrived, and what it says of it when it is looked up."""
    wallet, store = LNbitsWallet(lnbits.url, lnbits.payer_key), MemoryStore()
    auth = L402Auth(wallet, budget=Budget(50), store=store)
    with httpx2.Client(auth=auth, trust_env=False) as client:
        paid = [client.get(f"{url}/forecast").json()["paid"]]

    async def send() -> str:
        async with httpx2.AsyncClient(auth=auth, trust_env=False) as client:
            found: str = (await client.get(f"{url}/forecast")).json()["paid"]
        await wallet.aclose()
        return found

    paid.append(asyncio.run(send()))
    assert len(set(paid)) == 2
    for payment_hash in paid:
        assert lnbits.received(payment_hash)["paid"]
        outcome = drive(wallet.look_up("", bytes.fromhex(payment_hash)))
        assert outcome.fate == "paid"
        assert outcome.preimage is not None
        assert sha256(outcome.preimage).hexdigest() == payment_hash
    assert [purchase.state for purchase in store.purchases()] == ["over", "over"]
    wallet.close()


def test_what_it_has_not_paid_it_does_not_know(lnbits: LNbitsServer, url: str) -> None:
    """An open invoice of the other wallet, one of its own, and nothing at all."""
    wallet = LNbitsWallet(lnbits.url, lnbits.payer_key)
    bolt11 = httpx2.get(f"{url}/forecast").json()["invoice"]
    for payment_hash in (decode(bolt11).payment_hash, bytes(32)):
        assert drive(wallet.look_up(bolt11, payment_hash)).fate == "unknown"
    wallet.close()


def test_paying_twice_pays_once(lnbits: LNbitsServer, url: str) -> None:
    """The second time it refuses, and says that it was paid."""
    wallet = LNbitsWallet(lnbits.url, lnbits.payer_key)
    bolt11 = httpx2.get(f"{url}/forecast").json()["invoice"]
    payment_hash = decode(bolt11).payment_hash
    assert drive(wallet.pay(bolt11, payment_hash, 0)).proves(payment_hash)
    with pytest.raises(ProviderError) as caught:
        drive(wallet.pay(bolt11, payment_hash, 0))
    assert caught.value.kind == "rejected"
    assert drive(wallet.look_up(bolt11, payment_hash)).proves(payment_hash)
    wallet.close()


def test_an_invoice_key_cannot_pay(lnbits: LNbitsServer, url: str) -> None:
    """And nothing is paid."""
    wallet = LNbitsWallet(lnbits.url, lnbits.invoice_key)
    auth = L402Auth(wallet, budget=Budget(50))
    with httpx2.Client(auth=auth, trust_env=False) as client, pytest.raises(NotPaid, match="did not pay"):
        client.get(f"{url}/forecast")
    wallet.close()
