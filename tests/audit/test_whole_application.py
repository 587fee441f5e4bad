"""The audit of applications that are sold as a whole: everything is priced but the free list."""

from collections.abc import Callable
from typing import Any

import falcon
import flask
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import Client

import l402_middleware.fastapi
from l402_middleware import asgi, wsgi
from l402_middleware.audit import audit
from l402_middleware.fastapi import Free, Priced
from l402_middleware.flask import L402
from l402_middleware.starlette import L402Middleware

from .holes import only, paywall, statuses
from .test_flask import free as free_view
from .test_flask import guarded as guarded_flask
from .test_flask import priced as priced_view
from .test_starlette import Echo, Logged, Outer, bare, foreign, free, priced

ROUTES = [
    Route("/health", free),
    Route("/a", free, methods=["GET", "POST"]),
    Route("/{any}/b", free),
    Mount("/sub", routes=[Route("/health", free)]),
    Mount("/m", foreign),
    WebSocketRoute("/ws", Echo),
]

EXPECTED = {
    "GET /health": "free",
    "GET /a": "priced",
    "POST /a": "priced",
    "GET /{any}/b": "priced",
    "GET /sub/health": "priced",
    "* /m/{path}": "priced",
    "WEBSOCKET /ws": "priced",
    "* /x/b": "free",
}

SOLD: dict[str, Any] = {"default": 21, "free": ["/health", "/x/b"]}


def flask_site() -> flask.Flask:
    """A site of Flask's, that prices nothing itself."""
    app = flask.Flask(__name__, static_folder=None)
    for rule in ("/health", "/a", "/<any_>/b"):
        app.add_url_rule(rule, rule, free_view)
    return app


APPLICATIONS: list[tuple[str, Callable[[], Any], dict[str, str]]] = [
    ("around Starlette", lambda: asgi.L402Middleware(Starlette(routes=ROUTES), paywall(), **SOLD), EXPECTED),
    (
        "in Starlette's list",
        lambda: Starlette(routes=ROUTES, middleware=[Middleware(asgi.L402Middleware, paywall(), **SOLD)]),
        EXPECTED,
    ),
    (
        "behind another middleware",
        lambda: Outer(asgi.L402Middleware(Outer(Starlette(routes=ROUTES)), paywall(), **SOLD)),
        EXPECTED,
    ),
    (
        "below a mount",
        lambda: Starlette(
            routes=[
                Mount("/shop", asgi.L402Middleware(Starlette(routes=ROUTES[:2]), paywall(), **SOLD)),
                Route("/health", free),
            ]
        ),
        {
            "GET /shop/health": "free",
            "GET /shop/a": "priced",
            "POST /shop/a": "priced",
            "* /shop/x/b": "free",
            "GET /health": "free",
        },
    ),
    (
        "around what cannot be looked into",
        lambda: asgi.L402Middleware(foreign, paywall(), **SOLD),
        {"* /{path}": "priced", "* /health": "free", "* /x/b": "free"},
    ),
    (
        "around Flask",
        lambda: wsgi.L402Middleware(flask_site(), paywall(), **SOLD),
        {"GET /health": "free", "GET /a": "priced", "GET /<any_>/b": "priced", "* /x/b": "free"},
    ),
    (
        "around Falcon",
        lambda: ProxyFix(wsgi.L402Middleware(falcon.App(), paywall(), **SOLD)),
        {"* /{path}": "priced", "* /health": "free", "* /x/b": "free"},
    ),
]


@pytest.mark.parametrize(("make", "expected"), [row[1:] for row in APPLICATIONS], ids=[row[0] for row in APPLICATIONS])
def test_everything_is_priced_but_the_free_list(make: Callable[[], Any], expected: dict[str, str]) -> None:
    """Cases 66 and 68: what the paywall's list has is free, and everything else at its price, known or not."""
    assert statuses(audit(make())) == expected
    for finding in audit(make()):
        offer = finding.verdict.offer
        assert (offer is not None and str(offer.price) == "21 sat") is (finding.verdict.status == "priced")


@pytest.mark.parametrize("make", [row[1] for row in APPLICATIONS], ids=[row[0] for row in APPLICATIONS])
def test_the_running_application_says_the_same(make: Callable[[], Any]) -> None:
    """Case 66: each route is asked without payment; those that the audit calls priced want to be paid."""
    app = make()
    is_wsgi = isinstance(app, wsgi.L402Middleware | ProxyFix)
    for finding in audit(app):
        if finding.method == "WEBSOCKET":
            continue
        path = finding.path.replace("{any}", "y").replace("<any_>", "y").replace("{path}", "z")
        method = "GET" if finding.method == "*" else finding.method
        answer = Client(app).open(path, method=method) if is_wsgi else TestClient(app).request(method, path)
        assert (answer.status_code == 402) is (finding.verdict.status == "priced"), str(finding)


def test_a_price_of_its_own_in_there_is_a_hole() -> None:
    """A decorated endpoint, inside the middleware that refuses to start with one, is named; one made too late too."""
    app = Starlette(
        routes=[Route("/a", priced), Route("/b", bare)], middleware=[Middleware(asgi.L402Middleware, paywall(), **SOLD)]
    )
    assert only(app, "/a").verdict.status == only(app, "/b").verdict.status == "hole"
    assert "does not start" in only(app, "/a").verdict.reason
    site = guarded_flask()
    later = wsgi.L402Middleware(site, paywall(), default=21)
    site.add_url_rule("/a", view_func=free_view)
    assert only(later, "/a").verdict.status == "priced"


def test_what_breaks_answers_inside_is_noted() -> None:
    """BaseHTTPMiddleware inside gives nothing away, and is worth knowing of."""
    app = asgi.L402Middleware(Starlette(routes=ROUTES, middleware=[Middleware(Logged)]), paywall(), default=21)
    assert only(app, "/health").verdict.status == "priced"
    assert only(app, "/health").notes == ("Logged ends a broken answer as if it were whole: it is charged",)


def made() -> str:
    """An endpoint of FastAPI's."""
    return "made"


def starlette_default() -> Any:
    """Starlette's own middleware, with a default price."""
    routes = [*ROUTES, Route("/own", priced)]
    return Starlette(routes=routes, middleware=[Middleware(L402Middleware, paywall(), default=7, free=["/health"])])


def flask_default() -> Any:
    """Flask's extension, with a default price."""
    app = flask_site()
    L402(app, paywall(), default=7, free=["/health"])
    app.add_url_rule("/own", view_func=priced_view)
    return app


def fastapi_default() -> Any:
    """FastAPI's, with a default price, and a route that is given away."""
    app = FastAPI()
    app.add_api_route("/health", made)
    app.add_api_route("/own", made, dependencies=[Priced(21)])
    app.add_api_route("/given", made, dependencies=[Free()])
    l402_middleware.fastapi.L402(app, paywall(), default=7, free=["/health"])
    return app


@pytest.mark.parametrize(
    ("make", "given"),
    [(starlette_default, {"/health"}), (flask_default, {"/health"}), (fastapi_default, {"/health", "/given"})],
)
def test_a_default_beside_prices_of_their_own(make: Callable[[], Any], given: set[str]) -> None:
    """Case 71: each route has its own price or the default, and the running application asks for that amount."""
    app = make()
    for finding in audit(app):
        offer = finding.verdict.offer
        assert (finding.path in given) is (finding.verdict.status == "free"), str(finding)
        if finding.method == "WEBSOCKET" or offer is None:
            continue
        assert str(offer.price) == ("21 sat" if finding.path == "/own" else "7 sat")
        path = finding.path.replace("{any}", "y").replace("<any_>", "y").replace("{path}", "z")
        client: Any = app.test_client() if isinstance(app, flask.Flask) else TestClient(app)
        answer = client.open(path, method=finding.method) if isinstance(app, flask.Flask) else client.get(path)
        if finding.method in ("GET", "*"):
            assert answer.status_code == 402, str(finding)
            told = answer.json if isinstance(app, flask.Flask) else answer.json()
            assert f"{told['amount_sats']} sat" == str(offer.price)
