"""A shop in Starlette that sells to callers."""

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from l402_middleware import paywall_from_settings
from l402_middleware.starlette import L402Middleware, l402_required


async def free(request: Request) -> Response:
    """Nothing to pay."""
    return PlainTextResponse("free")


@l402_required(price=5, uses=None, bind_caller="ip")
async def by_ip(request: Request) -> Response:
    """A pass for one address."""
    return PlainTextResponse("for you")


@l402_required(price=5, uses=None, bind_caller="tls")
async def by_tls(request: Request) -> Response:
    """A pass for one certificate."""
    return PlainTextResponse("for you")


def create() -> Starlette:
    """The application."""
    routes = [Route("/free", free), Route("/by-ip", by_ip), Route("/by-tls", by_tls)]
    return Starlette(routes=routes, middleware=[Middleware(L402Middleware, paywall=paywall_from_settings())])
