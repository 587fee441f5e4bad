"""Whole applications in process: the contract in each framework, and what only a hand-driven one shows."""

import gc
import sqlite3
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote_to_bytes

import httpx2
import pytest
from starlette.testclient import TestClient

from l402_middleware import ConfigurationError, Offer, Paywall, sats
from l402_middleware.asgi import L402Middleware as ASGIMiddleware
from l402_middleware.core.keys import KeyRing
from l402_middleware.flow import drive
from l402_middleware.providers import CreatedInvoice, InvoiceRequest
from l402_middleware.providers.devnode import DevNode
from l402_middleware.wsgi import L402Middleware as WSGIMiddleware

from . import whole_asgi, whole_wsgi
from .contract import Site
from .test_wsgi import environ_of
from .whole_contract import WholeApplicationContract

KEY = "0123456789abcdef" * 4


@pytest.fixture
def runs_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where handlers note their runs."""
    path = tmp_path / "runs"
    path.touch()
    monkeypatch.setenv("RUNS", str(path))
    return path


@pytest.fixture
def paywall() -> Paywall:
    """A paywall of one process."""
    return Paywall(DevNode(), secret_keys=[KEY])


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
