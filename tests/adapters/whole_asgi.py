"""One small shop in each ASGI framework, sold as a whole by the middleware that knows none of them.

`FRAMEWORK` in the environment names the one to serve. What is asked of each: `/free` and `/paid` say what was paid,
`/echo` gives a body back, `/status/<n>` has that status, `/socket` echoes what a WebSocket sends.
"""

import os
from collections.abc import Callable
from typing import Any, cast

from l402_middleware import Paywall, paywall_from_settings
from l402_middleware.asgi import L402Middleware
from l402_middleware.asgi.scope import ASGIApp, Receive, Scope, Send

from .scenario import record, shown

FREE = ["/free", "/free/ünï"]
PRICE = 21


def paid_of(scope: Any) -> dict[str, Any]:
    """What the middleware tells every ASGI application."""
    return shown(scope["state"]["l402"])


def plain() -> ASGIApp:
    """No framework at all: this application answers whatever it is asked."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for kind in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{kind}.complete"})
            return
        path = scope["path"]
        record(path)
        if scope["type"] == "websocket":
            await receive()
            if path == "/closes":
                await send({"type": "websocket.close"})
                return
            await send({"type": "websocket.accept"})
            while (message := await receive())["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": message.get("text")})
            return
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        status = int(path.rpartition("/")[2]) if path.startswith("/status/") else 200
        payload = body if path == "/echo" else str(paid_of(scope)).replace("'", '"').replace("None", "null").encode()
        headers = [(b"content-length", str(len(payload)).encode()), (b"content-type", b"application/json")]
        if status in (204, 304):
            headers, payload = [], b""
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": payload})

    return app


def fastapi() -> ASGIApp:
    """FastAPI."""
    from fastapi import FastAPI, Request, Response, WebSocket

    app = FastAPI()

    @app.get("/free")
    @app.get("/free/ünï")
    @app.get("/paid")
    async def paid(request: Request) -> dict[str, Any]:
        record(request.url.path)
        return paid_of(request.scope)

    @app.post("/echo")
    async def echo(request: Request) -> Response:
        record("/echo")
        return Response(await request.body())

    @app.get("/status/{status}")
    async def answer(status: int) -> Response:
        record(f"/status/{status}")
        return Response(status_code=status)

    @app.websocket("/socket")
    async def socket(websocket: WebSocket) -> None:
        record("/socket")
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text(text)

    return cast(ASGIApp, app)


def litestar() -> ASGIApp:
    """Litestar."""
    from litestar import Litestar, Request, Response, WebSocket, get, post, websocket

    @get(["/free", "/free/ünï", "/paid"])
    async def paid(request: Request[Any, Any, Any]) -> dict[str, Any]:
        record(request.scope["path"])
        return paid_of(request.scope)

    @post("/echo", status_code=200)
    async def echo(request: Request[Any, Any, Any]) -> Response[bytes]:
        record("/echo")
        return Response(await request.body())

    @get("/status/{status:int}")
    async def answer(request: Request[Any, Any, Any]) -> Response[None]:
        record(request.scope["path"])
        return Response(None, status_code=request.path_params["status"])

    @websocket("/socket")
    async def socket(socket: WebSocket[Any, Any, Any]) -> None:
        record("/socket")
        await socket.accept()
        while True:
            await socket.send_text(await socket.receive_text())

    return cast(ASGIApp, Litestar([paid, echo, answer, socket], openapi_config=None))


def quart() -> ASGIApp:
    """Quart."""
    from quart import Quart, request, websocket

    app = Quart(__name__)

    @app.get("/free")
    @app.get("/free/ünï")
    @app.get("/paid")
    async def paid() -> dict[str, Any]:
        record(request.path)
        return paid_of(request.scope)

    @app.post("/echo")
    async def echo() -> Any:
        record("/echo")
        return await request.get_data()

    @app.get("/status/<int:status>")
    async def answer(status: int) -> tuple[str, int]:
        record(f"/status/{status}")
        return "", status

    @app.websocket("/socket")
    async def socket() -> None:
        record("/socket")
        while True:
            await websocket.send(await websocket.receive())

    return cast(ASGIApp, app)


def django() -> ASGIApp:
    """Django, by its ASGI handler."""
    from django.core.asgi import get_asgi_application

    from .django_site import configure

    configure()
    return cast(ASGIApp, get_asgi_application())


def falcon() -> ASGIApp:
    """Falcon's ASGI application."""
    from falcon.asgi import App

    class Paid:
        async def on_get(self, request: Any, response: Any) -> None:
            record(request.path)
            response.media = paid_of(request.scope)

    class Echo:
        async def on_post(self, request: Any, response: Any) -> None:
            record("/echo")
            response.data = await request.stream.read()

    class Answer:
        async def on_get(self, request: Any, response: Any, status: int) -> None:
            record(f"/status/{status}")
            response.status = status

    class Socket:
        async def on_websocket(self, request: Any, socket: Any) -> None:
            record("/socket")
            await socket.accept()
            while True:
                await socket.send_text(await socket.receive_text())

    app = App()
    for path in (*FREE, "/paid"):
        app.add_route(path, Paid())
    app.add_route("/echo", Echo())
    app.add_route("/status/{status:int}", Answer())
    app.add_route("/socket", Socket())
    return cast(ASGIApp, app)


FRAMEWORKS: dict[str, Callable[[], ASGIApp]] = {
    make.__name__: make for make in (plain, fastapi, litestar, quart, django, falcon)
}


def create(paywall: Paywall | None = None, framework: str | None = None) -> ASGIApp:
    """The shop in the framework that the environment names, sold as a whole."""
    app = FRAMEWORKS[framework or os.environ["FRAMEWORK"]]()
    return L402Middleware(app, paywall or paywall_from_settings(), default=PRICE, free=FREE)
