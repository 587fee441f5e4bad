"""The LNbits provider, and whole sales, against a real LNbits whose invoices are really paid."""

import json
import logging
import secrets
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import anyio
import httpx2
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from l402_middleware import ConfigurationError, Msat, Offer, Paywall, ProviderError, RateError, RequestView, msats, sats
from l402_middleware.core.invoice import Invoice, decode
from l402_middleware.flow import Flow, adrive, drive
from l402_middleware.invoicing.invoicing import Invoicing
from l402_middleware.paywall.delivery import Delivery
from l402_middleware.paywall.request import Body
from l402_middleware.paywall.response import Response
from l402_middleware.providers import InvoiceRequest, LNbits
from l402_middleware.rates import LNbitsRate
from l402_middleware.starlette import L402Middleware, l402_required

from .lab import LNbitsServer, unused_address

pytestmark = pytest.mark.slow

T = TypeVar("T")
Run = Callable[[Paywall | Invoicing, Flow[T]], T]


@pytest.fixture(params=["blocking", "awaiting"])
def run(request: pytest.FixtureRequest) -> Callable[[Paywall | Invoicing, Flow[Any]], Any]:
    """Carry out a flow with one of the two drivers, and close the connections that it opened."""
    return _run_blocking if request.param == "blocking" else _run_awaiting


def _run_blocking(owner: Paywall | Invoicing, flow: Flow[T]) -> T:
    try:
        return drive(flow)
    finally:
        owner.close()


def _run_awaiting(owner: Paywall | Invoicing, flow: Flow[T]) -> T:
    async def main() -> T:
        try:
            return await adrive(flow)
        finally:
            await owner.aclose()

    return anyio.run(main)


@pytest.fixture
def provider(lnbits: LNbitsServer) -> LNbits:
    """The receiver's wallet as a source of invoices."""
    return LNbits(lnbits.url, invoice_key=lnbits.invoice_key)


@pytest.fixture
def ledger(tmp_path: Path) -> str:
    """The URL of a fresh SQLite ledger."""
    return f"sqlite:///{tmp_path}/l402.db"


def _no_body(body: Body) -> Any:
    raise AssertionError("a fixed price asked for the request's body")


def view(authorization: str | None = None) -> RequestView:
    """A request for the report, as an adapter describes it."""
    headers = [] if authorization is None else [(b"authorization", authorization.encode())]
    return RequestView("GET", "GET /report", "/report", b"", headers, "127.0.0.1", _no_body)


def members(decision: Delivery | Response, status: int) -> dict[str, Any]:
    """The JSON members of a refusal of that status."""
    assert isinstance(decision, Response)
    found: dict[str, Any] = json.loads(decision.body)
    assert (decision.status, found["status"]) == (status, status)
    return found


def quoted(challenge: dict[str, Any]) -> Invoice:
    """The invoice of a challenge, decoded."""
    return decode(challenge["invoice"])


def credential(challenge: dict[str, Any], preimage: str) -> str:
    """What a client that paid sends."""
    return f"L402 {challenge['macaroon']}:{preimage}"


@pytest.mark.parametrize(
    ("price", "asked"),
    [(sats(1), sats(1)), (sats(21), sats(21)), (msats(1_500), sats(2)), (sats(100_000), sats(100_000))],
    ids=str,
)
def test_a_price_becomes_an_invoice_that_a_wallet_pays(
    run: Run[Any], lnbits: LNbitsServer, provider: LNbits, ledger: str, price: Msat, asked: Msat
) -> None:
    """The invoice is over the price rounded up to whole sats, and the payer's preimage opens the endpoint."""
    paywall, offer = Paywall(provider, ledger), Offer(price)
    challenge = members(run(paywall, paywall.admit(view(), offer)), 402)
    assert (quoted(challenge).amount, challenge["amount_msat"]) == (asked, asked.msat)
    assert lnbits.received(challenge["payment_hash"])["paid"] is False

    preimage = lnbits.pay(challenge["invoice"])

    received = lnbits.received(challenge["payment_hash"])
    assert (received["paid"], received["msat"]) == (True, asked.msat)
    delivery = run(paywall, paywall.admit(view(credential(challenge, preimage)), offer))
    assert isinstance(delivery, Delivery)
    assert (delivery.payment.payment_hash, delivery.payment.amount) == (challenge["payment_hash"], asked)
    run(paywall, delivery.fail())


@pytest.mark.parametrize(
    ("memo", "kept"),
    [
        ("⚡ Wetterbericht für Zürich 🌦️", "⚡ Wetterbericht für Zürich 🌦️"),
        ("🍊" * 175, "🍊" * 159),
        ("o" * 700, "o" * 639),
    ],
    ids=["emoji", "700 bytes of emoji", "700 bytes of ASCII"],
)
def test_a_memo_arrives_whole_or_cut_at_a_character(
    run: Run[Any], lnbits: LNbitsServer, provider: LNbits, ledger: str, memo: str, kept: str
) -> None:
    """A memo beyond the 639 bytes that an invoice can hold is cut between characters, not refused."""
    paywall = Paywall(provider, ledger)
    challenge = members(run(paywall, paywall.admit(view(), Offer(1, memo=memo))), 402)
    assert quoted(challenge).description == kept
    assert lnbits.received(challenge["payment_hash"])["memo"] == kept


@pytest.mark.parametrize("expiry", [60, 86_400])
def test_an_invoice_expires_when_the_paywall_says(run: Run[Any], provider: LNbits, ledger: str, expiry: int) -> None:
    """`invoice_expiry` is the invoice's own expiry, in seconds, and the challenge tells when that is."""
    paywall = Paywall(provider, ledger, invoice_expiry=expiry)
    challenge = members(run(paywall, paywall.admit(view(), Offer(1))), 402)
    assert quoted(challenge).expiry == expiry
    assert challenge["expires_at"] == quoted(challenge).expires_at == pytest.approx(time.time() + expiry, abs=5)


def test_a_wrong_key_is_named_as_such_and_told_to_nobody(
    run: Run[Any], lnbits: LNbitsServer, caplog: pytest.LogCaptureFixture, ledger: str
) -> None:
    """A wrong invoice key is "unauthorized", a 503 and a log line, and the key is in none of them."""
    key = "5ec4e7" * 5 + "00"
    invoicing = Invoicing(LNbits(lnbits.url, invoice_key=key), None, verify_settlement=False)
    with pytest.raises(ProviderError) as caught:
        run(invoicing, invoicing.create(InvoiceRequest(sats(1), "memo", 600), time.time()))
    assert caught.value.kind == "unauthorized"
    report = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    # This test's own frame knows the key, of course.
    frames = [frame.locals or {} for frame in report.stack if frame.filename != __file__]
    shown = [
        *report.format_exception_only(),
        repr(caught.value),
        *(value for known in frames for value in known.values()),
    ]
    is_silent = key not in "".join(shown)
    assert is_silent

    paywall = Paywall(LNbits(lnbits.url, invoice_key=key), ledger)
    with caplog.at_level(logging.DEBUG):
        decision = run(paywall, paywall.admit(view(), Offer(1)))
    assert members(decision, 503)["code"] == "invoice-unavailable"
    assert "check the wallet's Invoice/read key" in caplog.text
    is_silent = key not in caplog.text + repr(decision.headers) + decision.body.decode()
    assert is_silent


@pytest.mark.parametrize(
    ("url", "key", "setting"),
    [
        ("https://lnbits.example", "", "invoice_key"),
        ("https://lnbits.example", "5ec4e7\n", "invoice_key"),
        ("https://lnbits.example", "clé", "invoice_key"),
        ("https://lnbits.example", None, "invoice_key"),
        ("lnbits.example", "5ec4e7", "url"),
        ("127.0.0.1:5000", "5ec4e7", "url"),
        ("http://[::1", "5ec4e7", "url"),
        ("https://exämple..com", "5ec4e7", "url"),
        ("https://lnbits.example/?wallet=1", "5ec4e7", "url"),
        ("https://user:5ec4e7@lnbits.example", "5ec4e7", "url"),
        (None, "5ec4e7", "url"),
    ],
)
def test_a_setting_that_can_not_work_is_refused_at_start_up(url: Any, key: Any, setting: str) -> None:
    """The error names the setting, and does not repeat what may be a secret."""
    with pytest.raises(ConfigurationError, match=f"^LNbits: {setting} ") as caught:
        LNbits(url, invoice_key=key)
    assert "5ec4e7" not in str(caught.value)


def test_a_name_that_is_none_is_unreachable(run: Run[Any]) -> None:
    """A host name that the resolver refuses to look up is the provider's fault like any other, not a crash."""
    invoicing = Invoicing(LNbits(f"http://{'a' * 64}.example", invoice_key="key"), None, verify_settlement=False)
    with pytest.raises(ProviderError, match="is its URL right") as caught:
        run(invoicing, invoicing.create(InvoiceRequest(sats(1), "memo", 600), time.time()))
    assert caught.value.kind == "unreachable"


def test_a_dead_port_is_unreachable(run: Run[Any]) -> None:
    """Where nobody listens, the failure is "unreachable"; its message asks whether the server runs."""
    with unused_address() as url:
        invoicing = Invoicing(LNbits(url, invoice_key="key"), None, verify_settlement=False)
        with pytest.raises(ProviderError, match="is it running") as caught:
            run(invoicing, invoicing.create(InvoiceRequest(sats(1), "memo", 600), time.time()))
    assert caught.value.kind == "unreachable"


def test_a_paid_credential_needs_no_node(run: Run[Any], lnbits: LNbitsServer, provider: LNbits, ledger: str) -> None:
    """Case 97: with the node down a paid credential still opens the endpoint; only new challenges are a 503."""
    keys, offer = [secrets.token_bytes(32)], Offer(21)
    paywall = Paywall(provider, ledger, secret_keys=keys)
    challenge = members(run(paywall, paywall.admit(view(), offer)), 402)
    authorization = credential(challenge, lnbits.pay(challenge["invoice"]))
    with unused_address() as url:
        orphan = Paywall(LNbits(url, invoice_key="key"), ledger, secret_keys=keys)
        delivery = run(orphan, orphan.admit(view(authorization), offer))
        assert isinstance(delivery, Delivery)
        run(orphan, delivery.fail())
        assert members(run(orphan, orphan.admit(view(), offer)), 503)["code"] == "invoice-unavailable"


def test_one_payment_is_one_delivery(run: Run[Any], lnbits: LNbitsServer, provider: LNbits, ledger: str) -> None:
    """A delivered answer uses the payment up; one that failed leaves it good."""
    paywall, offer = Paywall(provider, ledger, replay_for=0), Offer(21)
    challenge = members(run(paywall, paywall.admit(view(), offer)), 402)
    authorization = credential(challenge, lnbits.pay(challenge["invoice"]))

    failed = run(paywall, paywall.admit(view(authorization), offer))
    run(paywall, failed.fail())
    delivered = run(paywall, paywall.admit(view(authorization), offer))
    delivered.start(200, [])
    assert run(paywall, delivered.finish()) is True

    again = members(run(paywall, paywall.admit(view(authorization), offer)), 402)
    assert again["code"] == "already-used"
    assert again["payment_hash"] != challenge["payment_hash"]


def test_an_unpaid_challenge_opens_nothing(run: Run[Any], provider: LNbits, ledger: str) -> None:
    """Case 41: a token whose invoice was not paid, with a preimage made up, gets a new challenge."""
    paywall, offer = Paywall(provider, ledger), Offer(21)
    challenge = members(run(paywall, paywall.admit(view(), offer)), 402)
    refused = members(run(paywall, paywall.admit(view(credential(challenge, "00" * 32)), offer)), 402)
    assert refused["code"] == "invalid-preimage"


@pytest.mark.parametrize("replay_for", [600, 0])
def test_a_starlette_application_sells_over_the_wire(
    serve: Callable[[ASGIApp], str], lnbits: LNbitsServer, provider: LNbits, ledger: str, replay_for: int
) -> None:
    """Unpaid 402, paid 200, and the second time the same answer again, or a new challenge: one run each payment."""
    runs = []

    @l402_required(price=21)
    async def report(request: Request) -> JSONResponse:
        runs.append(request.state.l402.payment_hash)
        return JSONResponse({"report": len(runs)})

    paywall = Paywall(provider, ledger, replay_for=replay_for)
    app = Starlette(routes=[Route("/report", report)], middleware=[Middleware(L402Middleware, paywall=paywall)])
    with httpx2.Client(base_url=serve(app), trust_env=False) as http:
        unpaid = http.get("/report")
        challenge = unpaid.json()
        macaroon, invoice = challenge["macaroon"], challenge["invoice"]
        assert unpaid.status_code == 402
        assert unpaid.headers.get_list("www-authenticate")[0] == (
            f'L402 macaroon="{macaroon}", invoice="{invoice}", version="0", token="{macaroon}"'
        )
        assert (quoted(challenge).amount, runs) == (sats(21), [])

        headers = {"Authorization": credential(challenge, lnbits.pay(invoice))}
        paid = http.get("/report", headers=headers)
        assert (paid.status_code, paid.json(), runs) == (200, {"report": 1}, [challenge["payment_hash"]])

        again = http.get("/report", headers=headers)
        if replay_for:
            assert (again.status_code, again.json()) == (200, {"report": 1})
        else:
            assert (again.status_code, again.json()["code"]) == (402, "already-used")
        assert len(runs) == 1


def test_an_lnbits_without_a_rate_has_no_rate(lnbits: LNbitsServer) -> None:
    """One that can reach no exchange answers with a rate of zero, at which nothing is sold."""
    source = LNbitsRate(lnbits.url)
    with pytest.raises(RateError, match="LNbitsRate answered without a USD rate"):
        drive(source.rate("USD"))
    source.close()
