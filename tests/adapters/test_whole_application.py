"""Whole applications in process: the contract in each framework, and what only a hand-driven one shows."""

import gc
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote_to_bytes
from wsgiref.validate import validator

import httpx2
import pytest
from starlette.testclient import TestClient

from l402_middleware import ConfigurationError, Offer, Paywall, sats
from l402_middleware.asgi import L402Middleware as ASGIMiddleware
from l402_middleware.core.keys import KeyRing
from l402_middleware.flow import drive
from l402_middleware.paywall.offer import mark
from l402_middleware.paywall.whole_application import endpoint_name, refuse_decorated
from l402_middleware.providers import CreatedInvoice, InvoiceRequest
from l402_middleware.providers.devnode import DevNode
from l402_middleware.wsgi import L402Middleware as WSGIMiddleware

from . import whole_asgi, whole_wsgi
from .contract import Site
from .servers import KEY
from .test_wsgi import environ_of, serve
from .unsettled import Unsettled
from .whole_contract import WholeApplicationContract


class TestASGI(WholeApplicationContract):
    @pytest.fixture(params=whole_asgi.FRAMEWORKS)
    def site(self, request: pytest.FixtureRequest, paywall: Paywall, runs_file: Path) -> Iterator[Site]:
        app: Any = whole_asgi.create(paywall, request.param)
        backend: Literal["asyncio", "trio"] = "trio" if request.param == "fastapi" else "asyncio"
        client = TestClient(
            app, client=("127.0.0.1", 1), backend=backend, raise_server_exceptions=False, follow_redirects=False
        )
        # Django refuses the lifespan, and Falcon does not return from it; both as the specification allows.
        with client if request.param not in ("django", "falcon") else nullcontext():
            yield Site(client, runs_file)


class Transport(httpx2.BaseTransport):
    """httpx2's, with the path as PEP 3333 has it: text in which every character is a byte."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        path = unquote_to_bytes(request.url.raw_path.partition(b"?")[0]).decode("latin-1")

        def app(environ: Any, start_response: Any) -> Any:
            return self.app({**environ, "PATH_INFO": path}, start_response)

        return httpx2.WSGITransport(app).handle_request(request)


class TestWSGI(WholeApplicationContract):
    @pytest.fixture(params=whole_wsgi.FRAMEWORKS)
    def site(self, request: pytest.FixtureRequest, paywall: Paywall, runs_file: Path) -> Iterator[Site]:
        app = whole_wsgi.create(paywall, request.param)
        with httpx2.Client(transport=Transport(app), base_url="http://test") as client:
            yield Site(client, runs_file)


class TestASGIPaidByPayment(TestASGI):
    scheme = "payment"


class TestWSGIPaidByPayment(TestWSGI):
    scheme = "payment"


# --- setting it up


@pytest.mark.parametrize("middleware", [ASGIMiddleware, WSGIMiddleware])
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"default": -1}, "amount"),
        ({"default": 1.5}, "price"),
        ({"default": None}, "price"),
        ({"default": 1, "free": "/free"}, "list"),
        ({"default": 1, "free": ["free"]}, "slash"),
        ({"default": 1, "free": [""]}, "slash"),
        ({"default": 1, "free": [b"/free"]}, "slash"),
        ({"default": 1, "free": ["/free?x=1"]}, "query"),
        ({"default": 1, "free": [None]}, "slash"),
    ],
)
def test_what_can_not_be_meant(paywall: Paywall, middleware: Any, arguments: dict[str, Any], says: str) -> None:
    """A default that is no price, or a free path that could never match, is refused where it is written."""
    with pytest.raises(ConfigurationError, match=says):
        middleware(object(), paywall, **arguments)


@pytest.mark.parametrize("middleware", [ASGIMiddleware, WSGIMiddleware])
@pytest.mark.parametrize("wrong", [None, "paywall", Paywall])
def test_without_a_paywall(middleware: Any, wrong: Any) -> None:
    """The middleware refuses anything but a paywall where it is made."""
    with pytest.raises(ConfigurationError, match="Paywall"):
        middleware(object(), wrong, default=1)


@pytest.mark.parametrize("default", [21, sats(21), Offer(21), Offer(21, uses=3), lambda request: 21])
def test_defaults(paywall: Paywall, default: Any, runs_file: Path) -> None:
    """The default is anything that an offer's price may be, or an offer."""
    with TestClient(ASGIMiddleware(whole_asgi.plain(), paywall, default=default), client=("127.0.0.1", 1)) as client:
        site = Site(client, runs_file)
        assert site.request("GET", "/x", site.buy("GET", "/x")).json()["sats"] == 21


# --- what strangers' paths leave behind


@pytest.mark.slow
def test_unpaid_requests_leave_nothing(tmp_path: Path) -> None:
    """100,000 unpaid requests to as many paths: memory, the ledger's file and its record stay as they were."""
    node = DevNode()
    node.use_keys(KeyRing([KEY]))
    invoice: list[CreatedInvoice] = []

    def same_invoice(request: InvoiceRequest) -> str:
        if not invoice:
            invoice.append(drive(node.create_invoice(request)))
        return invoice[0].bolt11

    path = tmp_path / "l402.db"
    paywall = Paywall(same_invoice, f"sqlite:///{path}", secret_keys=[KEY], network="regtest", invoice_expiry=3600)
    gate = WSGIMiddleware(whole_wsgi.plain(), paywall, default=1)

    def ask(numbers: range) -> None:
        for number in numbers:
            environ = environ_of("GET", f"/{number}" + "x" * 100)
            assert list(gate(environ, lambda status, headers, exc_info=None: print))

    def used() -> tuple[int, int, int]:
        gc.collect()
        return len(gc.get_objects()), int(Path("/proc/self/statm").read_text().split()[1]) * 4096, path.stat().st_size

    ask(range(10_000))
    objects, memory, size = used()
    ask(range(10_000, 100_000))
    more_objects, more_memory, more_size = used()
    paywall.close()
    assert more_objects < objects + 1000
    assert more_memory < memory + 4 * 1024 * 1024
    assert more_size <= size + 4096
    with closing(sqlite3.connect(path)) as ledger:
        rows = ledger.execute("SELECT DISTINCT endpoint FROM totals").fetchall()
    assert rows == [("(default)",)]


# --- what only a hand-driven application shows


async def asked(app: Any, scope: dict[str, Any], *messages: dict[str, Any]) -> list[dict[str, Any]]:
    """What an ASGI application sends for this scope."""
    sent: list[dict[str, Any]] = []
    waiting = iter(messages)

    async def receive() -> dict[str, Any]:
        return next(waiting, {"type": "websocket.disconnect", "code": 1006})

    async def send(message: Any) -> None:
        sent.append(dict(message))

    await app(scope, receive, send)
    return sent


def scope_of(path: str, root_path: str = "", kind: str = "http", credential: str = "") -> dict[str, Any]:
    """A request as an ASGI server gives it."""
    headers = [(b"authorization", credential.encode())] if credential else []
    scope = {"type": kind, "path": path, "root_path": root_path, "query_string": b"", "headers": headers}
    return scope | ({"method": "GET"} if kind == "http" else {}) | {"client": ("127.0.0.1", 1)}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("root_path", "path", "is_free"),
    [
        ("", "/free", True),
        ("/sub", "/sub/free", True),
        ("/sub", "/free", True),
        ("/sub", "/sub/sub/free", False),
        ("/sub", "/subfree", False),
        ("/fr", "/free", True),
        ("/sub", "/sub", False),
        ("/free", "/free", False),
        ("", "/sub/free", False),
    ],
)
async def test_below_a_mount(paywall: Paywall, runs_file: Path, root_path: str, path: str, is_free: bool) -> None:
    """Case 62: a free path stands below the mount that the server says; the mount itself makes nothing free."""
    gate = ASGIMiddleware(whole_asgi.plain(), paywall, default=1, free=["/free"])
    sent = await asked(gate, scope_of(path, root_path), {"type": "http.request"})
    assert sent[0]["status"] == (200 if is_free else 402)
    environ = environ_of("GET", path.removeprefix(root_path) if path.startswith(f"{root_path}/") else path)
    environ["SCRIPT_NAME"] = root_path
    wsgi_gate = WSGIMiddleware(whole_wsgi.plain(), paywall, default=1, free=["/free"])
    assert serve(wsgi_gate, environ).code == (200 if environ["PATH_INFO"] == "/free" else 402)


@pytest.mark.anyio
async def test_mounts_are_told_apart(paywall: Paywall) -> None:
    """Case 62: what was bought below one mount is another endpoint below another, or none."""
    names = {
        endpoint_name("GET", mount, path)
        for mount, path in [
            *[("", "/a/b"), ("/a", "/b"), ("/a/b", ""), ("", "/a|/b"), ("/a|", "/b"), ("/a", "|/b")],
            # Octets that are no UTF-8, as a server decodes them.
            *[("/\udcfe", "/b"), ("/\udcff", "/b"), ("/%FF", "/b")],
        ]
    }
    assert len(names) == 9
    assert endpoint_name("HEAD", "", "/a") == endpoint_name("GET", "", "/a")


@pytest.mark.anyio
async def test_other_scopes(paywall: Paywall) -> None:
    """Case 73: the lifespan passes and its end closes the paywall; so does a scope that nobody has heard of."""
    closed: list[str] = []
    paywall.aclose = lambda: noted(closed)  # type: ignore[method-assign]
    gate = ASGIMiddleware(whole_asgi.plain(), paywall, default=1)
    sent = await asked(gate, {"type": "lifespan"}, {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert closed == ["closed"]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": scope["type"]})

    assert await asked(ASGIMiddleware(app, paywall, default=1), {"type": "telepathy"}) == [{"type": "telepathy"}]


async def noted(closed: list[str]) -> None:
    """In place of closing."""
    closed.append("closed")


@pytest.mark.anyio
async def test_a_handshake_where_the_server_can_not_refuse_in_words(paywall: Paywall, runs_file: Path) -> None:
    """Case 63: without `websocket.http.response` a handshake is closed, and the application does not see it."""
    gate = ASGIMiddleware(whole_asgi.plain(), paywall, default=1)
    sent = await asked(gate, scope_of("/socket", kind="websocket"), {"type": "websocket.connect"})
    assert sent == [{"type": "websocket.close", "code": 1008, "reason": "402"}]
    assert runs_file.read_text() == ""


@pytest.mark.anyio
async def test_a_handshake_that_can_not_be_settled(runs_file: Path) -> None:
    """Case 48: what cannot be settled is not accepted."""
    paywall = Paywall(DevNode(), Unsettled(), secret_keys=[KEY])
    gate = ASGIMiddleware(whole_asgi.plain(), paywall, default=1)
    scope = scope_of("/socket", kind="websocket") | {"extensions": {"websocket.http.response": {}}}
    quoted = json.loads((await asked(gate, dict(scope)))[1]["body"])
    assert paywall.wallet is not None
    credential = f"L402 {quoted['macaroon']}:{paywall.wallet.pay(quoted['invoice']).hex()}"
    paid = scope | {"headers": [(b"authorization", credential.encode())]}
    sent = await asked(gate, paid, {"type": "websocket.connect"})
    assert (sent[0]["type"], sent[0]["status"]) == ("websocket.http.response.start", 503)
    assert "websocket.accept" not in [message["type"] for message in sent]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_validator(paywall: Paywall, runs_file: Path, method: str) -> None:
    """Case 81: `wsgiref.validate` around the gate and inside it is content with a 402 and with what was paid for."""
    gate = validator(WSGIMiddleware(validator(empty_for_head), paywall, default=1, free=["/free"]))
    answer = serve(gate, clean(method, "/paid"))
    assert answer.code == 402
    quoted = json.loads(b"".join(serve(gate, clean("GET", "/paid")).pieces))
    assert paywall.wallet is not None
    credential = f"L402 {quoted['macaroon']}:{paywall.wallet.pay(quoted['invoice']).hex()}"
    assert serve(gate, clean(method, "/paid", HTTP_AUTHORIZATION=credential)).code == 200
    assert serve(gate, clean(method, "/free")).code == 200


def empty_for_head(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """An application that keeps to PEP 3333."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [b"x"]


def clean(method: str, path: str, **more: Any) -> dict[str, Any]:
    """A request without what the validator does not want."""
    environ = environ_of(method, path, **more)
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        environ.pop(name, None)
    return environ


@pytest.mark.anyio
async def test_a_method_in_another_case(paywall: Paywall, runs_file: Path) -> None:
    """Case 64: a price by the method holds for `post` too, which Django and Flask take for POST."""

    def by_method(request: Any) -> int:
        return 1000 if request.method == "POST" else 1

    for method, price in (("POST", 1000), ("post", 1000), ("pOst", 1000), ("GET", 1)):
        app = ASGIMiddleware(whole_asgi.plain(), paywall, default=by_method)
        answer = await asked(app, scope_of("/paid") | {"method": method}, {"type": "http.request", "body": b""})
        assert json.loads(answer[1]["body"])["amount_sats"] == price
        same = serve(WSGIMiddleware(whole_wsgi.plain(), paywall, default=by_method), environ_of(method, "/paid"))
        assert json.loads(b"".join(same.pieces))["amount_sats"] == price
    assert runs_file.read_text() == ""


def test_a_price_function_with_a_bug(paywall: Paywall, runs_file: Path) -> None:
    """Case 70: an exception in the gate never becomes the application's answer."""

    def mistaken(request: Any) -> int:
        raise ValueError("a mistake in a price")

    client = TestClient(ASGIMiddleware(whole_asgi.plain(), paywall, default=mistaken))
    with pytest.raises(ValueError, match="mistake"):
        client.get("/paid")
    with pytest.raises(ValueError, match="mistake"):
        serve(WSGIMiddleware(whole_wsgi.plain(), paywall, default=mistaken), environ_of("GET", "/paid"))
    assert runs_file.read_text() == ""


class Nameless:
    """Something that is called, and is no function."""

    def __call__(self) -> None:
        raise AssertionError

    def __repr__(self) -> str:
        return "an endpoint without a name"


def test_the_refusal_names_what_is_priced() -> None:
    """Case 71: by its name, or as it shows itself where it has none."""

    def handler() -> None:
        raise AssertionError

    for endpoint, name in ((handler, handler.__qualname__), (Nameless(), "an endpoint without a name")):
        mark(endpoint, Offer(1))
        with pytest.raises(ConfigurationError, match=f"prices {re.escape(name)}, inside a middleware"):
            refuse_decorated(endpoint)
