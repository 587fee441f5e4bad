"""Third-party clients, which know nothing of this package, pay for requests and get their answers."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from l402_middleware import Paywall, RequestView
from l402_middleware.providers import DevNode
from l402_middleware.starlette import L402Middleware, l402_required

from .lab import Client

pytestmark = pytest.mark.slow

PYTHON_CLIENTS = [
    "l402-requests",
    "l402-requests async",
    "bolthub",
    "bolthub async",
    "bolthub auth",
    "l402kit",
    "l402kit async",
]
NODE_CLIENTS = ["lightning-tools fetch402", "lightning-tools fetchWithL402", "lightning-tools with credentials"]

# These present a credential again for the same path, or for the same request, where the others pay for each one.
KEEPING_CLIENTS = [
    "l402-requests",
    "l402-requests async",
    "l402kit",
    "l402kit async",
    "lightning-tools with credentials",
]


@dataclass(frozen=True, slots=True)
class Shop:
    """An application that sells, and how often each of its handlers ran."""

    url: str
    runs: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a client says after its requests: the answers, the invoices it paid, and the sats it read from them."""

    answers: list[tuple[int, Any]]
    payments: int
    spent_sats: int | None


@pytest.fixture
def shop(serve: Callable[[ASGIApp], str], monkeypatch: pytest.MonkeyPatch) -> Shop:
    """Three endpoints on a real server, with the development wallet: one use, three uses, and a price by the body."""
    monkeypatch.setenv("L402_DEV", "1")
    runs: Counter[str] = Counter()

    @l402_required(price=21)
    async def report(request: Request) -> JSONResponse:
        runs["report"] += 1
        return JSONResponse({"day": request.query_params["day"]})

    @l402_required(price=50, uses=3)
    async def bundle(request: Request) -> JSONResponse:
        runs["bundle"] += 1
        return JSONResponse({"uses_left": request.state.l402.uses_left})

    def per_word(request: RequestView) -> int:
        assert request.body is not None
        return len(request.body.json()["text"].split())

    @l402_required(price=per_word)
    async def shout(request: Request) -> JSONResponse:
        runs["shout"] += 1
        return JSONResponse({"text": (await request.json())["text"].upper()})

    app = Starlette(
        routes=[Route("/report", report), Route("/bundle", bundle), Route("/shout", shout, methods=["POST"])],
        middleware=[Middleware(L402Middleware, paywall=Paywall(DevNode()))],
    )
    return Shop(serve(app), runs)


@pytest.fixture(params=[*PYTHON_CLIENTS, *NODE_CLIENTS])
def client(request: pytest.FixtureRequest) -> str:
    """The name of a client, and of the way it is used."""
    name: str = request.param
    return name


@pytest.fixture
def send(client: str, shop: Shop, request: pytest.FixtureRequest) -> Callable[..., Receipt]:
    """Send requests, (method, path, JSON body or None), one after the other with one instance of the client."""
    do: Client = request.getfixturevalue("node_clients" if client in NODE_CLIENTS else "python_clients")

    def send(*requests: tuple[str, str, Any]) -> Receipt:
        job = {
            "client": client,
            "wallet": f"{shop.url}/dev/wallet/pay",
            "requests": [
                {"method": method, "url": shop.url + path} | ({} if body is None else {"json": body})
                for method, path, body in requests
            ],
        }
        result = do(job)
        answers = [(answer["status"], json.loads(answer["body"])) for answer in result["answers"]]
        return Receipt(answers, result["payments"], result["spent_sats"])

    return send


def test_a_client_pays_for_each_of_two_reports(send: Callable[..., Receipt], shop: Shop) -> None:
    """A single-use price at two queries of one path: both answered, one payment and one run for each."""
    receipt = send(("GET", "/report?day=monday", None), ("GET", "/report?day=tuesday", None))
    assert receipt.answers == [(200, {"day": "monday"}), (200, {"day": "tuesday"})]
    assert receipt.payments == 2
    assert receipt.spent_sats in (42, None)
    assert shop.runs == {"report": 2}


def test_a_client_pays_for_a_body_by_its_words(send: Callable[..., Receipt], shop: Shop) -> None:
    """A computed price, bound to the request: each JSON body is quoted, paid and answered by itself."""
    receipt = send(("POST", "/shout", {"text": "two wörds"}), ("POST", "/shout", {"text": "and now three more words"}))
    assert receipt.answers == [(200, {"text": "TWO WÖRDS"}), (200, {"text": "AND NOW THREE MORE WORDS"})]
    assert receipt.payments == 2
    assert receipt.spent_sats in (7, None)
    assert shop.runs == {"shout": 2}


def test_a_client_that_keeps_its_credential_pays_once_for_a_bundle(
    send: Callable[..., Receipt], shop: Shop, client: str
) -> None:
    """Three uses for 50 sats: a client that presents its credential again pays once, any other each time."""
    receipt = send(*[("GET", "/bundle", None)] * 3)
    payments = 1 if client in KEEPING_CLIENTS else 3
    left = [2, 1, 0] if client in KEEPING_CLIENTS else [2, 2, 2]
    assert receipt.answers == [(200, {"uses_left": uses_left}) for uses_left in left]
    assert receipt.payments == payments
    assert receipt.spent_sats in (50 * payments, None)
    assert shop.runs == {"bundle": 3}


def test_a_repeated_request_is_answered_whether_it_pays_again_or_not(send: Callable[..., Receipt], shop: Shop) -> None:
    """The same request twice: a new payment runs the handler again, an old credential gets the old answer."""
    receipt = send(*[("GET", "/report?day=monday", None)] * 2)
    assert receipt.answers == [(200, {"day": "monday"})] * 2
    assert shop.runs == {"report": receipt.payments}


def test_the_lockfile_names_no_registry() -> None:
    """Whatever registry npm is configured for serves the client: the lockfile holds digests, and no address."""
    lockfile = Path(__file__).with_name("clients") / "package-lock.json"
    assert "resolved" not in lockfile.read_text()
