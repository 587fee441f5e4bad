"""The shop in Starlette."""

import anyio
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from l402_middleware import Paywall, paywall_from_settings
from l402_middleware.starlette import L402Middleware, l402_required

from .log import noted
from .prices import MAX_BODY, by_size, peer_of


async def _answer(request: Request) -> Response:
    with noted(request.state.l402.payment_hash) as name:
        await anyio.sleep(float(request.query_params.get("seconds", "0.01")))
    return PlainTextResponse(name)


@l402_required(price=21)
async def work(request: Request) -> Response:
    """One answer, which takes as long as the query says."""
    return await _answer(request)


@l402_required(price=100, uses=20)
async def bundle(request: Request) -> Response:
    """Twenty of them."""
    return await _answer(request)


@l402_required(price=by_size, max_body=MAX_BODY)
async def upload(request: Request) -> Response:
    """What was sent, in bytes."""
    return PlainTextResponse(str(len(await request.body())))


@l402_required(price=peer_of)
async def peer(request: Request) -> Response:
    """Not for sale."""
    raise AssertionError


@l402_required(price=500, uses=None)
async def season(request: Request) -> Response:
    """A pass."""
    return PlainTextResponse("goods")


async def free(request: Request) -> Response:
    """Nothing to pay."""
    return PlainTextResponse("free")


def create(paywall: Paywall | None = None) -> Starlette:
    """The application."""
    return Starlette(
        routes=[
            Route("/work", work),
            Route("/bundle", bundle),
            Route("/season", season),
            Route("/free", free),
            Route("/upload", upload, methods=["POST"]),
            Route("/peer", peer),
        ],
        middleware=[Middleware(L402Middleware, paywall=paywall or paywall_from_settings())],
    )
