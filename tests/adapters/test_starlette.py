"""What is Starlette's own: installing the middleware, the scopes it passes on, and hand-driven ASGI."""

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Host, Mount, Route, Router, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from l402_middleware import ConfigurationError, Paywall, RequestView
from l402_middleware.flow import Call, Step
from l402_middleware.ledgers import MemoryLedger
from l402_middleware.providers.devnode import DevNode
from l402_middleware.starlette import L402Middleware, l402_required

from .servers import KEY

Message = dict[str, Any]


ran: list[str] = []


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    ran.clear()


@l402_required(price=21)
async def priced(request: Request) -> Response:
    """A handler."""
    ran.append("priced")
    return JSONResponse({"paid": request.state.l402 is not None})


@l402_required(price=21)
async def echo(request: Request) -> Response:
    """A handler that reads."""
    ran.append("echo")
    return Response(await request.body())


@l402_required(price=21, bind="request")
async def bound(request: Request) -> Response:
    """A handler that reads what it was sold for."""
    ran.append("bound")
    return Response(await request.body())


ROUTES: list[BaseRoute] = [
    Route("/priced", priced),
    Route("/echo", echo, methods=["POST"]),
    Route("/bound", bound, methods=["POST"]),
]


def site(
    paywall: Paywall, *routes: BaseRoute, outer: tuple[Middleware, ...] = (), inner: tuple[Middleware, ...] = ()
) -> TestClient:
    """A client of an application with these routes and middleware around and inside the paywall's."""
    app = Starlette(routes=[*routes, *ROUTES], middleware=[*outer, Middleware(L402Middleware, paywall=paywall), *inner])
    return TestClient(app, client=("127.0.0.1", 1), raise_server_exceptions=False)


def buy(client: TestClient, method: str, url: str, **options: Any) -> dict[str, str]:
    """The headers that open what is quoted."""
    quoted = client.request(method, url, **options).json()
    paid = client.get("/dev/wallet/pay", params={"invoice": quoted["invoice"]}).json()
    return {"Authorization": f"L402 {quoted['macaroon']}:{paid['preimage']}"}


# --- installing it


def test_without_the_middleware() -> None:
    """A priced endpoint without its middleware says so, and never runs."""
    client = TestClient(Starlette(routes=ROUTES))
    with pytest.raises(ConfigurationError, match="L402Middleware"):
        client.get("/priced")
    assert not ran


@pytest.mark.parametrize("endpoint", [HTTPEndpoint, type("View", (HTTPEndpoint,), {})])
def test_on_a_class(endpoint: type) -> None:
    """The decorator on a class is refused where it is written."""
    with pytest.raises(ConfigurationError, match="methods"):
        l402_required(price=1)(endpoint)


def test_without_a_price() -> None:
    """Of a function that might compute a price it is said when routing calls it, and the endpoint never runs."""

    async def endpoint(request: Any) -> None:
        pytest.fail("ran")

    uncalled: Any = l402_required(endpoint)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="without a price"):
        uncalled(Request({"type": "http"}))


def test_on_a_generator() -> None:
    """FastAPI streams what an endpoint yields; such an endpoint cannot be sold, which is said where it is written."""

    async def streaming() -> AsyncIterator[int]:
        yield 1

    def plainly() -> Iterator[int]:
        yield 1

    for endpoint in (streaming, plainly):
        with pytest.raises(ConfigurationError, match="yield"):
            l402_required(price=1)(endpoint)


@pytest.mark.parametrize("wrong", [None, "paywall", Paywall])
def test_without_a_paywall(wrong: Any) -> None:
    """The middleware refuses anything but a paywall where it is made."""
    with pytest.raises(ConfigurationError, match="Paywall"):
        L402Middleware(Starlette(), wrong)


def test_twice(paywall: Paywall) -> None:
    """Case 71: the middleware twice, also around a mounted application, charges once."""
    part = Starlette(routes=ROUTES, middleware=[Middleware(L402Middleware, paywall=paywall)])
    client = site(paywall, Mount("/part", part), inner=(Middleware(L402Middleware, paywall=paywall),))
    for url in ("/priced", "/part/priced"):
        headers = buy(client, "GET", url)
        assert client.get(url, headers=headers).json() == {"paid": True}
        assert client.get(f"{url}?other", headers=headers).json()["code"] == "already-used"
    assert ran == ["priced"] * 2


def test_two_paywalls(paywall: Paywall) -> None:
    """A mounted application with a paywall of its own answers for its own routes."""
    other = Paywall(DevNode(), secret_keys=[KEY[::-1]])
    part = Starlette(routes=ROUTES, middleware=[Middleware(L402Middleware, paywall=other)])
    client = site(paywall, Mount("/part", part))
    answer = client.get("/part/priced", headers=buy(client, "GET", "/priced"))
    assert (answer.status_code, answer.json()["code"]) == (402, "invalid-credential")
    assert not ran


def test_another_paywall_in_a_cascade(paywall: Paywall) -> None:
    """Applications are asked one after the other, the first with a paywall of its own: the second is still sold."""
    first = Starlette(middleware=[Middleware(L402Middleware, paywall=Paywall(DevNode(), secret_keys=[KEY]))])
    second = Router(ROUTES)

    async def cascade(scope: Scope, receive: Receive, send: Send) -> None:
        async def ignore(message: Any) -> None:
            """Nothing there."""

        if scope["type"] == "http":
            await first(scope, receive, ignore)
        await second(scope, receive, send)

    client = TestClient(L402Middleware(cascade, paywall), client=("127.0.0.1", 1), raise_server_exceptions=False)
    assert client.get("/priced").status_code == 402
    assert client.get("/priced", headers=buy(client, "GET", "/priced")).json() == {"paid": True}


def test_two_decorators(paywall: Paywall) -> None:
    """Case 71: an endpoint that would have to be paid twice is its author's mistake, and does not run."""

    @l402_required(price=1)
    @l402_required(price=2)
    async def twice(request: Request) -> Response:
        ran.append("twice")
        return Response()

    client = site(paywall, Route("/twice", twice))
    assert client.get("/twice", headers=buy(client, "GET", "/twice")).status_code == 500
    assert not ran


@pytest.mark.parametrize("method", ["REPORT", "report", "DISPATCH"])
def test_helpers_of_an_endpoint(paywall: Paywall, method: str) -> None:
    """Case 64: no method of a request gets to what a priced method of an `HTTPEndpoint` calls."""

    class View(HTTPEndpoint):
        @l402_required(price=21)
        async def get(self, request: Request) -> Response:
            return await self.report(request)

        async def report(self, request: Request) -> Response:
            ran.append("report")
            return Response()

    assert site(paywall, Route("/view", View)).request(method, "/view").status_code == 405
    assert not ran


def test_a_path_of_the_wallets_is_the_applications_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the development node nothing is taken from the application."""
    provider: Callable[..., str] = lambda request: ""  # noqa: E731
    paywall = Paywall(provider, MemoryLedger(), secret_keys=[KEY])
    client = site(paywall, Route("/dev/wallet/pay", lambda request: Response("mine")))
    assert client.get("/dev/wallet/pay").text == "mine"


# --- what passes through


def test_lifespan(paywall: Paywall) -> None:
    """Case 73: start and shutdown reach the application, with its state, and the paywall is closed after it."""
    order = []

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        order.append("start")
        yield {"thing": 1}
        order.append("stop")

    async def state(request: Request) -> Response:
        return JSONResponse([request.state.thing, request.state.l402])

    class Ledger(MemoryLedger):
        def close(self) -> None:
            order.append("closed")

    paywall = Paywall(DevNode(), Ledger(), secret_keys=[KEY])
    app = Starlette(
        routes=[Route("/state", state)],
        middleware=[Middleware(L402Middleware, paywall=paywall)],
        lifespan=lifespan,
    )
    with TestClient(app) as client:
        assert client.get("/state").json() == [1, None]
    assert order == ["start", "stop", "closed"]


def test_lifespan_that_fails(paywall: Paywall) -> None:
    """Case 73: an application that cannot start says so itself."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        raise RuntimeError("no database")
        yield

    app = Starlette(middleware=[Middleware(L402Middleware, paywall=paywall)], lifespan=lifespan)
    with pytest.raises(RuntimeError, match="no database"), TestClient(app):
        pass


@pytest.mark.anyio
async def test_an_unknown_scope(paywall: Paywall) -> None:
    """Case 73: a scope of a kind that nobody knows yet is the application's."""
    seen = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    async def nothing(*args: Any) -> Any:
        pytest.fail("called")

    await L402Middleware(app, paywall)({"type": "telepathy"}, nothing, nothing)
    assert seen == ["telepathy"]


def test_websockets(paywall: Paywall) -> None:
    """Case 63: a priced WebSocket is refused before it is accepted, and opens once for who has paid."""

    @l402_required(price=1)
    async def sold(websocket: WebSocket) -> None:
        ran.append("sold")
        assert websocket.state.l402.amount.sats == 1
        await websocket.accept()
        await websocket.send_text(await websocket.receive_text())
        await websocket.close()

    async def free(websocket: WebSocket) -> None:
        assert websocket.state.l402 is None
        await websocket.accept()
        await websocket.close()

    client = site(paywall, WebSocketRoute("/sold", sold), WebSocketRoute("/free", free))
    with pytest.raises(WebSocketDenialResponse) as refused, client.websocket_connect("/sold"):
        pass
    assert (refused.value.status_code, refused.value.headers["cache-control"]) == (402, "no-store")
    quoted = refused.value.json()
    assert refused.value.headers["www-authenticate"].startswith(f'L402 macaroon="{quoted["macaroon"]}"')
    assert not ran
    paid = client.get("/dev/wallet/pay", params={"invoice": quoted["invoice"]}).json()
    headers = {"Authorization": f"L402 {quoted['macaroon']}:{paid['preimage']}"}
    with client.websocket_connect("/sold", headers=headers) as websocket:
        websocket.send_text("hello")
        assert websocket.receive_text() == "hello"
    with pytest.raises(WebSocketDenialResponse), client.websocket_connect("/sold", headers=headers):
        pass
    assert ran == ["sold"]
    with client.websocket_connect("/free"):
        pass


class Rewriting(BaseHTTPMiddleware):
    """The kind of middleware that everybody writes."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        response.headers["x-seen"] = "1"
        return response


class ReadingFirst:
    """A middleware that reads the body before the application has routed the request."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()

        async def again() -> Any:
            return message

        await self.app(scope, again, send)


class Copying(ReadingFirst):
    """A middleware that gives a copy of the scope on."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(dict(scope), receive, send)


@pytest.mark.parametrize("place", ["outer", "inner"])
@pytest.mark.parametrize("middleware", [Rewriting, Copying])
def test_other_middleware(paywall: Paywall, middleware: type, place: str) -> None:
    """Any middleware, around the paywall's or inside it, changes nothing about what is sold."""
    client = site(paywall, Mount("/part", routes=ROUTES), **{place: (Middleware(middleware),)})  # type: ignore[arg-type]
    for method, url in (("GET", "/priced"), ("POST", "/echo"), ("POST", "/bound"), ("POST", "/part/bound")):
        body: dict[str, Any] = {} if method == "GET" else {"content": b"body"}
        assert client.request(method, url, **body).status_code == 402
        headers = buy(client, method, url, **body)
        assert client.request(method, url, headers=headers, **body).status_code == 200
        assert client.request(method, f"{url}?other", headers=headers, **body).status_code == 402
    assert client.get("/part/priced", headers=buy(client, "GET", "/priced")).status_code == 402
    assert ran == ["priced", "echo", "bound", "bound"]


class Prefixed(ReadingFirst):
    """A middleware that takes the mount from a request header."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        prefix = dict(scope.get("headers", [])).get(b"x-forwarded-prefix", b"").decode()
        if prefix:
            scope["root_path"], scope["path"] = prefix, prefix + scope["path"]
        await self.app(scope, receive, send)


def test_a_mount_can_not_take_another_routes_name(paywall: Paywall) -> None:
    """Case 43: /b of an application at /a is not the route /a/b, whoever chooses the mount."""
    dear = Route("/a/b", l402_required(price=1000)(lambda request: Response(b"dear")))
    cheap = Route("/b", l402_required(price=1)(lambda request: Response(b"cheap")))
    client = site(paywall, dear, cheap, outer=(Middleware(Prefixed),))
    prefixed = {"X-Forwarded-Prefix": "/a"}
    headers = buy(client, "GET", "/b", headers=prefixed)
    assert client.get("/a/b", headers=headers).status_code == 402
    assert client.get("/b", headers={**headers, **prefixed}).content == b"cheap"


def hosts() -> list[BaseRoute]:
    """The same path on two hosts, at two prices."""
    dear = l402_required(price=1000)(lambda request: Response(b"dear"))
    cheap = l402_required(price=1)(lambda request: Response(b"cheap"))
    return [
        Host("dear.test", Router([Route("/b", dear), Route("/a/b", dear)])),
        Host("{any}.test", Router([Route("/b", cheap)])),
        Route("/a/b", dear),
        Route("/b", cheap),
    ]


@pytest.mark.parametrize(
    ("cheap_host", "cheap_path", "dear_host", "dear_path"),
    [
        ("cheap.test", "/b", "dear.test", "/b"),
        ("cheap.test", "/m/b", "DEAR.test:80", "/m/b"),
        ("other", "/b", "dear.test", "/b"),
        ("/a", "/b", "", "/a/b"),
    ],
)
@pytest.mark.parametrize("inner", [(), (Middleware(Copying),)])
def test_hosts(
    paywall: Paywall, inner: tuple[Middleware, ...], cheap_host: str, cheap_path: str, dear_host: str, dear_path: str
) -> None:
    """Case 43: the same path on two hosts is two endpoints, wherever the hosts are told apart."""
    client = site(paywall, Mount("/m", routes=hosts()), *hosts(), inner=inner)
    at_cheap, at_dear = {"Host": cheap_host}, {"Host": dear_host}
    headers = buy(client, "GET", cheap_path, headers=at_cheap)
    assert client.get(dear_path, headers=headers | at_dear).status_code == 402
    assert client.get(cheap_path, headers=headers | at_cheap).content == b"cheap"
    assert client.get(dear_path, headers=buy(client, "GET", dear_path, headers=at_dear) | at_dear).content == b"dear"


class Around:
    """Somebody's middleware around a mounted application."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


@pytest.mark.parametrize("around", [Around, Copying])
def test_hosts_that_are_not_among_the_routes(paywall: Paywall, around: type[Around]) -> None:
    """Case 43: hosts behind somebody else's middleware, and those added late, are told apart like any others."""
    inner = Router([Route("/first", l402_required(price=1)(lambda request: Response(b"first")))])
    client = site(paywall, Mount("/m", app=around(inner)))
    buy(client, "GET", "/m/first")
    inner.routes.extend(hosts())
    at_cheap, at_dear = {"Host": "cheap.test"}, {"Host": "dear.test"}
    headers = buy(client, "GET", "/m/b", headers=at_cheap)
    assert client.get("/m/b", headers=headers | at_dear).status_code == 402
    assert client.get("/m/b", headers=headers | at_cheap).content == b"cheap"


def test_a_body_that_was_read_for_another_credential(paywall: Paywall) -> None:
    """Case 54: a body that was read to look for a kept answer still tells its request from the next one."""
    client = site(paywall)
    spent = buy(client, "POST", "/echo", content=b"one")
    assert client.post("/echo", headers=spent, content=b"one").content == b"one"
    fresh = buy(client, "POST", "/echo", content=b"two")
    both = {"Authorization": f"{spent['Authorization']}, {fresh['Authorization']}"}
    assert client.post("/echo", headers=both, content=b"two").content == b"two"
    assert client.post("/echo", headers=fresh, content=b"two").content == b"two"
    assert client.post("/echo", headers=fresh, content=b"three").status_code == 402


def test_a_body_that_was_read_too_early(paywall: Paywall) -> None:
    """A middleware inside that reads a bound body before the paywall can is a mistake that is named, not a hang."""
    client = site(paywall, inner=(Middleware(ReadingFirst),))
    client_raising = TestClient(client.app)
    with pytest.raises(ConfigurationError, match="last"):
        client_raising.post("/bound", content=b"body")
    headers = buy(client, "POST", "/echo", content=b"body")
    assert client.post("/echo", headers=headers, content=b"body").content == b"body"
    assert ran == ["echo"]


def test_files(paywall: Paywall, tmp_path: Any) -> None:
    """Case 76: a file is sold as any other answer, also in parts, and where the server sends it from its path."""
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 1000)

    @l402_required(price=1)
    async def file(request: Request) -> Response:
        return FileResponse(path)

    client = site(paywall, Route("/file", file))
    headers = buy(client, "GET", "/file")
    answer = client.get("/file", headers={**headers, "Range": "bytes=1-3"})
    assert (answer.status_code, answer.content) == (206, b"\x01\x02\x03")
    assert "private" in answer.headers["cache-control"]
    assert client.get("/file?other", headers=headers).status_code == 402
    headers = buy(client, "GET", "/file")
    assert client.head("/file", headers=headers).headers["content-length"] == "256000"
    assert client.get("/file", headers=headers).content == path.read_bytes()


@pytest.mark.parametrize("is_inside", [True, False])
def test_a_session_that_the_paid_handler_opens(paywall: Paywall, is_inside: bool) -> None:
    """Case 54: the cookie of a middleware inside the paywall is in the answer given again; another's is set once."""

    @l402_required(price=1)
    async def opening(request: Request) -> Response:
        request.session["a"] = 1
        return Response(b"open")

    session = (Middleware(SessionMiddleware, secret_key="secret"),)
    client = site(paywall, Route("/open", opening), **{"inner" if is_inside else "outer": session})
    headers = buy(client, "GET", "/open")
    first = client.get("/open", headers=headers)
    client.cookies.clear()
    again = client.get("/open", headers=headers)
    assert again.content == first.content == b"open"
    assert ("set-cookie" in first.headers, "set-cookie" in again.headers) == (True, is_inside)


# --- by hand


class Exchange:
    """One request to an application, played by hand."""

    def __init__(self, app: ASGIApp, method: str, path: str, headers: dict[str, str], *body: Message) -> None:
        self.app = app
        self.scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            "client": ("127.0.0.1", 1),
            "server": ("test", 80),
            "scheme": "http",
        }
        self.body = list(body) or [{"type": "http.request", "body": b"", "more_body": False}]
        self.sent: list[Message] = []
        self.fail_after = 1000
        self.reads = 0
        self.left = anyio.Event()

    async def receive(self) -> Message:
        self.reads += 1
        if self.body:
            return self.body.pop(0)
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if len(self.sent) >= self.fail_after:
            raise OSError("the client is gone")
        self.sent.append(message)

    async def run(self) -> "Exchange":
        await self.app(self.scope, self.receive, self.send)
        return self

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])


def application(paywall: Paywall, *routes: Route) -> tuple[Starlette, TestClient]:
    """An application, and a client that buys from it."""
    client = site(paywall, *routes)
    assert isinstance(client.app, Starlette)
    return client.app, client


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer abc"}])
@pytest.mark.anyio
async def test_an_unpaid_body_is_never_asked_for(paywall: Paywall, headers: dict[str, str]) -> None:
    """Case 25: nothing is received of an unpaid request, which is what would invite its body."""
    app, _ = application(paywall)
    exchange = await Exchange(app, "POST", "/echo", headers).run()
    assert (exchange.status, exchange.reads) == (402, 0)


@pytest.mark.anyio
async def test_header_names_in_any_case(paywall: Paywall) -> None:
    """Case 79: a server that does not lower the names of fields does not hide a credential."""
    app, client = application(paywall)
    exchange = Exchange(app, "GET", "/priced", {})
    exchange.scope["headers"] = [(b"AuthoriZation", buy(client, "GET", "/priced")["Authorization"].encode())]
    assert (await exchange.run()).status == 200


def test_slashes(paywall: Paywall) -> None:
    """Case 67: the redirect to the other spelling is free, and what it leads to is priced."""
    client = site(paywall, Route("/folder/", priced))
    answer = client.get("/folder", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (307, "http://testserver/folder/")
    assert client.get("/folder").status_code == 402
    assert not ran


@pytest.mark.parametrize("path", ["/priced", "/nothing", "/dev/wallet/pay"])
@pytest.mark.anyio
async def test_head_sends_no_body(paywall: Paywall, path: str) -> None:
    """Case 23: also for a server that would send it, there is no body to HEAD."""

    @l402_required(price=1)
    async def early(request: Request) -> Response:
        return Response(b"body")

    class Started:
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            scope["endpoint"], scope["route"] = early, None
            await Response(b"body")(scope, receive, send)

    app, _ = application(paywall, Route("/nothing", Started()))
    exchange = await Exchange(app, "HEAD", path, {}).run()
    length = int(dict(exchange.sent[0]["headers"])[b"content-length"])
    if exchange.status == 402:
        assert length > 500
    assert all(not message.get("body") for message in exchange.sent[1:])


@pytest.mark.anyio
async def test_two_tasks_of_one_request(paywall: Paywall) -> None:
    """A request whose tasks ask at the same time is decided once, and the others wait for that."""
    quoted, heard = [], []

    async def price(request: RequestView) -> int:
        quoted.append(request.path)
        await anyio.sleep(0.05)
        return 1

    @l402_required(price=price)
    async def sold(request: Request) -> Response:
        return Response()

    class Asking:
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            async def ask() -> None:
                heard.append((await receive())["type"])

            scope["endpoint"], scope["route"] = sold, None
            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(ask)

    app, _ = application(paywall, Route("/asking", Asking()))
    exchange = await Exchange(app, "GET", "/asking", {}).run()
    assert exchange.status == 402
    assert [message["type"] for message in exchange.sent] == ["http.response.start", "http.response.body"]
    assert (quoted, heard) == (["/asking"], ["http.disconnect"] * 3)


@pytest.mark.anyio
async def test_chunks_pass_as_they_come(paywall: Paywall) -> None:
    """Case 74: every message of an unbound body reaches the handler as it was, empty ones too."""
    seen: list[Message] = []

    @l402_required(price=1)
    async def reading(request: Request) -> Response:
        more = True
        while more:
            message = dict(await request.receive())
            seen.append(message)
            more = message["more_body"]
        return Response()

    app, client = application(paywall, Route("/reading", reading, methods=["POST"]))
    body: list[Message] = [
        {"type": "http.request", "body": b"one", "more_body": True},
        {"type": "http.request", "body": b"", "more_body": True},
        {"type": "http.request", "body": b"two", "more_body": False},
    ]
    headers = buy(client, "POST", "/reading")
    exchange = await Exchange(app, "POST", "/reading", headers, *body).run()
    assert exchange.status == 200
    assert seen == body


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 3 * 1024 * 1024])
@pytest.mark.anyio
async def test_a_bound_body_is_given_again(paywall: Paywall, size: int) -> None:
    """Case 75: a bound body reaches the handler whole, and its last message says that it is the last."""
    messages = []

    @l402_required(price=1, bind="request")
    async def reading(request: Request) -> Response:
        while True:
            message = await request.receive()
            messages.append((message["body"], message["more_body"]))
            if not message["more_body"]:
                return Response()

    app, client = application(paywall, Route("/reading", reading, methods=["POST"]))
    content = bytes(size)
    headers = buy(client, "POST", "/reading", content=content)
    body = [
        {"type": "http.request", "body": content[: size // 2], "more_body": True},
        {"type": "http.request", "body": content[size // 2 :], "more_body": False},
    ]
    exchange = await Exchange(app, "POST", "/reading", headers, *body).run()
    assert exchange.status == 200
    assert b"".join(piece for piece, _ in messages) == content
    assert [more for _, more in messages] == [True] * (len(messages) - 1) + [False]


@pytest.mark.parametrize("length", ["\xb2", "-1", "1e3", "0" * 5000 + "4", "9" * 5000])
def test_lengths_that_are_none(paywall: Paywall, length: str) -> None:
    """A Content-Length that is no number is none: it makes no exception, and opens nothing."""
    client = site(paywall)
    request: dict[str, Any] = {"content": b"body", "headers": {"Content-Length": length.encode("latin-1")}}
    assert client.post("/bound", **request).status_code == 402
    request["headers"] |= buy(client, "POST", "/bound", **request)
    assert client.post("/bound", **request).content == b"body"


@pytest.mark.anyio
async def test_a_client_that_leaves_while_its_bound_body_is_read(paywall: Paywall) -> None:
    """Case 77: half a body is never quoted, and nothing is logged about who left."""
    app, _ = application(paywall)
    half: Message = {"type": "http.request", "body": b"half", "more_body": True}
    exchange = Exchange(app, "POST", "/bound", {}, half, {"type": "http.disconnect"})
    await exchange.run()
    assert exchange.status == 400
    assert not ran


@pytest.mark.filterwarnings("ignore:.*pieces:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("sent", [0, 1, 2])
@pytest.mark.anyio
async def test_a_send_that_fails(paywall: Paywall, sent: int) -> None:
    """Case 51: a server that says the client is gone: an answer that had begun is charged."""

    @l402_required(price=1)
    async def streaming(request: Request) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"one"
            yield b"two"
            yield b"three"

        return StreamingResponse(pieces())

    app, client = application(paywall, Route("/streaming", streaming))
    headers = buy(client, "GET", "/streaming")
    exchange = Exchange(app, "GET", "/streaming", headers)
    exchange.fail_after = sent
    # An older Starlette gives the server's own error, among those of its tasks.
    with pytest.raises((ClientDisconnect, ExceptionGroup)):
        await exchange.run()
    assert client.get("/streaming?other", headers=headers).status_code == 402


@pytest.mark.anyio
async def test_early_hints_and_trailers_pass(paywall: Paywall) -> None:
    """Case 76: messages of extensions are forwarded untouched and in order."""
    hint: Message = {"type": "http.response.early_hint", "links": [b"</style.css>"]}
    start: Message = {"type": "http.response.start", "status": 200, "headers": [], "trailers": True}
    body: Message = {"type": "http.response.body", "body": b"x", "more_body": False}
    trailers: Message = {"type": "http.response.trailers", "headers": [(b"x", b"y")], "more_trailers": False}

    @l402_required(price=1)
    async def extended(request: Request) -> Any:
        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            for message in (hint, start, body, trailers):
                await send(message)

        return answer

    app, client = application(paywall, Route("/extended", extended))
    exchange = await Exchange(app, "GET", "/extended", buy(client, "GET", "/extended")).run()
    assert [message["type"] for message in exchange.sent] == [each["type"] for each in (hint, start, body, trailers)]
    assert exchange.sent[0] == hint
    assert exchange.sent[1]["trailers"] is True
    assert exchange.sent[3] == trailers


@pytest.mark.anyio
async def test_cancelled_while_running(paywall: Paywall) -> None:
    """Case 78: a request that the server cancels gives its use back at once."""

    @l402_required(price=1)
    async def hanging(request: Request) -> Response:
        ran.append("hanging")
        if len(ran) == 1:
            await anyio.sleep(60)
        return Response(b"done")

    app, client = application(paywall, Route("/hanging", hanging))
    headers = buy(client, "GET", "/hanging")
    with anyio.move_on_after(0.05):
        await Exchange(app, "GET", "/hanging", headers).run()
    exchange = await Exchange(app, "GET", "/hanging", headers).run()
    assert exchange.status == 200
    assert ran == ["hanging"] * 2


class Hanging(MemoryLedger):
    """Settles, and takes its time."""

    def settle(self, *args: Any) -> Step[bool]:
        async def settle() -> bool:
            await anyio.sleep(0.1)
            return await settling.wait()

        settling = super().settle(*args)
        return Call(settle)


async def waiting(send: Send) -> None:
    """An answer that is cut off while its next piece is made."""
    await anyio.sleep(60)


async def unread(send: Send) -> None:
    """One whose client does not read, until the application's own patience ends."""
    with anyio.fail_after(0.02):
        await send({"type": "http.response.body", "body": b"unread", "more_body": True})


async def giving_up(send: Send) -> None:
    """One that its framework leaves unfinished without a word, as Quart does after its `RESPONSE_TIMEOUT`."""


async def ending(send: Send) -> None:
    """One that is cut off while it is settled."""
    await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize("then", [waiting, unread, giving_up, ending])
@pytest.mark.parametrize(("sent", "charged"), [(b"all but the end", True), (b"", False)], ids=["begun", "nothing"])
@pytest.mark.anyio
async def test_cut_off_in_the_middle(then: Callable[[Send], Any], sent: bytes, charged: bool) -> None:
    """Case 51: who can make a server cancel a stream, or its send time out, has what was sent of it by then."""

    @l402_required(price=1)
    async def streaming(request: Request) -> Any:
        async def stream(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": sent, "more_body": True})
            ran.append("streaming")
            await (then if len(ran) == 1 else ending)(send)

        return stream

    class Client(Exchange):
        async def send(self, message: Any) -> None:
            await super().send(message)
            if message.get("body") == b"unread":
                await anyio.sleep(60)

    app, client = application(Paywall(DevNode(), Hanging(), secret_keys=[KEY]), Route("/stream", streaming))
    headers = buy(client, "GET", "/stream")
    with suppress(TimeoutError), anyio.move_on_after(0.05):
        await Client(app, "GET", "/stream", headers).run()
    other = Exchange(app, "GET", "/stream", headers)
    other.scope["query_string"] = b"other"
    is_charged = (await other.run()).status == 402
    assert is_charged == (charged or then is unread)


@pytest.mark.anyio
async def test_head_whose_application_waits_for_its_client(paywall: Paywall) -> None:
    """Case 23: Starlette cancels a stream when it hears that the client left: not before the headers are out."""

    class Slow(MemoryLedger):
        def release(self, *args: Any) -> Step[None]:
            async def release() -> None:
                await anyio.sleep(0.05)
                await releasing.wait()

            releasing = super().release(*args)
            return Call(release)

    @l402_required(price=1)
    async def streaming(request: Request) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(3):
                yield b"piece"

        return StreamingResponse(pieces())

    class Client(Exchange):
        async def send(self, message: Any) -> None:
            await anyio.sleep(0.01)
            await super().send(message)

    app, client = application(Paywall(DevNode(), Slow(), secret_keys=[KEY]), Route("/stream", streaming))
    request = Client(app, "HEAD", "/stream", buy(client, "GET", "/stream"))
    request.scope["asgi"]["spec_version"] = "2.3"
    request.body.append({"type": "http.request", "body": b"", "more_body": False})
    await request.run()
    assert [message["type"] for message in request.sent] == ["http.response.start", "http.response.body"]
    assert request.status == 200


@pytest.mark.anyio
async def test_background_tasks(paywall: Paywall) -> None:
    """A background task that fails after the answer changes nothing about its being paid."""
    from starlette.background import BackgroundTask

    def fail() -> None:
        raise RuntimeError("too late")

    @l402_required(price=1)
    async def later(request: Request) -> Response:
        return Response(b"done", background=BackgroundTask(fail))

    app, client = application(paywall, Route("/later", later))
    headers = buy(client, "GET", "/later")
    exchange = Exchange(app, "GET", "/later", headers)
    with pytest.raises(RuntimeError, match="too late"):
        await exchange.run()
    assert exchange.status == 200
    assert client.get("/later?other", headers=headers).json()["code"] == "already-used"


def test_nothing_secret_is_logged(paywall: Paywall, caplog: pytest.LogCaptureFixture) -> None:
    """Case 112: at DEBUG through a whole sale nothing of the credential is logged."""
    caplog.set_level(logging.DEBUG, logger="l402_middleware")
    client = site(paywall)
    headers = buy(client, "GET", "/priced")
    for url in ("/priced", "/priced?other", "/echo"):
        client.get(url, headers=headers)
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("l402"))
    assert headers["Authorization"][-64:] not in ours
    assert headers["Authorization"][5:60] not in ours
