"""The audit of FastAPI applications: included routers, dependencies, and its own pages."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, WebSocket
from fastapi.testclient import TestClient
from pydantic import BaseModel
from starlette.routing import Host, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.testclient import WebSocketDenialResponse

import l402_middleware.audit.starlette
import l402_middleware.routing
import l402_middleware.starlette
from l402_middleware import Payment
from l402_middleware.audit import Finding, audit
from l402_middleware.fastapi import L402, Free, Priced
from l402_middleware.starlette import L402Middleware, l402_required

from . import test_starlette
from .contract import RoutesContract, Row, each
from .holes import keeps, loses, only, paywall, statuses


@l402_required(price=21)
async def priced() -> str:
    """What is sold."""
    return "sold"


@l402_required(price=21)
def plain() -> str:
    """What is sold, by a plain function."""
    return "sold"


async def free() -> str:
    """What is given away."""
    return "given"


def user() -> str:
    """A dependency."""
    return "me"


class Order(BaseModel):
    """A body."""

    city: str = ""


def guarded(*routers: APIRouter, **options: Any) -> FastAPI:
    """An application with its paywall in the right place, and these routers; no pages of FastAPI's own."""
    app = FastAPI(**{"openapi_url": None, **options})
    app.add_middleware(L402Middleware, paywall=paywall())
    for router in routers:
        app.include_router(router)
    return app


def routed(*routes: tuple[str, Any], **options: Any) -> APIRouter:
    """A router with these GET routes."""
    router = APIRouter(**options)
    for path, endpoint in routes:
        router.add_api_route(path, endpoint)
    return router


def nested() -> FastAPI:
    """A router in a router, and one twice."""
    inner = routed(("/x", priced), ("/y/{id}", free), prefix="/inner")
    outer = routed(("/x", plain), prefix="/outer")
    outer.include_router(inner)
    app = guarded(outer)
    app.include_router(inner, prefix="/v2")
    return app


def with_starlette_in_it() -> FastAPI:
    """Routers that hold Starlette's own routes, and mounts."""
    router = APIRouter()
    router.routes += [
        Route("/plain", test_starlette.priced),
        Mount("/mounted", routes=[Route("/x", test_starlette.priced), Route("/y", test_starlette.free)]),
        Host("api.example.org", routed(("/h", priced))),
    ]

    @router.websocket("/ws")
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()

    app = guarded()
    app.include_router(router, prefix="/p")
    app.mount("/sub", FastAPI(openapi_url=None))
    app.mount("/static", StaticFiles(directory=Path(__file__).parent))
    return app


def decorated_too_late() -> FastAPI:
    """The two decorators the wrong way round."""
    app = guarded()

    @l402_required(price=21)
    @app.get("/a")
    async def forecast() -> str:
        return "given by mistake"

    return app


def with_http_function(*, outside: bool) -> FastAPI:
    """A function as HTTP middleware, which FastAPI puts outside of those before it."""
    app = FastAPI(openapi_url=None)
    app.include_router(routed(("/a", priced)))
    if outside:
        app.add_middleware(L402Middleware, paywall=paywall())

    @app.middleware("http")
    async def timed(request: Any, call_next: Any) -> Any:
        return await call_next(request)

    if not outside:
        app.add_middleware(L402Middleware, paywall=paywall())
    return app


ROUTES: list[Row] = [
    (
        "its own routes",
        lambda: guarded(routed(("/a", priced), ("/b", plain))),
        {"GET /a": "priced", "GET /b": "priced"},
    ),
    (
        "routers in routers",
        nested,
        {
            "GET /outer/x": "priced",
            "GET /outer/inner/x": "priced",
            "GET /outer/inner/y/{id}": "free",
            "GET /v2/inner/x": "priced",
            "GET /v2/inner/y/{id}": "free",
        },
    ),
    (
        "Starlette's routes in a router",
        with_starlette_in_it,
        {
            "GET /p/plain": "priced",
            "GET /p/mounted/x": "priced",
            "GET /p/mounted/y": "free",
            "GET api.example.org/p/h": "priced",
            "WEBSOCKET /p/ws": "free",
            "GET /static/{path}": "free",
        },
    ),
    (
        "its own pages",
        lambda: guarded(openapi_url="/openapi.json", redoc_url=None),
        {"GET /openapi.json": "free", "GET /docs": "free", "GET /docs/oauth2-redirect": "free"},
    ),
    ("under a decorator with wraps", lambda: guarded(routed(("/a", keeps(priced)))), {"GET /a": "priced"}),
    ("HTTP middleware outside", lambda: with_http_function(outside=True), {"GET /a": "priced"}),
]


@each(ROUTES)
class TestRoutes(RoutesContract):
    def answer(self, app: Any, finding: Finding) -> int | None:
        if finding.method == "WEBSOCKET":
            return None
        host, _, path = finding.path.partition("/")
        path = f"/{path}".replace("{path}", "holes.py")
        return TestClient(app).get(path, headers={"host": host} if host else {}).status_code


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (decorated_too_late, "forecast as it was before @l402_required"),
        (lambda: guarded(routed(("/a", loses(priced)))), "priced is priced, but"),
        (lambda: with_http_function(outside=False), "BaseHTTPMiddleware inside"),
        (lambda: guarded(routed(("/{any}", free)), routed(("/a", priced))), "never reached: APIRoute /{any}"),
        (lambda: FastAPI(openapi_url=None, routes=routed(("/a", priced)).routes), "no L402Middleware"),
    ],
    ids=["decorated above @app.get", "lost under a decorator", "HTTP middleware inside", "hidden", "no middleware"],
)
def test_every_hole_is_named(make: Callable[[], object], reason: str) -> None:
    """Whatever takes a price away from its route is found."""
    (finding,) = (finding for finding in audit(make()) if finding.path == "/a")
    assert finding.verdict.status == "hole"
    assert reason in finding.verdict.reason


def test_a_frontend_is_seen() -> None:
    """The files that FastAPI serves where no route matches have a line, in an included router too."""
    router = APIRouter()
    router.frontend("/inner", directory=Path(__file__).parent)
    app = guarded(routed(("/a", priced)))
    app.include_router(router, prefix="/outer")
    app.frontend("/", directory=Path(__file__).parent)
    assert statuses(audit(app)) == {
        "GET /a": "priced",
        "GET /{path}": "free",
        "GET /outer/inner/{path}": "free",
    }


def with_dependencies(ran: list[str]) -> FastAPI:
    """Two priced routes, one with a body, with dependencies that say that they ran."""
    app = guarded()

    def noting() -> None:
        ran.append("dependency")

    @app.get("/a")
    @l402_required(price=21)
    async def without_body(me: Annotated[str, Depends(user)], _: Annotated[None, Depends(noting)]) -> str:
        return me

    @app.post("/b")
    @l402_required(price=21)
    async def with_body(order: Order, _: Annotated[None, Depends(noting)]) -> str:
        return order.city

    return app


def test_dependencies_that_run_unpaid_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the adapter for Starlette, a dependency runs before the payment unless there is a body, refused first."""
    for module in (l402_middleware.routing, l402_middleware.starlette, l402_middleware.audit.starlette):
        monkeypatch.setattr(module, "readers", [])
    ran: list[str] = []
    app = with_dependencies(ran)
    assert only(app, "/b").notes == ()
    assert only(app, "/a").notes[0].startswith("runs before it is paid: user, ")
    client = TestClient(app)
    assert client.post("/b", json={}).status_code == 402
    assert ran == []
    assert client.get("/a").status_code == 402
    assert ran == ["dependency"]


def test_dependencies_that_wait_for_the_payment_are_not_noted() -> None:
    """With l402_middleware.fastapi the price is asked before any dependency runs: there is nothing to note."""
    ran: list[str] = []
    app = with_dependencies(ran)
    assert only(app, "/b").notes == only(app, "/a").notes == ()
    assert TestClient(app).get("/a").status_code == 402
    assert ran == []


def priced_by_dependencies() -> FastAPI:
    """Prices on the application, on a router, on a route and as a parameter, and routes that are given away."""
    router = APIRouter(dependencies=[Priced(5)])
    router.add_api_route("/router", free)
    router.add_api_route("/route", free, dependencies=[Priced(6)])
    router.add_api_route("/given", free, dependencies=[Free()])
    router.add_api_route("/decorated", priced)

    @router.get("/parameter")
    async def parameter(payment: Annotated[Payment, Priced(7)]) -> str:
        return "sold"

    router.frontend("/files", directory=Path(__file__).parent)
    app = FastAPI(openapi_url=None, dependencies=[Priced(4)])
    app.add_api_route("/application", free)
    app.include_router(router, prefix="/p", dependencies=[Priced(8)])
    L402(app, paywall())
    return app


def test_prices_by_dependencies_are_seen() -> None:
    """The most specific price counts, and the running application says the same."""
    app = priced_by_dependencies()
    expected = {"/application": 4, "/p/router": 5, "/p/route": 6, "/p/given": 0, "/p/decorated": 21, "/p/parameter": 7}
    findings = {finding.path: finding for finding in audit(app)}
    frontend = findings.pop("/p/files/{path}")
    assert frontend.verdict.status == "priced"
    assert TestClient(app).get("/p/files/holes.py").status_code == 402
    assert {path: finding.verdict.offer for path, finding in findings.items() if path == "/p/given"} == {
        "/p/given": None
    }
    assert "Free()" in findings["/p/given"].verdict.reason
    for path, amount in expected.items():
        offer = findings[path].verdict.offer
        assert (str(offer.price) if offer else "0 sat") == f"{amount} sat"
        answer = TestClient(app).get(path)
        assert answer.json() == "given" if not amount else answer.json()["amount_sats"] == amount


def test_dependencies_that_contradict_each_other_are_a_hole() -> None:
    """Two prices at one place are named, for the application would fail; a price on a websocket is one."""
    app = FastAPI(openapi_url=None)
    app.add_api_route("/a", free, dependencies=[Priced(1)])

    @app.get("/both")
    async def both(one: Annotated[Payment, Priced(1)], two: Annotated[Payment, Priced(2)]) -> str:
        return "sold"

    @app.websocket("/ws", dependencies=[Priced(1)])
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()

    L402(app, paywall())
    found = {finding.path: finding.verdict for finding in audit(app)}
    assert found["/a"].status == "priced"
    assert found["/ws"].status == "priced"
    assert found["/both"].status == "hole"
    assert "two prices" in found["/both"].reason
    with pytest.raises(WebSocketDenialResponse), TestClient(app).websocket_connect("/ws"):
        pass


def test_prices_by_dependencies_need_the_middleware_too() -> None:
    """Priced without L402(app, paywall) fails at every request: the audit says so."""
    app = FastAPI(openapi_url=None, dependencies=[Priced(4)])
    app.add_api_route("/a", free)
    assert "no L402Middleware" in only(app, "/a").verdict.reason
