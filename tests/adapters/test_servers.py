"""The contract on real servers, and what only a real server shows: timing, disconnects, Expect, odd targets."""

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from .contract import AdapterContract, Site, code, json_of, raw
from .servers import (
    GRANIAN,
    GUNICORN_PRELOADED,
    GUNICORN_SYNC,
    GUNICORN_THREADS,
    HYPERCORN,
    UVICORN_H11,
    UVICORN_HTTPTOOLS,
    WAITRESS,
    WERKZEUG,
    Server,
    running,
)

pytestmark = pytest.mark.slow

SITES = [
    pytest.param((server, app), id=f"{server.name}-{app.removesuffix('_app')}")
    for server, app in [
        (UVICORN_H11, "starlette_app"),
        (UVICORN_HTTPTOOLS, "fastapi_app"),
        (GRANIAN, "starlette_app"),
        (GRANIAN, "fastapi_app"),
        (HYPERCORN, "starlette_app"),
        (GUNICORN_SYNC, "flask_app"),
        (GUNICORN_THREADS, "flask_app"),
        (WAITRESS, "flask_app"),
        (WERKZEUG, "flask_app"),
    ]
]

ODD_TARGETS = [
    "/%66orecast",
    "/forecas%74",
    "//forecast",
    "///forecast",
    "/%2Fforecast",
    "/forecast%0a",
    "/forecast%00",
    "/forecast/",
    "/forecast//",
    "/./forecast",
    "/x/../forecast",
    "/forecast;x=1",
    "/forecast%3Fx",
    "/FORECAST",
    "/forecast%20",
    "/forecast.json",
    "/forecast#x",
    "http://elsewhere/forecast",
    "/part/items/a%2Fb",
    "/part//items/1",
    "/part/deep/../items/1",
    "/part/items/%7Bid%7D",
    "/free/../forecast",
    "/free%2F..%2Fforecast",
]


def eventually(condition: Callable[[], bool], seconds: float = 5) -> bool:
    """Whether the condition comes true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture(scope="class", params=SITES)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Site]]:
    """The scenario on each server."""
    server, app = request.param
    with running(server, app, tmp_path_factory.mktemp(server.name)) as site:
        yield server, site


class TestServers(AdapterContract):
    @pytest.fixture
    def site(self, served: tuple[Server, Site]) -> Site:
        _, site = served
        site.runs()
        return site

    @pytest.fixture
    def server(self, served: tuple[Server, Site]) -> Server:
        return served[0]

    @pytest.mark.parametrize("method", ["HEAD", "GET"])
    def test_head_has_no_body_on_the_wire(self, site: Site, method: str) -> None:
        """Case 23: after the headers of a 402 to HEAD the connection carries nothing."""
        answer = raw(site.port, f"{method} /view HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.split()[1] in (b"402", b"405")
        assert bool(body) == (method == "GET")

    @pytest.mark.parametrize("target", ODD_TARGETS)
    def test_odd_targets(self, site: Site, target: str) -> None:
        """Cases 58 to 62: however a path is spelled, a priced handler is reached with payment alone."""
        for method in ("GET", "HEAD", "FOO", "OPTIONS"):
            answer = raw(site.port, f"{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            assert not answer.startswith(b"HTTP/1.1 200") or method == "OPTIONS" or target == "/part/../free"
        assert site.runs() == []

    def test_unpaid_bodies_are_not_read(self, site: Site, server: Server) -> None:
        """Case 24: the 402 does not wait for a body that never comes."""
        if not server.streams_requests:
            pytest.skip("this server reads the body before it calls the application")
        started = time.monotonic()
        answer = raw(
            site.port,
            b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n",
            until=lambda answer: b"\r\n\r\n" in answer,
        )
        assert answer.startswith(b"HTTP/1.1 402")
        assert time.monotonic() - started < 2
        assert site.runs() == []

    @pytest.mark.parametrize("url", ["/upload", "/exact"])
    def test_expect(self, site: Site, server: Server, url: str) -> None:
        """Case 25: an unpaid client that asks first is told 402; only a bound body is invited, being needed."""
        if not server.leaves_expect:
            pytest.skip("this server answers Expect itself")
        answer = raw(
            site.port,
            f"POST {url} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n".encode(),
            until=lambda answer: b"\r\n\r\n" in answer,
        )
        assert answer.split()[1] == (b"402" if url == "/upload" else b"100")

    def test_streams_are_not_held_back(self, site: Site) -> None:
        """Case 76: each piece of a stream arrives when it is made."""
        for url, count in (("/stream", 3), ("/events", 2)):
            headers = {"Authorization": site.buy("GET", url)}
            with site.client.stream("GET", url, headers=headers) as response:
                arrivals = [time.monotonic() for _ in response.iter_raw()]
            assert len(arrivals) == count
            # Held back, they would all come at once; a busy machine brings the first one late.
            assert arrivals[-1] - arrivals[0] > 0.05 * (count - 1)

    @pytest.mark.parametrize("framing", ["length", "chunked"])
    def test_an_upload_is_seen_piece_by_piece(self, site: Site, server: Server, framing: str) -> None:
        """Case 74: the handler has the first piece of an unbound body before the client sends the second."""
        if not server.streams_requests:
            pytest.skip("this server reads the body before it calls the application")
        credential = site.buy("POST", "/upload")
        site.runs()
        head = f"POST /upload HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: {credential}\r\n"
        first, second = bytes(8192), b"last"  # gunicorn waits for a kilobyte
        if framing == "length":
            head, pieces = f"{head}Content-Length: 8196\r\n\r\n", [first, second]
        else:
            head = f"{head}Transfer-Encoding: chunked\r\n\r\n"
            pieces = [b"2000\r\n" + first + b"\r\n", b"4\r\n" + second + b"\r\n0\r\n\r\n"]
        with socket.create_connection(("127.0.0.1", site.port), timeout=10) as connection:
            connection.sendall(head.encode() + pieces[0])
            assert eventually(lambda: "upload chunk" in site.runs_file.read_text())
            assert "upload\n" not in site.runs_file.read_text()
            connection.sendall(pieces[1])
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
        assert json_of(answer) == {"size": 8196}

    def test_a_client_that_leaves_is_charged(self, site: Site) -> None:
        """Case 51: a client that hangs up in the middle of an answer has been delivered to, and holds nothing."""
        credential = site.buy("GET", "/endless")
        request = f"GET /endless HTTP/1.1\r\nHost: x\r\nAuthorization: {credential}\r\n\r\n"
        raw(site.port, request.encode(), until=lambda answer: len(answer) > 200_000)

        def status() -> int:
            return site.request("GET", "/endless?other", credential).status_code

        assert eventually(lambda: status() != 409, 15)
        assert code(site.request("GET", "/endless?other", credential)) == (402, "already-used")
        assert site.runs() == ["endless"]

    def test_a_client_that_leaves_before_the_answer_began(self, site: Site, server: Server) -> None:
        """Case 51: a client that hangs up while the handler works gets its answer when it comes back, run once."""
        credential = site.buy("GET", "/slow")
        request = f"GET /slow HTTP/1.1\r\nHost: x\r\nAuthorization: {credential}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", site.port)) as connection:
            connection.sendall(request.encode())
            assert eventually(lambda: site.runs_file.read_text() == "slow\n")
        answers = []

        def answered() -> bool:
            answers.append(site.request("GET", "/slow", credential))
            return answers[-1].status_code != 409

        assert eventually(answered, 15)
        assert answers[-1].status_code == 200
        assert site.runs() == ["slow"]

    def test_nothing_secret_in_the_output(self, site: Site) -> None:
        """Case 112: what the server printed holds no credential."""
        credential = site.buy("GET", "/forecast")
        site.request("GET", "/forecast", credential)
        site.request("GET", "/premium/report", credential)
        assert site.output is not None
        text = site.output.read_text()
        assert credential[-64:] not in text
        assert credential[5:100] not in text


@pytest.mark.parametrize(
    ("server", "app"),
    [
        (UVICORN_HTTPTOOLS, "starlette_app"),
        (GRANIAN, "starlette_app"),
        (GUNICORN_THREADS, "flask_app"),
        (GUNICORN_PRELOADED, "flask_app"),
    ],
    ids=lambda value: value.name if isinstance(value, Server) else value,
)
def test_four_processes(server: Server, app: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Cases 46, 84: four processes on one file, with the key that it keeps: twenty requests, one run."""
    folder = tmp_path_factory.mktemp(server.name)
    with running(server, app, folder, workers=4, L402_SECRET_KEYS=None) as site:
        for _ in range(5):
            site.runs()
            credential = site.buy("GET", "/slow")

            def ask(number: int, credential: str = credential) -> httpx2.Response:
                with httpx2.Client(base_url=f"http://127.0.0.1:{site.port}", trust_env=False, timeout=20) as client:
                    return client.get("/slow", headers={"Authorization": credential})

            with ThreadPoolExecutor(20) as pool:
                answers = list(pool.map(ask, range(20)))
            assert {answer.status_code for answer in answers} <= {200, 409}
            assert site.runs() == ["slow"]
        assert "Traceback" not in (folder / "output").read_text()
