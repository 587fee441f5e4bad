"""Requests straight into an application, past all servers: ASGI and WSGI."""

import asyncio
import io
from collections.abc import Iterable
from typing import Any

from l402_middleware.asgi.scope import ASGIApp, Message, Receive, Scope

from .sales import Call

CHUNK = 64 * 1024


def scope_of(call: Call) -> Scope:
    """The ASGI scope of a request, as uvicorn makes it."""
    headers = [(b"host", b"127.0.0.1"), (b"user-agent", b"bench")]
    if call.authorization is not None:
        headers.append((b"authorization", call.authorization))
    if call.body:
        headers.append((b"content-length", str(len(call.body)).encode()))
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": call.method,
        "scheme": "http",
        "path": call.path,
        "raw_path": call.path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }


_NO_BODY: Message = {"type": "http.request", "body": b"", "more_body": False}


async def _receive_nothing() -> Message:
    return _NO_BODY


async def asgi(app: ASGIApp, call: Call, status: int, *, lets_others_go_on: bool = False) -> list[Message]:
    """The answer to one request; fails where it has another status."""
    answer: list[Message] = []

    async def send(message: Message) -> None:
        answer.append(message)

    await app(scope_of(call), _body_of(call, lets_others_go_on) if call.body else _receive_nothing, send)
    assert answer[0]["status"] == status, (call.path, answer)
    return answer


def _body_of(call: Call, lets_others_go_on: bool) -> Receive:
    at = 0

    async def receive() -> Message:
        nonlocal at
        if lets_others_go_on:
            await asyncio.sleep(0)
        piece, at = call.body[at : at + CHUNK], at + CHUNK
        return {"type": "http.request", "body": piece, "more_body": at < len(call.body)}

    return receive


def environ_of(call: Call) -> dict[str, Any]:
    """The WSGI environ of a request, as gunicorn makes it."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": call.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": call.path,
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "127.0.0.1",
        "HTTP_USER_AGENT": "bench",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(call.body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
    }
    if call.authorization is not None:
        environ["HTTP_AUTHORIZATION"] = call.authorization.decode()
    if call.body:
        environ["CONTENT_LENGTH"] = str(len(call.body))
    return environ


def wsgi(app: Any, call: Call, status: int) -> bytes:
    """The body of the answer to one request; fails where it has another status."""
    got = ""

    def start_response(line: str, headers: list[tuple[str, str]], exc_info: object = None) -> Any:
        nonlocal got
        got = line

    pieces: Iterable[bytes] = app(environ_of(call), start_response)
    try:
        body = b"".join(pieces)
    finally:
        getattr(pieces, "close", lambda: None)()
    assert got.startswith(f"{status} "), (call.path, got, body)
    return body
