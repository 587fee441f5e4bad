"""What FastAPI's OpenAPI document says of prices: of exactly the operations that are sold, and validly."""

from collections.abc import Callable
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.security import APIKeyHeader, HTTPBearer
from fastapi.testclient import TestClient
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV30SpecValidator, OpenAPIV31SpecValidator

from l402_middleware import Offer, Payment, Paywall, RequestView, usd
from l402_middleware.fastapi import L402, Free, L402Middleware, Priced, l402_required
from l402_middleware.ledgers import MemoryLedger
from l402_middleware.openapi import add_prices
from l402_middleware.providers.devnode import DevNode

from .servers import KEY

KEYED = [Depends(HTTPBearer()), Depends(APIKeyHeader(name="k"))]

Document = dict[str, Any]


def paywall() -> Paywall:
    """A paywall of one process."""
    return Paywall(DevNode(), secret_keys=[KEY])


def by_city(request: RequestView) -> int:
    """A computed price."""
    return 3


def shop(**options: Any) -> FastAPI:
    """An application with every kind of price; its tests read it from here."""
    app = FastAPI(**options)
    router = APIRouter(dependencies=[Priced(5, uses=None, valid_for=86400)])

    @app.get("/free")
    async def free() -> None:
        """Costs nothing."""

    @app.get("/parameter/{id}")
    async def parameter(id: int, payment: Annotated[Payment, Priced(21)]) -> int:  # noqa: A002
        """Sells one answer."""
        return id

    @app.post("/computed", dependencies=[Priced(by_city)])
    async def computed(city: str) -> None: ...

    @app.get(
        "/fiat", dependencies=[Priced(usd("0.05"), uses=20), Depends(HTTPBearer()), Depends(APIKeyHeader(name="k"))]
    )
    async def fiat() -> None: ...

    @app.get("/documented", dependencies=[Priced(1, bind="request")], responses={402: {"description": "Mine"}})
    async def documented() -> None: ...

    @app.get("/decorated")
    @l402_required(price=7)
    async def decorated() -> None: ...

    @app.get("/hidden", include_in_schema=False, dependencies=[Priced(1)])
    async def hidden() -> None: ...

    @router.get("/router")
    async def on_router() -> None: ...

    @router.get("/spared", dependencies=[Free()])
    async def spared() -> None: ...

    app.include_router(router, prefix="/in")
    return app


SOLD = {
    ("/parameter/{id}", "get"): {"amount_msat": 21000, "uses": 1, "valid_for": 3600, "bind": "endpoint"},
    ("/computed", "post"): {"uses": 1, "valid_for": 3600, "bind": "request"},
    ("/fiat", "get"): {"amount": "0.05", "currency": "USD", "uses": 20, "valid_for": 3600, "bind": "endpoint"},
    ("/documented", "get"): {"amount_msat": 1000, "uses": 1, "valid_for": 3600, "bind": "request"},
    ("/decorated", "get"): {"amount_msat": 7000, "uses": 1, "valid_for": 3600, "bind": "endpoint"},
    ("/in/router", "get"): {"amount_msat": 5000, "uses": None, "valid_for": 86400, "bind": "endpoint"},
}


def operations(document: Document) -> dict[tuple[str, str], Any]:
    """The operations by path and method."""
    return {(path, method): each for path, item in document["paths"].items() for method, each in item.items()}


def installed(app: FastAPI) -> Document:
    """The document of a guarded application that has not started."""
    L402(app, paywall())
    return app.openapi()


def started(app: FastAPI) -> Document:
    """The document that an application serves whose middleware was added by name."""
    app.add_middleware(L402Middleware, paywall=paywall())
    document: Document = TestClient(app).get("/openapi.json").json()
    return document


def mounted(app: FastAPI) -> Document:
    """The document that an application serves which is mounted in the guarded one."""
    outer = FastAPI()
    outer.mount("/inner", app)
    L402(outer, paywall())
    document: Document = TestClient(outer).get("/inner/openapi.json").json()
    return document


def replaced(app: FastAPI) -> Document:
    """The document of an application that makes its own, and keeps it, from before it was guarded."""

    def own() -> Document:
        if not app.openapi_schema:
            app.openapi_schema = get_openapi(title="mine", version="1", routes=app.routes)
        return app.openapi_schema

    app.openapi = own  # type: ignore[method-assign]
    return installed(app)


def replaced_late(app: FastAPI) -> Document:
    """The same, made its own after it was guarded; asked twice."""
    L402(app, paywall())
    kept: Document = get_openapi(title="mine", version="1", routes=app.routes)
    app.openapi = lambda: {**kept}  # type: ignore[method-assign]
    client = TestClient(app)
    client.get("/openapi.json")
    document: Document = client.get("/openapi.json").json()
    return document


MAKERS = pytest.mark.parametrize(
    "make", [installed, started, mounted, replaced, replaced_late], ids=lambda make: make.__name__
)


@MAKERS
def test_exactly_the_sold_operations(make: Callable[[FastAPI], Document]) -> None:
    """Prices, responses and scheme stand at what is sold, and the rest is as without a paywall, however it is made."""
    document, plain = make(shop()), shop().openapi()
    found = operations(document)
    assert {key: each["x-l402"] for key, each in found.items() if "x-l402" in each} == SOLD
    for key, operation in operations(plain).items():
        if key in SOLD:
            assert {"402", "409", "503"} <= set(found[key]["responses"])
            assert all("L402" in each or "Payment" in each for each in found[key]["security"])
            assert found[key]["description"].count("Costs") == 1
        else:
            assert found[key] == operation
    OpenAPIV31SpecValidator(document).validate()


@MAKERS
def test_a_free_application(make: Callable[[FastAPI], Document]) -> None:
    """Where nothing is sold, the document is the one without a paywall."""
    app, plain = FastAPI(), FastAPI()
    for each in (app, plain):
        each.get("/x")(lambda: None)
    assert {**make(app), "info": 0, "servers": 0} == {**plain.openapi(), "info": 0, "servers": 0}


def test_openapi_3_0() -> None:
    """An application that documents itself in OpenAPI 3.0 gets what is valid there."""
    app = FastAPI()
    app.openapi_version = "3.0.2"
    app.get("/x", dependencies=[Priced(1)])(lambda: None)
    document = installed(app)
    OpenAPIV30SpecValidator(document).validate()
    assert document["openapi"] == "3.0.2"


def test_the_responses_are_as_documented() -> None:
    """A real 402 and 503 have the documented headers, and bodies that the documented schemas describe, whole."""
    app = shop()
    document = installed(app)
    client = TestClient(app)
    responses = operations(document)["/parameter/{id}", "get"]["responses"]

    def check(answer: Any) -> None:
        response = responses[str(answer.status_code)]
        assert set(response["headers"]) <= {name.title().replace("Www", "WWW") for name in answer.headers}
        name = response["content"][answer.headers["content-type"]]["schema"]["$ref"].removeprefix(
            "#/components/schemas/"
        )
        schema = {**document["components"]["schemas"][name], "additionalProperties": False}
        OAS31Validator(schema).validate(answer.json())

    check(client.get("/parameter/1"))

    def failing(request: Any) -> str:
        raise RuntimeError("the node is down")

    broken = shop()
    L402(broken, Paywall(failing, MemoryLedger(), secret_keys=[KEY]))
    answer = TestClient(broken).get("/parameter/1")
    assert answer.status_code == 503
    check(answer)


def test_what_stands_at_one_operation() -> None:
    """Security that an operation needs besides is needed besides; what it documents itself is left as it is."""
    document = installed(shop())
    found = operations(document)
    assert found["/fiat", "get"]["security"] == [
        {"HTTPBearer": [], "L402": []},
        {"HTTPBearer": [], "Payment": []},
        {"APIKeyHeader": [], "L402": []},
        {"APIKeyHeader": [], "Payment": []},
    ]
    assert found["/parameter/{id}", "get"]["security"] == [{"L402": []}, {"Payment": []}]
    assert found["/documented", "get"]["responses"]["402"] == {"description": "Mine"}
    assert document["components"]["securitySchemes"]["L402"]["scheme"] == "L402"
    assert document["components"]["securitySchemes"]["L402"]["type"] == "http"
    assert document["components"]["securitySchemes"]["Payment"]["scheme"] == "Payment"
    described = {key: each["description"] for key, each in found.items() if key in SOLD}
    assert described == {
        ("/parameter/{id}", "get"): "Sells one answer.\n\nCosts 21 sat, good for calling this once.",
        ("/computed", "post"): "Costs what the request asks for: the 402 names the price.",
        ("/fiat", "get"): "Costs 0.05 USD, good for calling this 20 times.",
        ("/documented", "get"): "Costs 1 sat, good for calling this once.",
        ("/decorated", "get"): "Costs 7 sat, good for calling this once.",
        ("/in/router", "get"): "Costs 5 sat, good for calling this as often as you like while it is valid.",
    }


@pytest.mark.parametrize("is_mounted", [False, True])
def test_an_application_that_is_sold_whole(is_mounted: bool) -> None:
    """With a `default`, each operation has its own price or that one; free are the listed paths and `Free()`."""
    app = shop()
    guarded, mount = (FastAPI(), "/inner") if is_mounted else (app, "")
    L402(guarded, paywall(), default=Offer(2, uses=None), free=[f"{mount}/free"])
    if is_mounted:
        guarded.mount(mount, app)
        TestClient(guarded).get("/")
    app.get("/unpriced")(lambda: None)
    sold = {key: each["x-l402"] for key, each in operations(app.openapi()).items() if "x-l402" in each}
    default = {"amount_msat": 2000, "uses": None, "valid_for": 3600, "bind": "endpoint"}
    assert sold == SOLD | {("/unpriced", "get"): default}


def test_two_routes_for_one_operation() -> None:
    """FastAPI documents the last of two routes and serves the first: the price is the one that is asked for."""
    app = FastAPI()
    for price in (Priced(1), Free(), Priced(2)):
        app.get("/x", operation_id=str(id(price)), dependencies=[price])(lambda: None)
    app.get("/y", operation_id="free", dependencies=[Free()])(lambda: None)
    app.get("/y", operation_id="priced", dependencies=[Priced(2)])(lambda: None)
    found = operations(installed(app))
    assert found["/x", "get"]["x-l402"]["amount_msat"] == 1000
    assert "x-l402" not in found["/y", "get"]


def test_security_of_the_whole_document() -> None:
    """What every operation needs, each sold one still needs, and a payment too."""
    app, make = shop(), shop().openapi
    app.openapi = lambda: {**make(), "security": [{"Everywhere": []}]}  # type: ignore[method-assign]
    assert operations(installed(app))["/decorated", "get"]["security"] == [
        {"Everywhere": [], "L402": []},
        {"Everywhere": [], "Payment": []},
    ]


def test_late_routes_are_documented() -> None:
    """A route that is added when the document has been made is in the next one, with its price."""
    app = shop()
    installed(app)
    app.get("/late", dependencies=[Priced(2)])(lambda: None)
    assert set(SOLD | {("/late", "get"): {}}) == {
        key for key, each in operations(app.openapi()).items() if "x-l402" in each
    }


def test_the_pages_work() -> None:
    """/docs and /redoc are served, free."""
    app = shop()
    L402(app, paywall())
    client = TestClient(app)
    for url in ("/docs", "/redoc"):
        assert "openapi.json" in client.get(url).text


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({}, [{"key": []}]),
        ({"security": []}, [{}]),
        ({"security": [{"other": []}]}, [{"other": []}]),
    ],
    ids=["the document's", "explicitly none", "its own"],
)
def test_security_beside_the_documents(own: Document, expected: list[Document]) -> None:
    """An operation's own security counts, an empty one too; only without one does the document's."""
    for schemes, names in (
        (["l402"], ["L402"]),
        (["l402", "payment"], ["L402", "Payment"]),
        (["payment"], ["Payment"]),
    ):
        document: Document = {"security": [{"key": []}], "paths": {"/a": {"get": {**own}}}}
        add_prices(document, {("/a", "get"): Offer(1)}, schemes)
        assert document["paths"]["/a"]["get"]["security"] == [{**each, name: []} for each in expected for name in names]
        assert list(document["components"]["securitySchemes"]) == names
        required = document["components"]["schemas"]["L402Challenge"]["required"]
        assert ("macaroon" in required) == ("L402" in names)
