"""What is written wrong is refused when it is imported, or the application is made, with what to write instead."""

import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from flask import Flask
from flask.views import MethodView
from starlette.endpoints import HTTPEndpoint
from starlette.routing import Route, WebSocketRoute

from l402_middleware import ConfigurationError, Paywall, flask, frameworks, starlette
from l402_middleware.fastapi import L402, Free, L402Middleware, Priced
from l402_middleware.providers.devnode import DevNode

from ..docs.markdown import ROOT


def endpoint(request: Any) -> Any:
    """Something to sell."""


def in_starlettes_class() -> None:
    """A method of an `HTTPEndpoint`."""

    class View(HTTPEndpoint):
        get: Any = starlette.l402_required(endpoint)


def in_flasks_class() -> None:
    """A method of a `MethodView`."""

    class View(MethodView):
        get: Any = flask.l402_required(endpoint)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Route("/x", starlette.l402_required(endpoint)),
        lambda: WebSocketRoute("/x", starlette.l402_required(endpoint)),
        lambda: FastAPI().get("/x")(starlette.l402_required(endpoint)),
        lambda: Flask(__name__).get("/x")(flask.l402_required(endpoint)),
        in_starlettes_class,
        in_flasks_class,
    ],
)
def test_the_decorator_without_its_parentheses(make: Callable[[], object]) -> None:
    """It took the endpoint for a price function, and the router would call the decorator."""
    # Before 3.12 Python gives what fails while a class is made as the cause of its own error.
    with pytest.raises((ConfigurationError, RuntimeError)) as raised:
        make()
    assert "write @l402_required(price=...)" in str(raised.value.__cause__ or raised.value)


def test_a_price_function_is_none_of_that() -> None:
    """A decorator with a computed price decorates, and one with a fixed price may stand in a class."""

    class Shop:
        dear = starlette.l402_required(price=1000)

    assert Shop.dear(endpoint).__name__ == "endpoint"
    assert starlette.l402_required(price=lambda request: 1)(endpoint).__name__ == "endpoint"


@pytest.mark.parametrize("tag", [Priced(21), Free()], ids=["Priced", "Free"])
def test_a_dependency_in_a_dependency(tag: Any) -> None:
    """`Depends(Priced(21))`, in a list and as a parameter."""

    def parameter(payment: Any) -> None: ...

    parameter.__annotations__["payment"] = Annotated[Any, Depends(tag)]
    with pytest.raises(ConfigurationError, match=r"not Depends\(Priced\(21\)\)"):
        FastAPI().get("/x", dependencies=[Depends(tag)])(lambda: None)
    with pytest.raises(ConfigurationError, match=r"not Depends\(Priced\(21\)\)"):
        FastAPI().get("/x")(parameter)


@pytest.mark.parametrize("first", [L402, lambda app, paywall: app.add_middleware(L402Middleware, paywall=paywall)])
def test_two_paywalls_on_one_application(first: Callable[[FastAPI, Paywall], object]) -> None:
    """`L402(app, paywall)` a second time."""
    app, paywall = FastAPI(), Paywall(DevNode())
    first(app, paywall)
    with pytest.raises(ConfigurationError, match="already: call L402"):
        L402(app, paywall)


@pytest.mark.parametrize("name", frameworks.LOWEST)
def test_a_framework_that_is_missing_or_too_old(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The error names what to install, and the version where one is there."""
    found: list[str] = ["0.9.1"]

    def version(asked: str) -> str:
        if not found:
            raise metadata.PackageNotFoundError(asked)
        return found[0]

    monkeypatch.setattr(frameworks, "version", version)
    with pytest.raises(ImportError, match=rf"needs {name} {frameworks.LOWEST[name]} or later, and 0.9.1 is installed"):
        frameworks.require(name)
    found[0] = frameworks.LOWEST[name] + ".0"
    frameworks.require(name)
    found.clear()
    with pytest.raises(ImportError, match=rf"pip install 'l402_middleware\[{name}\]'"):
        frameworks.require(name)


@pytest.mark.parametrize("name", frameworks.LOWEST)
def test_the_adapter_of_a_missing_framework(name: str) -> None:
    """Importing the adapter says so, before it comes to the framework's own import."""
    program = (
        "import importlib.metadata as metadata\n"
        "def version(name): raise metadata.PackageNotFoundError(name)\n"
        "metadata.version = version\n"
        f"import l402_middleware.{name}"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert f"l402_middleware[{name}]" in answer.stderr.splitlines()[-1]


def test_the_lowest_versions_are_those_that_are_installed() -> None:
    """The extras ask for the same versions as the adapters, and `make test-lowest` tests with them."""
    text = (ROOT / "pyproject.toml").read_text()
    for name, lowest in frameworks.LOWEST.items():
        extra = "flask[async]" if name == "flask" else name
        assert f'"{extra}>={lowest}"' in text
        assert f'"{extra}=={lowest}"' in text.replace('.0"', '"')
