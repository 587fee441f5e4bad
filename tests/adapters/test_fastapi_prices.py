"""FastAPI's prices as dependencies: where they may stand, that nothing comes before them, and which one counts."""

import json
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, File, Form, HTTPException, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from fastapi.testclient import TestClient
from pydantic import BaseModel
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.responses import Response
from starlette.routing import Host, Match
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocket

from l402_middleware import ConfigurationError, Payment, Paywall, Refusal, RequestView, msats
from l402_middleware.fastapi import L402, Free, L402Middleware, Priced, get_payment, l402_required
from l402_middleware.paywall.rendering import render
from l402_middleware.paywall.verdict import Refused
from l402_middleware.providers.devnode import DevNode

from .servers import KEY
from .test_starlette import Exchange, buy

ran: list[str] = []


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    ran.clear()


def guarded(app: FastAPI) -> TestClient:
    """A client of that application behind a paywall."""
    L402(app, Paywall(DevNode(), secret_keys=[KEY]))
    return TestClient(app, client=("127.0.0.1", 1), raise_server_exceptions=False)


def quoted(client: TestClient, method: str, url: str, **options: Any) -> int:
    """The price that is asked for."""
    answer = client.request(method, url, **options)
    assert answer.status_code == 402, answer.text
    amount: int = answer.json()["amount_sats"]
    return amount


# --- where a price may stand


class Order(BaseModel):
    city: str


def noisy() -> None:
    """A dependency that does something."""
    ran.append("dependency")


async def lasting() -> AsyncIterator[str]:
    """A dependency that has an end."""
    ran.append("enter")
    yield "lasting"
    ran.append("leave")


class Counted:
    """A class as a dependency."""

    def __init__(self, q: int = 0) -> None:
        ran.append("class")
        self.q = q


class Bearer(HTTPBearer):
    """A security dependency."""

    async def __call__(self, request: Request) -> None:  # type: ignore[override]
        ran.append("security")


Noise = Annotated[None, Depends(noisy)]
Lasting = Annotated[str, Depends(lasting)]
Count = Annotated[Counted, Depends()]
Secure = Annotated[None, Depends(Bearer())]


async def order(id: int, body: Order, tasks: BackgroundTasks, a: Noise, b: Lasting, c: Count, d: Secure) -> Any:  # noqa: A002
    """An endpoint that needs everything."""
    tasks.add_task(ran.append, "background")
    ran.append("endpoint")
    return {"city": body.city}


def look(id: int, tasks: BackgroundTasks, a: Noise, b: Lasting, c: Count, d: Secure) -> Any:  # noqa: A002
    """A plain one without a body."""
    tasks.add_task(ran.append, "background")
    ran.append("endpoint")
    return {"city": "Bern"}


async def paid_order(payment: Annotated[Payment, Priced(21)], id: int, body: Order, a: Noise, b: Lasting) -> Any:  # noqa: A002
    """An endpoint that asks for its payment."""
    ran.append(f"endpoint {payment.amount}")
    return {"city": body.city}


def paid_look(a: Noise, b: Lasting, c: Count, d: Secure, id: int, payment: Annotated[Payment, Priced(21)]) -> Any:  # noqa: A002
    """An endpoint that asks for its payment, last."""
    ran.append(f"endpoint {payment.amount}")
    return {"city": "Bern"}


def member(a: Noise, payment: Annotated[Payment, Priced(21)]) -> Payment:
    """A dependency that is priced."""
    ran.append("member")
    return payment


async def deep_order(id: int, body: Order, a: Noise, payment: Annotated[Payment, Depends(member)]) -> Any:  # noqa: A002
    """An endpoint that is priced by what it depends on."""
    ran.append(f"endpoint {payment.amount}")
    return {"city": body.city}


def deep_look(a: Noise, id: int, payment: Annotated[Payment, Depends(member)]) -> Any:  # noqa: A002
    """An endpoint that is priced by what it depends on."""
    return {"city": "Bern"}


def with_routes(router: Any, post: Any = order, get: Any = look, **options: Any) -> Any:
    """A router or application, with both endpoints."""
    router.post("/x/{id}", **options)(post)
    router.get("/x/{id}", **options)(get)
    return router


def on_the_route() -> FastAPI:
    """Among a route's dependencies, not as the first."""
    return with_routes(FastAPI(), dependencies=[Depends(noisy), Priced(21)])  # type: ignore[no-any-return]


def as_a_parameter() -> FastAPI:
    """As an endpoint's parameter."""
    return with_routes(FastAPI(), paid_order, paid_look)  # type: ignore[no-any-return]


def in_a_dependency() -> FastAPI:
    """In what a dependency of the endpoint depends on."""
    return with_routes(FastAPI(), deep_order, deep_look)  # type: ignore[no-any-return]


def on_the_router() -> FastAPI:
    """Among a router's dependencies."""
    app = FastAPI(dependencies=[Depends(noisy)])
    app.include_router(with_routes(APIRouter(dependencies=[Depends(noisy), Priced(21)])))
    return app


def on_the_include() -> FastAPI:
    """Where a router is included."""
    app = FastAPI()
    app.include_router(with_routes(APIRouter(dependencies=[Depends(noisy)])), dependencies=[Priced(21)])
    return app


def on_a_nested_router() -> FastAPI:
    """On the inner of two routers."""
    app, outer = FastAPI(), APIRouter(dependencies=[Priced(1000)])
    outer.include_router(with_routes(APIRouter(dependencies=[Priced(21)])))
    app.include_router(outer)
    return app


def around_a_nested_router() -> FastAPI:
    """On the outer of two routers."""
    app, outer = FastAPI(), APIRouter(dependencies=[Priced(21)])
    outer.include_router(with_routes(APIRouter(dependencies=[Depends(noisy)])))
    app.include_router(outer)
    return app


def on_the_application() -> FastAPI:
    """Among the application's dependencies."""
    return with_routes(FastAPI(dependencies=[Depends(noisy), Priced(21)]))  # type: ignore[no-any-return]


def over_the_application() -> FastAPI:
    """On routes of an application with another price."""
    return with_routes(FastAPI(dependencies=[Priced(1)]), dependencies=[Priced(21)])  # type: ignore[no-any-return]


def by_decorator() -> FastAPI:
    """On the endpoints, decorated."""
    paid = l402_required(price=21)
    return with_routes(FastAPI(dependencies=[Depends(noisy), Priced(1)]), paid(order), paid(look))  # type: ignore[no-any-return]


def in_a_mounted_application() -> FastAPI:
    """In an application that is mounted in the guarded one."""
    app = FastAPI()
    app.mount("/", on_the_router())
    return app


def in_a_route_class() -> FastAPI:
    """On routes of a class of the application's own."""

    class Logged(APIRoute):
        def get_route_handler(self) -> Any:
            handle = super().get_route_handler()

            async def logged(request: Request) -> Response:
                ran.append("route class")
                return await handle(request)

            return logged

    app = FastAPI()
    app.include_router(with_routes(APIRouter(route_class=Logged, dependencies=[Priced(21)])))
    return app


def late() -> FastAPI:
    """A router that gets its routes after it was included, in an application that is already guarded."""
    app, router, inner = FastAPI(), APIRouter(), APIRouter(dependencies=[Depends(noisy)])
    app.include_router(router, dependencies=[Priced(21)])
    router.include_router(inner)
    client = guarded(app)
    assert client.get("/x/1").status_code == 404
    with_routes(inner)
    app.state.client = client
    return app


PLACES = [
    on_the_route,
    as_a_parameter,
    in_a_dependency,
    on_the_router,
    on_the_include,
    on_a_nested_router,
    around_a_nested_router,
    on_the_application,
    over_the_application,
    by_decorator,
    in_a_mounted_application,
    in_a_route_class,
    late,
]
BAD: list[dict[str, Any]] = [
    {"json": {"town": "Bern"}},
    {"content": b"{", "headers": {"Content-Type": "application/json"}},
    {"content": b"x"},
]


@pytest.fixture(params=PLACES, ids=lambda place: place.__name__)
def client(request: pytest.FixtureRequest) -> TestClient:
    """A client of each application."""
    app = request.param()
    return getattr(app.state, "client", None) or guarded(app)


@pytest.mark.parametrize(
    ("method", "url", "options"),
    [
        ("GET", "/x/1", {}),
        ("GET", "/x/nothing?q=x", {}),
        ("POST", "/x/1", {"json": {"city": "Bern"}}),
        ("POST", "/x/1", {}),
        ("POST", "/x/nothing", BAD[0]),
        ("POST", "/x/1?q=x", BAD[1]),
        ("POST", "/x/1", BAD[2]),
    ],
)
def test_unpaid(client: TestClient, method: str, url: str, options: Any) -> None:
    """Case 24: wherever the price stands, an unpaid request is answered before anything is validated or run."""
    assert quoted(client, method, url, **options) == 21
    answer = client.request(method, url, **options)
    assert answer.json()["code"] == "payment-required"
    wrong = {**options.get("headers", {}), "Authorization": f"L402 {answer.json()['macaroon']}:{'00' * 32}"}
    answer = client.request(method, url, **{**options, "headers": wrong})
    assert (answer.status_code, answer.json()["code"]) == (402, "invalid-preimage")
    assert not ran


@pytest.mark.anyio
async def test_unpaid_bodies_are_not_asked_for(client: TestClient) -> None:
    """Case 24: nobody reads the body of an unpaid request."""
    exchange = await Exchange(client.app, "POST", "/x/1", {"Content-Type": "application/json"}).run()
    assert (exchange.status, exchange.reads) == (402, 0)


def test_paid(client: TestClient) -> None:
    """Case 45: paid, everything runs once; the same request gets the answer again, and another one does not."""
    headers = buy(client, "POST", "/x/1", json={"city": "Bern"})
    for _ in range(2):
        answer = client.post("/x/1", json={"city": "Bern"}, headers=headers)
        assert (answer.status_code, answer.json()) == (200, {"city": "Bern"})
    assert len([each for each in ran if each.startswith("endpoint")]) == 1
    assert "dependency" in ran or "enter" in ran
    answer = client.post("/x/1", json={"city": "Rome"}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (402, "already-used")
    ran.clear()
    headers = buy(client, "GET", "/x/1")
    assert not ran
    assert client.get("/x/1", headers=headers).json() == {"city": "Bern"}
    assert client.post("/x/1", json={"city": "Bern"}, headers=headers).json()["code"] == "wrong-endpoint"


@pytest.mark.parametrize("options", BAD)
def test_paid_for_and_not_valid(client: TestClient, options: Any) -> None:
    """Case 49: what FastAPI refuses is not charged; the same credential then buys a valid request."""
    headers = buy(client, "POST", "/x/1")
    given = {**options, "headers": {**options.get("headers", {}), **headers}}
    assert client.post("/x/1", **given).status_code == 422
    assert not any(each.startswith("endpoint") for each in ran)
    assert client.post("/x/1", json={"city": "Bern"}, headers=headers).status_code == 200


# --- which price counts


def test_the_most_specific_counts() -> None:
    """The parameter's, then the route's own, its router's, the include's, the outer router's and the application's."""
    app = FastAPI(dependencies=[Priced(1)])
    outer, inner, bare = APIRouter(dependencies=[Priced(2)]), APIRouter(dependencies=[Priced(4)]), APIRouter()

    async def answer() -> str:
        return "answer"

    async def parameter(payment: Annotated[Payment, Priced(6)]) -> str:
        return str(payment.amount)

    inner.get("/parameter", dependencies=[Priced(5)])(parameter)
    inner.get("/route", dependencies=[Priced(5)])(answer)
    inner.get("/router")(answer)
    inner.get("/decorated", dependencies=[Priced(5)])(l402_required(price=7)(answer))
    bare.get("/include")(answer)
    outer.include_router(inner, dependencies=[Priced(3)])
    outer.include_router(bare, dependencies=[Priced(3)])
    outer.get("/outer")(answer)
    app.include_router(outer)
    app.get("/application")(answer)
    client = guarded(app)
    expected = {"decorated": 7, "parameter": 6, "route": 5, "router": 4, "include": 3, "outer": 2, "application": 1}
    assert {name: quoted(client, "GET", f"/{name}") for name in expected} == expected
    assert client.get("/parameter", headers=buy(client, "GET", "/parameter")).json() == "6 sat"


def test_a_free_route_among_priced_ones() -> None:
    """`Free()` gives one route away, and says so where a payment is asked for; its neighbours stay priced."""
    app, router = FastAPI(dependencies=[Priced(5)]), APIRouter(dependencies=[Priced(7)])

    @router.get("/free", dependencies=[Free()])
    async def free(payment: Annotated[Payment | None, Depends(get_payment)]) -> bool:
        return payment is None

    @router.get("/priced")
    async def priced(payment: Annotated[Payment | None, Depends(get_payment)]) -> int:
        return payment.amount.sats if payment else 0

    @app.get("/again", dependencies=[Free(), Priced(3)])
    async def again() -> None:
        """Free, and yet not: the last one counts."""

    app.include_router(router)
    client = guarded(app)
    assert client.get("/free").json() is True
    assert quoted(client, "GET", "/priced") == 7
    assert client.get("/priced", headers=buy(client, "GET", "/priced")).json() == 7
    assert client.get("/free").json() is True
    assert quoted(client, "GET", "/again") == 3


def two_parameters() -> FastAPI:
    """Two parameters."""
    app = FastAPI()

    @app.get("/x")
    async def endpoint(a: Annotated[Payment, Priced(1)], b: Annotated[Payment, Priced(100)]) -> None:
        ran.append("endpoint")

    return app


def a_parameter_and_a_decorator() -> FastAPI:
    """A parameter of a decorated endpoint."""
    app = FastAPI()

    @app.get("/x")
    @l402_required(price=100)
    async def endpoint(a: Annotated[Payment, Priced(1)]) -> None:
        ran.append("endpoint")

    return app


def two_in_a_dependency() -> FastAPI:
    """A dependency, and what it depends on."""

    def both(a: Annotated[Payment, Priced(1)], b: Annotated[Payment, Depends(member)]) -> None:
        ran.append("both")

    app = FastAPI()
    app.get("/x", dependencies=[Depends(both)])(lambda: ran.append("endpoint"))
    return app


def free_and_priced_parameters() -> FastAPI:
    """A parameter that is free and one that is not."""
    app = FastAPI()

    @app.get("/x")
    async def endpoint(a: Annotated[Any, Free()], b: Annotated[Payment, Priced(100)]) -> None:
        ran.append("endpoint")

    return app


@pytest.mark.parametrize(
    "make", [two_parameters, a_parameter_and_a_decorator, two_in_a_dependency, free_and_priced_parameters]
)
def test_two_prices_of_one_route(make: Callable[[], FastAPI]) -> None:
    """An endpoint that names two prices itself keeps the application from starting, and is never served."""
    client = guarded(make())
    assert client.get("/x").status_code == 500
    assert not ran
    with pytest.raises(ConfigurationError, match="/x has two prices"):
        TestClient(make()).get("/x")
    with pytest.raises(ConfigurationError, match="/x has two prices"), guarded(make()):
        pass


def test_one_price_in_two_places_of_a_route() -> None:
    """One `Priced` that an endpoint and its dependencies share is one price, charged once."""
    price = Priced(21, uses=2)
    app = FastAPI()

    def buyer(payment: Annotated[Payment, price]) -> Payment:
        return payment

    @app.get("/x", dependencies=[price])
    async def endpoint(a: Annotated[Payment, price], b: Annotated[Payment, Depends(buyer)]) -> list[int | None]:
        return [a.uses_left, b.uses_left]

    client = guarded(app)
    assert client.get("/x", headers=buy(client, "GET", "/x")).json() == [1, 1]


# --- attacks, and mistakes


def test_a_cheap_credential_on_a_dear_route() -> None:
    """Case 43: one router included at two prices sells two things; one `Priced` at two routes does too."""
    app, router, price = FastAPI(), APIRouter(), Priced(1)
    router.get("/report/{id}")(look)
    app.include_router(router, prefix="/cheap", dependencies=[Priced(1)])
    app.include_router(router, prefix="/dear", dependencies=[Priced(1000)])
    app.get("/a/{id}", dependencies=[price])(look)
    app.get("/b/{id}", dependencies=[price])(look)
    client = guarded(app)
    headers = buy(client, "GET", "/cheap/report/1")
    assert quoted(client, "GET", "/dear/report/1") == 1000
    for url in ("/dear/report/1", "/a/1", "/b/1"):
        assert client.get(url, headers=headers).json()["code"] == "wrong-endpoint"
    assert client.get("/b/1", headers=buy(client, "GET", "/a/1")).json()["code"] == "wrong-endpoint"
    assert not ran
    assert client.get("/cheap/report/1", headers=headers).status_code == 200


def test_overrides_do_not_open_a_route() -> None:
    """What `dependency_overrides` puts in a price's place changes a parameter, and not that the route is paid for."""
    app, price = FastAPI(), Priced(21)

    def instead() -> str:
        return "overridden"

    @app.get("/x")
    async def endpoint(a: Annotated[Any, price], b: Noise) -> Any:
        ran.append("endpoint")
        return a

    @app.post("/listed", dependencies=[price])
    async def listed(order: Order, b: Noise) -> Any:
        ran.append("endpoint")

    app.dependency_overrides = {price.dependency: instead, noisy: instead}
    client = guarded(app)
    assert quoted(client, "GET", "/x") == 21
    assert quoted(client, "POST", "/listed") == 21
    assert not ran
    assert client.get("/x", headers=buy(client, "GET", "/x")).json() == "overridden"
    assert ran == ["endpoint"]


def test_an_override_that_is_priced() -> None:
    """A price that only an override brings is asked for where it stands; beside another one it is an error."""
    app = FastAPI()
    app.get("/x")(look_at_noise)
    app.get("/y", dependencies=[Priced(1)])(look_at_noise)
    app.dependency_overrides = {noisy: member_only}
    client = guarded(app)
    assert quoted(client, "GET", "/x") == 21
    assert not ran
    assert client.get("/x", headers=buy(client, "GET", "/x")).status_code == 200
    assert client.get("/y", headers=buy(client, "GET", "/y")).status_code == 500
    assert ran == ["endpoint"]


def member_only(payment: Annotated[Payment, Priced(21)]) -> None:
    """A priced dependency to put in another one's place."""


def look_at_noise(a: Noise) -> None:
    """An endpoint with a dependency."""
    ran.append("endpoint")


def test_without_the_middleware() -> None:
    """A priced route of an application that nobody guards is not served."""
    for place in PLACES[:-1]:
        client = TestClient(place(), raise_server_exceptions=False)
        assert client.get("/x/1").status_code == 500
        assert client.post("/x/1", json={"city": "Bern"}).status_code == 500
    assert "endpoint" not in ran


def test_a_route_class_that_takes_another_way() -> None:
    """Whatever the class of a route does when it is called, its price is asked for before."""

    class Direct(APIRoute):
        async def handle(self, scope: Any, receive: Any, send: Any) -> None:
            await self.app(scope, receive, send)

    app = FastAPI(dependencies=[Depends(noisy), Priced(1)])
    app.router.route_class = Direct
    app.get("/listed/{id}", dependencies=[Priced(21)])(look)
    app.get("/parameter/{id}")(paid_look)
    app.get("/decorated")(l402_required(price=21)(noisy))
    client = guarded(app)
    for url in ("/listed/1", "/parameter/1", "/decorated"):
        ran.clear()
        assert quoted(client, "GET", url) == 21
        assert not ran
        assert client.get(url, headers=buy(client, "GET", url)).status_code == 200


def test_without_replacing_anything() -> None:
    """Importing an adapter leaves the classes of the frameworks as they are."""
    program = """
import fastapi.routing, flask.views, starlette.applications, starlette.endpoints, starlette.routing, sys

def attributes():
    theirs = ("fastapi", "flask", "starlette")
    modules = [module for name, module in sys.modules.items() if name.split(".")[0] in theirs]
    kinds = {kind for module in modules for kind in vars(module).values() if isinstance(kind, type)}
    return {(kind, name): id(value) for kind in kinds for name, value in vars(kind).items() if callable(value)}

before = attributes()
import l402_middleware.fastapi, l402_middleware.flask, l402_middleware.starlette, l402_middleware.audit
after = attributes()
print([f"{kind.__name__}.{name}" for (kind, name), value in before.items() if after[kind, name] != value])
"""
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout == "[]\n"


@pytest.mark.parametrize("restores", [False, True])
def test_a_tracer_that_wraps_routes(monkeypatch: pytest.MonkeyPatch, restores: bool) -> None:
    """Whoever replaces `APIRoute.handle`, or puts it back, changes nothing: prices come before dependencies."""
    original = APIRoute.handle

    async def traced(self: APIRoute, scope: Any, receive: Any, send: Any) -> None:
        await original(self, scope, receive, send)

    monkeypatch.setattr(APIRoute, "handle", traced)
    client = guarded(on_the_route())
    if restores:
        monkeypatch.setattr(APIRoute, "handle", original)
    assert quoted(client, "GET", "/x/1") == 21
    assert quoted(client, "POST", "/x/1", json={"city": "Bern"}) == 21
    assert not ran
    assert client.get("/x/1", headers=buy(client, "GET", "/x/1")).status_code == 200


def test_routes_that_choose_by_more_than_the_path() -> None:
    """A class of routes whose `matches` looks at a header is asked, in an included router too."""

    class Versioned(APIRoute):
        def matches(self, scope: Any) -> Any:
            match, child = super().matches(scope)
            wanted = Headers(scope=scope).get("version", "1")
            return (match, child) if self.name == f"v{wanted}" else (Match.NONE, {})

    router = APIRouter(route_class=Versioned)
    router.get("/x", name="v1", dependencies=[Priced(1)])(look_at_noise)
    router.get("/x", name="v2", dependencies=[Priced(2)])(look_at_noise)
    app = FastAPI()
    app.include_router(router, prefix="/in")
    client = guarded(app)
    assert quoted(client, "GET", "/in/x") == 1
    assert quoted(client, "GET", "/in/x", headers={"version": "2"}) == 2
    assert not ran


def test_behind_what_may_choose_another_route() -> None:
    """A mounted application's own middleware may rewrite the path: what is then chosen is sold at its own price."""

    class Rewriting:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await self.app(scope | {"path": "/part/dear"}, receive, send)

    part = FastAPI()
    part.get("/cheap", dependencies=[Priced(1)])(look_at_noise)
    part.get("/dear", dependencies=[Priced(21)])(look_at_noise)
    part.add_middleware(Rewriting)
    app = FastAPI()
    app.mount("/part", part)
    client = guarded(app)
    assert quoted(client, "GET", "/part/cheap") == 21
    assert "endpoint" not in ran


def test_with_the_middleware_of_starlette() -> None:
    """The middleware of `l402_middleware.starlette` serves the prices as well; FastAPI's only adds the document."""
    from l402_middleware.starlette import L402Middleware as StarletteMiddleware

    app = on_the_route()
    app.add_middleware(StarletteMiddleware, paywall=Paywall(DevNode(), secret_keys=[KEY]))
    client = TestClient(app, client=("127.0.0.1", 1))
    assert quoted(client, "GET", "/x/1") == 21
    assert not ran
    assert client.get("/x/1", headers=buy(client, "GET", "/x/1")).status_code == 200


def test_other_methods_are_not_sold() -> None:
    """What routing answers itself, 404, 405 and a redirect, costs nothing and is not hidden behind a price."""
    client = guarded(on_the_router())
    for method in ("PUT", "OPTIONS", "DELETE", "HEAD"):
        answer = client.request(method, "/x/1")
        assert answer.status_code == 405
        assert answer.headers["allow"] in ("POST", "GET")
    assert client.get("/nowhere").status_code == 404
    app = FastAPI()
    # Without methods a route has all of them, if it has an id of its own.
    prices = [Depends(noisy), Priced(21)]
    app.router.add_api_route("/any", noisy, methods=[], operation_id="any", dependencies=prices)
    anyhow = guarded(app)
    assert quoted(anyhow, "FOO", "/any") == 21
    assert not ran
    assert client.get("/x/1/", follow_redirects=False).status_code == 307
    assert quoted(client, "GET", "/x/1/") == 21


@pytest.mark.parametrize("inner", [False, True])
def test_handlers_of_exceptions_do_not_see_a_refusal(inner: bool, caplog: pytest.LogCaptureFixture) -> None:
    """The application's exception handlers neither see nor change a refusal: it goes out as the paywall made it."""

    def by_days(request: RequestView) -> Any:
        raise Refusal(422, "days-out-of-range", "Ask for 1 to 14 days.")

    app = FastAPI(dependencies=[Depends(noisy)])
    for kind in (HTTPException, StarletteHTTPException, RequestValidationError, Exception, 402, 422, 500):

        @app.exception_handler(kind)
        async def handler(request: Request, error: Exception) -> Response:
            ran.append("exception handler")
            return PlainTextResponse("mine")

    app.get("/x", dependencies=[Priced(by_days)])(look)
    app.post("/y", dependencies=[Priced(3)])(order)
    expected = render(Refused(422, "days-out-of-range", "Ask for 1 to 14 days."))
    client = guarded(app)
    if inner:

        async def passing(request: Request, call_next: RequestResponseEndpoint) -> Response:
            return await call_next(request)

        app.user_middleware.append(Middleware(BaseHTTPMiddleware, dispatch=passing))
    with caplog.at_level(logging.INFO):
        answer = client.get("/x")
        assert [(name, value) for name, value in answer.headers.raw] == expected.headers
        assert answer.content == expected.body
        answer = client.post("/y")
    names = ["content-type", "content-length", "cache-control", "vary", "www-authenticate"]
    assert list(answer.headers) == names
    assert set(answer.json()) == {
        *("type", "title", "status", "code", "macaroon", "token", "invoice", "payment_hash"),
        *("amount_sats", "amount_msat", "price_sats", "expires_at"),
    }
    # Behind a middleware that might have chosen another route, the body's reader is told that the client left.
    assert ran == (["dependency", "exception handler"] if inner else [])
    assert not [record for record in caplog.records if not record.name.startswith(("http", "asyncio"))]


def test_a_price_beside_a_bearer_token() -> None:
    """Two `Authorization` lines, `Bearer` first, are for both: FastAPI looks at the first one only."""
    app = FastAPI()

    @app.get("/x")
    def me(token: Annotated[Any, Depends(HTTPBearer())], payment: Annotated[Payment, Priced(21)]) -> str:
        return str(token.credentials)

    client = guarded(app)
    paid = buy(client, "GET", "/x")["Authorization"]
    lines = [("Authorization", "Bearer alice"), ("Authorization", paid)]
    assert client.get("/x", headers=httpx2.Headers(lines)).json() == "alice"


# --- every kind of endpoint


def test_forms_and_files() -> None:
    """Forms and multipart bodies are parsed after they are paid for."""
    app = FastAPI()

    @app.post("/form", dependencies=[Priced(21)])
    async def form(name: Annotated[str, Form()], upload: Annotated[UploadFile, File()], a: Noise) -> dict[str, Any]:
        return {"name": name, "size": len(await upload.read())}

    client = guarded(app)
    broken: Any = {"content": b"--x", "headers": {"Content-Type": "multipart/form-data; boundary=x"}}
    headers = buy(client, "POST", "/form", **broken)
    assert not ran
    assert client.post("/form", headers=headers, data={"name": "x"}).status_code == 422
    answer = client.post("/form", headers=headers, data={"name": "x"}, files={"upload": b"12345"})
    assert answer.json() == {"name": "x", "size": 5}


def test_a_price_for_one_request() -> None:
    """A computed price reads the body, sells exactly that request, and FastAPI validates what was sold."""

    def by_city(request: RequestView) -> Any:
        assert request.body is not None
        return msats(1500) * len(request.body.json()["city"])

    app = FastAPI()

    @app.post("/order")
    async def ordered(order: Order, payment: Annotated[Payment, Priced(by_city, memo="by length")]) -> Any:
        return [order.city, payment.amount.msat]

    client = guarded(app)
    assert client.post("/order", content=b"{").json()["code"] == "not-json"
    headers = buy(client, "POST", "/order", json={"city": "Bern"})
    assert client.post("/order", json={"city": "Rio"}, headers=headers).json()["code"] == "wrong-request"
    assert client.post("/order", json={"city": "Bern"}, headers=headers).json() == ["Bern", 6000]


def test_endpoints_that_yield() -> None:
    """What FastAPI streams from a generator can be sold; a stream is given again too."""
    app = FastAPI(dependencies=[Priced(21)])

    @app.get("/lines")
    def lines() -> Iterator[Order]:
        ran.append("lines")
        for city in ("Bern", "Rome"):
            yield Order(city=city)

    client = guarded(app)
    headers = buy(client, "GET", "/lines")
    assert not ran
    for _ in range(2):
        answer = client.get("/lines", headers=headers)
        assert [json.loads(line)["city"] for line in answer.text.splitlines()] == ["Bern", "Rome"]
    assert ran == ["lines"]


def test_websockets_are_sold() -> None:
    """Case 63: a priced WebSocket is refused before it is accepted, and opens for who has paid; `Free()` opens it."""
    app, router = FastAPI(dependencies=[Depends(noisy), Priced(1)]), APIRouter(dependencies=[Priced(5)])

    @router.websocket("/included")
    async def included(websocket: WebSocket) -> None:
        ran.append("included")

    app.include_router(router, prefix="/router")

    @app.websocket("/priced")
    async def priced(websocket: WebSocket) -> None:
        ran.append("priced")
        await websocket.accept()
        await websocket.send_text("paid")
        await websocket.close()

    @app.websocket("/free", dependencies=[Free()])
    async def free(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("hello")
        await websocket.close()

    client = guarded(app)
    with pytest.raises(WebSocketDenialResponse) as refused, client.websocket_connect("/priced"):
        pass
    assert refused.value.status_code == 402
    challenge = refused.value.json()
    paid = client.get("/dev/wallet/pay", params={"invoice": challenge["invoice"]}).json()
    headers = {"Authorization": f"L402 {challenge['macaroon']}:{paid['preimage']}"}
    with (
        pytest.raises(WebSocketDenialResponse) as dear,
        client.websocket_connect("/router/included", headers=headers),
    ):
        pass
    assert (dear.value.json()["code"], dear.value.json()["amount_sats"]) == ("wrong-endpoint", 5)
    assert not ran
    with client.websocket_connect("/priced", headers=headers) as websocket:
        assert websocket.receive_text() == "paid"
    with pytest.raises(WebSocketDenialResponse), client.websocket_connect("/priced", headers=headers):
        pass
    assert ran == ["dependency", "priced"]
    with client.websocket_connect("/free") as websocket:
        assert websocket.receive_text() == "hello"


@pytest.mark.anyio
async def test_websockets_on_servers_that_can_not_say_why() -> None:
    """Case 63: without the extension for an answer, an unpaid handshake is closed, and nothing ran."""
    app = FastAPI(dependencies=[Depends(noisy), Priced(1)])

    @app.websocket("/x")
    async def priced(websocket: WebSocket) -> None:
        ran.append("priced")

    guarded(app)
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": "/x", "headers": [], "query_string": b"", "subprotocols": [], "state": {}}
    await app({**scope, "root_path": "", "scheme": "ws", "client": None, "server": None}, receive, send)
    assert [(message["type"], message["code"]) for message in sent] == [("websocket.close", 1008)]
    assert not ran


def test_static_frontends(tmp_path: Path) -> None:
    """`app.frontend` shows its dependencies to nobody before it solves them: each file is then sold by its path."""
    (tmp_path / "index.html").write_text("secret")
    (tmp_path / "other.html").write_text("secret")
    app = FastAPI(dependencies=[Priced(1)])
    app.frontend("/", directory=tmp_path)
    client = guarded(app)
    headers = buy(client, "GET", "/index.html")
    assert client.get("/other.html", headers=headers).json()["code"] == "wrong-endpoint"
    assert client.get("/index.html", headers=headers).text == "secret"
    app.dependency_overrides = {}
    assert "secret" not in client.get("/").text


@pytest.mark.parametrize(
    ("cheap", "dear"), [("/dear/%7Bx:int%7D", "/dear/1"), ("/part%7C/x/%7Bx%7D", "/part/x/1"), ("/x%7C/x", "/x/x")]
)
def test_a_file_whose_path_is_spelled_as_a_template(tmp_path: Path, cheap: str, dear: str) -> None:
    """Case 43: what is sold by its path does not open a route with that template, nor a mounted one."""
    app, part = FastAPI(dependencies=[Priced(1)]), FastAPI()
    app.get("/dear/{x:int}", dependencies=[Priced(1000)])(lambda: "secret")
    part.get("/x/{x}", dependencies=[Priced(1000)])(lambda: "secret")
    part.get("/x", dependencies=[Priced(1000)])(lambda: "secret")
    app.mount("/part", part)
    app.mount("/x", part)
    app.frontend("/", directory=tmp_path)
    client = guarded(app)
    assert quoted(client, "GET", dear) == 1000
    assert client.get(dear, headers=buy(client, "GET", cheap)).json()["code"] == "wrong-endpoint"


def test_hosts_in_an_included_router() -> None:
    """Case 43: a credential for one host of an included router does not open the same path on another one."""
    app, router = FastAPI(), APIRouter()
    for host, price in (("cheap.test", 1), ("dear.test", 1000)):
        part = FastAPI()
        part.get("/x", dependencies=[Priced(price)])(lambda: "secret")
        router.routes.append(Host(host, part))
    app.include_router(router)
    client = guarded(app)
    headers = buy(client, "GET", "/x", headers={"Host": "cheap.test"})
    assert client.get("/x", headers={**headers, "Host": "dear.test"}).json()["code"] == "wrong-endpoint"
    assert client.get("/x", headers={**headers, "Host": "cheap.test"}).status_code == 200


# --- what a price on the application does not cover


def test_what_the_application_does_not_cover() -> None:
    """`FastAPI(dependencies=[Priced(1)])` prices its routes: not documents, mounts, Starlette's routes, nor a 404."""
    app, part = FastAPI(dependencies=[Priced(1)]), FastAPI()

    def look(id: int) -> None:  # noqa: A002
        ran.append("endpoint")

    part.get("/x/{id}")(look)
    app.get("/x/{id}")(look)
    app.mount("/part", part)
    app.add_route("/plain", lambda request: PlainTextResponse("plain"))
    client = guarded(app)
    assert quoted(client, "GET", "/x/1") == 1
    for url in ("/docs", "/redoc", "/openapi.json", "/part/x/1", "/part/docs", "/plain"):
        assert client.get(url).status_code == 200
    assert client.get("/nowhere").status_code == 404


def left_out() -> FastAPI:
    """An application whose priced endpoints are none of its routes: the decorators stand in the wrong order."""
    app = FastAPI()

    @l402_required(price=21)
    @app.get("/x")
    async def x() -> None:
        ran.append("endpoint")

    @l402_required(price=21)
    @app.websocket("/socket")
    async def socket(websocket: WebSocket) -> None:
        ran.append("endpoint")

    return app


def test_decorators_in_the_wrong_order() -> None:
    """Case 66: with `@l402_required` above its route, an application does not start, and gives nothing away."""
    with pytest.raises(ConfigurationError, match="/x would be free"), guarded(left_out()):
        pass
    client = guarded(left_out())
    assert client.get("/x").status_code == 500
    with pytest.raises(ConfigurationError, match="/socket would be free"), client.websocket_connect("/socket"):
        pass
    assert not ran


def test_an_endpoint_that_is_free_and_priced() -> None:
    """One function may be free on one route and priced on another."""
    app = FastAPI()

    async def x() -> None:
        ran.append("endpoint")

    app.get("/free")(x)
    app.get("/paid")(l402_required(price=21)(x))
    with guarded(app) as client:
        assert client.get("/free").status_code == 200
        assert quoted(client, "GET", "/paid") == 21


def test_free_in_an_application_that_is_sold_whole() -> None:
    """With a `default` everything has a price, documents and mounts too; `Free()` gives away what it stands at."""
    app, router, part = FastAPI(), APIRouter(dependencies=[Free()]), FastAPI(dependencies=[Free()])
    L402(app, Paywall(DevNode(), secret_keys=[KEY]), default=2, free=iter(["/listed"]))

    def plain() -> None:
        ran.append("endpoint")

    app.get("/listed")(plain)
    app.get("/default")(plain)
    app.get("/own", dependencies=[Priced(5)])(plain)
    app.get("/spared", dependencies=[Free()])(plain)
    router.get("/router")(plain)
    router.get("/dear", dependencies=[Priced(7)])(plain)
    app.include_router(router, prefix="/in")
    part.get("/x")(plain)
    app.mount("/part", part)

    @app.websocket("/socket", dependencies=[Free()])
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()

    client = TestClient(app, client=("127.0.0.1", 1), raise_server_exceptions=False)
    for url in ("/listed", "/spared", "/in/router", "/part/x"):
        assert client.get(url).status_code == 200
    with client.websocket_connect("/socket"):
        ran.clear()
    prices = {"/default": 2, "/own": 5, "/in/dear": 7, "/docs": 2, "/part/docs": 2, "/nowhere": 2}
    assert {url: quoted(client, "GET", url) for url in prices} == prices
    assert not ran
    assert client.get("/default", headers=buy(client, "GET", "/default")).status_code == 200


# --- installing it


def test_the_paywall_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a paywall, `L402` takes the one that the environment describes, or says what is missing."""
    monkeypatch.delenv("L402_PROVIDER", raising=False)
    with pytest.raises(ConfigurationError, match="L402_PROVIDER"):
        L402(FastAPI())
    monkeypatch.setenv("L402_PROVIDER", "dev:")
    monkeypatch.setenv("L402_SECRET_KEYS", KEY)
    app = on_the_route()
    L402(app)
    client = TestClient(app, client=("127.0.0.1", 1))
    assert client.get("/x/1", headers=buy(client, "GET", "/x/1")).status_code == 200


def test_installed_too_late() -> None:
    """An application that has started cannot be guarded any more, and says so."""
    app = FastAPI()
    TestClient(app).get("/")
    with pytest.raises(ConfigurationError, match="too late"):
        L402(app, Paywall(DevNode(), secret_keys=[KEY]))


def test_inside_every_other_middleware() -> None:
    """`L402` puts its middleware innermost, in whichever order they are added."""
    app = on_the_route()
    app.add_middleware(BaseHTTPMiddleware, dispatch=lambda request, call_next: call_next(request))
    guarded(app)
    app.add_middleware(BaseHTTPMiddleware, dispatch=lambda request, call_next: call_next(request))
    kinds: list[Any] = [each.cls for each in app.user_middleware]
    assert kinds == [BaseHTTPMiddleware, BaseHTTPMiddleware, L402Middleware]


def parameter_that_nobody_prices(annotation: Any) -> None:
    """An endpoint with a parameter of that kind, as FastAPI is told of it."""

    def endpoint(payment: Any) -> None: ...

    endpoint.__annotations__["payment"] = annotation
    FastAPI().post("/x")(endpoint)


@pytest.mark.parametrize("annotation", [Payment, Payment | None, Annotated[Payment, Priced]])
def test_a_payment_that_nobody_prices(annotation: Any) -> None:
    """`Priced` without its price, or none at all, is an error: FastAPI would believe a payment in the caller's body."""
    with pytest.raises(ConfigurationError, match=r"payment: Annotated\[Payment, Priced\(21\)\]"):
        parameter_that_nobody_prices(annotation)


def test_installed_in_what_is_no_application() -> None:
    """`app.add_middleware(L402)` says that it is not meant for that."""
    app = FastAPI()
    app.add_middleware(L402, paywall=Paywall(DevNode()))  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="for a FastAPI application, not for"):
        TestClient(app).get("/")
