"""What a browser needs to see, and must not be asked: cross-origin pages, and password dialogs."""

from typing import Any

import pytest
from flask import Flask, Response, request
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from l402_middleware import Paywall
from l402_middleware.flask import L402
from l402_middleware.flask import l402_required as flask_l402_required
from l402_middleware.ledgers import MemoryLedger
from l402_middleware.providers import DevNode
from l402_middleware.starlette import L402Middleware, l402_required

ORIGIN = "https://page.example"


def starlette_client(paywall: Paywall) -> Any:
    """A Starlette shop behind its CORS middleware."""

    @l402_required(price=5)
    async def goods(_: Request) -> PlainTextResponse:
        return PlainTextResponse("goods")

    cors = Middleware(
        CORSMiddleware, allow_origins=[ORIGIN], allow_headers=["Authorization"], expose_headers=["WWW-Authenticate"]
    )
    return TestClient(
        Starlette(routes=[Route("/", goods)], middleware=[cors, Middleware(L402Middleware, paywall=paywall)])
    )


def flask_client(paywall: Paywall) -> Any:
    """A Flask shop whose hook does what CORS extensions do."""
    app = Flask(__name__)
    L402(app, paywall)

    @app.get("/")
    @flask_l402_required(price=5)
    def goods() -> str:
        return "goods"

    @app.after_request
    def cors(response: Response) -> Response:
        if request.headers.get("Origin") == ORIGIN:
            response.headers.add("Access-Control-Allow-Origin", ORIGIN)
            response.headers.add("Access-Control-Expose-Headers", "WWW-Authenticate")
            response.headers.add("Access-Control-Allow-Headers", "Authorization")
            response.vary.add("Origin")
        return response

    return app.test_client()


@pytest.fixture(params=[402, 401])
def paywall(request: pytest.FixtureRequest) -> Paywall:
    """A paywall with either status for a bad credential."""
    return Paywall(
        DevNode(), MemoryLedger(), secret_keys=["0123456789abcdef" * 4], invalid_credential_status=request.param
    )


@pytest.fixture(params=[starlette_client, flask_client])
def client(request: pytest.FixtureRequest, paywall: Paywall) -> Any:
    """A shop in either framework."""
    return request.param(paywall)


def values(answer: Any, name: str) -> list[str]:
    """The values of a header, in each framework's manner."""
    headers = answer.headers
    found: list[str] = headers.getlist(name) if hasattr(headers, "getlist") else headers.get_list(name)
    return found


def members(answer: Any) -> dict[str, Any]:
    """The JSON of an answer, in each framework's manner."""
    found: dict[str, Any] = answer.json if isinstance(answer.json, dict) else answer.json()
    return found


def test_a_page_can_read_the_challenge_and_pay(client: Any, paywall: Paywall) -> None:
    """Case 92: a preflight is free; challenge, answer and answer given again are readable, each header there once."""
    preflight = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization",
    }
    allowed = client.options("/", headers=preflight)
    assert allowed.status_code == 200
    assert "authorization" in ",".join(values(allowed, "Access-Control-Allow-Headers")).lower()
    page = {"Origin": ORIGIN}
    challenge = client.get("/", headers=page)
    assert challenge.status_code == 402
    quoted = members(challenge)
    assert paywall.wallet is not None
    paid = page | {"Authorization": f"L402 {quoted['macaroon']}:{paywall.wallet.pay(quoted['invoice']).hex()}"}
    answers = [challenge, *(client.get("/", headers=paid) for _ in range(2))]
    assert [answer.status_code for answer in answers] == [402, 200, 200]
    for answer in answers:
        assert values(answer, "Access-Control-Allow-Origin") == [ORIGIN]
        assert values(answer, "Access-Control-Expose-Headers") == ["WWW-Authenticate"]
        assert {"origin", "authorization"} <= {
            each.strip().lower() for each in ",".join(values(answer, "Vary")).split(",")
        }


def test_no_cors_header_of_our_own(client: Any) -> None:
    """Case 92: a page that the operator did not allow is told nothing that would let it read the answer."""
    challenge = client.get("/", headers={"Origin": "https://elsewhere.example"})
    assert challenge.status_code == 402
    assert not values(challenge, "Access-Control-Allow-Origin")


@pytest.mark.parametrize("authorization", [None, "Basic dTpw", "Bearer x", "L402 x:y", "LSAT x:y", "Digest x"])
def test_no_password_dialog(client: Any, authorization: str | None) -> None:
    """Case 94: whatever was sent, the only schemes that are named are ones for which no browser has a dialog."""
    answer = client.get("/", headers={"Authorization": authorization} if authorization else {})
    assert answer.status_code in (401, 402)
    fields = values(answer, "WWW-Authenticate")
    assert [field.partition(" ")[0] for field in fields] == ["L402", "Payment"]
    shown = " ".join(fields).lower()
    assert not [scheme for scheme in ("basic", "digest", "negotiate", "ntlm") if f"{scheme} " in shown]
