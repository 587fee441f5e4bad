"""What every provider's requests have in common: turns, connections, deadlines, forks, certificates."""

import gc
import os
import socket
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from l402_middleware.core.errors import ConfigurationError, ProviderError
from l402_middleware.core.money import sats
from l402_middleware.event_loops import running_loop
from l402_middleware.flow import adrive, drive
from l402_middleware.outgoing.transport import MAX_ANSWER_BYTES, MAX_REQUESTS, Transport
from l402_middleware.providers import LND, InvoiceRequest
from tests.providers.emulators import LNDEmulator, Node, certificate, running

REQUEST = InvoiceRequest(sats(1), "memo", 60)
MACAROON = "0201036c6e64"


class Door:
    """A server that counts connections and requests, and answers only while it is open."""

    def __init__(self) -> None:
        self.url = ""
        self.open = threading.Event()
        self.open.set()
        self.connections = self.requests = self.now = self.most = 0
        self.lock = threading.Lock()

    def enter(self) -> None:
        """Count a request in, and let it wait for the door."""
        with self.lock:
            self.requests += 1
            self.now += 1
            self.most = max(self.most, self.now)
        self.open.wait(10)
        with self.lock:
            self.now -= 1


@contextmanager
def serving(door: Door) -> Iterator[Door]:
    """The door's server, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            with door.lock:
                door.connections += 1
            super().setup()

        def do_GET(self) -> None:
            door.enter()
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 256

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that gave up is nothing to report."""

    with Server(("127.0.0.1", 0), Handler) as server:
        door.url = f"http://127.0.0.1:{server.server_port}/"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield door
        finally:
            door.open.set()
            server.shutdown()
            thread.join()


@pytest.fixture
def door() -> Iterator[Door]:
    """An open door."""
    with serving(Door()) as door:
        yield door


def kind_of(transport: Transport, url: str) -> str:
    """How a blocking request ends."""
    try:
        drive(transport.send("GET", url))
    except ProviderError as error:
        return error.kind
    return "answered"


async def kind_awaited(transport: Transport, url: str) -> str:
    """How an awaiting request ends."""
    try:
        await adrive(transport.send("GET", url))
    except ProviderError as error:
        return error.kind
    return "answered"


def wait_for(condition: Callable[[], bool]) -> None:
    """Return as soon as the condition holds."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_connections_are_kept(door: Door) -> None:
    """A new client costs 23 ms, so requests one after the other use one connection, until it is closed."""
    transport = Transport()
    for _ in range(5):
        assert kind_of(transport, door.url) == "answered"
    assert door.connections == 1
    transport.close()
    assert kind_of(transport, door.url) == "answered"
    assert (door.connections, door.requests) == (2, 6)
    transport.close()


@pytest.mark.anyio
async def test_awaited_connections_are_kept(door: Door) -> None:
    """On one event loop too, until it is closed."""
    transport = Transport()
    for _ in range(5):
        assert await kind_awaited(transport, door.url) == "answered"
    assert door.connections == 1
    await transport.aclose()
    assert await kind_awaited(transport, door.url) == "answered"
    assert door.connections == 2
    await transport.aclose()


def test_threads_that_start_at_once_share_one_pool(door: Door) -> None:
    """Case 98: a hundred first requests make one client, and at most 32 of them run at once."""
    transport = Transport()
    start = threading.Barrier(100)

    def ask(_: int) -> str:
        start.wait(10)
        return kind_of(transport, door.url)

    with ThreadPoolExecutor(100) as threads:
        assert set(threads.map(ask, range(100))) == {"answered"}
    assert door.most <= MAX_REQUESTS
    assert door.connections <= MAX_REQUESTS
    transport.close()


def test_a_request_that_waits_too_long_for_its_turn_is_busy(door: Door) -> None:
    """Case 98: with all turns taken, a request ends as "busy" without having been sent."""
    door.open.clear()
    patient, transport = threading.Thread(target=lambda: kind_of(transport, door.url)), Transport(1.0, max_requests=1)
    patient.start()
    wait_for(lambda: door.requests == 1)
    # The same turns, and less patience.
    transport.timeout = 0.2
    with pytest.raises(ProviderError, match="1 requests to answer already") as refused:
        drive(transport.send("GET", door.url))
    assert (refused.value.kind, door.requests) == ("busy", 1)
    door.open.set()
    patient.join()
    assert kind_of(transport, door.url) == "answered"
    transport.close()


@pytest.mark.anyio
async def test_an_awaited_request_that_waits_too_long_is_busy(door: Door) -> None:
    """Case 98: so it is on an event loop, and cancelled requests give their turns back."""
    door.open.clear()
    transport = Transport(5.0, max_requests=1)
    for number in range(3):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(kind_awaited, transport, door.url)
            while door.requests == number:
                await anyio.sleep(0.005)
            transport.timeout = 0.1
            assert await kind_awaited(transport, door.url) == "busy"
            transport.timeout = 5.0
            tasks.cancel_scope.cancel()
    assert door.requests == 3
    door.open.set()
    assert await kind_awaited(transport, door.url) == "answered"
    await transport.aclose()


def test_failures_give_their_turns_back(door: Door) -> None:
    """A hundred failures of a transport with one turn leave that turn for the next request."""
    transport = Transport(5.0, max_requests=1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        assert {kind_of(transport, dead) for _ in range(100)} == {"unreachable"}
    assert kind_of(transport, door.url) == "answered"
    transport.close()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork on Windows")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_has_connections_and_turns_of_its_own(door: Door) -> None:
    """A child of a process that has taken every turn gets its answer, over another connection."""
    transport = Transport(5.0, max_requests=1)
    assert kind_of(transport, door.url) == "answered"
    assert transport.blocking().turns.acquire()
    if (child := os.fork()) == 0:
        os._exit(0 if kind_of(transport, door.url) == "answered" else 1)
    assert os.waitpid(child, 0)[1] == 0
    transport.blocking().turns.release()
    assert door.connections == 2
    assert kind_of(transport, door.url) == "answered"
    assert door.connections == 2
    transport.close()


def test_the_environments_proxy_is_not_asked(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key goes to the node and to no proxy that some environment names."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    transport = Transport()
    assert kind_of(transport, door.url) == "answered"
    assert anyio.run(kind_awaited, transport, door.url) == "answered"
    transport.close()


def test_no_compressed_answer_is_asked_for() -> None:
    """What is sent says so, and says who is asking."""
    transport = Transport()
    step = next(transport.send("GET", "http://127.0.0.1/", headers={"X-Api-Key": "k"}))
    request = vars(step)["request"]
    assert isinstance(request, httpx2.Request)
    assert request.headers["user-agent"] == "l402_middleware"
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["x-api-key"] == "k"
    assert MAX_ANSWER_BYTES == 262_144


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan"), "10", None, True])
def test_a_timeout_is_a_number_of_seconds(timeout: Any) -> None:
    """Anything else is refused at start-up."""
    with pytest.raises(ConfigurationError, match="timeout must be a number of seconds"):
        Transport(timeout)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a certificate for localhost and 127.0.0.1."""
    return certificate(tmp_path_factory.mktemp("good"))


def lnd_failure(node: Node, **settings: Any) -> ProviderError:
    """How asking an LND ends that cannot be trusted."""
    provider = LND(node.url, macaroon=node.secret, network="regtest", **settings)
    with pytest.raises(ProviderError) as caught:
        drive(provider.create_invoice(REQUEST))
    provider.close()

    async def main() -> None:
        with pytest.raises(ProviderError) as awaited:
            await adrive(provider.create_invoice(REQUEST))
        await provider.aclose()
        assert str(awaited.value) == str(caught.value)

    anyio.run(main)
    assert not node.invoices
    return caught.value


def test_a_certificate_of_the_nodes_own_is_not_trusted_by_itself(good: Path) -> None:
    """Without `tls_cert` only public authorities are trusted, whatever else the node is."""
    with running(LNDEmulator, Node(secret=MACAROON), good) as node:
        assert lnd_failure(node).kind == "tls"


def test_only_the_given_certificate_is_trusted(good: Path, tmp_path: Path) -> None:
    """Somebody else with a certificate for the same name gets no macaroon."""
    with running(LNDEmulator, Node(secret=MACAROON), certificate(tmp_path)) as node:
        assert lnd_failure(node, tls_cert=good / "tls.cert").kind == "tls"


def test_the_certificate_has_to_be_for_the_name_in_the_url(tmp_path: Path) -> None:
    """The right certificate for another host is not accepted: verification is never relaxed."""
    folder = certificate(tmp_path, names=("elsewhere.example",))
    with running(LNDEmulator, Node(secret=MACAROON), folder) as node:
        error = lnd_failure(node, tls_cert=folder / "tls.cert")
    assert error.kind == "tls"
    assert "127.0.0.1" in str(error)


def test_an_expired_certificate_is_not_accepted(tmp_path: Path) -> None:
    """LND's own last 14 months."""
    folder = certificate(tmp_path, expired=True)
    with running(LNDEmulator, Node(secret=MACAROON), folder) as node:
        assert lnd_failure(node, tls_cert=folder / "tls.cert").kind == "tls"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_given_certificate_is_accepted(good: Path, host: str) -> None:
    """By address and by name."""
    with running(LNDEmulator, Node(secret=MACAROON), good) as node:
        url = node.url.replace("127.0.0.1", host)
        provider = LND(url, macaroon=node.secret, tls_cert=good / "tls.cert", network="regtest")
        drive(provider.create_invoice(REQUEST))
        provider.close()
        assert len(node.invoices) == 1


def test_what_one_provider_trusts_no_other_does(good: Path, tmp_path: Path) -> None:
    """Also on the same event loop, where a client that is shared would give the second one's macaroon away."""
    other = certificate(tmp_path) / "tls.cert"
    with running(LNDEmulator, Node(secret=MACAROON), good) as node:

        async def main() -> None:
            trusting, refusing = (
                LND(node.url, macaroon=MACAROON, tls_cert=trusted, network="regtest")
                for trusted in (good / "tls.cert", other)
            )
            await adrive(trusting.create_invoice(REQUEST))
            with pytest.raises(ProviderError) as caught:
                await adrive(refusing.create_invoice(REQUEST))
            assert caught.value.kind == "tls"
            await trusting.aclose()
            await refusing.aclose()

        anyio.run(main)
        assert len(node.invoices) == 1


def test_a_certificate_that_an_authority_signed_can_be_given_alone(good: Path, tmp_path: Path) -> None:
    """As of Core Lightning's `server.pem`: the certificate is trusted, and its signer's others are not."""
    mine, other = certificate(tmp_path / "mine", signer=good), certificate(tmp_path / "other", signer=good)
    with running(LNDEmulator, Node(secret=MACAROON), other) as node:
        assert lnd_failure(node, tls_cert=mine / "tls.cert").kind == "tls"
    for trusted in (mine, good):
        with running(LNDEmulator, Node(secret=MACAROON), mine) as node:
            provider = LND(node.url, macaroon=node.secret, tls_cert=trusted / "tls.cert", network="regtest")
            drive(provider.create_invoice(REQUEST))
            provider.close()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_event_loop_leaves_nothing_behind(backend: str) -> None:
    """Connections end with the loop that opened them: twenty loops leave no client, no descriptor and no loop."""
    loops: list[Callable[[], object]] = []
    with running(LNDEmulator, Node(secret=MACAROON)) as node:
        provider = LND(node.url, macaroon=MACAROON, network="regtest")

        async def main() -> None:
            loops.append(weakref.ref(running_loop()))
            await adrive(provider.create_invoice(REQUEST))

        anyio.run(main, backend=backend)
        gc.collect()
        descriptors = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            anyio.run(main, backend=backend)
        gc.collect()
        # The emulator's own ends of the connections close a moment later.
        wait_for(lambda: len(os.listdir("/proc/self/fd")) <= descriptors)
    assert [loop() for loop in loops] == [None] * 21
