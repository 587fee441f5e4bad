"""The scenario in FastAPI."""

import time
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Body, Depends, FastAPI, Request
from fastapi.responses import RedirectResponse, Response, StreamingResponse
from pydantic import BaseModel

from l402_middleware import Payment, Paywall
from l402_middleware.fastapi import L402, Priced, get_payment, l402_required

from .scenario import ENDLESS, EVENTS, PAUSE, PIECES, by_length, by_mistake, by_query, record, shown

router = APIRouter()


class Order(BaseModel):
    """A body that FastAPI validates."""

    city: str


@router.get("/free")
async def free(request: Request) -> dict[str, Any]:
    """Nothing to pay."""
    record("free")
    await anyio.sleep(0.01)
    return shown(request.state.l402)


@router.get("/forecast")
@router.head("/forecast")
@l402_required(price=21)
async def forecast(request: Request) -> dict[str, Any]:
    """The plainest priced endpoint."""
    record("forecast")
    await anyio.sleep(0.01)
    return shown(request.state.l402)


@router.post("/echo")
@l402_required(price=21)
async def echo(request: Request) -> Response:
    """A body that the sale is not bound to."""
    record("echo")
    return Response(await request.body())


@router.post("/exact", dependencies=[Priced(21, bind="request", max_body=4 * 1024 * 1024)])
async def exact(content: Annotated[bytes, Body(media_type="application/octet-stream")]) -> Response:
    """A body that the sale is bound to, parsed by FastAPI."""
    record("exact")
    return Response(content)


@router.post("/validated", dependencies=[Priced(21)])
async def validated(order: Order, copies: int = 1) -> dict[str, Any]:
    """FastAPI validates, and the endpoint does not ask for its request."""
    record("validated")
    return {"city": order.city, "copies": copies}


@router.post("/computed", dependencies=[Priced(by_length)])
async def computed(request: Request) -> Response:
    """A price that depends on the body."""
    record("computed")
    return Response(await request.body())


@router.get("/pages", dependencies=[Priced(by_query)])
async def pages(request: Request, pages: int) -> dict[str, Any]:
    """A price that depends on the query, computed by an async function."""
    record("pages")
    return shown(request.state.l402)


@router.api_route("/mistaken", methods=["GET", "POST"])
@l402_required(price=by_mistake)
async def mistaken(content: Annotated[Any, Body()] = None) -> Response:
    """A price that fails."""
    record("mistaken")
    return Response()


@router.get("/bundle", dependencies=[Priced(5, uses=3)])
async def bundle(request: Request) -> dict[str, Any]:
    """Three deliveries."""
    record("bundle")
    return shown(request.state.l402)


@router.get("/pass")
async def entry(payment: Annotated[Payment, Priced(5, uses=None)]) -> dict[str, Any]:
    """Any number of deliveries."""
    record("pass")
    return shown(payment)


@router.get("/answers/{status}", dependencies=[Priced(21)])
def answers(status: int) -> Response:
    """Answers with the status that the path names; 599 is an exception."""
    record(f"answers/{status}")
    if status == 599:
        raise RuntimeError("the handler failed")
    return RedirectResponse("/free", 302) if status == 302 else Response(status_code=status)


@router.get("/cached")
@l402_required(price=21)
async def cached() -> Response:
    """Invites caches in."""
    record("cached")
    response = Response(b"cached", headers={"Cache-Control": "public, max-age=60", "ETag": '"1"', "Vary": "Accept"})
    response.set_cookie("session", "secret")
    return response


@router.get("/stream", dependencies=[Priced(21)])
def stream() -> Response:
    """Pieces, with pauses."""
    record("stream")

    def pieces() -> Iterator[bytes]:
        for piece in PIECES:
            yield piece
            time.sleep(PAUSE)

    return StreamingResponse(pieces(), media_type="text/plain")


@router.get("/broken", dependencies=[Priced(21)])
async def broken() -> Response:
    """Fails when a part of the answer is out."""
    record("broken")

    async def pieces() -> AsyncIterator[bytes]:
        yield PIECES[0]
        raise RuntimeError("the stream failed")

    return StreamingResponse(pieces())


@router.get("/events")
@l402_required(price=21)
async def events() -> Response:
    """Server-sent events."""
    record("events")

    async def pieces() -> AsyncIterator[bytes]:
        for event in EVENTS:
            yield event
            await anyio.sleep(PAUSE)

    return StreamingResponse(pieces(), media_type="text/event-stream")


@router.get("/endless")
@l402_required(price=21)
async def endless() -> Response:
    """More than anybody waits for."""
    record("endless")

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(400):
            yield ENDLESS
            await anyio.sleep(0.01)

    return StreamingResponse(pieces())


@router.post("/upload", dependencies=[Priced(21)])
async def upload(request: Request) -> dict[str, int]:
    """Takes a body piece by piece."""
    size = 0
    async for chunk in request.stream():
        if chunk:
            size += len(chunk)
            record("upload chunk")
    record("upload")
    return {"size": size}


@router.get("/slow")
@l402_required(price=21)
async def slow(payment: Annotated[Payment | None, Depends(get_payment)]) -> dict[str, Any]:
    """Takes its time; a dependency knows the payment."""
    record("slow")
    await anyio.sleep(0.3)
    return shown(payment)


@router.get("/plain")
def plain(payment: Annotated[Payment, Priced(21)]) -> dict[str, Any]:
    """A plain function, that blocks."""
    record("plain")
    time.sleep(0.01)
    return shown(payment)


@router.get("/view")
@l402_required(price=3)
async def view_get(request: Request) -> dict[str, Any]:
    """One path, two methods."""
    record("view get")
    return shown(request.state.l402)


@router.post("/view")
@l402_required(price=4)
def view_post(request: Request) -> dict[str, Any]:
    """One path, two methods."""
    record("view post")
    return shown(request.state.l402)


items = APIRouter(dependencies=[Priced(7)])


@items.get("/items/{id}")
async def item(id: str) -> dict[str, str]:  # noqa: A002 - the route's own name
    """A route with a parameter, in three places."""
    record("item")
    return {"id": id}


basic, premium = APIRouter(), APIRouter()


@basic.get("/report")
async def cheap() -> Response:
    """A report."""
    record("cheap")
    return Response(b"cheap")


@premium.get("/report")
async def dear() -> Response:
    """The same path in another router."""
    record("dear")
    return Response(b"dear")


def create(paywall: Paywall | None = None) -> FastAPI:
    """The application."""
    app = FastAPI()
    L402(app, paywall)
    app.include_router(router)
    app.include_router(items, prefix="/part")
    app.include_router(items, prefix="/part/deep")
    app.include_router(basic, prefix="/basic", dependencies=[Priced(1)])
    app.include_router(premium, prefix="/premium", dependencies=[Priced(1000)])
    return app
