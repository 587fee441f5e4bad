"""A shop in Starlette that sells to callers, and what caches would like to keep."""

import re

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from l402_middleware import paywall_from_settings
from l402_middleware.starlette import L402Middleware, l402_required

GOODS = b"0123456789" * 10


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


async def free_goods(request: Request) -> Response:
    """What caches may keep, if they are told so."""
    return goods(request)


@l402_required(price=5)
async def paid_goods(request: Request) -> Response:
    """The same, paid for."""
    return goods(request)


@l402_required(price=5, uses=None)
async def passed(request: Request) -> Response:
    """The same, with a pass."""
    return goods(request)


@l402_required(price=5)
async def upload(request: Request) -> Response:
    """What takes a body of any length."""
    return PlainTextResponse(str(len(await request.body())))


@l402_required(price=5, bind="request", max_body=50_000)
async def exact(request: Request) -> Response:
    """What is sold with its body, and takes no long one."""
    return PlainTextResponse(str(len(await request.body())))


def goods(request: Request) -> Response:
    """A hundred bytes with an ETag, and each parameter of the query as a header; knows conditions and ranges."""
    response: Response = PlainTextResponse(GOODS, headers={"ETag": '"1"', "Accept-Ranges": "bytes"})
    span = re.fullmatch("bytes=([0-9]+)-([0-9]+)", request.headers.get("range", ""))
    if request.headers.get("if-none-match") == '"1"':
        response = Response(status_code=304, headers={"ETag": '"1"'})
    elif span:
        first, last = int(span[1]), int(span[2])
        response = PlainTextResponse(GOODS[first : last + 1], 206, {"Content-Range": f"bytes {first}-{last}/100"})
    for name, value in request.query_params.multi_items():
        response.headers.append(name, value)
    return response


def create() -> Starlette:
    """The application."""
    routes = [Route("/free", free), Route("/by-ip", by_ip), Route("/by-tls", by_tls)]
    routes += [Route("/free-goods", free_goods), Route("/goods", paid_goods), Route("/pass", passed)]
    routes += [Route("/upload", upload, methods=["POST"]), Route("/exact", exact, methods=["POST"])]
    return Starlette(routes=routes, middleware=[Middleware(L402Middleware, paywall=paywall_from_settings())])
