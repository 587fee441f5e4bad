"""What programs find a service by: three documents, on every adapter, from one list of what is sold."""

import json
from collections.abc import Callable
from typing import Any

import flask
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient

from l402_middleware import ConfigurationError, Paywall, usd
from l402_middleware.discovery import Service, sold_by
from l402_middleware.flask import L402
from l402_middleware.flask import l402_required as flask_l402_required
from l402_middleware.starlette import L402Middleware, l402_required
from tests.adapters.small_shops import APPLICATIONS, client_of, paywall_with

SERVICE = Service("Shop", "Sells goods.", homepage="https://shop.example/", categories=["goods"])
PATHS = ("/openapi.json", "/.well-known/l402-services", "/llms.txt")


@l402_required(price=21, uses=3, memo="One item")
async def item(_: Request) -> Response:
    """Sold at a fixed price."""
    return PlainTextResponse("item")


@l402_required(price=lambda request: 1)
async def computed(_: Request) -> Response:
    """Sold at a price that depends on the request."""
    return PlainTextResponse("computed")


@l402_required(price=usd("0.05"))
async def dollars(_: Request) -> Response:
    """Sold at a price that depends on a rate."""
    return PlainTextResponse("dollars")


@l402_required(price=9)
async def socket(_: Any) -> None:
    """A WebSocket."""


def shop(service: Service = SERVICE, **options: Any) -> Starlette:
    """Routes of every kind."""
    return Starlette(
        routes=[
            Route("/items/{id:int}", item),
            Mount("/v2", routes=[Route("/computed", computed, methods=["POST"])]),
            Route("/dollars", dollars),
            Route("/health", lambda _: PlainTextResponse("well")),
            WebSocketRoute("/socket", socket),
        ],
        middleware=[Middleware(L402Middleware, paywall=paywall_with(discovery=service, **options))],
    )


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("create", APPLICATIONS.values(), ids=list(APPLICATIONS))
def test_each_document_is_free_on_every_adapter(create: Callable[[Paywall], Any], path: str) -> None:
    """It names the service or its price, says so to HEAD too, and is short."""
    client = client_of(create(paywall_with(discovery=SERVICE)))
    answer = client.get(path)
    assert answer.status_code == 200
    assert "/goods" in answer.text or "/{path}" in answer.text
    assert len(answer.content) <= 64 * 1024
    if path == "/openapi.json":
        assert answer.json()["x-service-info"]["categories"] == ["goods"]
        if create is APPLICATIONS["fastapi"]:
            # FastAPI's own document, which is no answer of ours.
            return
    head = client.head(path)
    assert (head.content, head.headers["content-length"]) == (b"", str(len(answer.content)))
    assert answer.headers["cache-control"] == "max-age=300"
    assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("create", APPLICATIONS.values(), ids=list(APPLICATIONS))
def test_nothing_is_announced_unless_it_is_asked_for(create: Callable[[Paywall], Any], path: str) -> None:
    """Without a service there is no document of ours."""
    answer = client_of(create(paywall_with())).get(path)
    assert answer.status_code in (402, 404) or "x-service-info" not in answer.json()


def test_openapi() -> None:
    """Prices in whole sats where they are fixed, null where only the 402 says them; parameters as OpenAPI has them."""
    document = TestClient(shop()).get("/openapi.json").json()
    offers = {
        path: [operation["x-payment-info"]["offers"] for operation in operations.values()]
        for path, operations in document["paths"].items()
    }
    lightning = {"intent": "charge", "method": "lightning", "currency": "sat"}
    assert offers == {
        "/items/{id}": [[lightning | {"amount": "21", "description": "One item"}]],
        "/v2/computed": [[lightning | {"amount": None}]],
        "/dollars": [[lightning | {"amount": None, "description": "0.05 USD"}]],
    }
    assert document["paths"]["/items/{id}"]["get"]["parameters"][0]["name"] == "id"
    assert "402" in document["paths"]["/v2/computed"]["post"]["responses"]
    assert document["x-service-info"]["categories"] == ["goods"]
    assert document["x-service-info"]["docs"]["homepage"] == "https://shop.example/"


def test_both_forms_of_the_list_of_services() -> None:
    """One document that either reader understands."""
    document = TestClient(shop()).get("/.well-known/l402-services").json()
    assert {"version", "name", "description", "protocols", "openapi_url", "docs_url", "llms_txt_url"} <= set(document)
    assert [(each["method"], each["endpoint"]) for each in document["services"]] == [
        ("GET", "/items/{id}"),
        ("POST", "/v2/computed"),
        ("GET", "/dollars"),
    ]
    assert document["payment_methods"] == [{"type": "lightning"}]
    assert [each["price"] for each in document["routes"]] == [
        {"type": "static", "amount_msat": 21_000},
        {"type": "dynamic"},
        {"type": "dynamic", "amount": "0.05", "currency": "USD"},
    ]
    assert all(each["caveats_required"] == [] for each in document["routes"])


def test_llms_txt() -> None:
    """What it does, what each endpoint costs and buys, how to pay, and an example."""
    text = TestClient(shop()).get("/llms.txt").text
    assert text.startswith("# Shop\n\n> Sells goods.\n")
    assert "- `GET /items/{id}` costs 21 sat for 3 requests: One item\n" in text
    assert "- `POST /v2/computed` costs what the request asks for\n" in text
    assert "- `WEBSOCKET /socket` costs 9 sat for one request\n" in text
    assert "Authorization: L402 <macaroon>:<preimage>" in text
    assert "curl -i '/items/{id}'" in text
    assert "/health" not in text


def test_paths_are_the_operators() -> None:
    """Each document can be elsewhere, or nowhere; with a public address all else is named by that."""
    service = Service("Shop", url="https://api.example.com/", openapi="/api.json", llms=None)
    client = TestClient(shop(service))
    assert [client.get(path).status_code for path in ("/api.json", *PATHS)] == [200, 404, 200, 404]
    services = client.get("/.well-known/l402-services").json()
    assert services["openapi_url"] == "https://api.example.com/api.json"
    assert "llms_txt_url" not in services
    assert services["services"][0]["endpoint"] == "https://api.example.com/items/{id}"
    assert client.get("/api.json").json()["servers"] == [{"url": "https://api.example.com"}]


def test_below_a_mount() -> None:
    """The documents of a mounted application are below its mount, and so is what they name."""
    client = TestClient(Starlette(routes=[Mount("/shop", shop())]))
    assert client.get("/llms.txt").status_code == 404
    assert "- `GET /shop/items/{id}` costs" in client.get("/shop/llms.txt").text
    assert client.get("/shop/openapi.json").json()["servers"] == [{"url": "/shop"}]


def test_a_path_of_the_application_stays_its_own() -> None:
    """What has a route already is not covered, be it sold or free."""

    async def own(_: Request) -> Response:
        return PlainTextResponse("mine")

    app = Starlette(
        routes=[Route("/llms.txt", own), Route("/items/{id}", item)],
        middleware=[Middleware(L402Middleware, paywall=paywall_with(discovery=SERVICE))],
    )
    assert TestClient(app).get("/llms.txt").text == "mine"


@pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS"])
def test_only_reading_is_free(method: str) -> None:
    """In a whole application, anything else than GET and HEAD to these paths costs what everything costs."""
    client = client_of(APPLICATIONS["whole-wsgi"](paywall_with(discovery=SERVICE)))
    assert client.request(method, "/llms.txt").status_code == 402
    assert client.get("/llms.txt/").status_code == 402


def test_flask_templates() -> None:
    """Parameters of Flask's routes as OpenAPI has them."""
    app = flask.Flask(__name__)
    L402(app, paywall_with(discovery=SERVICE))

    @app.get("/items/<int:id>/<path:rest>")
    @flask_l402_required(price=3)
    def goods(id: int, rest: str) -> str:  # noqa: A002 - as the route has it
        return "goods"

    assert [(each.method, each.path) for each in sold_by(app)] == [("GET", "/items/{id}/{rest}")]
    assert list(app.test_client().get("/openapi.json").json["paths"]) == ["/items/{id}/{rest}"]  # type: ignore[index]


def test_documents_stay_short(caplog: pytest.LogCaptureFixture) -> None:
    """Of more than there is room for, the first are listed, the documents are whole, and the log says so."""
    app = Starlette(
        routes=[Route(f"/a-rather-long-name-of-an-endpoint/{number}", item) for number in range(2000)],
        middleware=[Middleware(L402Middleware, paywall=paywall_with(discovery=SERVICE))],
    )
    client = TestClient(app)
    for path in PATHS:
        answer = client.get(path)
        assert 16 * 1024 < len(answer.content) <= 64 * 1024
        if path != "/llms.txt":
            json.loads(answer.content)
    assert "of 2000 endpoints in 64 KiB" in caplog.text


@pytest.mark.parametrize("limit", ["2/minute", "30/hour"])
def test_a_crawler_does_not_run_into_the_limit(limit: str) -> None:
    """An index that probes a hundred endpoints, three times each, gets its 402s; without discovery it does not."""
    for service, statuses in ((SERVICE, {402}), (None, {402, 429})):
        client = TestClient(shop(service, challenge_limit=limit))  # type: ignore[arg-type]
        probes = [client.request(method, f"/items/{id}") for id in range(150) for method in ("HEAD", "GET")]  # noqa: A001
        assert {answer.status_code for answer in probes} == statuses


def test_the_room_for_crawlers_has_an_end() -> None:
    """Who goes on is limited as before."""
    client = TestClient(shop(challenge_limit="2/minute"))
    statuses = [client.get("/items/1").status_code for _ in range(310)]
    assert statuses[:302] == [402] * 302
    assert set(statuses[302:]) == {429}


@pytest.mark.parametrize(
    "options",
    [
        {"name": ""},
        {"name": "Shop", "url": "shop.example"},
        {"name": "Shop", "categories": "goods"},
        {"name": "Shop", "llms": "llms.txt"},
        {"name": "Shop", "openapi": "/openapi.json?x"},
    ],
)
def test_what_cannot_be_a_service(options: dict[str, Any]) -> None:
    """The message names what is wrong."""
    with pytest.raises(ConfigurationError, match="Service"):
        Service(**options)


def test_a_service_from_a_setting() -> None:
    """A name, a colon and what it does."""
    from l402_middleware.paywall.settings import rules_from

    given = rules_from({"L402_DISCOVERY": "Shop: sells goods: all of them"})
    assert given == {"discovery": Service("Shop", "sells goods: all of them")}
    assert rules_from({"L402_DISCOVERY": SERVICE}) == {"discovery": SERVICE}
    with pytest.raises(ConfigurationError, match="discovery"):
        paywall_with(discovery="Shop")
