"""The audit of Starlette applications: every way to route, and every way to lose a price."""

from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Host, Match, Mount, Route, Router, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from l402_middleware.audit import Finding, audit
from l402_middleware.starlette import L402Middleware, l402_required

from .contract import RoutesContract, Row, each
from .holes import Cache, keeps, loses, only, paywall, statuses


@l402_required(price=21)
async def priced(request: Request) -> Response:
    """What is sold."""
    return PlainTextResponse("sold")


@l402_required(price=1000)
async def dear(request: Request) -> Response:
    """What is sold for more."""
    return PlainTextResponse("sold dear")


async def free(request: Request) -> Response:
    """What is given away."""
    return PlainTextResponse("given")


async def bare(request: Request) -> Response:
    """What a priced endpoint was made of, and that was routed nevertheless."""
    return PlainTextResponse("given by mistake")


l402_required(price=21)(bare)


class View(HTTPEndpoint):
    """One method priced, one not."""

    @l402_required(price=3)
    async def get(self, request: Request) -> Response:
        return PlainTextResponse("sold")

    async def post(self, request: Request) -> Response:
        return PlainTextResponse("given")


class Shop:
    """Endpoints as methods of an object."""

    @l402_required(price=21)
    async def forecast(self, request: Request) -> Response:
        return PlainTextResponse("sold")


@l402_required(price=21)
async def sold_socket(websocket: WebSocket) -> None:
    """A websocket that is sold."""
    await websocket.accept()
    await websocket.close()


class Echo(WebSocketEndpoint):
    """A websocket as a class."""


async def foreign(scope: Scope, receive: Receive, send: Send) -> None:
    """An ASGI application of no framework."""
    await PlainTextResponse("foreign")(scope, receive, send)


class ForeignRoute(BaseRoute):
    """A route that is no Route."""

    path = "/foreign"

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return (Match.FULL if scope["path"] == self.path else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await foreign(scope, receive, send)


class Outer:
    """A middleware of one's own, that passes everything on."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


class Logged(BaseHTTPMiddleware):
    """A middleware in Starlette's own manner."""

    async def dispatch(self, request: Request, call_next: Any) -> Response:
        return await call_next(request)  # type: ignore[no-any-return]


def guarded(*routes: BaseRoute) -> Starlette:
    """An application with its paywall in the right place."""
    return Starlette(routes=routes, middleware=[Middleware(L402Middleware, paywall=paywall())])


def function_around(app: ASGIApp) -> ASGIApp:
    """A middleware that is a function, and says nothing of what it wraps."""

    async def passing(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)

    return passing


def function_with_app(app: ASGIApp) -> ASGIApp:
    """A middleware that is a function, and says what it wraps."""
    passing = partial(Outer(app).__call__)
    passing.app = app  # type: ignore[attr-defined]
    return passing


ROUTES: list[Row] = [
    ("a function", lambda: guarded(Route("/a", priced)), {"GET /a": "priced"}),
    (
        "several methods",
        lambda: guarded(Route("/a", priced, methods=["POST", "GET", "FOO"])),
        {"FOO /a": "priced", "GET /a": "priced", "POST /a": "priced"},
    ),
    ("a bound method", lambda: guarded(Route("/a", Shop().forecast)), {"GET /a": "priced"}),
    ("a partial", lambda: guarded(Route("/a", partial(priced))), {"GET /a": "priced"}),
    ("a class", lambda: guarded(Route("/a", View)), {"GET /a": "priced", "POST /a": "free"}),
    ("a class, for one method", lambda: guarded(Route("/a", View, methods=["GET"])), {"GET /a": "priced"}),
    ("under a decorator with wraps", lambda: guarded(Route("/a", keeps(priced))), {"GET /a": "priced"}),
    (
        "mounts, one in the other",
        lambda: guarded(Mount("/a", routes=[Mount("/{b}", routes=[Route("/c/{d:int}", priced), Route("/e", free)])])),
        {"GET /a/{b}/c/{d:int}": "priced", "GET /a/{b}/e": "free"},
    ),
    (
        "a mounted application, and one with a paywall of its own",
        lambda: Starlette(
            routes=[
                Mount("/a", Starlette(routes=[Route("/x", free)])),
                Mount("/b", guarded(Route("/x", priced))),
            ]
        ),
        {"GET /a/x": "free", "GET /b/x": "priced"},
    ),
    (
        "a paywall on a mount, on a router and on a route",
        lambda: Starlette(
            routes=[
                Mount("/a", routes=[Route("/x", priced)], middleware=[Middleware(L402Middleware, paywall=paywall())]),
                Mount("/b", Router([Route("/x", priced)], middleware=[Middleware(L402Middleware, paywall=paywall())])),
                Route("/c", priced, middleware=[Middleware(L402Middleware, paywall=paywall())]),
            ]
        ),
        {"GET /a/x": "priced", "GET /b/x": "priced", "GET /c": "priced"},
    ),
    (
        "a host",
        lambda: guarded(Host("{shop}.example.org", Router([Route("/x", priced)])), Route("/x", free)),
        {"GET {shop}.example.org/x": "priced", "GET /x": "free"},
    ),
    ("websockets", lambda: guarded(WebSocketRoute("/ws", Echo)), {"WEBSOCKET /ws": "free"}),
    (
        "static files",
        lambda: guarded(Mount("/static", StaticFiles(directory=Path(__file__).parent)), Route("/x", priced)),
        {"GET /static/{path}": "free", "GET /x": "priced"},
    ),
    (
        "what cannot be looked into",
        lambda: guarded(Mount("/m", foreign), ForeignRoute(), Route("/x", Outer(foreign))),
        {"* /m/{path}": "free", "* /foreign": "free", "* /x": "free"},
    ),
    (
        "a router's default",
        lambda: guarded(Mount("/m", Router([Route("/x", priced)], default=foreign))),
        {"GET /m/x": "priced", "* /m/{path}": "free"},
    ),
    ("around it, a middleware", lambda: Outer(guarded(Route("/a", priced))), {"GET /a": "priced"}),
    (
        "around it, Starlette's",
        lambda: CORSMiddleware(GZipMiddleware(guarded(Route("/a", priced)))),
        {"GET /a": "priced"},
    ),
    ("around it, a function", lambda: function_around(guarded(Route("/a", priced))), {"GET /a": "priced"}),
    ("around it, a function with .app", lambda: function_with_app(guarded(Route("/a", priced))), {"GET /a": "priced"}),
    (
        "the paywall around it",
        lambda: L402Middleware(Starlette(routes=[Route("/a", priced)]), paywall()),
        {"GET /a": "priced"},
    ),
    ("a router alone", lambda: L402Middleware(Router([Route("/a", priced)]), paywall()), {"GET /a": "priced"}),
    (
        "BaseHTTPMiddleware outside",
        lambda: Starlette(
            routes=[Route("/a", priced)],
            middleware=[Middleware(Logged), Middleware(Outer), Middleware(L402Middleware, paywall=paywall())],
        ),
        {"GET /a": "priced"},
    ),
]


@each(ROUTES)
class TestRoutes(RoutesContract):
    def answer(self, app: Any, finding: Finding) -> int | None:
        if finding.method == "WEBSOCKET":
            return None
        host, _, path = finding.path.partition("/")
        path = f"/{path}".replace("{d:int}", "4").replace("{path}", "test_starlette.py")
        path = path.replace("{b}", "b")
        headers = {"host": host.replace("{shop}", "my")} if host else {}
        method = "GET" if finding.method == "*" else finding.method
        return TestClient(app).request(method, path, headers=headers).status_code


def misplaced(*inside: Middleware) -> Starlette:
    """An application whose paywall is not the last of its middleware."""
    return Starlette(routes=[Route("/a", priced)], middleware=[Middleware(L402Middleware, paywall=paywall()), *inside])


SAME = paywall()

HOLES: list[tuple[str, Callable[[], object], str, str]] = [
    ("decorated too late", lambda: guarded(Route("/a", bare)), "bare as it was before @l402_required", "the decorated"),
    ("lost under a decorator", lambda: guarded(Route("/a", loses(priced))), "hides that", "functools.wraps"),
    ("lost under two", lambda: guarded(Route("/a", keeps(loses(keeps(priced))))), "hides that", "functools.wraps"),
    (
        "no middleware",
        lambda: Starlette(routes=[Route("/a", priced)]),
        "no L402Middleware",
        "Middleware(L402Middleware",
    ),
    (
        "no middleware in a mount's way",
        lambda: Starlette(routes=[Mount("/", routes=[Route("/a", priced)])]),
        "no L402",
        "",
    ),
    ("BaseHTTPMiddleware inside", lambda: misplaced(Middleware(Logged)), "Logged inside", "last in the list"),
    ("an unknown one inside", lambda: misplaced(Middleware(Outer)), "Outer inside", "last in the list"),
    (
        "BaseHTTPMiddleware on a route",
        lambda: guarded(Route("/a", priced, middleware=[Middleware(Logged)])),
        "Logged inside",
        "",
    ),
    (
        "BaseHTTPMiddleware on a mount",
        lambda: guarded(Mount("", routes=[Route("/a", priced)], middleware=[Middleware(Logged)])),
        "Logged inside",
        "",
    ),
    (
        "the same paywall again, further in",
        lambda: Outer(
            L402Middleware(
                Starlette(
                    routes=[Route("/a", priced)], middleware=[Middleware(Logged), Middleware(L402Middleware, SAME)]
                ),
                SAME,
            )
        ),
        "Logged inside",
        "",
    ),
    ("decorated twice", lambda: guarded(Route("/a", l402_required(price=2)(priced))), "two @l402_required", "take one"),
    (
        "behind a free route",
        lambda: guarded(Route("/{any}", free), Route("/a", priced)),
        "never reached: Route /{any}",
        "first",
    ),
    (
        "behind a cheaper one",
        lambda: guarded(Mount("/", routes=[Route("/a", free)]), Route("/a", priced)),
        "never reached: Mount",
        "",
    ),
]


@pytest.mark.parametrize(("make", "reason", "remedy"), [row[1:] for row in HOLES], ids=[row[0] for row in HOLES])
def test_every_hole_is_named(make: Callable[[], object], reason: str, remedy: str) -> None:
    """Case 66: whatever takes a price away from its route is found, and the reader told how to mend it."""
    findings = [finding for finding in audit(make()) if finding.path == "/a" and finding.verdict.status == "hole"]
    assert len(findings) == 1
    assert reason in findings[0].verdict.reason
    assert remedy in findings[0].verdict.remedy
    assert findings[0].verdict.remedy


def test_a_decorated_websocket_is_sold() -> None:
    """Case 63: a websocket under @l402_required is priced, and refused unpaid; without the middleware it is a hole."""
    app = guarded(WebSocketRoute("/ws", sold_socket))
    assert only(app, "/ws").verdict.status == "priced"
    with pytest.raises(WebSocketDenialResponse) as refused, TestClient(app).websocket_connect("/ws"):
        pass
    assert refused.value.status_code == 402
    assert only(Starlette(routes=[WebSocketRoute("/ws", sold_socket)]), "/ws").verdict.status == "hole"


def test_an_endpoint_with_one_priced_method_says_so_of_the_other() -> None:
    """The method that was forgotten is told apart from a class without any price."""
    (post,) = (finding for finding in audit(guarded(Route("/a", View))) if finding.method == "POST")
    assert "though other methods of View are priced" in post.verdict.reason


@pytest.mark.parametrize(
    "routes",
    [
        [Route("/items/latest", free), Route("/items/{id}", priced)],
        [Route("/items/l402", free), Route("/items/{id}", priced)],
        [Route("/items/{id:int}", free), Route("/items/{id}", priced)],
        [Route("/items/{id}", free, methods=["POST"]), Route("/items/{id}", priced)],
        [Mount("/items/x", routes=[Route("/y", free)]), Route("/items/{id:path}", priced)],
        [Host("api.example.org", Router([Route("/items/{id}", free)])), Route("/items/{id}", priced)],
        [Route("/items/{id:uuid}", free), Route("/items/{id:float}", priced)],
    ],
)
def test_routes_that_share_some_paths_are_no_hole(routes: list[BaseRoute]) -> None:
    """A route that takes a part of another one's paths, or another method, hides nothing."""
    (finding,) = (finding for finding in audit(guarded(*routes)) if finding.verdict.offer)
    assert finding.verdict.status == "priced"


def test_a_route_hidden_below_a_mount_is_a_hole() -> None:
    """What a router below a mount gives to an earlier route is found, with the path as that router sees it."""
    app = guarded(Mount("/{shop}", routes=[Route("/{any}", free), Route("/a", priced)]))
    assert "never reached: Route /{any}" in only(app, "/{shop}/a").verdict.reason


def test_free_routes_have_no_notes() -> None:
    """What is worth knowing of priced routes is not said of free ones."""
    assert (
        only(
            Starlette(routes=[Route("/a", free)], middleware=misplaced(Middleware(Logged)).user_middleware), "/a"
        ).notes
        == ()
    )


def test_endpoints_side_by_side_in_a_factory_are_told_apart() -> None:
    """A free endpoint that mentions a priced one wraps nothing."""

    @l402_required(price=21)
    async def sold(request: Request) -> Response:
        return PlainTextResponse("sold")

    async def index(request: Request) -> Response:
        return JSONResponse({"try": sold.__name__})

    assert statuses(audit(guarded(Route("/", index), Route("/sold", sold)))) == {"GET /": "free", "GET /sold": "priced"}


def test_what_is_worth_knowing_of_a_priced_route() -> None:
    """OPTIONS that has to be paid, and a middleware of Starlette's inside ours, are notes: nothing is given away."""
    app = Starlette(
        routes=[Route("/a", priced, methods=["OPTIONS"])],
        middleware=[Middleware(L402Middleware, paywall=paywall()), Middleware(CORSMiddleware)],
    )
    finding = only(app, "/a")
    assert finding.verdict.status == "priced"
    inside, preflight = finding.notes
    assert "preflight" in preflight
    assert inside.startswith("CORSMiddleware stands inside")


def test_the_offer_is_the_one_that_is_sold() -> None:
    """A finding has the very offer of its endpoint."""
    offers = [finding.verdict.offer for finding in audit(guarded(Route("/a", priced), Route("/b", dear)))]
    assert [str(offer.price) for offer in offers if offer] == ["21 sat", "1000 sat"]


def test_a_price_under_an_object_is_not_lost_sight_of() -> None:
    """An object as a route's endpoint is an application of its own to Starlette: the audit does not call it priced."""
    assert statuses(audit(guarded(Route("/a", Cache(priced))))) == {"* /a": "free"}


class Busy(HTTPEndpoint):
    """Everything that can stand before a priced method."""

    async def dispatch(self) -> None:
        await super().dispatch()

    @keeps
    @l402_required(price=3)
    async def get(self, request: Request) -> Response:
        return PlainTextResponse("sold")


def test_what_runs_unpaid_is_noted() -> None:
    """A decorator above @l402_required, and an endpoint's own way to dispatch, run before the payment."""
    assert only(guarded(Route("/a", keeps(priced))), "/a").notes == ("runs before it is paid: loses",)
    assert only(guarded(Route("/a", Busy)), "/a").notes == ("runs before it is paid: Busy.dispatch, loses",)
    assert only(guarded(Route("/a", priced)), "/a").notes == ()


def cached(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that has the answer already."""

    @wraps(function)
    async def answer(*args: Any, **kwargs: Any) -> Response:
        return PlainTextResponse("sold before")

    return answer


class Cached(HTTPEndpoint):
    """An answer that is there already, above the price."""

    get = cached(View.get)


def test_an_answer_that_is_there_already_is_paid_for_too() -> None:
    """Case 66: a decorator above @l402_required, on a function or on a class's method, gives nothing away."""
    client = TestClient(guarded(Route("/a", cached(priced)), Route("/v", Cached)))
    for path in ("/a", "/v"):
        assert client.get(path).status_code == 402
