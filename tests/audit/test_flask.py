"""The audit of Flask applications: every way to route, and every way to lose a price."""

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

import pytest
from flask import Blueprint, Flask, request
from flask.typing import ResponseReturnValue
from flask.views import MethodView, View
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import Rule
from werkzeug.test import Client

from l402_middleware.audit import Finding, audit
from l402_middleware.flask import L402, l402_required

from .contract import RoutesContract, Row, each
from .holes import Cache, keeps, loses, only, paywall


@l402_required(price=21)
def priced(**values: str) -> str:
    """What is sold."""
    return "sold"


@l402_required(price=21)
async def async_priced() -> str:
    """What is sold, by an async view."""
    return "sold"


def free(**values: str) -> str:
    """What is given away."""
    return "given"


def bare() -> str:
    """What a priced view was made of, and that was routed nevertheless."""
    return "given by mistake"


l402_required(price=21)(bare)


class ByMethod(MethodView):
    """One method priced, one not."""

    @l402_required(price=3)
    def get(self) -> str:
        return "sold"

    def post(self) -> str:
        return "given"


class WithHead(ByMethod):
    """A method for HEAD alone, that is not priced."""

    def head(self) -> str:
        return ""


class Resource(MethodView):
    """A view class that dispatches in its own manner, as some extensions' do."""

    def dispatch_request(self, **values: Any) -> ResponseReturnValue:
        return super().dispatch_request(**values)

    @l402_required(price=3)
    def get(self) -> str:
        return "sold"


class AsAWhole(MethodView):
    """Every method priced, `options` too."""

    decorators = [l402_required(price=21)]  # noqa: RUF012 - as Flask has it

    def get(self) -> str:
        return "sold"

    def post(self) -> str:
        return "sold"


class Hidden(AsAWhole):
    """A decorator above, that keeps nothing."""

    decorators = [l402_required(price=21), loses]  # noqa: RUF012


class Twice(ByMethod):
    """Priced as a whole, and one method again."""

    decorators = [l402_required(price=4)]  # noqa: RUF012


class Plain(View):
    """A view class without methods."""

    @l402_required(price=21)
    def dispatch_request(self) -> ResponseReturnValue:
        return "sold"


def guarded(*rules: tuple[str, Any], **options: Any) -> Flask:
    """An application with its paywall, and these rules; no static files."""
    app = Flask(__name__, **{"static_folder": None, **options})
    L402(app, paywall())
    for rule, view in rules:
        name = f"{getattr(view, '__name__', 'view')}{len(app.view_functions)}"
        app.add_url_rule(rule, name, view)
    return app


def with_methods(*methods: str, view: Any = priced, **options: Any) -> Flask:
    """An application with one rule for these methods."""
    app = guarded()
    app.add_url_rule("/a", view_func=view, methods=methods, **options)
    return app


def decorated() -> Flask:
    """An application as the documentation writes it."""
    app = guarded()

    @app.get("/a")
    @l402_required(price=21)
    def forecast() -> str:
        return "sold"

    return app


def decorated_too_late() -> Flask:
    """The two decorators the wrong way round."""
    app = guarded()

    @l402_required(price=21)
    @app.get("/a")
    def forecast() -> str:
        return "given by mistake"

    return app


def priced_static() -> Flask:
    """A priced view whose name is that of static files."""
    app = guarded()
    app.add_url_rule("/a", "static", priced)
    return app


def with_blueprints() -> Flask:
    """A blueprint, one in it, and static files of its own."""
    app = guarded()
    outer = Blueprint("outer", __name__, static_folder="static", static_url_path="/files")
    inner = Blueprint("inner", __name__)
    for blueprint in (outer, inner):
        blueprint.add_url_rule("/x", view_func=priced)
        blueprint.add_url_rule("/y", view_func=free)
    outer.register_blueprint(inner, url_prefix="/inner")
    app.register_blueprint(outer, url_prefix="/outer")
    return app


def with_subdomain() -> Flask:
    """A subdomain, as a rule's own."""
    app = guarded(subdomain_matching=True)
    app.config["SERVER_NAME"] = "example.org"
    app.add_url_rule("/x", view_func=priced, subdomain="api")
    return app


def with_host() -> Flask:
    """A host, as a rule's own."""
    app = guarded(host_matching=True)
    app.add_url_rule("/x", view_func=priced, host="api.example.org")
    app.add_url_rule("/x", "free", free, host="example.org")
    return app


def with_rules_of_its_own() -> Flask:
    """Rules that no view stands behind."""
    app = guarded()
    app.url_map.add(Rule("/old", endpoint="old", redirect_to="/new"))
    app.url_map.add(Rule("/nothing", endpoint="nothing", methods=["GET"]))
    app.url_map.add(Rule("/only-built", endpoint="built", build_only=True))
    app.url_map.add(Rule("/ws", endpoint="ws", websocket=True))
    return app


def host_below_a_mount() -> Any:
    """A host's rule in an application that another one dispatches to."""
    return DispatcherMiddleware(guarded(), {"/m": with_host()})


def dispatched() -> Any:
    """Two applications behind Werkzeug's dispatcher."""
    return DispatcherMiddleware(guarded(("/a", priced)), {"/b": guarded(("/a", free))})


def dispatching() -> Flask:
    """An application that dispatches in its own wsgi_app."""
    app = guarded(("/a", priced))
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/b": guarded(("/a", free))})  # type: ignore[method-assign]
    return app


def proxied() -> Flask:
    """An application behind ProxyFix, as Flask's documentation installs it."""
    app = guarded(("/a", priced))
    app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]
    return app


ROUTES: list[Row] = [
    ("decorators", decorated, {"GET /a": "priced"}),
    ("add_url_rule", lambda: guarded(("/a", priced)), {"GET /a": "priced"}),
    ("an async view", lambda: guarded(("/a", async_priced)), {"GET /a": "priced"}),
    (
        "several methods",
        lambda: with_methods("POST", "GET", "FOO"),
        dict.fromkeys(["FOO /a", "GET /a", "POST /a"], "priced"),
    ),
    (
        "OPTIONS that Flask answers",
        lambda: with_methods("GET", "OPTIONS", provide_automatic_options=True),
        {"GET /a": "priced"},
    ),
    ("OPTIONS by hand", lambda: with_methods("GET", "OPTIONS"), {"GET /a": "priced", "OPTIONS /a": "priced"}),
    ("a view class by method", lambda: guarded(("/a", ByMethod.as_view("v"))), {"GET /a": "priced", "POST /a": "free"}),
    (
        "a view class as a whole",
        lambda: guarded(("/a", AsAWhole.as_view("v"))),
        {"GET /a": "priced", "POST /a": "priced"},
    ),
    (
        "a view class with a method for HEAD",
        lambda: guarded(("/a", WithHead.as_view("v"))),
        {"GET /a": "priced", "HEAD /a": "free", "POST /a": "free"},
    ),
    ("a view class that dispatches", lambda: guarded(("/a", Resource.as_view("v"))), {"GET /a": "priced"}),
    ("a priced view by the name of static", priced_static, {"GET /a": "priced"}),
    ("a plain view class", lambda: guarded(("/a", Plain.as_view("v"))), {"GET /a": "priced"}),
    ("under a decorator with wraps", lambda: guarded(("/a", keeps(priced))), {"GET /a": "priced"}),
    (
        "blueprints",
        with_blueprints,
        {
            "GET /outer/files/<path:filename>": "free",
            "GET /outer/x": "priced",
            "GET /outer/y": "free",
            "GET /outer/inner/x": "priced",
            "GET /outer/inner/y": "free",
        },
    ),
    ("a subdomain", with_subdomain, {"GET api.example.org/x": "priced"}),
    ("hosts", with_host, {"GET api.example.org/x": "priced", "GET example.org/x": "free"}),
    ("hosts below a mount", host_below_a_mount, {"GET api.example.org/m/x": "priced", "GET example.org/m/x": "free"}),
    ("static files", lambda: guarded(static_folder="static"), {"GET /static/<path:filename>": "free"}),
    ("rules without views", with_rules_of_its_own, {"* /old": "free", "GET /nothing": "free", "WEBSOCKET /ws": "free"}),
    ("behind a dispatcher", dispatched, {"GET /b/a": "free", "GET /a": "priced"}),
    ("a dispatcher in its wsgi_app", dispatching, {"GET /b/a": "free", "GET /a": "priced"}),
    ("around it, ProxyFix", lambda: ProxyFix(guarded(("/a", priced))), {"GET /a": "priced"}),
    ("around its wsgi_app, ProxyFix", proxied, {"GET /a": "priced"}),
]


@each(ROUTES)
class TestRoutes(RoutesContract):
    given = (200, 308, 404)

    def answer(self, app: Any, finding: Finding) -> int | None:
        if finding.path in ("/nothing", "/ws"):
            return None
        host, _, path = finding.path.partition("/")
        path = f"/{path}".replace("<path:filename>", "x")
        method = "GET" if finding.method == "*" else finding.method
        return Client(app).open(path, method=method, base_url=f"http://{host or 'localhost'}").status_code


def without_extension() -> Flask:
    """An application whose extension was forgotten."""
    app = Flask(__name__, static_folder=None)
    app.add_url_rule("/a", view_func=priced)
    return app


def with_replaced_wsgi_app() -> Flask:
    """An application whose extension was thrown away again."""
    app = Flask(__name__, static_folder=None)
    app.add_url_rule("/a", view_func=priced)
    original = app.wsgi_app
    L402(app, paywall())
    app.wsgi_app = ProxyFix(original)  # type: ignore[method-assign]
    return app


def behind_another() -> Flask:
    """Two views for one path and method: Werkzeug takes the first."""
    return guarded(("/<any>", free), ("/a", free), ("/a", priced))


def might_be_a_price(anything: Any) -> Any:
    """Takes one argument of any kind, as a price function does."""
    return anything


HOLES: list[tuple[str, Callable[[], object], str, str]] = [
    ("decorated above @app.route", decorated_too_late, "forecast as it was before @l402_required", "under the route's"),
    (
        "decorated without a price",
        lambda: guarded(("/a", l402_required(might_be_a_price))),
        "without a price",
        "(price=...)",
    ),
    ("the bare function routed", lambda: guarded(("/a", bare)), "bare as it was before", "the decorated function"),
    ("lost under a decorator", lambda: guarded(("/a", loses(priced))), "priced is priced, but", "functools.wraps"),
    ("lost under a class", lambda: guarded(("/a", Cache(priced))), "priced is priced, but", "functools.wraps"),
    ("lost in `decorators`", lambda: guarded(("/a", Hidden.as_view("v"))), "hides that", "functools.wraps"),
    ("no extension", without_extension, "no extension L402", "L402(app, paywall)"),
    ("the extension replaced", with_replaced_wsgi_app, "app.wsgi_app was replaced", "wrap what is there"),
    ("decorated twice", lambda: guarded(("/a", l402_required(price=2)(priced))), "two @l402_required", "take one"),
    ("a class and its method", lambda: guarded(("/a", Twice.as_view("v"))), "both in the class's", "take one"),
    ("behind another rule", behind_another, "never reached: /a (free1)", "take one of the two away"),
]


@pytest.mark.parametrize(("make", "reason", "remedy"), [row[1:] for row in HOLES], ids=[row[0] for row in HOLES])
def test_every_hole_is_named(make: Callable[[], object], reason: str, remedy: str) -> None:
    """Case 66: whatever takes a price away from its view is found, and the reader told how to mend it."""
    holes = [finding for finding in audit(make()) if finding.path == "/a" and finding.verdict.status == "hole"]
    assert holes
    assert reason in holes[0].verdict.reason
    assert remedy in holes[0].verdict.remedy


@pytest.mark.parametrize(
    "rules",
    [
        [("/items/latest", free), ("/items/<id>", priced)],
        [("/items/<int:id>", free), ("/items/<id>", priced)],
        [("/items/<path:id>", free), ("/items/<id>", priced)],
        [("/items/<uuid:id>/", free), ("/items/<float:id>/", priced)],
        [("/<any(x, y):id>", priced)],
    ],
)
def test_rules_that_share_some_paths_are_no_hole(rules: Iterable[tuple[str, Any]]) -> None:
    """Werkzeug takes the narrower rule, in whatever order they stand: it hides nothing."""
    (finding,) = (finding for finding in audit(guarded(*rules)) if finding.verdict.offer)
    assert finding.verdict.status == "priced"


def eager() -> None:
    """A before_request function."""


def in_the_blueprint() -> None:
    """Another one, of a blueprint."""


def preprocess(endpoint: str | None, values: dict[str, Any] | None) -> None:
    """A URL value preprocessor."""


def test_what_runs_unpaid_is_noted() -> None:
    """What Flask runs before the paywall decides is named: all of it, where a class dispatches in its own manner."""
    app = guarded(("/a", priced), ("/v", ByMethod.as_view("v")))
    blueprint = Blueprint("part", __name__)
    blueprint.add_url_rule("/b", view_func=priced)
    blueprint.before_request(in_the_blueprint)
    app.register_blueprint(blueprint)
    app.before_request(eager)
    assert only(app, "/a").notes == only(app, "/b").notes == ()
    (get,) = (finding for finding in audit(app) if str(finding) == "GET /v")
    assert get.notes == ()
    app.add_url_rule("/busy", view_func=Busy.as_view("busy"))
    (busy,) = (finding for finding in audit(app) if str(finding) == "GET /busy")
    assert busy.notes[0].startswith("runs before it is paid: eager, keeps")
    app.url_value_preprocessor(preprocess)
    app.before_request_funcs[None].insert(0, eager)
    assert only(app, "/b").notes == ("runs before it is paid: preprocess, eager",)


def test_what_stands_inside_the_extension_and_options_by_hand_are_noted() -> None:
    """A WSGI middleware that was there first, and OPTIONS that has to be paid, give nothing away but are named."""
    app = Flask(__name__, static_folder=None)
    app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]
    L402(app, paywall())
    app.add_url_rule("/a", view_func=priced, methods=["OPTIONS"])
    preflight, inside = only(app, "/a").notes
    assert "preflight" in preflight
    assert inside.startswith("ProxyFix stands inside")


def test_what_runs_unpaid_does_run_unpaid() -> None:
    """The note is true: a function before the paywall's runs for a refused request, one behind it does not."""
    ran: list[str] = []
    app = guarded(("/a", priced))
    app.before_request(lambda: ran.append("behind"))
    app.url_value_preprocessor(lambda endpoint, values: ran.append(f"before {request.path}"))
    assert app.test_client().get("/a").status_code == 402
    assert ran == ["before /a"]


class Busy(ByMethod):
    """Everything that can stand before a priced method."""

    decorators = [keeps]  # noqa: RUF012

    def dispatch_request(self, **values: Any) -> ResponseReturnValue:
        return super().dispatch_request(**values)

    get = keeps(ByMethod.get)


def test_what_a_view_class_runs_unpaid_is_noted() -> None:
    """Decorators of the class and of its method, and its own way to dispatch, run before the method is paid."""
    (get,) = (finding for finding in audit(guarded(("/a", Busy.as_view("v")))) if finding.method == "GET")
    assert get.verdict.status == "priced"
    assert get.notes == ("runs before it is paid: keeps, Busy.dispatch_request, loses",)
    # A whole view is decided about before any of its decorators.
    assert only(guarded(("/a", keeps(priced))), "/a").notes == ()


def cached(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that has the answer already."""
    return wraps(function)(lambda *args, **kwargs: "sold before")


class Cached(ByMethod):
    """An answer that is there already, above the price."""

    get = cached(ByMethod.get)


def test_an_answer_that_is_there_already_is_paid_for_too() -> None:
    """Case 66: a decorator above @l402_required, on a view or on a class's method, gives nothing away."""
    app = guarded(("/a", cached(priced)), ("/v", Cached.as_view("v")))
    for path in ("/a", "/v"):
        assert app.test_client().get(path).status_code == 402
