"""The benched application in Starlette; `create` without a paywall makes it bare."""

from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from bench.sales import OFFERS, paywall_from_environment
from l402_middleware import Paywall
from l402_middleware.starlette import L402Middleware, l402_required


async def goods(request: Request) -> PlainTextResponse:
    """The handler that does nothing."""
    return PlainTextResponse("goods")


async def swallow(request: Request) -> PlainTextResponse:
    """The handler that reads the request's body as it comes, and does nothing with it."""
    async for _ in request.stream():
        pass
    return PlainTextResponse("goods")


def create(paywall: Paywall | None) -> Starlette:
    """Every route of `OFFERS`, and a free one."""
    routes = [Route("/free", goods)]
    for path, offer in OFFERS.items():
        handler: Any = swallow if path == "/bound" else goods
        priced = handler if paywall is None else l402_required(**offer)(handler)
        routes.append(Route(path, priced, methods=["POST"] if path == "/bound" else ["GET"]))
    return Starlette(routes=routes, middleware=[Middleware(L402Middleware, paywall=paywall)] if paywall else [])


def served() -> Starlette:
    """The application for a server: charged for where the environment has a ledger."""
    return create(paywall_from_environment())
