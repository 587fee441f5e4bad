"""The warning of credentials that travel in the open."""

import logging
from typing import Any

import pytest
from flask import Flask
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from l402_middleware import Offer, Paywall
from l402_middleware.flask import L402
from l402_middleware.flask import l402_required as flask_required
from l402_middleware.providers import DevNode
from l402_middleware.starlette import L402Middleware
from l402_middleware.starlette import l402_required as starlette_required

from .shop import KEY, Shop, ask, code

PROXIES = {"trusted_proxies": ["10.0.0.1"], "forwarded_header": "X-Forwarded-For"}
STRANGER, PRIVATE = "1.1.1.1", "192.168.1.7"


def forwarded(proto: str) -> list[tuple[bytes, bytes]]:
    """What a proxy adds to the request of `STRANGER`."""
    return [(b"x-forwarded-for", STRANGER.encode()), (b"x-forwarded-proto", proto.encode())]


@pytest.mark.parametrize(
    ("options", "request_", "warned"),
    [
        ({}, {"peer": STRANGER}, True),
        ({}, {"peer": "2606:4700::1111"}, True),
        ({}, {"peer": STRANGER, "scheme": "https"}, False),
        ({}, {"peer": PRIVATE}, False),
        ({}, {"peer": "127.0.0.1"}, False),
        ({}, {"peer": None}, False),
        ({}, {"peer": STRANGER, "headers": forwarded("https")}, True),
        (PROXIES, {"peer": "10.0.0.1", "headers": forwarded("http")}, True),
        (PROXIES, {"peer": "10.0.0.1", "headers": forwarded("https, http")}, True),
        (PROXIES, {"peer": "10.0.0.1", "headers": forwarded("http, HTTPS")}, False),
        (PROXIES, {"peer": "10.0.0.1", "headers": [(b"x-forwarded-for", STRANGER.encode())]}, True),
        (PROXIES, {"peer": "10.0.0.1", "scheme": "https", "headers": forwarded("")}, False),
    ],
)
def test_plain_http(
    options: dict[str, Any], request_: dict[str, Any], warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Case 93: who is asked from the internet over plain HTTP is warned, once; the answer is the same."""
    shop = Shop(options)
    for _ in range(3):
        assert code(shop.decide(Offer(1), ask(**request_))) == (402, "payment-required")
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == warned
    assert all("Serve over TLS" in record.getMessage() for record in warnings)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("framework", ["starlette", "flask"])
def test_servers_say_the_scheme(framework: str, scheme: str, caplog: pytest.LogCaptureFixture) -> None:
    """Case 93: under ASGI and WSGI alike."""
    paywall = Paywall(DevNode(), secret_keys=[KEY])
    if framework == "starlette":
        routes = [Route("/", starlette_required(price=1)(lambda request: Response()))]
        app = Starlette(routes=routes, middleware=[Middleware(L402Middleware, paywall=paywall)])
        status = TestClient(app, base_url=f"{scheme}://test", client=(STRANGER, 1)).get("/").status_code
    else:
        flask = Flask(__name__)
        L402(flask, paywall)
        flask.add_url_rule("/", view_func=flask_required(price=1)(lambda: ""))
        origin = {"REMOTE_ADDR": STRANGER}
        status = flask.test_client().get("/", base_url=f"{scheme}://test", environ_base=origin).status_code
    assert status == 402
    assert any("Serve over TLS" in record.getMessage() for record in caplog.records) == (scheme == "http")
