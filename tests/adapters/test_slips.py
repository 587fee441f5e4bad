"""What new users get wrong is refused where it is written, or at start-up, with what to write."""

import subprocess
import sys
from collections.abc import Callable
from typing import Annotated, Any
from unittest.mock import MagicMock

import pytest
from fastapi import APIRouter, Depends, FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.routing import Mount
from starlette.testclient import TestClient

from l402_middleware import ConfigurationError, Paywall
from l402_middleware.asgi import L402Middleware as ASGIMiddleware
from l402_middleware.audit import audit
from l402_middleware.fastapi import L402, Free, Priced
from l402_middleware.flask import l402_required as flask_required
from l402_middleware.providers.devnode import DevNode
from l402_middleware.starlette import L402Middleware, l402_required
from l402_middleware.wsgi import L402Middleware as WSGIMiddleware

from .servers import KEY


def paywall() -> Paywall:
    """A paywall of one process."""
    return Paywall(DevNode(), secret_keys=[KEY])


def no_argument() -> None:
    """Wants nothing."""


def two_arguments(a: int, b: int) -> None:
    """Wants two."""


def named_only(*, a: int) -> None:
    """Wants one by name."""


def with_request(request: Request) -> None:
    """Wants the framework's request."""


@pytest.mark.parametrize("endpoint", [no_argument, two_arguments, named_only, with_request])
@pytest.mark.parametrize("decorator", [l402_required, flask_required], ids=["starlette", "flask"])
def test_without_parentheses(decorator: Any, endpoint: Callable[..., None]) -> None:
    """`@l402_required` without parentheses is refused on whatever cannot be a function of the price."""
    with pytest.raises(ConfigurationError, match=rf"on {endpoint.__name__}: write @l402_required\(price=...\)"):
        decorator(endpoint)


@pytest.mark.parametrize(
    "price",
    [lambda request: 1, lambda *args: 1, lambda request, extra=2: 1, MagicMock()],
    ids=["one", "any", "one with a default beside it", "not a function"],
)
def test_what_may_be_a_function_of_the_price(price: Any) -> None:
    """What can be called with one argument is taken for the function of a price."""
    l402_required(price)
    flask_required(price)


@pytest.mark.parametrize("dependency", [Priced(21), Free()])
def test_priced_within_depends(dependency: Any) -> None:
    """`Depends(Priced(21))` is refused when the route is made, as a parameter and in a list of dependencies."""
    app = FastAPI()

    def parameter(payment: Annotated[Any, Depends(dependency)]) -> None: ...

    with pytest.raises(ConfigurationError, match=r"write Priced\(...\)"):
        app.get("/")(parameter)
    with pytest.raises(ConfigurationError, match=r"write Priced\(...\)"):
        app.get("/", dependencies=[Depends(dependency)])(no_argument)
    with pytest.raises(ConfigurationError, match=r"write Priced\(...\)"):
        APIRouter(dependencies=[Depends(dependency)]).get("/")(no_argument)


def test_two_extensions_on_one_application() -> None:
    """A second `L402(app, ...)` is refused, whichever way the first came in."""
    app, other = FastAPI(), FastAPI()
    L402(app, paywall())
    other.add_middleware(L402Middleware, paywall=paywall())
    with pytest.raises(ConfigurationError, match="once"):
        L402(app, paywall())
    with pytest.raises(ConfigurationError, match="once"):
        L402(other, paywall())


@pytest.mark.parametrize("extra", ["starlette", "fastapi", "flask"])
def test_missing_extra(extra: str) -> None:
    """Without its framework an adapter names the extra to install."""
    code = f"import sys; sys.modules['{extra}'] = None; import l402_middleware.{extra}"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert f"pip install 'l402_middleware[{extra}]'" in ended.stderr.splitlines()[-1]


class Proxy:
    """Answers to every attribute with another one like it, as lazy objects do."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Proxy()

    def __call__(self, *args: object) -> None: ...


@pytest.mark.parametrize("endless", [Proxy, MagicMock])
@pytest.mark.parametrize("middleware", [ASGIMiddleware, WSGIMiddleware], ids=["asgi", "wsgi"])
def test_whole_application_without_an_end(middleware: Any, endless: Callable[[], Any]) -> None:
    """A look for decorated endpoints that cannot end is refused with a word on what makes it endless."""
    with pytest.raises(ConfigurationError, match="no end"):
        middleware(endless(), paywall(), default=1)


@pytest.mark.parametrize("endless", [Proxy, MagicMock])
def test_mounted_without_an_end(endless: Callable[[], Any]) -> None:
    """So is a mounted one, when a request would have to be foreseen in it."""
    app = Starlette(
        routes=[Mount("/m", endless())], middleware=[Middleware(L402Middleware, paywall=paywall(), default=1)]
    )
    with pytest.raises(ConfigurationError, match="no end"):
        TestClient(app).get("/m/x")


@pytest.mark.parametrize("endless", [Proxy, MagicMock])
def test_audit_without_an_end(endless: Callable[[], Any]) -> None:
    """The audit says that it cannot look into it."""
    (finding,) = audit(endless())
    assert "cannot be looked into" in finding.verdict.reason
