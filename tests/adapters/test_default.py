"""A default price beside decorated endpoints: each framework's own middleware, deny by default."""

import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter, FastAPI
from fastapi import Request as FastAPIRequest
from flask import Blueprint, Flask, abort, g
from flask.views import MethodView
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Host, Mount, Route, Router, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import EnvironBuilder, run_wsgi_app

from l402_middleware import ConfigurationError, Paywall
from l402_middleware import fastapi as l402_fastapi
from l402_middleware.asgi import L402Middleware as ASGIMiddleware
from l402_middleware.flask import L402
from l402_middleware.flask import l402_required as flask_required
from l402_middleware.starlette import L402Middleware, l402_required
from l402_middleware.wsgi import L402Middleware as WSGIMiddleware

from .contract import Site, code
from .scenario import record, shown

# --- the same small shop in each framework: its default is 1 sat, /free is free


async def plain(request: Request) -> Response:
    """What no decorator priced."""
    record(f"plain {request.url.path}")
    return JSONResponse(shown(request.state.l402))


@l402_required(price=1000)
async def dear(request: Request) -> Response:
    """What one did."""
    record(f"dear {request.url.path}")
    return JSONResponse(shown(request.state.l402))


class View(HTTPEndpoint):
    """One path, with a price for one of its methods."""

    @l402_required(price=1000)
    async def get(self, request: Request) -> Response:
        record("dear view")
        return JSONResponse(shown(request.state.l402))

    async def post(self, request: Request) -> Response:
        record("plain view")
        return JSONResponse(shown(request.state.l402))


def starlette_routes() -> list[Any]:
    """The shop's routes."""
    return [
        Route("/free", plain),
        Route("/plain", plain, methods=["GET", "POST"]),
        Route("/dear", dear),
        Route("/view", View),
        Route("/items/dear", dear),
        Route("/items/{id}", plain),
        Mount("/part", routes=[Route("/dear", dear), Route("/plain", plain), Route("/free", plain)]),
    ]


def starlette_shop(paywall: Paywall) -> ASGIApp:
    """Starlette."""
    return Starlette(
        routes=starlette_routes(),
        middleware=[Middleware(L402Middleware, paywall=paywall, default=1, free=["/free", "/items/dear"])],
    )


def fastapi_shop(paywall: Paywall) -> ASGIApp:
    """FastAPI, with the routes in routers that are included."""
    app, outer, part = FastAPI(), APIRouter(), APIRouter()
    l402_fastapi.L402(app, paywall, default=1, free=["/free", "/items/dear"])

    async def a_plain(request: FastAPIRequest) -> dict[str, Any]:
        record(f"plain {request.url.path}")
        return shown(request.state.l402)

    @l402_required(price=1000)
    async def a_dear(request: FastAPIRequest) -> dict[str, Any]:
        record(f"dear {request.url.path}")
        return shown(request.state.l402)

    async def a_view(request: FastAPIRequest) -> dict[str, Any]:
        record("plain view" if request.method == "POST" else "dear view")
        return shown(request.state.l402)

    outer.get("/free")(a_plain)
    outer.api_route("/plain", methods=["GET", "POST"])(a_plain)
    outer.get("/dear")(a_dear)
    outer.get("/given", dependencies=[l402_fastapi.Free()])(a_plain)
    outer.get("/view", dependencies=[l402_fastapi.Priced(1000)])(a_view)
    outer.post("/view")(a_view)
    outer.get("/items/dear")(a_dear)
    outer.get("/items/{id}")(a_plain)
    for path, endpoint in (("/dear", a_dear), ("/plain", a_plain), ("/free", a_plain)):
        part.get(path)(endpoint)
    outer.include_router(part, prefix="/part")
    app.include_router(outer)
    return app


def flask_shop(paywall: Paywall) -> Flask:
    """Flask."""
    app, part = Flask(__name__), Blueprint("part", __name__)

    def a_plain(**_: Any) -> dict[str, Any]:
        from flask import request

        record(f"plain {request.path}")
        return shown(g.l402)

    @flask_required(price=1000)
    def a_dear() -> dict[str, Any]:
        from flask import request

        record(f"dear {request.path}")
        return shown(g.l402)

    class FlaskView(MethodView):
        @flask_required(price=1000)
        def get(self) -> dict[str, Any]:
            record("dear view")
            return shown(g.l402)

        def post(self) -> dict[str, Any]:
            record("plain view")
            return shown(g.l402)

    app.add_url_rule("/free", "free", a_plain)
    app.add_url_rule("/plain", "plain", a_plain, methods=["GET", "POST"])
    app.add_url_rule("/dear", "dear", a_dear)
    app.add_url_rule("/view", view_func=FlaskView.as_view("view"))
    app.add_url_rule("/items/dear", "dear_item", a_dear)
    app.add_url_rule("/items/<id>", "item", a_plain)
    for path, view in (("/dear", a_dear), ("/plain", a_plain), ("/free", a_plain)):
        part.add_url_rule(path, f"part_{path[1:]}", view)
    app.register_blueprint(part, url_prefix="/part")

    @app.errorhandler(404)
    def not_found(error: Exception) -> tuple[str, int]:
        record("404 page")
        return "not found", 404

    L402(app, paywall, default=1, free=["/free", "/items/dear"])
    return app


def client_of(app: Any) -> Any:
    """A client in process."""
    if isinstance(app, Flask):
        return httpx2.Client(transport=httpx2.WSGITransport(app), base_url="http://test")
    return TestClient(app, client=("127.0.0.1", 1), raise_server_exceptions=False, follow_redirects=False)


@pytest.fixture(params=[starlette_shop, fastapi_shop, flask_shop])
def site(request: pytest.FixtureRequest, paywall: Paywall, runs_file: Path) -> Iterator[Site]:
    """The shop in each framework."""
    with client_of(request.param(paywall)) as client:
        yield Site(client, runs_file)


@pytest.mark.parametrize(
    ("method", "url", "price", "run"),
    [
        ("GET", "/plain", 1, "plain /plain"),
        ("POST", "/plain", 1, "plain /plain"),
        ("GET", "/items/1", 1, "plain /items/1"),
        ("GET", "/part/plain", 1, "plain /part/plain"),
        ("GET", "/part/free", 1, "plain /part/free"),
        ("POST", "/view", 1, "plain view"),
        ("GET", "/dear", 1000, "dear /dear"),
        ("GET", "/items/dear", 1000, "dear /items/dear"),
        ("GET", "/part/dear", 1000, "dear /part/dear"),
        ("GET", "/view", 1000, "dear view"),
    ],
)
def test_what_costs_what(site: Site, method: str, url: str, price: int, run: str) -> None:
    """Case 71: a decorated route is sold at its own price, everything else at the default, and each is charged once."""
    challenge = site.request(method, url)
    assert challenge.status_code == 402
    assert challenge.json()["amount_sats"] == price
    credential = site.pay(challenge)
    assert site.runs() == []
    answer = site.request(method, url, credential)
    assert answer.json() == {"paid": challenge.json()["payment_hash"], "sats": price, "uses_left": 0}
    assert site.runs() == [run]
    assert code(site.request(method, f"{url}?other", credential)) == (402, "already-used")
    assert site.runs() == []


def test_free(site: Site) -> None:
    """Case 72: a free path is free, a decorated one on the list is not."""
    assert site.request("GET", "/free").json() == {"paid": None}
    assert site.request("GET", "/free", site.buy("GET", "/dear")).json() == {"paid": None}
    assert site.runs() == ["plain /free"] * 2
    assert site.request("GET", "/items/dear").json()["amount_sats"] == 1000


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("GET", "/nowhere"),
        ("GET", "/part/nowhere"),
        ("DELETE", "/dear"),
        ("DELETE", "/view"),
        ("OPTIONS", "/dear"),
        ("OPTIONS", "/view"),
        ("OPTIONS", "/plain"),
        ("FOO", "/plain"),
        ("GET", "/plain/"),
        ("GET", "/free/"),
        ("GET", "//free"),
        ("GET", "/fr%65e%0a"),
    ],
)
def test_the_rest(site: Site, method: str, url: str) -> None:
    """Cases 64, 65, 67, 68: 404s, 405s, OPTIONS and redirects cost the default; an error is then not charged."""
    challenge = site.request(method, url)
    assert (challenge.status_code, challenge.json()["amount_sats"]) == (402, 1), challenge.text
    assert site.runs() == []
    answer = site.request(method, url, site.pay(challenge))
    assert answer.status_code in (200, 307, 308, 404, 405)
    assert not [run for run in site.runs() if run.startswith("dear")]


def test_neither_opens_the_other(site: Site) -> None:
    """Case 43: what was bought at the default price opens no decorated route, nor the other way round."""
    cheap, costly = site.buy("GET", "/plain"), site.buy("GET", "/dear")
    for method, url in (
        ("GET", "/dear"),
        ("GET", "/view"),
        ("GET", "/items/1"),
        ("DELETE", "/dear"),
        ("POST", "/plain"),
    ):
        assert code(site.request(method, url, cheap)) == (402, "wrong-endpoint")
    for method, url in (("GET", "/plain"), ("DELETE", "/dear"), ("GET", "/nowhere"), ("GET", "/part/dear")):
        assert code(site.request(method, url, costly)) == (402, "wrong-endpoint")
    wrong_method = site.buy("DELETE", "/dear")
    assert code(site.request("GET", "/dear", wrong_method)) == (402, "wrong-endpoint")
    assert site.runs() == []


def test_fastapi_gives_away(paywall: Paywall, runs_file: Path) -> None:
    """A route that says `Free()` is free of the default too, and nothing beside it is."""
    site = Site(client_of(fastapi_shop(paywall)), runs_file)
    assert site.request("GET", "/given").json() == {"paid": None}
    for method, url in (("POST", "/given"), ("GET", "/given/"), ("GET", "/part/given")):
        assert site.request(method, url).status_code == 402
    assert site.runs() == ["plain /given"]


# --- where Starlette's routing could surprise


class Stray:
    """A middleware that sends some requests elsewhere than their path says."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and b"x-stray" in dict(scope["headers"]):
            scope["path"] = scope["path"].replace("dear", "plain")
        await self.app(scope, receive, send)


class Passing(BaseHTTPMiddleware):
    """The kind of middleware that everybody writes."""

    async def dispatch(self, request: Request, call_next: Any) -> Response:
        return await call_next(request)  # type: ignore[no-any-return]


def gated(paywall: Paywall, *routes: Any, inner: list[Middleware] | None = None, **more: Any) -> TestClient:
    """A client of these routes, at a default of 1 sat."""
    gate = Middleware(L402Middleware, paywall=paywall, default=1, free=["/free"])
    return client_of(Starlette(routes=routes, middleware=[gate, *(inner or [])], **more))  # type: ignore[no-any-return]


@pytest.mark.parametrize("between", [Stray, Passing])
def test_nothing_unknown_may_stand_between(paywall: Paywall, between: Any) -> None:
    """A middleware between ours and the router, which may choose another route, is refused before anything is sold."""
    with pytest.raises(ConfigurationError, match=f"{between.__name__} stands between"):
        Starlette(
            routes=starlette_routes(),
            middleware=[Middleware(L402Middleware, paywall=paywall, default=1), Middleware(between)],
        ).build_middleware_stack()
    with pytest.raises(ConfigurationError, match="stands between"):
        L402Middleware(CORSMiddleware(print), paywall, default=1)  # type: ignore[arg-type]


def test_starlettes_own_may(paywall: Paywall, runs_file: Path) -> None:
    """Middleware that comes with Starlette leaves a request its path."""
    client = gated(paywall, *starlette_routes(), inner=[Middleware(CORSMiddleware, allow_origins=["*"])])
    site = Site(client, runs_file)
    assert site.request("GET", "/dear", site.buy("GET", "/dear")).json()["sats"] == 1000
    assert site.request("GET", "/plain", site.buy("GET", "/plain")).json()["sats"] == 1


@pytest.mark.parametrize(
    "mount",
    [
        lambda: Mount("/sub", Starlette(routes=starlette_routes(), middleware=[Middleware(Stray)])),
        lambda: Mount("/sub", routes=starlette_routes(), middleware=[Middleware(Stray)]),
        lambda: Mount("/sub", Router(starlette_routes(), middleware=[Middleware(Stray)])),
        lambda: Mount("/sub", Passing(Stray(Router(starlette_routes())))),
    ],
)
def test_doubt_further_in(paywall: Paywall, runs_file: Path, mount: Callable[[], Mount]) -> None:
    """Where a mounted application's own middleware could send the request elsewhere, a decorated route is not sold."""
    site = Site(gated(paywall, mount()), runs_file)
    for headers in ({}, {"x-stray": "1"}):
        assert site.request("GET", "/sub/dear", headers=headers).status_code == 500
        challenge = site.request("GET", "/sub/plain", headers=headers)
        assert challenge.json()["amount_sats"] == 1
        assert site.runs() == []


def test_hosts_mounts_and_applications(paywall: Paywall, runs_file: Path) -> None:
    """Case 62: a decorated route is found in hosts, mounted applications of either framework, and below prefixes."""
    with warnings.catch_warnings(action="ignore"):  # a newer FastAPI would rather be told by the server
        fastapi = FastAPI(root_path="/sub/inner")

    @fastapi.get("/dear")
    @l402_required(price=1000)
    async def a_dear(request: FastAPIRequest) -> dict[str, Any]:
        record("dear")
        return shown(request.state.l402)

    @fastapi.get("/plain")
    async def a_plain(request: FastAPIRequest) -> dict[str, Any]:
        record("plain")
        return shown(request.state.l402)

    inner = Starlette(routes=[Route("/dear", dear), Route("/plain", plain), Mount("/inner", fastapi)])
    client = gated(
        paywall, Host("api.test", Router([Route("/dear", dear)])), Mount("/sub", inner), Route("/dear", plain)
    )
    site = Site(client, runs_file)
    at_host: dict[str, Any] = {"headers": {"Host": "api.test"}}
    for url, price, options in (
        ("/dear", 1000, at_host),
        ("/dear", 1, {}),
        ("/plain", 1, at_host),
        ("/sub/dear", 1000, {}),
        ("/sub/plain", 1, {}),
        ("/sub/inner/dear", 1000, {}),
        ("/sub/inner/plain", 1, {}),
    ):
        challenge = site.request("GET", url, **options)
        assert challenge.json()["amount_sats"] == price, (url, options)
        answer = site.request("GET", url, site.pay(challenge), **options)
        if answer.status_code == 200:
            assert answer.json()["sats"] == price
    assert len(site.runs()) == 6


def test_files(paywall: Paywall, runs_file: Path, tmp_path: Path) -> None:
    """Case 68: static files cost the default, unless they are listed."""
    for name in ("a.txt", "b.txt"):
        (tmp_path / "files").mkdir(exist_ok=True)
        (tmp_path / "files" / name).write_text("x")
    gate = Middleware(L402Middleware, paywall=paywall, default=1, free=["/static/a.txt"])
    app = Starlette(routes=[Mount("/static", StaticFiles(directory=tmp_path / "files"))], middleware=[gate])
    site = Site(client_of(app), runs_file)
    assert site.request("GET", "/static/a.txt").text == "x"
    for url in ("/static/b.txt", "/static//a.txt", "/static/x/../b.txt", "/static/%61.txt/"):
        assert site.request("GET", url).status_code == 402, url
    assert site.request("GET", "/static/b.txt", site.buy("GET", "/static/b.txt")).text == "x"


def test_a_route_that_deceives(paywall: Paywall, runs_file: Path) -> None:
    """What routing was foreseen to do and does not, is refused: the answer never goes out for nothing."""

    class Deceiving(Route):
        asked = 0

        def matches(self, scope: Scope) -> Any:
            match, child = super().matches(scope)
            Deceiving.asked += 1
            return (match, child) if Deceiving.asked % 2 else (match, {**child, "endpoint": plain})

        async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
            await JSONResponse({"secret": 1})(scope, receive, send)

    site = Site(gated(paywall, Deceiving("/x", dear)), runs_file)
    answer = site.request("GET", "/x")
    assert code(answer) == (402, "payment-required")
    assert answer.json()["amount_sats"] == 1


def test_websockets(paywall: Paywall, runs_file: Path) -> None:
    """Cases 63, 71: a decorated WebSocket costs its own, any other the default, both before they are accepted."""

    async def talk(websocket: WebSocket) -> None:
        record(f"talk {shown(websocket.state.l402).get('sats')}")
        await websocket.accept()
        await websocket.close()

    routes = [
        WebSocketRoute("/plain", talk),
        WebSocketRoute("/dear", l402_required(price=1000)(talk)),
        Route("/x", plain),
    ]
    client = gated(paywall, *routes, WebSocketRoute("/free", talk))
    site = Site(client, runs_file)
    for url, price in (("/plain", 1), ("/dear", 1000), ("/nowhere", 1)):
        with pytest.raises(WebSocketDenialResponse) as refused, client.websocket_connect(url):
            pass
        assert refused.value.json()["amount_sats"] == price
        assert site.runs() == []
        headers = {"Authorization": site.pay(refused.value)}
        if url != "/nowhere":
            with client.websocket_connect(url, headers=headers):
                pass
            assert site.runs() == [f"talk {price}"]
    with client.websocket_connect("/free"):
        pass
    assert site.runs() == ["talk None"]


# --- more than one of them


def test_twice(paywall: Paywall, runs_file: Path) -> None:
    """Case 71: the middleware twice, also around a mounted application, charges once."""
    gate = Middleware(L402Middleware, paywall=paywall, default=1)
    part = Starlette(routes=starlette_routes(), middleware=[gate])
    site = Site(gated(paywall, Mount("/sub", part), *starlette_routes(), inner=[gate]), runs_file)
    for url, price in (("/plain", 1), ("/dear", 1000), ("/sub/plain", 1), ("/sub/dear", 1000)):
        answer = site.request("GET", url, site.buy("GET", url))
        assert answer.json()["sats"] == price
    assert len(site.runs()) == 4


def test_a_default_further_in(paywall: Paywall, runs_file: Path) -> None:
    """A mounted application may have a default where the outer one has none."""
    part = Starlette(routes=starlette_routes(), middleware=[Middleware(L402Middleware, paywall=paywall, default=1)])
    app = Starlette(
        routes=[Mount("/sub", part), Route("/plain", plain)], middleware=[Middleware(L402Middleware, paywall=paywall)]
    )
    site = Site(client_of(app), runs_file)
    assert site.request("GET", "/plain").json() == {"paid": None}
    for url, price in (("/sub/plain", 1), ("/sub/dear", 1000), ("/sub/nowhere", 1)):
        challenge = site.request("GET", url)
        assert challenge.json()["amount_sats"] == price
        assert site.request("GET", url, site.pay(challenge)).status_code == (404 if "nowhere" in url else 200)


async def plain_fastapi() -> None:
    """What its dependencies price."""


def test_the_gate_that_knows_no_framework(paywall: Paywall) -> None:
    """Case 71: around decorated endpoints it is refused at once, and told what to use; so nothing is charged twice."""
    app = Starlette(routes=[Mount("/a", Starlette(routes=[Route("/view", View)]))])
    included = FastAPI()
    router = APIRouter()
    router.get("/dear")(dear)
    included.include_router(router)
    flask = Flask(__name__)
    flask.add_url_rule("/x", "x", flask_required(price=1)(lambda: ""))
    priced: dict[str, Any] = {"dependencies": [l402_fastapi.Priced(1)]}
    by_route, by_include, by_application = FastAPI(), FastAPI(), FastAPI(dependencies=[l402_fastapi.Priced(1)])
    by_route.get("/x", **priced)(plain_fastapi)
    others = APIRouter()
    others.get("/x")(plain_fastapi)
    by_include.include_router(others, **priced)
    by_application.get("/x")(plain_fastapi)
    cases: list[tuple[Any, Any]] = [
        (ASGIMiddleware, by_route),
        (ASGIMiddleware, by_include),
        (ASGIMiddleware, by_application),
        (WSGIMiddleware, DispatcherMiddleware(print, {"/a": flask})),  # type: ignore[arg-type]
        (ASGIMiddleware, app),
        (ASGIMiddleware, Stray(app)),
        (ASGIMiddleware, included),
        (WSGIMiddleware, flask),
        (WSGIMiddleware, flask.wsgi_app),
        (WSGIMiddleware, flask_shop(paywall)),
    ]
    for gate, each in cases:
        with pytest.raises(ConfigurationError, match="default="):
            gate(each, paywall, default=1)
    late = Starlette()
    gated_late = ASGIMiddleware(late, paywall, default=1)
    late.router.routes.append(Route("/dear", dear))
    with pytest.raises(ConfigurationError, match="default="):
        TestClient(gated_late).get("/anything")


def test_the_gate_around_itself(paywall: Paywall, runs_file: Path) -> None:
    """Case 71: the framework-less gate twice, or around an application with its own middleware, charges once."""
    app = Starlette(
        routes=[Route("/plain", plain)], middleware=[Middleware(L402Middleware, paywall=paywall, default=1)]
    )
    inner = ASGIMiddleware(app, paywall, default=1, free=["/nothing"])
    site = Site(client_of(ASGIMiddleware(inner, paywall, default=1)), runs_file)
    credential = site.buy("GET", "/plain")
    assert site.request("GET", "/plain", credential).json()["sats"] == 1
    assert code(site.request("GET", "/plain?x", credential)) == (402, "already-used")


# --- Flask


def test_flask_says_when_it_comes_too_late(paywall: Paywall) -> None:
    """What wraps the application before the extension does could answer unpaid: it is refused where it is set up."""
    app = Flask(__name__)
    app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]
    with pytest.raises(ConfigurationError, match="install L402 first"):
        L402(app, paywall, default=1)
    L402(app, paywall)


def test_flask_answers_nothing_undecided(paywall: Paywall, runs_file: Path) -> None:
    """An answer that was made before the price was asked for does not go out; nor does any without the extension."""
    app = Flask(__name__)
    L402(app, paywall, default=1)

    @app.url_value_preprocessor
    def early(endpoint: str | None, values: dict[str, Any] | None) -> None:
        abort(404)

    with pytest.raises(ConfigurationError, match="before"):
        client_of(app).get("/x")
    bypassed = Flask(__name__)
    kept = bypassed.wsgi_app
    L402(bypassed, paywall, default=1)
    bypassed.wsgi_app = kept  # type: ignore[method-assign]
    with httpx2.Client(
        transport=httpx2.WSGITransport(bypassed, raise_app_exceptions=False), base_url="http://test"
    ) as client:
        assert client.get("/x").status_code == 500


@pytest.mark.parametrize("path", ["/dear", "//dear", "///dear"])
def test_flask_prices_the_path_that_it_serves(paywall: Paywall, path: str) -> None:
    """Case 60: Werkzeug serves //dear as /dear, and so a price that goes by paths is asked for that."""
    app = Flask(__name__)
    L402(app, paywall, default=lambda request: {"/dear": 1000}.get(request.path, 1))
    app.add_url_rule("/dear", view_func=lambda: "dear")
    environ = EnvironBuilder().get_environ() | {"PATH_INFO": path}
    body, status, _ = run_wsgi_app(app, environ)
    assert status == "402 PAYMENT REQUIRED"
    assert json.loads(b"".join(body))["amount_sats"] == 1000


def test_flask_in_a_factory(paywall: Paywall, runs_file: Path) -> None:
    """`init_app` takes the default where the constructor does not."""
    extension = L402()
    app = Flask(__name__)
    extension.init_app(app, paywall, default=3, free=["/free"])
    site = Site(client_of(app), runs_file)
    assert site.request("GET", "/x").json()["amount_sats"] == 3
    assert site.request("GET", "/free").status_code == 404
    with pytest.raises(ConfigurationError, match="default"):
        L402(Flask(__name__), paywall, free=["/free"])
