"""`assert_priced`, as a user's test calls it."""

import subprocess
import sys
from collections.abc import Callable, Collection
from typing import Any

import falcon
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from werkzeug.middleware.proxy_fix import ProxyFix

from l402_middleware import ConfigurationError
from l402_middleware.starlette import L402Middleware, l402_required
from l402_middleware.testing import assert_priced

from .holes import paywall


@l402_required(price=21)
async def priced(request: Request) -> Response:
    """What is sold."""
    return PlainTextResponse("sold")


async def free(request: Request) -> Response:
    """What is given away."""
    return PlainTextResponse("given")


APP = Starlette(
    routes=[
        Route("/forecast", priced, methods=["POST"]),
        Route("/forecast", free),
        Route("/health", free, methods=["GET", "POST"]),
    ],
    middleware=[Middleware(L402Middleware, paywall=paywall())],
)


@pytest.mark.parametrize(
    "except_",
    [
        {"/health", "GET /forecast"},
        ["GET /health", "POST /health", "get /forecast"],
    ],
)
def test_exceptions_cover(except_: Collection[str]) -> None:
    """Everything that is free is an exception, by its path or by one of its methods: the test passes."""
    assert_priced(APP, except_=except_)


@pytest.mark.parametrize(
    ("except_", "said"),
    [
        ((), ["GET /forecast: nothing prices free", "POST /health: nothing prices free", "GET /health"]),
        ({"GET /forecast"}, ["GET /health", "mend it: put @l402_required"]),
        ({"/health", "GET /forecast", "/gone"}, ["not priced: 1\n", "'/gone' matches no route"]),
        ({"/health", "GET /forecast", "PUT /health"}, ["'PUT /health' matches no route"]),
        ({"/health", "/forecast"}, ["'/forecast' covers what is priced (POST /forecast)"]),
        ({"/healt", "GET /forecast"}, ["GET /health", "'/healt' matches no route"]),
    ],
)
def test_what_is_not_priced_or_no_longer_true_fails(except_: Any, said: list[str]) -> None:
    """A free route that is no exception, and an exception that excepts nothing or too much, each fail the test."""
    with pytest.raises(AssertionError) as failure:
        assert_priced(APP, except_=except_)
    assert all(text in str(failure.value) for text in said)


def test_an_application_without_routes_fails() -> None:
    """A test that looked before the routes were there must not pass."""
    with pytest.raises(AssertionError, match="no routes"):
        assert_priced(Starlette())


@pytest.mark.parametrize("app", [None, "shop:app", Starlette, 7])
def test_no_application(app: object) -> None:
    """What is no application is not audited, and not passed either."""
    with pytest.raises(ConfigurationError, match="not an application"):
        assert_priced(app)


@pytest.mark.parametrize("except_", ["/health", ["health"], [7], ["GET  /health"], ["GET POST /health"]])
def test_exceptions_of_the_wrong_form(except_: Any) -> None:
    """A text alone would be read letter by letter: it is refused, and so is what names no path."""
    with pytest.raises(ConfigurationError, match="exception"):
        assert_priced(APP, except_=except_)


@pytest.mark.parametrize("framework", ["starlette", "flask"])
def test_no_other_framework_is_needed(framework: str) -> None:
    """An audit in one framework imports nothing of the other."""
    other = {"starlette": "flask", "flask": "starlette"}[framework]
    program = f"""
import sys
sys.modules[{other!r}] = None
del sys.modules[{other!r}]
class Refuse:
    def find_spec(self, name, *rest):
        assert name.split('.')[0] != {other!r}, name
sys.meta_path.insert(0, Refuse())
from l402_middleware.testing import assert_priced
from {framework}{".applications" if framework == "starlette" else ""} import {framework.capitalize()} as Application
app = Application({"__name__" if framework == "flask" else ""})
try:
    assert_priced(app)
except AssertionError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "findings" in done.stdout


class Circle:
    """Something that wraps itself."""

    def __init__(self) -> None:
        self.app = self.wsgi_app

    def wsgi_app(self) -> None:
        """Nothing."""

    def __call__(self) -> None:
        """Nothing either."""


def litestar() -> object:
    """An application of Litestar's. Like Quart, it does not go with the lowest versions of the frameworks."""
    from litestar import Litestar

    return Litestar()


def quart() -> object:
    """An application of Quart's."""
    from quart import Quart

    return Quart(__name__)


@pytest.mark.parametrize(
    "make",
    [
        Circle,
        lambda: lambda scope, receive, send: None,
        quart,
        falcon.App,
        litestar,
    ],
)
def test_an_application_of_another_framework_is_not_priced(make: Callable[[], object]) -> None:
    """What cannot be looked into passes no test, however it is wrapped, unless it is an exception."""
    for app in (make(), ProxyFix(make())):  # type: ignore[arg-type]
        with pytest.raises(AssertionError, match="cannot be looked into"):
            assert_priced(app)
        assert_priced(app, except_=["/{path}"])
