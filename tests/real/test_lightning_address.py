"""Lightning Address and LNURL-pay, served by a real LNbits whose invoices are really paid."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from l402_middleware import Paywall, sats
from l402_middleware.core.errors import ProviderError
from l402_middleware.core.invoice import decode
from l402_middleware.flow import drive
from l402_middleware.providers import InvoiceRequest, LightningAddress, Provider, VerifiableLightningAddress
from l402_middleware.starlette import L402Middleware, l402_required
from l402_middleware.testing.provider_contract import ProviderContract, Run, invoice_from, request_for

from .lab import LNbitsServer

lnurl: Any = pytest.importorskip("lnurl", reason="the package lnurl is for Python 3.11 and 3.12")

pytestmark = pytest.mark.slow

LOCAL = {"127.0.0.1"}


@dataclass(frozen=True)
class Till:
    """A wallet of its own on LNbits, and its Lightning Address."""

    url: str
    name: str
    invoice_key: str = field(repr=False)

    @property
    def address(self) -> str:
        return f"{self.name}@{self.url.removeprefix('http://')}"

    def get(self, path: str) -> Any:
        """What LNbits answers, asked directly."""
        with httpx2.Client(base_url=self.url, trust_env=False) as http:
            return http.get(path, headers={"X-Api-Key": self.invoice_key}).json()


@pytest.fixture(scope="module")
def till(lnbits: LNbitsServer) -> Till:
    """A new wallet."""
    with httpx2.Client(base_url=lnbits.url, trust_env=False) as http:
        account = http.post("/api/v1/account", json={"name": "till"}).json()
    return Till(lnbits.url, account["lightning_address"], account["inkey"])


@pytest.fixture(scope="module")
def address(till: Till) -> str:
    """The Lightning Address of a new wallet."""
    return till.address


def lnurl_of(address: str) -> str:
    """The LNURL of a Lightning Address, as a QR code has it."""
    user, _, host = address.partition("@")
    return str(lnurl.url_encode(f"http://{host}/.well-known/lnurlp/{user}"))


class TestContract(ProviderContract):
    """The contract for every provider. LNbits hashes a description of its own, and sets its own expiry."""

    checks_settlement = False
    till: Till

    @pytest.fixture(autouse=True)
    def the_till(self, till: Till) -> None:
        self.till = till

    @pytest.fixture
    def provider(self, address: str) -> Provider:
        return LightningAddress(address, allow_private_hosts=LOCAL)

    @pytest.fixture
    def secrets(self, lnbits: LNbitsServer) -> list[str]:
        return [lnbits.invoice_key]

    @pytest.mark.parametrize("memo", ["", "a forecast", "⚡ Wetter & 5+5", "🍊" * 300, "tab\tline\nnull\0"])
    def test_a_memo_arrives_whole_or_cut_at_a_character(self, provider: Provider, run: Run, memo: str) -> None:
        """The memo is the comment beside the payment, cut to the length that LNbits says."""
        longest = self.till.get(f"/.well-known/lnurlp/{self.till.name}")["commentAllowed"]
        request = request_for(sats(1), memo)
        invoice = invoice_from(run, provider, request)
        payment = self.till.get(f"/api/v1/payments/{invoice.payment_hash.hex()}")
        assert payment["details"]["extra"].get("comment", "") == request.memo[:longest]
        assert (invoice.description, len(invoice.description_hash or b"")) == (None, 32)

    @pytest.mark.parametrize("expiry", [60])
    def test_an_invoice_expires_when_it_should(self, provider: Provider, run: Run, expiry: int) -> None:
        """An invoice expires when LNbits says."""
        assert 60 < invoice_from(run, provider, request_for(sats(1), expiry=expiry)).expiry < 366 * 24 * 3600


@pytest.mark.parametrize("kind", ["address", "LNURL"])
def test_a_starlette_application_sells_to_a_lightning_address(
    serve: Callable[[ASGIApp], str], lnbits: LNbitsServer, address: str, kind: str
) -> None:
    """Unpaid 402, paid 200: with no key and no account, and another wallet pays."""

    @l402_required(price=21)
    async def report(request: Request) -> JSONResponse:
        return JSONResponse({"paid": request.state.l402.amount.msat})

    named = address if kind == "address" else lnurl_of(address)
    paywall = Paywall(LightningAddress(named, allow_private_hosts=LOCAL), "memory:")
    app = Starlette(routes=[Route("/report", report)], middleware=[Middleware(L402Middleware, paywall=paywall)])
    with httpx2.Client(base_url=serve(app), trust_env=False) as http:
        unpaid = http.get("/report")
        assert unpaid.status_code == 402
        challenge = unpaid.json()
        assert decode(challenge["invoice"]).amount == sats(21)
        preimage = lnbits.pay(challenge["invoice"])
        paid = http.get("/report", headers={"Authorization": f"L402 {challenge['macaroon']}:{preimage}"})
        assert (paid.status_code, paid.json()) == (200, {"paid": 21_000})


def test_a_user_that_does_not_exist(lnbits: LNbitsServer) -> None:
    """LNbits says so at HTTP 200; the operator hears what to look at."""
    provider = LightningAddress(f"nobody@{lnbits.url.removeprefix('http://')}", allow_private_hosts=LOCAL)
    with pytest.raises(ProviderError, match="does that user exist there") as caught:
        drive(provider.create_invoice(InvoiceRequest(sats(1), "", 60)))
    provider.close()
    assert caught.value.kind == "rejected"


def test_lnbits_offers_no_settlement_check(address: str) -> None:
    """Without LUD-21 there is no invoice either, so nobody pays for what could never be checked."""
    provider = VerifiableLightningAddress(address, allow_private_hosts=LOCAL)
    with pytest.raises(ProviderError, match="use LightningAddress"):
        drive(provider.create_invoice(InvoiceRequest(sats(1), "", 60)))
    provider.close()


def test_a_private_address_needs_to_be_allowed(lnbits: LNbitsServer, address: str) -> None:
    """Case 99: the same LNbits, with nobody having allowed this machine."""
    provider = LightningAddress(lnurl_of(address))
    with pytest.raises(ProviderError, match="allow_private_hosts") as caught:
        drive(provider.create_invoice(InvoiceRequest(sats(1), "", 60)))
    assert caught.value.kind == "rejected"
    assert json.dumps(str(caught.value)).count("127.0.0.1") == 1
