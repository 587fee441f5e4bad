"""What strangers send to real servers, by raw sockets: forged addresses, endless bodies, long headers."""

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.adapters.servers import GUNICORN_SYNC, SERVERS, UVICORN_HTTPTOOLS, WAITRESS, Server

from .shop import Shop, Wallet, command, free_port, serving, wait_for

pytestmark = pytest.mark.slow


def without_proxies(server: Server) -> Server:
    """The server, told to leave alone what proxies add, where it would not of itself."""
    is_uvicorn = server.name.startswith("uvicorn")
    return replace(server, arguments=(*server.arguments, "--no-proxy-headers")) if is_uvicorn else server


PAIRS = [(without_proxies(server), "starlette_shop" if server.is_asgi else "flask_shop") for server in SERVERS]
ALL = [pytest.param(pair, id=pair[0].name) for pair in PAIRS]

# waitress reads the whole body before it calls the application, and gunicorn's sync worker one request after the other.
STREAMING = [pytest.param(pair, id=pair[0].name) for pair in PAIRS if pair[0] is not WAITRESS]
CONCURRENT = [pytest.param(pair, id=pair[0].name) for pair in PAIRS if pair[0] not in (WAITRESS, GUNICORN_SYNC)]

SECONDS = 1.5


@dataclass(frozen=True)
class Heard:
    """An answer, and how many seconds after the request it came."""

    status: int
    head: str
    body: bytes
    after: float

    @property
    def code(self) -> str:
        """The code of a refusal."""
        return str(json.loads(self.body)["code"])


@contextmanager
def shop_on(server: Server, module: str, folder: Path, **settings: str) -> Iterator[Shop]:
    """A shop on that server."""
    port = free_port()
    with serving(command(server, module, port), port, folder, **settings) as shop:
        yield shop


def connect(shop: Shop) -> socket.socket:
    """A connection to the shop."""
    return socket.create_connection(("127.0.0.1", shop.port), timeout=20)


def request(method: str, target: str, *lines: str) -> bytes:
    """The head of a request."""
    return "\r\n".join([f"{method} {target} HTTP/1.1", "Host: shop", *lines, "", ""]).encode("latin-1")


def hear(connection: socket.socket) -> Heard:
    """The next answer."""
    started, received = time.monotonic(), b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(65536)
        if not piece:
            return Heard(0, "", received, time.monotonic() - started)
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    found = re.search(rb"(?i)^content-length: *(\d+)", head, re.MULTILINE)
    while found and len(body) < int(found[1]):
        body += connection.recv(65536)
    return Heard(int(head.split()[1]), head.decode("latin-1").lower(), body, time.monotonic() - started)


def ask(shop: Shop, method: str, target: str, *lines: str, body: bytes = b"") -> Heard:
    """One request on a connection of its own."""
    with closing(connect(shop)) as connection:
        connection.sendall(request(method, target, *lines) + body)
        return hear(connection)


# --- who asks


@pytest.mark.parametrize("pair", ALL)
def test_a_forged_address(pair: tuple[Server, str], tmp_path: Path) -> None:
    """Cases 87, 89: without trusted proxies no header, however it is spelled, changes who asks."""
    lies = [
        *("X-Forwarded-For: 203.0.113.9", "X_Forwarded_For: 203.0.113.9", "Forwarded: for=203.0.113.9"),
        *("X-Real-IP: 203.0.113.9", "Remote-Addr: 203.0.113.9", "REMOTE_ADDR: 203.0.113.9", "Client-IP: 203.0.113.9"),
    ]
    with shop_on(*pair, tmp_path) as shop:
        assert peer_of(ask(shop, "GET", "/peer", *lies)) == "127.0.0.1"


@pytest.mark.parametrize("pair", ALL)
def test_behind_a_trusted_proxy(pair: tuple[Server, str], tmp_path: Path) -> None:
    """Cases 88, 89: what the proxy appended is the peer; what its client wrote, twins with underscores too, is not."""
    server, module = pair
    if server is WAITRESS:
        server = replace(
            WAITRESS, arguments=("-m", "waitress", "--no-clear-untrusted-proxy-headers", *WAITRESS.arguments[2:])
        )
    settings = {"L402_TRUSTED_PROXIES": "127.0.0.0/8", "L402_FORWARDED_HEADER": "X-Forwarded-For"}
    real = "X-Forwarded-For: 198.51.100.1, 203.0.113.9"
    with shop_on(server, module, tmp_path, **settings) as shop:
        asked = [
            peer_of(ask(shop, "GET", "/peer", *lines))
            for lines in [
                [],
                [real],
                ["X-Forwarded-For: 198.51.100.1", "X-Forwarded-For: 203.0.113.9"],
                ["X_Forwarded_For: 198.51.100.1"],
                ["X_Forwarded_For: 198.51.100.1", real],
                [real, "X_Forwarded_For: 198.51.100.1"],
                [real, "X-Forwarded_For: 198.51.100.1", "x_forwarded-for: 198.51.100.1"],
                [real, "Forwarded: for=198.51.100.1"],
                ["X-Forwarded-For: 198.51.100.1, [2001:db8::7]:443, 127.0.0.2"],
                ["X-Forwarded-For: 198.51.100.1, unknown"],
                ["X-Forwarded-For: " + "198.51.100.1, " * 200 + "203.0.113.9"],
            ]
        ]
    client = "203.0.113.9"
    assert asked == ["127.0.0.1", client, client, "127.0.0.1", *[client] * 4, "2001:db8::7", "None", client]


def test_uvicorns_own_proxy_headers_agree(tmp_path: Path) -> None:
    """Case 88: where uvicorn resolves the address already, the paywall comes to the same one."""
    settings = {"L402_TRUSTED_PROXIES": "127.0.0.1 10.0.0.0/8", "L402_FORWARDED_HEADER": "X-Forwarded-For"}
    with shop_on(UVICORN_HTTPTOOLS, "starlette_shop", tmp_path, **settings) as shop:
        for line in ("203.0.113.9", "198.51.100.1, 203.0.113.9", "198.51.100.1, 203.0.113.9, 10.0.0.7"):
            assert peer_of(ask(shop, "GET", "/peer", f"X-Forwarded-For: {line}")) == "203.0.113.9"


def peer_of(heard: Heard) -> str:
    """Whom the paywall took for the peer."""
    assert (heard.status, heard.code) == (404, "peer"), heard
    return str(json.loads(heard.body)["title"])


def is_closed(connection: socket.socket) -> bool:
    """Whether the server closes the connection now."""
    connection.settimeout(2)
    try:
        return connection.recv(1000) == b""
    except ConnectionError:
        return True


# --- bodies before payment


def drip(connection: socket.socket, seconds: float) -> None:
    """A byte every 50 ms, until nobody takes them any more."""
    until = time.monotonic() + seconds
    with suppress(OSError):
        while time.monotonic() < until:
            connection.sendall(b"x")
            time.sleep(0.05)


@pytest.mark.parametrize("drips", [False, True], ids=["pauses", "drips"])
@pytest.mark.parametrize("pair", ALL)
def test_a_body_that_does_not_come(pair: tuple[Server, str], drips: bool, tmp_path: Path) -> None:
    """A client that pauses in its body, or drips it, is sent away in time, and then the connection ends."""
    server, module = pair
    with shop_on(server, module, tmp_path, L402_BODY_SECONDS=str(SECONDS)) as shop, closing(connect(shop)) as slow:
        slow.sendall(request("POST", "/upload", "Content-Length: 100000") + b"x" * 1000)
        if drips:
            threading.Thread(target=drip, args=(slow, 10), daemon=True).start()
        if server is WAITRESS:
            # It reads the whole body before anybody is asked, with a limit of its own.
            slow.settimeout(SECONDS + 1)
            with pytest.raises(TimeoutError):
                hear(slow)
        else:
            heard = hear(slow)
            assert (heard.status, heard.code) == (408, "body-too-slow"), heard
            assert SECONDS - 0.2 < heard.after < SECONDS + 2
            assert is_closed(slow)
        assert ask(shop, "GET", "/free").status == 200
        assert "Traceback" not in shop.output.read_text()


@pytest.mark.parametrize("pair", STREAMING)
def test_a_slow_body_that_comes(pair: tuple[Server, str], tmp_path: Path) -> None:
    """A body that arrives slowly, and faster than the slowest, has the time that it needs."""
    with shop_on(*pair, tmp_path, L402_BODY_SECONDS=str(SECONDS)) as shop, closing(connect(shop)) as slow:
        slow.sendall(request("POST", "/upload", "Content-Length: 300000"))
        for _ in range(30):
            slow.sendall(b"x" * 10_000)
            time.sleep(SECONDS / 15)
        assert hear(slow).status == 402


@pytest.mark.parametrize("pair", CONCURRENT)
def test_too_many_bodies(pair: tuple[Server, str], tmp_path: Path) -> None:
    """Beyond the room for bodies there is a 503 that says when to come again; others go on, and it is freed."""
    settings = {"L402_SPOOL_BODIES": "2", "L402_BODY_SECONDS": str(SECONDS)}
    with shop_on(pair[0], pair[1], tmp_path, **settings) as shop:
        bought = shop.buy("/work")
        slow = [connect(shop) for _ in range(2)]
        for each in slow:
            each.sendall(request("POST", "/upload", "Content-Length: 100000") + b"x" * 1000)
        time.sleep(0.3)
        refused = ask(shop, "POST", "/upload", "Content-Length: 5", body=b"hello")
        assert (refused.status, refused.code) == (503, "too-many-bodies")
        assert "retry-after: 5" in refused.head
        assert shop.ask("/work").status == 402
        assert shop.ask("/work", bought.credential).status == 200
        for each in slow:
            each.close()
        wait_for(lambda: ask(shop, "POST", "/upload", "Content-Length: 5", body=b"hello").status == 402, "room")
        assert "too-many-bodies" not in shop.output.read_text()


@pytest.mark.parametrize("pair", CONCURRENT)
def test_too_many_bytes(pair: tuple[Server, str], tmp_path: Path) -> None:
    """The bytes of all bodies together are limited too, and a paid request has room of its own."""
    content = b"x" * 200_000
    with shop_on(*pair, tmp_path, L402_SPOOL_BYTES="3000000") as shop:
        quoted = ask(shop, "POST", "/upload", f"Content-Length: {len(content)}", body=content)
        bought = Wallet().pay(quoted.body)
        with closing(connect(shop)) as hog:
            hog.sendall(request("POST", "/upload", "Content-Length: 4000000") + b"x" * 2_950_000)
            time.sleep(0.5)
            refused = ask(shop, "POST", "/upload", f"Content-Length: {len(content)}", body=content)
            assert (refused.status, refused.code) == (503, "too-many-bodies")
            lines = [f"Content-Length: {len(content)}", f"Authorization: {bought.credential}"]
            assert ask(shop, "POST", "/upload", *lines, body=content).body == b"200000"
        wait_for(
            lambda: ask(shop, "POST", "/upload", f"Content-Length: {len(content)}", body=content).status == 402, "room"
        )


# --- headers


@pytest.mark.parametrize("pair", ALL)
def test_long_credentials(pair: tuple[Server, str], tmp_path: Path) -> None:
    """A credential longer than 16 KiB is refused unread, by the paywall or by the server, and quickly."""
    with shop_on(*pair, tmp_path) as shop:
        for size in (17_000, 60_000, 250_000):
            with closing(connect(shop)) as connection:
                started = time.monotonic()
                with suppress(ConnectionError):
                    connection.sendall(request("GET", "/work", f"Authorization: L402 {'A' * size}:{'0' * 64}"))
                heard = Heard(0, "", b"", 0)
                with suppress(ConnectionError):
                    heard = hear(connection)
                assert time.monotonic() - started < 1
            assert heard.status in (0, 400, 402, 413, 431), heard
            if heard.status == 402:
                assert heard.code == "malformed-credential"
        assert shop.ask("/work").status == 402
