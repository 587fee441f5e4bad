"""x402's endpoint in FastAPI and Flask, with a facilitator in this process that says yes to everything."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, Response
from flask import Flask
from x402 import x402ResourceServer, x402ResourceServerSync
from x402.http import PaymentOption, RouteConfig
from x402.http.middleware.fastapi import payment_middleware
from x402.http.middleware.flask import payment_middleware as flask_payment_middleware
from x402.mechanisms.evm.exact import ExactEvmServerScheme
from x402.schemas import SettleResponse, SupportedKind, SupportedResponse, VerifyResponse

NETWORK = "eip155:84532"
PAYEE = "0x" + "12" * 20


class Yes:
    """A facilitator that blocks nobody: what is left is the cost of the middleware itself."""

    def get_supported(self) -> SupportedResponse:
        return SupportedResponse(kinds=[SupportedKind(x402_version=2, scheme="exact", network=NETWORK)])

    def verify(self, payload: Any, requirements: Any) -> VerifyResponse:
        return VerifyResponse(is_valid=True, payer=PAYEE)

    def settle(self, payload: Any, requirements: Any) -> SettleResponse:
        return SettleResponse(success=True, payer=PAYEE, transaction="0x00", network=NETWORK)


class AwaitedYes(Yes):
    """The same for an event loop."""

    async def verify(self, payload: Any, requirements: Any) -> VerifyResponse:  # type: ignore[override]
        return super().verify(payload, requirements)

    async def settle(self, payload: Any, requirements: Any) -> SettleResponse:  # type: ignore[override]
        return super().settle(payload, requirements)


def _routes() -> dict[str, RouteConfig]:
    option = PaymentOption(scheme="exact", pay_to=PAYEE, price="$0.01", network=NETWORK)
    return {"GET /single": RouteConfig(accepts=[option])}


def fastapi() -> FastAPI:
    """In FastAPI."""
    app = FastAPI()
    server = x402ResourceServer(AwaitedYes())
    server.register(NETWORK, ExactEvmServerScheme())
    charge = payment_middleware(_routes(), server)

    @app.middleware("http")
    async def charged(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        answer: Response = await charge(request, call_next)
        return answer

    @app.get("/single")
    async def priced() -> PlainTextResponse:
        return PlainTextResponse("goods")

    return app


def flask() -> Flask:
    """In Flask."""
    app = Flask(__name__)
    server = x402ResourceServerSync(Yes())
    server.register(NETWORK, ExactEvmServerScheme())

    @app.get("/single")
    def priced() -> str:
        return "goods"

    flask_payment_middleware(app, _routes(), server)
    return app
