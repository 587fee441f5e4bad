"""What is Flask's own: installing the extension, blueprints and views of every kind, and request hooks."""

from typing import Any

import pytest
from flask import Blueprint, Flask, Response, abort, g, request, session
from flask.testing import FlaskClient
from flask.views import MethodView, View

from l402_middleware import ConfigurationError, Paywall
from l402_middleware.flask import L402, l402_required
from l402_middleware.ledgers import MemoryLedger
from l402_middleware.providers.devnode import DevNode

from .servers import KEY

ran: list[str] = []


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    ran.clear()


@l402_required(price=21)
def priced(**parts: str) -> dict[str, Any]:
    """A view."""
    ran.append("priced")
    return {"paid": g.l402 is not None, **parts}


@l402_required(price=21, bind="request")
def bound() -> bytes:
    """A view that is sold with its body."""
    ran.append("bound")
    return request.get_data()


def buy(client: FlaskClient, method: str, url: str, **options: Any) -> dict[str, str]:
    """The headers that open what is quoted."""
    answer = client.open(url, method=method, **options)
    assert answer.status_code == 402, answer.text
    assert answer.json is not None
    paid = client.get("/dev/wallet/pay", query_string={"invoice": answer.json["invoice"]}).json
    assert paid is not None
    return {"Authorization": f"L402 {answer.json['macaroon']}:{paid['preimage']}"}


# --- installing it


def test_without_the_extension() -> None:
    """A priced view without the extension says so, and never runs."""
    app = Flask(__name__)
    app.testing = True
    app.add_url_rule("/priced", view_func=priced)
    with pytest.raises(ConfigurationError, match="L402"):
        app.test_client().get("/priced")
    assert not ran


def test_on_a_class() -> None:
    """The decorator on a class is refused where it is written."""
    with pytest.raises(ConfigurationError, match="methods"):
        l402_required(price=1)(MethodView)


def test_decorators_in_the_wrong_order(paywall: Paywall) -> None:
    """Case 66: with `@l402_required` above its route a view is not served; free on one and priced on another it is."""
    app = Flask(__name__)
    L402(app, paywall)

    @l402_required(price=21)
    @app.route("/wrong")
    def wrong() -> str:
        raise AssertionError("served unpaid")

    def both() -> str:
        return "served"

    app.add_url_rule("/free", "free", both)
    app.add_url_rule("/paid", "paid", l402_required(price=21)(both))
    assert [app.test_client().get(path).status_code for path in ("/wrong", "/free", "/paid")] == [500, 200, 402]
    app.testing = True
    with pytest.raises(ConfigurationError, match="/wrong would be free"):
        app.test_client().get("/wrong")


def test_twice(paywall: Paywall) -> None:
    """Case 71: the extension is installed once; a second time is a mistake that is named."""
    app = Flask(__name__)
    L402(app, paywall)
    with pytest.raises(ConfigurationError, match="once"):
        L402(app, paywall)


def test_from_the_applications_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a paywall one is made from `app.config`, before the environment; a missing provider is named."""
    monkeypatch.delenv("L402_PROVIDER", raising=False)
    extension = L402()
    with pytest.raises(ConfigurationError, match="L402_PROVIDER"):
        extension.init_app(Flask(__name__))
    monkeypatch.setenv("L402_PROVIDER", "nonsense:")
    app = Flask(__name__)
    app.config.update(L402_PROVIDER="dev:", L402_SECRET_KEYS=[KEY], L402_LEDGER=MemoryLedger(), L402_REPLAY_FOR=0)
    extension.init_app(app)
    app.add_url_rule("/priced", view_func=priced)
    client = app.test_client()
    headers = buy(client, "GET", "/priced")
    assert [client.get("/priced", headers=headers).status_code for _ in range(2)] == [200, 402]
    assert isinstance(app.extensions["l402"], Paywall)


def test_two_applications_with_one_extension(paywall: Paywall) -> None:
    """An application factory may make several applications with one extension and one paywall."""
    extension = L402(paywall=paywall)
    clients = []
    for _ in range(2):
        app = Flask(__name__)
        extension.init_app(app)
        app.add_url_rule("/priced", view_func=priced)
        clients.append(app.test_client())
    headers = buy(clients[0], "GET", "/priced")
    assert clients[1].get("/priced", headers=headers).status_code == 200


# --- views of every kind


class Methods(MethodView):
    """A class-based view with a price for each method."""

    @l402_required(price=1)
    def get(self) -> str:
        ran.append("get")
        return "get"

    @l402_required(price=2)
    async def post(self) -> str:
        ran.append("post")
        return "post"


class Decorated(MethodView):
    """A class-based view with one price."""

    decorators = [l402_required(price=3)]  # noqa: RUF012 - Flask's own form

    def get(self) -> str:
        ran.append("decorated")
        return "decorated"


class Dispatching(View):
    """The oldest form of a view."""

    methods = ["GET", "POST"]  # noqa: RUF012 - Flask's own form

    @l402_required(price=4)
    def dispatch_request(self) -> str:
        ran.append("dispatched")
        return "dispatched"


@l402_required(price=5)
async def awaited() -> str:
    """An async view."""
    ran.append("awaited")
    return "awaited"


def test_every_kind_of_view(paywall: Paywall) -> None:
    """Case 66: functions, classes, their decorators, async views, blueprints and nested ones are all priced."""
    app = Flask(__name__)
    L402(app, paywall)
    app.add_url_rule("/methods", view_func=Methods.as_view("methods"))
    app.add_url_rule("/decorated", view_func=Decorated.as_view("decorated"))
    app.add_url_rule("/dispatching", view_func=Dispatching.as_view("dispatching"))
    app.add_url_rule("/awaited", view_func=awaited)
    outer, inner = Blueprint("outer", __name__), Blueprint("inner", __name__)
    inner.add_url_rule("/<name>", view_func=priced)
    outer.register_blueprint(inner, url_prefix="/inner")
    app.register_blueprint(outer, url_prefix="/outer")
    app.register_blueprint(inner, url_prefix="/again", name="again")
    client = app.test_client()
    prices = {
        ("GET", "/methods"): 1,
        ("POST", "/methods"): 2,
        ("GET", "/decorated"): 3,
        ("GET", "/dispatching"): 4,
        ("POST", "/dispatching"): 4,
        ("GET", "/awaited"): 5,
        ("GET", "/outer/inner/x"): 21,
        ("GET", "/again/x"): 21,
    }
    for (method, url), price in prices.items():
        answer = client.open(url, method=method)
        assert answer.status_code == 402
        assert answer.json is not None
        assert answer.json["amount_sats"] == price
        assert not ran
        headers = buy(client, method, url)
        for other_method, other in prices:
            if (other_method, other) != (method, url):
                assert client.open(other, method=other_method, headers=headers).status_code == 402
        assert client.open(url, method=method, headers=headers).status_code == 200
        assert len(ran) == 1
        ran.clear()


def test_hosts(paywall: Paywall) -> None:
    """Case 43: the same path on two hosts is two endpoints."""
    app = Flask(__name__, subdomain_matching=True)
    app.config["SERVER_NAME"] = "example.test"
    L402(app, paywall)
    for name in ("cheap", "dear"):
        app.add_url_rule("/report", endpoint=name, view_func=priced, subdomain=name)
    app.add_url_rule("/report", view_func=priced)
    client = app.test_client()

    def status(host: str, headers: dict[str, str]) -> int:
        return client.get("/report", base_url=f"http://{host}", headers=headers).status_code

    headers = buy(client, "GET", "/report", base_url="http://cheap.example.test")
    assert [status(host, headers) for host in ("dear.example.test", "example.test")] == [402, 402]
    assert status("cheap.example.test", headers) == 200


def test_a_mount_can_not_take_another_routes_name(paywall: Paywall) -> None:
    """Case 43: /b of an application at /a is not the route /a/b, whoever chooses the mount."""
    app = Flask(__name__)
    L402(app, paywall)
    app.add_url_rule("/b", endpoint="cheap", view_func=l402_required(price=1)(lambda: "cheap"))
    app.add_url_rule("/a/b", endpoint="dear", view_func=l402_required(price=1000)(lambda: "dear"))
    client = app.test_client()
    headers = buy(client, "GET", "/b", base_url="http://localhost/a")
    assert client.get("/a/b", headers=headers).status_code == 402
    assert client.get("/b", base_url="http://localhost/a", headers=headers).text == "cheap"


@pytest.mark.parametrize("target", ["//priced", "/priced/", "/%70riced", "/PRICED", "/./priced"])
def test_odd_paths(paywall: Paywall, target: str) -> None:
    """Case 60: whatever reaches the view has been priced, under the view's own name."""
    app = Flask(__name__)
    L402(app, paywall)
    app.add_url_rule("/priced", view_func=priced)
    client = app.test_client()
    assert client.get(target).status_code in (402, 404, 308)
    assert not ran


def test_slashes(paywall: Paywall) -> None:
    """Case 67: the redirect to the other spelling is free, and what it leads to is priced."""
    app = Flask(__name__)
    L402(app, paywall)
    app.add_url_rule("/folder/", view_func=priced)
    client = app.test_client()
    answer = client.get("/folder")
    assert (answer.status_code, answer.location) == (308, "http://localhost/folder/")
    assert client.get("/folder", follow_redirects=True).status_code == 402
    assert not ran


def test_padding() -> None:
    """Case 15: Werkzeug takes a padded token for parameters; it opens all the same."""
    seen: set[tuple[int, bool]] = set()
    for service in ("shop", "shop1", "shop12"):
        app = Flask(__name__)
        L402(app, Paywall(DevNode(), secret_keys=[KEY], service=service))

        @app.get("/")
        @l402_required(price=1)
        def view() -> str:
            return str(request.authorization and request.authorization.token)

        client = app.test_client()
        headers = buy(client, "GET", "/")
        token = headers["Authorization"].removeprefix("L402 ")
        answer = client.get("/", headers=headers)
        assert answer.status_code == 200
        seen.add((token.count("="), answer.text == token))
    assert {paddings for paddings, _ in seen} == {0, 1, 2}
    assert not all(is_whole for _, is_whole in seen)


# --- hooks


def test_hooks_that_read_the_body(paywall: Paywall) -> None:
    """A `before_request` function that reads the body, registered first or last, hides it from nobody."""
    app = Flask(__name__)
    seen = []

    @app.before_request
    def first() -> None:
        seen.append(request.get_data())

    L402(app, paywall)

    @app.before_request
    def last() -> None:
        seen.append(request.get_data())

    app.add_url_rule("/bound", view_func=bound, methods=["POST"])
    client = app.test_client()
    headers = buy(client, "POST", "/bound", data=b"body")
    assert seen == []
    assert client.post("/bound", headers=headers, data=b"other", buffered=True).status_code == 402
    assert client.post("/bound", headers=headers, data=b"body", buffered=True).data == b"body"
    assert seen == [b"body"] * 2


def test_hooks_find_the_payment(paywall: Paywall) -> None:
    """Every hook finds `g.l402`: the payment, or None, also where nothing was found or refused (cases 68, 72)."""
    app = Flask(__name__)
    seen: list[bool] = []

    @app.before_request
    def before() -> None:
        seen.append(g.l402 is not None)

    L402(app, paywall)

    @app.after_request
    def after(response: Response) -> Response:
        seen.append(g.l402 is not None)
        return response

    app.add_url_rule("/priced", view_func=priced)
    app.add_url_rule("/free", view_func=lambda: "free")
    client = app.test_client()
    headers = buy(client, "GET", "/priced")
    seen.clear()
    assert client.get("/priced", headers=headers).json == {"paid": True}
    assert seen == [True, True]
    for url, status in (("/free", 200), ("/nowhere", 404)):
        seen.clear()
        assert client.get(url, headers=headers).status_code == status
        assert seen == [False, False]


def test_sessions_and_errors(paywall: Paywall) -> None:
    """Case 22: a 402 opens no session, though the application does; an `abort` in the view is not charged."""
    app = Flask(__name__)
    app.secret_key = "x" * 32
    L402(app, paywall)

    @app.after_request
    def counting(response: Response) -> Response:
        session["n"] = session.get("n", 0) + 1
        response.headers["Access-Control-Expose-Headers"] = "WWW-Authenticate"
        response.set_etag("1")
        return response

    @app.get("/aborts/<int:status>")
    @l402_required(price=1)
    def aborts(status: int) -> str:
        ran.append("aborts")
        return "done" if status == 200 else abort(status)

    client = app.test_client(use_cookies=False)
    refused = client.get("/aborts/200")
    assert not {"set-cookie", "etag"} & {name.lower() for name, _ in refused.headers}
    assert refused.headers["Access-Control-Expose-Headers"] == "WWW-Authenticate"
    headers = buy(client, "GET", "/aborts/200")
    for status in (404, 410, 500, 200):
        answer = client.get(f"/aborts/{status}", headers=headers)
        assert answer.status_code == status
    assert "session=" in answer.headers["set-cookie"]
    assert ran == ["aborts"] * 4


@pytest.mark.parametrize("careless", ["public, max-age=600", "s-maxage=600"])
def test_hooks_that_invite_caches(paywall: Paywall, careless: str) -> None:
    """Case 90: an application that lets caches keep everything keeps them neither a 402 nor an answer given again."""
    app = Flask(__name__)
    L402(app, paywall)
    app.add_url_rule("/priced", view_func=priced)

    @app.after_request
    def after(response: Response) -> Response:
        response.headers["Cache-Control"] = careless
        response.headers["X-Accel-Expires"] = response.headers["CDN-Cache-Control"] = "600"
        response.headers.add("Access-Control-Allow-Origin", "*")
        response.set_data(response.get_data() + b" ")
        return response

    client = app.test_client()
    refused = client.get("/priced")
    assert refused.status_code == 402
    headers = buy(client, "GET", "/priced")
    first, again = (client.get("/priced", headers=headers) for _ in range(2))
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.data == first.data
    assert list(again.headers) == [*first.headers, ("age", "0"), ("l402-replayed", "true")]
    for answer, directive in ((refused, "no-store"), (first, "private"), (again, "private")):
        assert answer.headers.getlist("Access-Control-Allow-Origin") == ["*"]
        assert not {"x-accel-expires", "cdn-cache-control"} & {name.lower() for name, _ in answer.headers}
        directives = answer.headers["Cache-Control"].split(", ")
        assert len(answer.headers.getlist("Cache-Control")) == 1
        assert directives[0] == directive
        assert not {"public", "s-maxage=600"} & set(directives)
    assert list(client.head("/priced", headers=headers).headers) == list(again.headers)


def test_a_hook_that_fails_on_an_answer_given_again(paywall: Paywall) -> None:
    """An error of the application's own is that, and no paid answer with another status."""
    app = Flask(__name__)
    L402(app, paywall)
    app.add_url_rule("/priced", view_func=priced)
    client = app.test_client()
    headers = buy(client, "GET", "/priced")
    assert client.get("/priced", headers=headers).status_code == 200

    def fail(response: Response) -> Response:
        raise RuntimeError("a hook")

    app.after_request_funcs.setdefault(None, []).append(fail)
    answer = client.get("/priced", headers=headers)
    assert answer.status_code == 500
    assert b"paid" not in answer.data


def test_preflight(paywall: Paywall) -> None:
    """Case 65: Flask's own answer to OPTIONS is free; a view that takes OPTIONS itself is priced."""
    app = Flask(__name__)
    L402(app, paywall)
    app.add_url_rule("/priced", view_func=priced)
    app.add_url_rule("/own", endpoint="own", view_func=priced, methods=["GET", "OPTIONS"])
    client = app.test_client()
    headers = {"Origin": "https://x", "Access-Control-Request-Method": "GET"}
    answer = client.options("/priced", headers=headers)
    assert (answer.status_code, "GET" in answer.headers["Allow"]) == (200, True)
    assert client.options("/own", headers=headers).status_code == 402
    assert not ran


def test_the_applications_own_test_client(paywall: Paywall) -> None:
    """An exception in a view of a testing application reaches the test, and is not charged."""
    app = Flask(__name__)
    app.testing = True
    L402(app, paywall)

    @app.get("/raises")
    @l402_required(price=1)
    def raises() -> str:
        ran.append("raises")
        if len(ran) == 1:
            raise ZeroDivisionError
        return "done"

    client = app.test_client()
    headers = buy(client, "GET", "/raises")
    with pytest.raises(ZeroDivisionError):
        client.get("/raises", headers=headers)
    assert client.get("/raises", headers=headers).text == "done"


def test_installed_in_what_is_no_application() -> None:
    """Application and paywall the wrong way round are an error that says so."""
    with pytest.raises(ConfigurationError, match="for a Flask application, not for Paywall"):
        L402(Paywall(DevNode()), Flask("shop"))  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"needs a Paywall\(...\), not DevNode"):
        L402(Flask("shop"), DevNode())  # type: ignore[arg-type]
