"""What is read of the body of a request that was refused, once its answer is out."""

import socket
from typing import Any

import pytest

from l402_middleware import Paywall, asgi, wsgi
from l402_middleware.exchange import unread

from .test_wsgi import environ_of, serve

SIZE = 3 * 1024 * 1024
LONG = unread.BYTES + 1

# Request headers, and whether the body is taken.
CASES = [
    ({"content-length": str(SIZE)}, True),
    ({"transfer-encoding": "chunked"}, True),
    ({}, False),
    ({"content-length": "0"}, False),
    ({"content-length": str(LONG)}, False),
    ({"content-length": str(SIZE), "expect": "100-continue"}, False),
]


async def _nothing(*args: Any) -> None:
    pytest.fail("ran")


@pytest.mark.parametrize(("headers", "taken"), CASES)
@pytest.mark.parametrize("http_version", ["1.1", "2"])
@pytest.mark.anyio
async def test_asgi(paywall: Paywall, headers: dict[str, str], taken: bool, http_version: str) -> None:
    """It is read after the whole answer is out, and before that ends; of HTTP/2 nothing is."""
    happened: list[str] = []
    left = SIZE

    async def receive() -> Any:
        nonlocal left
        happened.append("read")
        left -= 65536
        return {"type": "http.request", "body": bytes(65536), "more_body": left > 0}

    async def send(message: Any) -> None:
        happened.append(f"{message['type'][14:]} {len(message.get('body', b'')) > 0} {message.get('more_body', False)}")

    scope = {
        "type": "http",
        "http_version": http_version,
        "method": "POST",
        "path": "/thing",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1),
    }
    await asgi.L402Middleware(_nothing, paywall, default=21)(scope, receive, send)
    if taken and http_version == "1.1":
        reads = ["read"] * (SIZE // 65536)
        assert happened == ["start False False", "body True True", *reads, "body False False"]
    else:
        assert happened == ["start False False", "body True False"]


@pytest.mark.parametrize("http_version", ["1.0", "1.1"])
@pytest.mark.anyio
async def test_asgi_without_an_end(paywall: Paywall, http_version: str) -> None:
    """No more of it than the bound, however much comes; and nothing of a client that left."""
    for more, reads in ((True, unread.BYTES // (1024 * 1024)), (False, 1)):
        read: list[bool] = []

        async def receive(more: bool = more, read: list[bool] = read) -> Any:
            read.append(True)
            piece = {"type": "http.request", "body": bytes(1024 * 1024), "more_body": True}
            return piece if more else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            """Taken."""

        scope = {
            "type": "http",
            "http_version": http_version,
            "method": "POST",
            "path": "/thing",
            "query_string": b"",
            "headers": [(b"transfer-encoding", b"chunked")],
            "client": ("127.0.0.1", 1),
        }
        await asgi.L402Middleware(_nothing, paywall, default=21)(scope, receive, send)
        assert len(read) == reads


class Input:
    """A body as a server gives it: `fails` where its client is too slow or gone."""

    def __init__(self, size: int, connection: socket.socket, *, fails: bool = False) -> None:
        self.left = size
        self.timeouts: list[float | None] = []
        self._connection = connection
        self._fails = fails

    def read(self, size: int) -> bytes:
        self.timeouts.append(self._connection.gettimeout())
        if self._fails:
            raise TimeoutError
        taken = min(size, self.left)
        self.left -= taken
        return bytes(taken)


@pytest.mark.parametrize(("headers", "taken"), CASES)
@pytest.mark.parametrize("fails", [False, True])
def test_wsgi(paywall: Paywall, headers: dict[str, str], taken: bool, fails: bool) -> None:
    """It is read in time, by the connection's own timeout, which is as it was then; and a failure concerns nobody."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        stream = Input(SIZE, ours, fails=fails)
        more: dict[str, Any] = {"wsgi.input": stream, "gunicorn.socket": ours, "wsgi.input_terminated": True}
        environ = environ_of("POST", **more)
        for name, value in headers.items():
            key = name.upper().replace("-", "_")
            environ[key if key == "CONTENT_LENGTH" else f"HTTP_{key}"] = value
        app: Any = pytest.fail
        answer = serve(wsgi.L402Middleware(app, paywall, default=21), environ)
        assert answer.code == 402
        assert bool(stream.timeouts) == taken
        assert (stream.left == 0) == (taken and not fails)
        assert all(timeout is not None and 0 < timeout <= unread.SECONDS for timeout in stream.timeouts)
        assert ours.gettimeout() is None


def test_wsgi_without_a_connection(paywall: Paywall) -> None:
    """Where nothing could end the reading in time, nothing is read."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        stream = Input(SIZE, ours)
        more: dict[str, Any] = {"wsgi.input": stream, "CONTENT_LENGTH": str(SIZE)}
        environ = environ_of("POST", **more)
        app: Any = pytest.fail
        assert serve(wsgi.L402Middleware(app, paywall, default=21), environ).code == 402
        assert stream.left == SIZE
