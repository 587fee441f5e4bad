"""Whole requests in process, straight into the application: what charging adds to the bare framework."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.routing import Route

from l402_middleware import Paywall
from l402_middleware.asgi.scope import ASGIApp, Receive, Scope, Send
from l402_middleware.providers import DevNode

from .apps import flask_app, starlette_app
from .databases import Ledgers, versions
from .in_process import asgi, wsgi
from .measure import PAIRS, Result, from_times
from .sales import BOUND, BUNDLE, FREE, KEY, PASS, SINGLE, UNPAID, Call, Load

CALLS = 2000
AT_ONCE = 32
"""How many requests run at the same time where they wait for a ledger."""

BARS = {
    "Starlette, reusable credential (pass)": 2.5,
    "Starlette, single use on memory": 6.0,
    "Starlette, bundle on SQLite": 8.0,
    "Starlette, 402 with an in-process invoice": 15.0,
}


class Empty:
    """The least that a pure ASGI middleware can be."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


async def dispatch(request: Request, call_next: Callable[[Request], Awaitable[Any]]) -> Any:
    """An empty `BaseHTTPMiddleware`, for comparison."""
    return await call_next(request)


__all__ = ["results", "versions"]


def results() -> Iterator[Result]:
    """Every load under both frameworks, and single uses on every ledger there is here."""
    with Ledgers() as ledgers, asyncio.Runner() as runner, ThreadPoolExecutor(AT_ONCE) as threads:
        for framework, module, send in (
            ("Starlette", starlette_app, lambda *arguments: runner.run(_asgi_seconds(*arguments))),
            ("Flask", flask_app, lambda *arguments: _wsgi_seconds(threads, *arguments)),
        ):
            bare: Any = module.create(None)

            def against_bare(
                name: str, app: Any, load: Load, bare: Any = bare, send: Any = send, framework: str = framework
            ) -> Result:
                name = f"{framework}, {name}"
                return from_times(name, list(_times(send, app, bare, load)), BARS.get(name))

            for ledger, url in ledgers.urls():
                paywall = Paywall(DevNode(), url, secret_keys=[KEY])
                app: Any = module.create(paywall)
                if ledger == "memory":
                    if framework == "Starlette":
                        yield from _around_starlette(send, app, bare)
                    else:
                        yield against_bare(FREE.name, app, FREE)
                    for load in (PASS, UNPAID, *BOUND):
                        yield against_bare(load.name, app, load)
                for load in (SINGLE, BUNDLE):
                    yield against_bare(f"{load.name} on {ledger}", app, load)
                runner.run(paywall.aclose())


def _around_starlette(send: Any, app: Any, bare: Any) -> Iterator[Result]:
    routes = [Route("/free", starlette_app.goods)]
    empty = Starlette(routes=routes, middleware=[Middleware(Empty)])
    base = Starlette(routes=routes, middleware=[Middleware(BaseHTTPMiddleware, dispatch=dispatch)])
    name = f"Starlette, {FREE.name}, against an empty pure ASGI middleware"
    yield from_times(name, list(_times(send, app, empty, FREE)), 1.25)
    yield from_times("(Starlette, empty BaseHTTPMiddleware)", list(_times(send, base, bare, FREE)), None)


def _times(send: Any, app: Any, floor: Any, load: Load) -> Iterator[tuple[float, float]]:
    calls = max(2, int(CALLS / load.takes))
    for _ in range(PAIRS):
        made = list(islice(load.calls(), calls))
        at_once = AT_ONCE if load.needs_ledger else 1
        yield send(app, made, load.status, at_once), send(floor, made, 200, at_once)


async def _asgi_seconds(app: ASGIApp, calls: list[Call], status: int, at_once: int) -> float:
    """Seconds that one request takes."""
    started = time.perf_counter()
    if at_once == 1:
        for call in calls:
            await asgi(app, call, status)
    else:
        for first in range(0, len(calls), at_once):
            await asyncio.gather(*(asgi(app, call, status) for call in calls[first : first + at_once]))
    return (time.perf_counter() - started) / len(calls)


def _wsgi_seconds(threads: ThreadPoolExecutor, app: Any, calls: list[Call], status: int, at_once: int) -> float:
    started = time.perf_counter()
    if at_once == 1:
        for call in calls:
            wsgi(app, call, status)
    else:
        list(threads.map(lambda call: wsgi(app, call, status), calls))
    return (time.perf_counter() - started) / len(calls)
