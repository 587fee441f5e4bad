"""Whole requests in process, through the raw ASGI interface: what the middleware adds to bare Starlette."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from l402_middleware import Paywall
from l402_middleware.asgi.visit import ASGIApp, Message, Receive, Scope, Send
from l402_middleware.ledgers import MemoryLedger
from l402_middleware.providers import DevNode
from l402_middleware.starlette import L402Middleware, l402_required

from .measure import PAIRS, Result, from_times

CALLS = 1500


class Empty:
    """The least that a pure ASGI middleware can be."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


async def plain(request: Request) -> PlainTextResponse:
    """The handler: it does nothing."""
    return PlainTextResponse("goods")


async def dispatch(request: Request, call_next: Callable[[Request], Awaitable[Any]]) -> Any:
    """An empty `BaseHTTPMiddleware`, for comparison."""
    return await call_next(request)


def results() -> Iterator[Result]:
    """A pass, a route that is not priced, and a challenge."""
    os.environ["L402_DEV"] = "1"
    paywall = Paywall(DevNode(), MemoryLedger())
    bare = Starlette(routes=[Route("/free", plain)])
    ours = Starlette(
        routes=[Route("/free", plain), Route("/pass", l402_required(price=21, uses=None)(plain))],
        middleware=[Middleware(L402Middleware, paywall=paywall)],
    )
    empty = Starlette(routes=[Route("/free", plain)], middleware=[Middleware(Empty)])
    base = Starlette(routes=[Route("/free", plain)], middleware=[Middleware(BaseHTTPMiddleware, dispatch=dispatch)])
    with asyncio.Runner() as runner:
        credential = runner.run(_bought(ours, paywall))
        authorized = [(b"authorization", credential)]

        def compared(name: str, subject: Any, floor: Any, bar: float | None) -> Result:
            times = [(runner.run(_mean(*subject)), runner.run(_mean(*floor))) for _ in range(PAIRS)]
            return from_times(name, times, bar)

        free = (bare, "/free", [])
        yield compared(
            "paid request, reusable credential, against bare Starlette", (ours, "/pass", authorized), free, 2.5
        )
        yield compared(
            "unpriced route, against an empty pure ASGI middleware", (ours, "/free", []), (empty, "/free", []), 1.15
        )
        yield compared("(empty BaseHTTPMiddleware, against bare Starlette)", (base, "/free", []), free, None)
        yield compared("(402 with an in-process invoice, against bare Starlette)", (ours, "/pass", []), free, None)
        runner.run(paywall.aclose())


def _scope(path: str, headers: list[tuple[bytes, bytes]]) -> Scope:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"127.0.0.1"), (b"user-agent", b"bench"), *headers],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }


async def _receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _mean(app: ASGIApp, path: str, headers: list[tuple[bytes, bytes]]) -> float:
    """Seconds that one request takes."""
    statuses = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    calls = CALLS if headers or path == "/free" else CALLS // 10
    loop = asyncio.get_running_loop()
    started = loop.time()
    for _ in range(calls):
        await app(_scope(path, headers), _receive, send)
    taken = (loop.time() - started) / calls
    assert set(statuses) == {200 if headers or path == "/free" else 402}, set(statuses)
    return taken


async def _bought(app: ASGIApp, paywall: Paywall) -> bytes:
    body = b""

    async def send(message: Message) -> None:
        nonlocal body
        body += message.get("body", b"")

    await app(_scope("/pass", []), _receive, send)
    members = json.loads(body)
    assert paywall.wallet is not None
    return f"L402 {members['macaroon']}:{paywall.wallet.pay(members['invoice']).hex()}".encode()
