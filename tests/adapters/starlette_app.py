"""The scenario in Starlette."""

import time
from collections.abc import AsyncIterator

import anyio
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from l402_middleware import Paywall, paywall_from_settings
from l402_middleware.starlette import L402Middleware, l402_required

from .scenario import ENDLESS, EVENTS, PAUSE, PIECES, by_length, by_mistake, by_query, record, shown


async def free(request: Request) -> Response:
    """Nothing to pay."""
    record("free")
    await anyio.sleep(0.01)
    return JSONResponse(shown(request.state.l402))


@l402_required(price=21)
async def forecast(request: Request) -> Response:
    """The plainest priced endpoint."""
    record("forecast")
    await anyio.sleep(0.01)
    return JSONResponse(shown(request.state.l402))


@l402_required(price=21)
async def echo(request: Request) -> Response:
    """A body that the sale is not bound to."""
    record("echo")
    return Response(await request.body())


@l402_required(price=21, bind="request", max_body=4 * 1024 * 1024)
async def exact(request: Request) -> Response:
    """A body that the sale is bound to."""
    record("exact")
    return Response(await request.body())


@l402_required(price=21)
async def validated(request: Request) -> Response:
    """A handler that validates for itself."""
    record("validated")
    content = await request.body()
    return JSONResponse({}, 200 if b'"city"' in content else 422)


@l402_required(price=by_length)
async def computed(request: Request) -> Response:
    """A price that depends on the body."""
    record("computed")
    return Response(await request.body())


@l402_required(price=by_query)
async def pages(request: Request) -> Response:
    """A price that depends on the query, computed by an async function."""
    record("pages")
    return JSONResponse(shown(request.state.l402))


@l402_required(price=by_mistake)
async def mistaken(request: Request) -> Response:
    """A price that fails."""
    record("mistaken")
    return Response()


@l402_required(price=5, uses=3)
async def bundle(request: Request) -> Response:
    """Three deliveries."""
    record("bundle")
    return JSONResponse(shown(request.state.l402))


@l402_required(price=5, uses=None)
async def entry(request: Request) -> Response:
    """Any number of deliveries."""
    record("pass")
    return JSONResponse(shown(request.state.l402))


@l402_required(price=21)
async def answers(request: Request) -> Response:
    """Answers with the status that the path names; 599 is an exception."""
    status = int(request.path_params["status"])
    record(f"answers/{status}")
    if status == 599:
        raise RuntimeError("the handler failed")
    return RedirectResponse("/free", 302) if status == 302 else Response(status_code=status)


@l402_required(price=21)
async def cached(request: Request) -> Response:
    """Invites caches in."""
    record("cached")
    response = Response(b"cached", headers={"Cache-Control": "public, max-age=60", "ETag": '"1"', "Vary": "Accept"})
    response.set_cookie("session", "secret")
    return response


@l402_required(price=21)
async def stream(request: Request) -> Response:
    """Pieces, with pauses."""
    record("stream")

    async def pieces() -> AsyncIterator[bytes]:
        for piece in PIECES:
            yield piece
            await anyio.sleep(PAUSE)

    return StreamingResponse(pieces(), media_type="text/plain")


@l402_required(price=21)
async def broken(request: Request) -> Response:
    """Fails when a part of the answer is out."""
    record("broken")

    async def pieces() -> AsyncIterator[bytes]:
        yield PIECES[0]
        raise RuntimeError("the stream failed")

    return StreamingResponse(pieces())


@l402_required(price=21)
async def events(request: Request) -> Response:
    """Server-sent events."""
    record("events")

    async def pieces() -> AsyncIterator[bytes]:
        for event in EVENTS:
            yield event
            await anyio.sleep(PAUSE)

    return StreamingResponse(pieces(), media_type="text/event-stream")


@l402_required(price=21)
async def endless(request: Request) -> Response:
    """More than anybody waits for."""
    record("endless")

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(400):
            yield ENDLESS
            await anyio.sleep(0.01)

    return StreamingResponse(pieces())


@l402_required(price=21)
async def upload(request: Request) -> Response:
    """Takes a body piece by piece."""
    size = 0
    async for chunk in request.stream():
        if chunk:
            size += len(chunk)
            record("upload chunk")
    record("upload")
    return JSONResponse({"size": size})


@l402_required(price=21)
async def slow(request: Request) -> Response:
    """Takes its time."""
    record("slow")
    await anyio.sleep(0.3)
    return JSONResponse(shown(request.state.l402))


@l402_required(price=21)
def plain(request: Request) -> Response:
    """A plain function, that blocks."""
    record("plain")
    time.sleep(0.01)
    return JSONResponse(shown(request.state.l402))


class View(HTTPEndpoint):
    """A class-based view, priced by method."""

    @l402_required(price=3)
    async def get(self, request: Request) -> Response:
        record("view get")
        return JSONResponse(shown(request.state.l402))

    @l402_required(price=4)
    def post(self, request: Request) -> Response:
        record("view post")
        return JSONResponse(shown(request.state.l402))


@l402_required(price=7)
async def item(request: Request) -> Response:
    """A route with a parameter."""
    record("item")
    return JSONResponse({"id": request.path_params["id"]})


@l402_required(price=1)
async def cheap(request: Request) -> Response:
    """In two places."""
    record("cheap")
    return Response(b"cheap")


@l402_required(price=1000)
async def dear(request: Request) -> Response:
    """In two places."""
    record("dear")
    return Response(b"dear")


def create(paywall: Paywall | None = None) -> Starlette:
    """The application."""
    routes = [
        Route("/free", free),
        Route("/forecast", forecast),
        Route("/echo", echo, methods=["POST"]),
        Route("/exact", exact, methods=["POST"]),
        Route("/validated", validated, methods=["POST"]),
        Route("/computed", computed, methods=["POST"]),
        Route("/pages", pages),
        Route("/mistaken", mistaken, methods=["GET", "POST"]),
        Route("/bundle", bundle),
        Route("/pass", entry),
        Route("/answers/{status:int}", answers),
        Route("/cached", cached),
        Route("/stream", stream),
        Route("/broken", broken),
        Route("/events", events),
        Route("/endless", endless),
        Route("/upload", upload, methods=["POST"]),
        Route("/slow", slow),
        Route("/plain", plain),
        Route("/view", View),
        Mount(
            "/part",
            routes=[Route("/items/{id}", item), Mount("/deep", routes=[Route("/items/{id}", item)])],
        ),
        Mount("/basic", routes=[Route("/report", cheap)]),
        Mount("/premium", routes=[Route("/report", dear)]),
    ]
    middleware = [Middleware(L402Middleware, paywall=paywall or paywall_from_settings())]
    return Starlette(routes=routes, middleware=middleware)
