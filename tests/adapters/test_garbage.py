"""A request that is over leaves nothing that only the garbage collector could free: a server may wait for it."""

import asyncio
import gc
import json
import time
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from l402_middleware import Paywall

from . import fastapi_app, flask_app, starlette_app, whole_asgi, whole_wsgi
from .test_wsgi import environ_of, serve

Ask = Callable[[Any, str, str, str | None], tuple[bytes, "weakref.ref[Kept]"]]

# Not what raises inside Flask, nor what Starlette streams from a thread: they leave such garbage themselves.
REQUESTS = ["/free", "/forecast", "/exact", "/bundle", "/pass", "/events", "/answers/500", "/view"]


class Kept:
    """What a server hangs on its request, such as the connection."""


def ask_asgi(app: Any, method: str, path: str, credential: str | None) -> tuple[bytes, "weakref.ref[Kept]"]:
    """The answer's body, and what the server had hung on the request."""
    kept = Kept()
    pieces: list[bytes] = []
    headers = [(b"authorization", credential.encode())] if credential else []
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "query_string": b"",
        "headers": headers,
        "extensions": {"kept": kept},
    }

    body = iter([b"body"])

    async def receive() -> dict[str, Any]:
        for piece in body:
            return {"type": "http.request", "body": piece, "more_body": False}
        await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        pieces.append(message.get("body", b""))

    asyncio.run(app(scope, receive, send))
    return b"".join(pieces), weakref.ref(kept)


def ask_wsgi(app: Any, method: str, path: str, credential: str | None) -> tuple[bytes, "weakref.ref[Kept]"]:
    """The same over WSGI."""
    kept = Kept()
    more = {"HTTP_AUTHORIZATION": credential} if credential else {}
    answer = serve(app, environ_of(method, path, b"body" if method == "POST" else b"", kept=kept, **more))
    return b"".join(answer.pieces), weakref.ref(kept)


def is_gone(kept: "weakref.ref[Kept]") -> bool:
    """Whether it is free, or is as soon as a worker thread lets go of the last call that it made."""
    until = time.monotonic() + 1
    while kept() is not None and time.monotonic() < until:
        time.sleep(0.01)
    return kept() is None


@pytest.fixture
def no_collector() -> Iterator[None]:
    """No garbage collector."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector", "runs_file")
@pytest.mark.parametrize("path", REQUESTS)
@pytest.mark.parametrize(
    ("create", "ask"),
    [
        (starlette_app.create, ask_asgi),
        (fastapi_app.create, ask_asgi),
        (partial(whole_asgi.create, framework="plain"), ask_asgi),
        (flask_app.create, ask_wsgi),
        (partial(whole_wsgi.create, framework="plain"), ask_wsgi),
    ],
    ids=["Starlette", "FastAPI", "ASGI", "Flask", "WSGI"],
)
def test_nothing_waits_for_the_collector(
    paywall: Paywall, create: Callable[[Paywall], Any], ask: Ask, path: str
) -> None:
    """Free, unpaid, paid, failed and streamed: what the server hung on the request is free with its end."""
    app = create(paywall)
    method = "POST" if path == "/exact" else "GET"
    body, kept = ask(app, method, path, None)
    assert is_gone(kept)
    if b'"invoice"' in body:
        quoted = json.loads(body)
        assert paywall.wallet is not None
        preimage = paywall.wallet.pay(quoted["invoice"]).hex()
        _, kept = ask(app, method, path, f"L402 {quoted['macaroon']}:{preimage}")
        assert is_gone(kept)
