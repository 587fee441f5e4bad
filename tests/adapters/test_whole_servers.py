"""Whole applications on real servers: every framework at least once, odd targets over raw sockets, and WebSockets."""

import base64
import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from .contract import Site, code, json_of, raw
from .servers import (
    GRANIAN,
    GRANIAN_WEBSOCKETS,
    GUNICORN_SYNC,
    GUNICORN_THREADS,
    HYPERCORN,
    UVICORN_H11,
    UVICORN_HTTPTOOLS,
    UVICORN_WEBSOCKETS,
    UVICORN_WSPROTO,
    WAITRESS,
    WERKZEUG_ALONE,
    Server,
    running,
)
from .whole_contract import WholeApplicationContract

pytestmark = pytest.mark.slow

SITES = [
    pytest.param((server, app, framework), id=f"{server.name}-{framework}")
    for server, app, framework in [
        (UVICORN_H11, "whole_asgi", "plain"),
        (UVICORN_HTTPTOOLS, "whole_asgi", "fastapi"),
        (UVICORN_HTTPTOOLS, "whole_asgi", "django"),
        (GRANIAN, "whole_asgi", "plain"),
        (GRANIAN, "whole_asgi", "litestar"),
        (HYPERCORN, "whole_asgi", "plain"),
        (HYPERCORN, "whole_asgi", "quart"),
        (UVICORN_H11, "whole_asgi", "falcon"),
        (GUNICORN_SYNC, "whole_wsgi", "plain"),
        (GUNICORN_SYNC, "whole_wsgi", "django"),
        (GUNICORN_THREADS, "whole_wsgi", "flask"),
        (WAITRESS, "whole_wsgi", "plain"),
        (WAITRESS, "whole_wsgi", "falcon"),
        (WERKZEUG_ALONE, "whole_wsgi", "plain"),
    ]
]

ODD_TARGETS = [
    "/paid",
    "/%70aid",
    "/pa%69d",
    "/paid%0a",
    "/paid%00",
    "//paid",
    "///paid",
    "/%2Fpaid",
    "/sub/paid",
    "/paid/abc",
    "/paid%2Fabc",
    "/paid/",
    "/./paid",
    "/x/../paid",
    "/free/../paid",
    "/free%2F..%2Fpaid",
    "/paid;/free",
    "/paid%3F/free",
    "/paid?/free",
    "/paid#/free",
    "/PAID",
    "http://elsewhere/paid",
    "http://elsewhere/free/../paid",
    "//free",
    "///free",
    "/%2Ffree",
    "/free/",
    "/free//",
    "/free%0a",
    "/free%00",
    "/free%20",
    "/free;x",
    "/FREE",
    "/free%C0%AE",
    "*",
    "free",
    "",
]

FREE_SPELLINGS = ["/free", "/%66ree", "/free?paid", "http://elsewhere/free"]
"""Targets that are the free path to each server, as to its application."""


@pytest.fixture(scope="class", params=SITES)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Site]]:
    """The small shop, in a framework, on a server."""
    server, app, framework = request.param
    with running(server, app, tmp_path_factory.mktemp(server.name), FRAMEWORK=framework) as site:
        yield server, site


class TestServers(WholeApplicationContract):
    @pytest.fixture
    def site(self, served: tuple[Server, Site]) -> Site:
        _, site = served
        site.runs()
        return site

    @pytest.mark.parametrize("target", ODD_TARGETS)
    def test_odd_targets(self, site: Site, target: str) -> None:
        """Case 58: however a target is spelled, the application sees it with payment alone, or as the free path."""
        is_free = False
        for method in ("GET", "HEAD", "POST", "FOO", "OPTIONS", "TRACE"):
            request = f"{method} {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            answer = raw(site.port, request.encode())
            runs = site.runs()
            # A server may resolve the target before anybody sees it; what it gives its application is then free.
            assert all(run == "/free" for run in runs), (method, target, runs)
            is_free = is_free or bool(runs)
            if not is_free:
                # Without a target this is HTTP/0.9, whose answers have no status.
                status = int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/") else 402
                assert not answer or status in (402, 400, 404, 405, 501, 301, 308), answer

    @pytest.mark.parametrize("target", FREE_SPELLINGS)
    def test_a_free_path_in_other_words(self, site: Site, target: str) -> None:
        """The free list is compared with the path as it is decoded; a query is no part of it."""
        answer = raw(site.port, f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        if target.startswith("http:"):
            assert site.runs() in ([], ["/free"])
        else:
            assert answer.split(b" ", 2)[1] == b"200"
            assert site.runs() == ["/free"]

    def test_hosts(self, site: Site) -> None:
        """Case 61: a Host header that looks like a free path makes nothing free."""
        for host in ("a/free?x=", "a/free#", "a\\free", ""):
            raw(site.port, f"GET /paid HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            assert site.runs() == []

    def test_unpaid_bodies_are_not_read(self, site: Site, served: tuple[Server, Site]) -> None:
        """Case 24: the 402 does not wait for a body that never comes."""
        if not served[0].streams_requests:
            pytest.skip("this server reads the body before it calls the application")
        answer = raw(
            site.port,
            b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n",
            until=lambda answer: b"\r\n\r\n" in answer,
        )
        assert answer.startswith(b"HTTP/1.1 402")
        assert site.runs() == []


# --- WebSockets


def handshake(site: Site, target: str, credential: str | None = None) -> tuple[int, bytes, socket.socket]:
    """A WebSocket's opening handshake: the status, the rest of the answer, and the connection."""
    connection = socket.create_connection(("127.0.0.1", site.port), timeout=10)
    key = base64.b64encode(b"0123456789abcdef").decode()
    lines = [
        f"GET {target} HTTP/1.1",
        "Host: x",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {key}",
        *([f"Authorization: {credential}"] if credential else []),
    ]
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    answer = b""
    while b"\r\n\r\n" not in answer and (piece := connection.recv(65536)):
        answer += piece
    status = int(answer.split(b" ", 2)[1])
    if status != 101:
        length = next((line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:")), b"")
        wanted = int(length.partition(b":")[2] or 0)
        while len(answer.partition(b"\r\n\r\n")[2]) < wanted and (piece := connection.recv(65536)):
            answer += piece
        connection.close()
    return status, answer, connection


def echoed(connection: socket.socket, text: bytes) -> bytes:
    """What comes back for a masked text frame."""
    mask = b"\1\2\3\4"
    masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(text))
    connection.sendall(bytes([0x81, 0x80 | len(text)]) + mask + masked)
    head = connection.recv(2)
    answer = b""
    while len(answer) < head[1]:
        answer += connection.recv(head[1] - len(answer))
    return answer


@pytest.mark.parametrize(
    ("server", "framework"),
    [
        (UVICORN_WEBSOCKETS, "plain"),
        (UVICORN_WEBSOCKETS, "fastapi"),
        (UVICORN_WSPROTO, "plain"),
        (HYPERCORN, "plain"),
        (HYPERCORN, "quart"),
        (GRANIAN_WEBSOCKETS, "plain"),
        (GRANIAN_WEBSOCKETS, "litestar"),
        (UVICORN_WSPROTO, "falcon"),
    ],
    ids=lambda value: value.name if isinstance(value, Server) else str(value),
)
def test_websockets(server: Server, framework: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Case 63: a handshake is refused with the challenge before it is accepted, and is good once paid."""
    with running(server, "whole_asgi", tmp_path_factory.mktemp(server.name), FRAMEWORK=framework) as site:
        status, answer, _ = handshake(site, "/socket")
        assert status == 402
        assert site.runs() == []
        quoted: dict[str, Any] = json_of(answer)
        assert b'www-authenticate: l402 macaroon="' in answer.lower()
        paid = site.request("GET", "/dev/wallet/pay", params={"invoice": quoted["invoice"]}).json()
        credential = f"L402 {quoted['macaroon']}:{paid['preimage']}"
        assert code(site.request("GET", "/socket", credential)) == (402, "wrong-endpoint")
        status, _, connection = handshake(site, "/socket", credential)
        assert status == 101
        with connection:
            assert echoed(connection, b"hello") == b"hello"
        assert site.runs() == ["/socket"]
        status, answer, _ = handshake(site, "/socket", credential)
        assert (status, json_of(answer)["code"]) == (402, "already-used")
        assert site.runs() == []
        if framework == "plain":
            status, answer, _ = handshake(site, "/closes")
            credential = site.pay(Denied(answer))  # type: ignore[arg-type]
            for _ in range(2):
                assert handshake(site, "/closes", credential)[0] == 403
            assert site.runs() == ["/closes"] * 2


class Denied:
    """A refused handshake, as a response that can be paid for."""

    status_code = 402

    def __init__(self, answer: bytes) -> None:
        self.text = answer.decode("latin-1")
        lines = answer.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
        pairs = [line.partition(b":")[::2] for line in lines]
        self.headers = httpx2.Headers([(name, value.strip()) for name, value in pairs])

    def json(self) -> Any:
        return json.loads(self.text[self.text.index("{") : self.text.rindex("}") + 1])
