"""The contract for answers: over ASGI on both event loops, and over WSGI by iterating and by pushing."""

from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any

import anyio
import pytest

from l402_middleware import Offer, Paywall, asgi, wsgi
from l402_middleware.asgi.scope import Receive, Scope, Send

from .answers import FREE, AnswerContract, Got, Head, Request, Script
from .test_wsgi import environ_of


def _fields(head: Head) -> list[tuple[str, str]]:
    fields = [("Content-Type", head.kind)]
    return fields if head.length is None else [*fields, ("Content-Length", str(head.length))]


class TestASGI(AnswerContract):
    @pytest.fixture(autouse=True, params=["asyncio", "trio"])
    def _backend(self, request: pytest.FixtureRequest) -> None:
        self.backend: str = request.param

    def sell(self, script: Script, paywall: Paywall, offer: Offer, runs: list[str]) -> Any:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            runs.append(scope["method"])
            pieces = [step for step in script if not isinstance(step, Head)]
            for step in script:
                if isinstance(step, Head):
                    raw = [(name.lower().encode(), value.encode()) for name, value in _fields(step)]
                    await send({"type": "http.response.start", "status": step.status, "headers": raw})
                elif isinstance(step, Exception):
                    raise step
                else:
                    is_last = len(pieces) == 1
                    await send({"type": "http.response.body", "body": step, "more_body": not is_last})
            if len(pieces) != 1:
                await send({"type": "http.response.body", "body": b""})

        return asgi.L402Middleware(app, paywall, default=offer, free=[FREE])

    def ask(self, app: Any, request: Request) -> Got:
        got = Got()
        pieces = 0
        body = [request.body]

        async def receive() -> Any:
            if body:
                return {"type": "http.request", "body": body.pop(), "more_body": False}
            await anyio.sleep(60)
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            nonlocal pieces
            if request.leaves_after is not None and pieces >= request.leaves_after:
                raise OSError("the client is gone")
            if message["type"] == "http.response.start":
                got.status = message["status"]
                got.headers = [(name.decode(), value.decode()) for name, value in message["headers"]]
            else:
                pieces += 1
                got.body += message.get("body", b"")

        headers = dict(request.headers)
        if request.credential:
            headers["Authorization"] = request.credential
        if request.body:
            headers["Content-Length"] = str(len(request.body))
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": "http",
            "path": request.mount + request.path,
            "root_path": request.mount,
            "query_string": request.query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            "client": ("127.0.0.1", 1),
        }

        async def run() -> None:
            try:
                await app(scope, receive, send)
            except Exception as error:
                got.error = error
            assert scope["method"] == request.method

        anyio.run(run, backend=self.backend)
        return got


class TestWSGI(AnswerContract):
    needs_length = True

    def sell(self, script: Script, paywall: Paywall, offer: Offer, runs: list[str]) -> Any:
        def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
            runs.append(environ["REQUEST_METHOD"])
            for step in script:
                if isinstance(step, Head):
                    start_response(f"{step.status} {HTTPStatus(step.status).phrase}", _fields(step))
                elif isinstance(step, Exception):
                    raise step
                else:
                    yield step

        return wsgi.L402Middleware(app, paywall, default=offer, free=[FREE])

    def ask(self, app: Any, request: Request) -> Got:
        got = Got()

        def write(piece: bytes) -> None:
            if request.leaves_after is not None and got.body:
                raise ConnectionResetError("the client is gone")
            got.body += piece

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            got.status, got.headers = int(status[:3]), headers
            return write

        environ = environ_of(
            request.method,
            request.path,
            request.body,
            QUERY_STRING=request.query,
            SCRIPT_NAME=request.mount,
            **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in request.headers.items()},
            **({"HTTP_AUTHORIZATION": request.credential} if request.credential else {}),
        )
        self._serve(app, environ, start, got, request.leaves_after)
        assert environ["REQUEST_METHOD"] == request.method
        return got

    def _serve(self, app: Any, environ: Any, start: Any, got: Got, leaves_after: int | None) -> None:
        pieces: Iterable[bytes] = ()
        try:
            pieces = app(environ, start)
            for number, piece in enumerate(pieces, 1):
                got.body += piece
                if number == leaves_after:
                    break
        except Exception as error:
            got.error = error
        finally:
            try:
                getattr(pieces, "close", lambda: None)()
            except Exception as error:
                got.error = got.error or error


class TestWSGIPushing(TestWSGI):
    """PEP 3333's `write`."""

    def sell(self, script: Script, paywall: Paywall, offer: Offer, runs: list[str]) -> Any:
        def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            runs.append(environ["REQUEST_METHOD"])
            for step in script:
                if isinstance(step, Head):
                    write = start_response(f"{step.status} {HTTPStatus(step.status).phrase}", _fields(step))
                elif isinstance(step, Exception):
                    raise step
                else:
                    write(step)
            return []

        return wsgi.L402Middleware(app, paywall, default=offer, free=[FREE])
