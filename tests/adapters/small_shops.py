"""A small shop on each adapter: /goods costs 5 sat, /free nothing."""

from collections.abc import Callable
from typing import Any

import fastapi
import flask
import httpx2
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from l402_middleware import Paywall
from l402_middleware import fastapi as l402_fastapi
from l402_middleware.asgi import L402Middleware as WholeASGI
from l402_middleware.flask import L402
from l402_middleware.flask import l402_required as flask_l402_required
from l402_middleware.providers import DevNode
from l402_middleware.starlette import L402Middleware, l402_required
from l402_middleware.wsgi import L402Middleware as WholeWSGI


def starlette_app(paywall: Paywall) -> Any:
    """A priced and a free route."""

    @l402_required(price=5)
    async def goods(_: Request) -> Response:
        return PlainTextResponse("goods")

    async def free(_: Request) -> Response:
        return PlainTextResponse("free")

    return Starlette(
        routes=[Route("/goods", goods), Route("/free", free)],
        middleware=[Middleware(L402Middleware, paywall=paywall)],
    )


def fastapi_app(paywall: Paywall) -> Any:
    """The same, with a price among the dependencies."""
    app = fastapi.FastAPI()
    l402_fastapi.L402(app, paywall)

    @app.get("/goods", dependencies=[l402_fastapi.Priced(5)])
    def goods() -> fastapi.Response:
        return fastapi.Response("goods")

    @app.get("/free")
    def free() -> fastapi.Response:
        return fastapi.Response("free")

    return app


def flask_app(paywall: Paywall) -> Any:
    """The same in Flask."""
    app = flask.Flask(__name__)
    L402(app, paywall)

    @app.get("/goods")
    @flask_l402_required(price=5)
    def goods() -> str:
        return "goods"

    @app.get("/free")
    def free() -> str:
        return "free"

    return app


async def plain_asgi(scope: Any, receive: Any, send: Any) -> None:
    """An application of no framework."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"goods"})


def plain_wsgi(environ: Any, start_response: Any) -> list[bytes]:
    """The same over WSGI."""
    start_response("200 OK", [])
    return [b"goods"]


APPLICATIONS: dict[str, Callable[[Paywall], Any]] = {
    "starlette": starlette_app,
    "fastapi": fastapi_app,
    "flask": flask_app,
    "whole-asgi": lambda paywall: WholeASGI(plain_asgi, paywall, default=5, free=["/free"]),
    "whole-wsgi": lambda paywall: WholeWSGI(plain_wsgi, paywall, default=5, free=["/free"]),
}


def paywall_with(**options: Any) -> Paywall:
    """A paywall of one process."""
    return Paywall(DevNode(), secret_keys=["0123456789abcdef" * 4], **options)


def client_of(app: Any) -> Any:
    """A client of an application in this process."""
    if isinstance(app, flask.Flask | WholeWSGI):
        return httpx2.Client(transport=httpx2.WSGITransport(app), base_url="http://test")
    return TestClient(app)


def paid(paywall: Paywall, challenge: Any) -> dict[str, str]:
    """The header that a 402 asks for."""
    members = challenge.json()
    assert paywall.wallet is not None
    return {"Authorization": f"L402 {members['macaroon']}:{paywall.wallet.pay(members['invoice']).hex()}"}
