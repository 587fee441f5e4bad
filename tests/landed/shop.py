"""A shop as it was written for the first version, in each framework: no line of it has changed since."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import FastAPI
from flask import Flask, g
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from l402_middleware import Msat, Payment, Paywall, RequestView, msats
from l402_middleware import asgi as asgi_paywall
from l402_middleware import fastapi as fastapi_paywall
from l402_middleware import flask as flask_paywall
from l402_middleware import starlette as starlette_paywall
from l402_middleware import wsgi as wsgi_paywall


def by_length(request: RequestView) -> Msat:
    """A price that depends on the request, which the sale is then bound to."""
    return msats(1000) * len(request.query.get("text", "-"))


CONDITIONS: dict[str, dict[str, Any]] = {
    "single": {"price": 21},
    "bundle": {"price": 60, "uses": 3},
    "pass": {"price": 500, "uses": None, "valid_for": 86400},
    "bound": {"price": by_length},
    "caller": {"price": 21, "bind_caller": "ip"},
}
"""What is sold, by the last part of its path: `/sold/{name}/{city}`."""


def told(payment: Payment, city: str) -> dict[str, Any]:
    """What every handler answers."""
    return {"city": city, "msat": payment.amount.msat, "left": payment.uses_left}


def in_starlette(paywall: Paywall) -> Any:
    """A decorator on each function."""

    def handler(conditions: dict[str, Any]) -> Any:
        @starlette_paywall.l402_required(**conditions)
        async def sold(request: Request) -> JSONResponse:
            return JSONResponse(told(request.state.l402, request.path_params["city"]))

        return sold

    return Starlette(
        routes=[
            Route(f"/sold/{name}/{{city}}", handler(conditions), methods=["GET", "POST"])
            for name, conditions in CONDITIONS.items()
        ],
        middleware=[Middleware(starlette_paywall.L402Middleware, paywall=paywall)],
    )


def in_fastapi(paywall: Paywall) -> Any:
    """A price among the parameters."""
    app = FastAPI()
    fastapi_paywall.L402(app, paywall)

    def add(name: str, price: Any) -> None:
        @app.api_route(f"/sold/{name}/{{city}}", methods=["GET", "POST"], operation_id=name)
        def sold(city: str, payment: Annotated[Payment, price]) -> dict[str, Any]:
            return told(payment, city)

    for name, conditions in CONDITIONS.items():
        add(name, fastapi_paywall.Priced(**conditions))
    return app


def in_flask(paywall: Paywall) -> Any:
    """A decorator under each route."""
    app = Flask(__name__)
    flask_paywall.L402(app, paywall)

    def add(name: str, conditions: dict[str, Any]) -> None:
        @app.route(f"/sold/{name}/<city>", methods=["GET", "POST"], endpoint=name)
        @flask_paywall.l402_required(**conditions)
        def sold(city: str) -> dict[str, Any]:
            return told(g.l402, city)

    for name, conditions in CONDITIONS.items():
        add(name, conditions)
    return app


def whole_asgi(paywall: Paywall) -> Any:
    """An application of no framework, sold as a whole."""

    async def sold(scope: Any, receive: Any, send: Any) -> None:
        payment = scope["state"]["l402"]
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        await send({"type": "http.response.body", "body": f"{payment.amount.msat}".encode()})

    return asgi_paywall.L402Middleware(sold, paywall, default=21, free=["/"])


def whole_wsgi(paywall: Paywall) -> Any:
    """The same for WSGI."""

    def sold(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        payment = environ["l402_middleware.payment"]
        start_response("200 OK", [("Content-Length", "5")])
        return [f"{payment.amount.msat}".encode()]

    return wsgi_paywall.L402Middleware(sold, paywall, default=21, free=["/"])


SHOPS: dict[str, Callable[[Paywall], Any]] = {
    "starlette": in_starlette,
    "fastapi": in_fastapi,
    "flask": in_flask,
    "asgi": whole_asgi,
    "wsgi": whole_wsgi,
}
