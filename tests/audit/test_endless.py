"""Applications that lead nowhere, or around in a circle: the audit comes back, and says what it could not see."""

from typing import Any

import pytest
from flask import Flask
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route, Router

from l402_middleware import ConfigurationError, Paywall
from l402_middleware.asgi import L402Middleware as WholeASGI
from l402_middleware.audit import audit
from l402_middleware.providers.devnode import DevNode
from l402_middleware.starlette import L402Middleware
from l402_middleware.wsgi import L402Middleware as WholeWSGI

from ..endless import endless


async def endpoint(request: Request) -> Response:
    """Something to route to."""
    return Response()


def application() -> Starlette:
    """An application with something mounted in a circle."""
    app = Starlette(routes=[Route("/x", endpoint)])
    app.router.routes.append(Mount("/again", app))
    return app


@pytest.mark.parametrize("app", endless(application()), ids=lambda app: type(app).__name__)
@pytest.mark.parametrize("below_a_mount", [False, True])
def test_what_has_no_end_is_a_finding(app: Any, below_a_mount: bool) -> None:
    """A proxy, a Mock, a middleware that is made anew: one line, that it cannot be looked into."""
    [finding] = audit(Router([Mount("/m", app)]) if below_a_mount else app)
    assert finding.verdict.status == "free"
    assert "cannot be looked into" in finding.verdict.reason


def test_an_application_in_itself() -> None:
    """A circle is followed once."""
    assert [(str(each), each.verdict.status) for each in audit(application())] == [
        ("GET /x", "free"),
        ("* /again/{path}", "free"),
    ]


@pytest.mark.parametrize("middleware", [WholeASGI, WholeWSGI])
@pytest.mark.parametrize("around", [Starlette(), Flask(__name__)], ids=lambda app: type(app).__name__)
def test_the_look_for_prices_has_an_end(middleware: Any, around: Any) -> None:
    """Where a middleware without a framework looks for priced endpoints, it comes back: with an error, if any."""
    for app in endless(around):
        try:
            middleware(app, Paywall(DevNode()), default=21)
        except ConfigurationError as error:
            assert "has no end" in str(error)  # noqa: PT017 - some have an end


def test_a_default_around_what_has_no_end() -> None:
    """A middleware that has to foresee the route refuses to start."""
    for app in endless(application()):
        with pytest.raises(ConfigurationError):
            L402Middleware(app, Paywall(DevNode()), default=21)


def test_a_default_around_an_application_in_itself() -> None:
    """What is chosen is found as far as the request's path goes."""
    scope = {"type": "http", "method": "GET", "path": "/again/x", "root_path": "", "headers": [], "query_string": b""}
    default, sale = L402Middleware(application(), Paywall(DevNode()), default=21).sales(scope)
    assert default is not None
    assert sale == default
