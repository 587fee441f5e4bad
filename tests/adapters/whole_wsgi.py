"""One small shop in each WSGI framework, sold as a whole by the middleware that knows none of them; see whole_asgi."""

import json
import os
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, cast

from l402_middleware import Paywall, paywall_from_settings
from l402_middleware.wsgi import L402Middleware

from .scenario import record, shown
from .whole_asgi import FREE, PRICE

App = Callable[[dict[str, Any], Any], Iterable[bytes]]


def paid_of(environ: dict[str, Any]) -> dict[str, Any]:
    """What the middleware tells every WSGI application."""
    return shown(environ["l402_middleware.payment"])


def plain() -> App:
    """No framework at all: this application answers whatever it is asked."""

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        path = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")
        record(path)
        status = HTTPStatus(int(path.rpartition("/")[2]) if path.startswith("/status/") else 200)
        if path == "/echo":
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        else:
            body = json.dumps(paid_of(environ)).encode()
        headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
        if status in (204, 304):
            headers, body = [], b""
        start_response(f"{status.value} {status.phrase}", headers)
        return [body]

    return app


def flask() -> App:
    """Flask, without its extension."""
    from flask import Flask, request

    app = Flask(__name__)

    @app.get("/free")
    @app.get("/free/ünï")
    @app.get("/paid")
    def paid() -> dict[str, Any]:
        record(request.path)
        return paid_of(request.environ)

    @app.post("/echo")
    def echo() -> bytes:
        record("/echo")
        return request.get_data()

    @app.get("/status/<int:status>")
    def answer(status: int) -> tuple[str, int]:
        record(f"/status/{status}")
        return "", status

    return cast(App, app)


def django() -> App:
    """Django, by its WSGI handler."""
    from django.core.wsgi import get_wsgi_application

    from .django_site import configure

    configure()
    return cast(App, get_wsgi_application())


def falcon() -> App:
    """Falcon's WSGI application."""
    from falcon import App as Falcon

    class Paid:
        def on_get(self, request: Any, response: Any) -> None:
            record(request.path)
            response.media = paid_of(request.env)

    class Echo:
        def on_post(self, request: Any, response: Any) -> None:
            record("/echo")
            response.data = request.bounded_stream.read()

    class Answer:
        def on_get(self, request: Any, response: Any, status: int) -> None:
            record(f"/status/{status}")
            response.status = status

    app = Falcon()
    for path in (*FREE, "/paid"):
        app.add_route(path, Paid())
    app.add_route("/echo", Echo())
    app.add_route("/status/{status:int}", Answer())
    return cast(App, app)


FRAMEWORKS: dict[str, Callable[[], App]] = {make.__name__: make for make in (plain, flask, django, falcon)}


def create(paywall: Paywall | None = None, framework: str | None = None) -> App:
    """The shop in the framework that the environment names, sold as a whole."""
    app = FRAMEWORKS[framework or os.environ["FRAMEWORK"]]()
    return cast(App, L402Middleware(app, paywall or paywall_from_settings(), default=PRICE, free=FREE))
