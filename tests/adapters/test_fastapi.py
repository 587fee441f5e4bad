"""What is FastAPI's own: validation, dependencies, signatures, the OpenAPI document."""

import threading
from collections.abc import Callable
from importlib.util import find_spec
from typing import Annotated, Any, NoReturn

import pytest
from fastapi import APIRouter, Depends, FastAPI, File, Form, HTTPException, Request, UploadFile
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient
from pydantic import BaseModel

from l402_middleware import Paywall
from l402_middleware.providers.devnode import DevNode
from l402_middleware.starlette import L402Middleware, l402_required

from .servers import KEY
from .test_starlette import Exchange, buy


class Order(BaseModel):
    """What is ordered."""

    city: str
    days: int = 1


def identity(function: Any) -> Any:
    """No decorator at all."""
    return function


def routed(decorate: Callable[[Any], Any]) -> FastAPI:
    """Endpoints of every signature, decorated."""
    app = FastAPI()

    def common(q: int = 0) -> int:
        return q

    @app.post("/order/{id}", status_code=201, tags=["orders"], response_model=Order)
    @decorate
    async def order(id: int, order: Order, q: Annotated[int, Depends(common)]) -> Order:  # noqa: A002
        """Order a forecast."""
        return order

    @app.get("/plain")
    @decorate
    def plain(city: str, days: int = 1) -> dict[str, Any]:
        return {"city": city, "thread": threading.current_thread() is threading.main_thread()}

    @app.get("/request")
    @decorate
    async def request(request: Request) -> dict[str, Any]:
        return {"paid": request.state.l402.amount.sats}

    return app


@pytest.fixture
def client() -> TestClient:
    """A client of the priced application."""
    app = routed(l402_required(price=21))
    app.add_middleware(L402Middleware, paywall=Paywall(DevNode(), secret_keys=[KEY]))
    return TestClient(app, client=("127.0.0.1", 1), raise_server_exceptions=False)


def test_the_document_is_unchanged() -> None:
    """The decorator keeps the signature: the OpenAPI document is the one of the free application."""
    assert routed(l402_required(price=21)).openapi() == routed(identity).openapi()


@pytest.mark.parametrize(
    ("method", "url", "options"),
    [
        ("POST", "/order/x", {}),
        ("POST", "/order/1", {"json": {"town": "Bern"}}),
        ("POST", "/order/1", {"content": b"{", "headers": {"Content-Type": "application/json"}}),
        ("POST", "/order/1?q=x", {"json": {"city": "Bern"}}),
        ("GET", "/plain", {}),
        ("GET", "/plain?city=Bern&days=x", {}),
    ],
)
def test_the_price_comes_before_validation(client: TestClient, method: str, url: str, options: Any) -> None:
    """Case 24: unpaid there is never a 422; paid there is, and it costs nothing."""
    answer = client.request(method, url, **options)
    assert (answer.status_code, answer.json()["code"]) == (402, "payment-required")
    headers = buy(client, method, url, **options)
    for _ in range(2):
        given = {**options, "headers": {**options.get("headers", {}), **headers}}
        assert client.request(method, url, **given).status_code in (400, 422)


@pytest.mark.anyio
async def test_an_unpaid_body_is_never_asked_for(client: TestClient) -> None:
    """Case 25: FastAPI reads the body before it calls the endpoint; unpaid it is told that nobody is there."""
    exchange = await Exchange(client.app, "POST", "/order/1", {"Content-Type": "application/json"}).run()
    assert (exchange.status, exchange.reads) == (402, 0)


def test_every_signature_works(client: TestClient) -> None:
    """Bodies, dependencies, sync functions, and endpoints that do not ask for their request."""
    sold: list[tuple[str, str, dict[str, Any], Any]] = [
        ("POST", "/order/1?q=3", {"json": {"city": "Bern"}}, {"city": "Bern", "days": 1}),
        ("GET", "/plain?city=Bern", {}, {"city": "Bern", "thread": False}),
        ("GET", "/request", {}, {"paid": 21}),
    ]
    for method, url, options, expected in sold:
        headers = buy(client, method, url, **options)
        answer = client.request(method, url, headers=headers, **options)
        assert answer.status_code in (200, 201)
        assert answer.json() == expected


def test_forms(skip_or_fail: Callable[[str], NoReturn]) -> None:
    """Forms and files are parsed after they are paid for."""
    if find_spec("python_multipart") is None:
        skip_or_fail("FastAPI's forms need python-multipart")
    app = FastAPI()
    app.add_middleware(L402Middleware, paywall=Paywall(DevNode(), secret_keys=[KEY]))

    @app.post("/form")
    @l402_required(price=21)
    async def form(name: Annotated[str, Form()], upload: Annotated[UploadFile, File()]) -> dict[str, Any]:
        return {"name": name, "size": len(await upload.read())}

    client = TestClient(app, client=("127.0.0.1", 1))
    headers = buy(client, "POST", "/form", content=b"--x", headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert client.post("/form", headers=headers, data={"name": "x"}).status_code == 422
    answer = client.post("/form", headers=headers, data={"name": "x"}, files={"upload": b"12345"})
    assert answer.json() == {"name": "x", "size": 5}


def test_a_dependency_that_refuses() -> None:
    """A dependency's own refusal comes after the price, and is not charged."""
    ran = []

    def member(request: Request) -> None:
        ran.append("dependency")
        if request.headers.get("x-member") != "1":
            raise HTTPException(403, "members only")

    app = FastAPI()
    app.add_middleware(L402Middleware, paywall=Paywall(DevNode(), secret_keys=[KEY]))

    @app.get("/club", dependencies=[Depends(member)])
    @l402_required(price=21)
    async def club() -> dict[str, int]:
        ran.append("club")
        return {}

    client = TestClient(app, client=("127.0.0.1", 1))
    headers = buy(client, "GET", "/club")
    assert client.get("/club", headers=headers).status_code == 403
    assert "club" not in ran
    assert client.get("/club", headers={**headers, "x-member": "1"}).status_code == 200


def test_an_exception_handler_that_answers() -> None:
    """What an exception handler makes of an error decides: an answer below 400 is a delivery."""
    app = FastAPI()
    app.add_middleware(L402Middleware, paywall=Paywall(DevNode(), secret_keys=[KEY]))
    ran = []

    @app.exception_handler(ValueError)
    async def on_value_error(request: Request, error: ValueError) -> JSONResponse:
        return JSONResponse({"error": "value"}, 200)

    @app.get("/raising")
    @l402_required(price=21)
    async def raising() -> None:
        ran.append("raising")
        raise ValueError

    client = TestClient(app, client=("127.0.0.1", 1))
    headers = buy(client, "GET", "/raising")
    assert client.get("/raising", headers=headers).json() == {"error": "value"}
    assert client.get("/raising?other", headers=headers).json()["code"] == "already-used"
    assert ran == ["raising"]


def test_one_router_in_two_places() -> None:
    """Case 43: a router included twice, and one nested in another, sells each of its places by itself."""
    router, outer, part = APIRouter(), APIRouter(prefix="/outer"), FastAPI()

    @router.get("/items/{id}")
    @l402_required(price=1)
    async def item(id: str) -> str:  # noqa: A002
        return id

    outer.include_router(router, prefix="/inner")
    part.include_router(router, prefix="/sub")
    app = FastAPI()
    app.add_middleware(L402Middleware, paywall=Paywall(DevNode(), secret_keys=[KEY]))
    app.include_router(router)
    app.include_router(router, prefix="/a")
    app.include_router(outer)
    app.mount("/mounted", part)

    async def raw(request: Request) -> JSONResponse:
        return JSONResponse(request.path_params["id"])

    # FastAPI does not say which of Starlette's routes it chose: that is found by asking them again.
    part.add_route("/raw/{id}", l402_required(price=1)(raw))
    client = TestClient(app, client=("127.0.0.1", 1))
    places = ["/items", "/a/items", "/outer/inner/items", "/mounted/sub/items", "/mounted/raw"]
    for place in places:
        headers = buy(client, "GET", f"{place}/1")
        for other in places:
            if other != place:
                assert client.get(f"{other}/1", headers=headers).json()["code"] == "wrong-endpoint"
        assert client.get(f"{place}/2", headers=headers).json() == "2"
