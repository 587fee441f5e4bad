"""Third-party clients pay Starlette and Flask, by L402 and by Payment: each once for each answer."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import flask
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from l402_middleware import Paywall
from l402_middleware.events import Admitted, Event
from l402_middleware.flask import L402
from l402_middleware.flask import l402_required as flask_l402_required
from l402_middleware.providers import DevNode
from l402_middleware.starlette import L402Middleware, l402_required

from .lab import Client, serving, serving_wsgi

pytestmark = pytest.mark.slow

BOTH = ("l402", "payment")

# Client, the fixture that runs it, what is offered, and the scheme that it chooses.
PURCHASES = [
    ("l402-requests", "python_clients", BOTH, "l402"),
    ("l402-requests", "python_clients", ("payment",), "payment"),
    ("l402-requests async", "python_clients", ("payment",), "payment"),
    ("lightning-tools fetch402", "node_clients", BOTH, "l402"),
    ("lightning-tools fetch402", "node_clients", ("payment",), "payment"),
    ("bolthub", "python_clients", BOTH, "l402"),
    ("l402kit", "python_clients", BOTH, "l402"),
    ("lightning-enable-mcp", "python_clients", BOTH, "l402"),
    ("lightning-enable-mcp", "python_clients", ("payment",), "payment"),
    ("mppx", "mppx_client", BOTH, "payment"),
    ("mppx", "mppx_client", ("payment",), "payment"),
    ("pympp", "python_clients", BOTH, "payment"),
    ("pympp", "python_clients", ("payment",), "payment"),
]


@dataclass
class Shop:
    """Reports at 21 sat, and texts by their words, bound to their request; what was admitted, and what ran."""

    schemes: tuple[str, ...]
    admitted: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    url: str = ""

    def paywall(self) -> Paywall:
        """Its paywall, with the development wallet."""
        return Paywall(DevNode(), schemes=self.schemes, observe=self.told)

    def told(self, event: Event) -> None:
        """Note by which scheme somebody came in."""
        if isinstance(event, Admitted):
            self.admitted.append(event.scheme)


def per_word(request: Any) -> int:
    """A price that is for one body."""
    return len(request.body.json()["text"].split())


def starlette_shop(shop: Shop) -> Starlette:
    """The shop in Starlette."""

    @l402_required(price=21)
    async def report(request: Request) -> JSONResponse:
        shop.runs.append(request.query_params["day"])
        return JSONResponse({"day": request.query_params["day"]})

    @l402_required(price=per_word)
    async def shout(request: Request) -> JSONResponse:
        text = (await request.json())["text"]
        shop.runs.append(text)
        return JSONResponse({"text": text.upper()})

    return Starlette(
        routes=[Route("/report", report), Route("/shout", shout, methods=["POST"])],
        middleware=[Middleware(L402Middleware, paywall=shop.paywall())],
    )


def flask_shop(shop: Shop) -> flask.Flask:
    """The shop in Flask."""
    app = flask.Flask(__name__)
    L402(app, shop.paywall())

    @app.get("/report")
    @flask_l402_required(price=21)
    def report() -> Any:
        shop.runs.append(flask.request.args["day"])
        return {"day": flask.request.args["day"]}

    @app.post("/shout")
    @flask_l402_required(price=per_word)
    def shout() -> Any:
        text = flask.request.get_json()["text"]
        shop.runs.append(text)
        return {"text": text.upper()}

    return app


@pytest.fixture(params=["starlette", "flask"])
def served(request: pytest.FixtureRequest, schemes: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """The shop on a real server of its framework."""
    monkeypatch.setenv("L402_DEV", "1")
    shop = Shop(schemes)
    with ExitStack() as running:
        if request.param == "starlette":
            shop.url = running.enter_context(serving(starlette_shop(shop)))
        else:
            shop.url = running.enter_context(serving_wsgi(flask_shop(shop)))
        yield shop


def send(request: pytest.FixtureRequest, runner: str, client: str, shop: Shop, requests: list[Any]) -> Any:
    """What the client makes of these requests."""
    do: Client = request.getfixturevalue(runner)
    return do({"client": client, "wallet": f"{shop.url}/dev/wallet/pay", "requests": requests})


@pytest.mark.parametrize(("client", "runner", "schemes", "chosen"), PURCHASES)
def test_a_client_buys_by_its_scheme(
    client: str, runner: str, served: Shop, chosen: str, request: pytest.FixtureRequest
) -> None:
    """Traps 1, 2, 6, 7 and 8: what we write they read, and what they write back we do; one payment for each answer."""
    days = ["monday", "tuesday"]
    asked = [{"method": "GET", "url": f"{served.url}/report?day={day}"} for day in days]
    result = send(request, runner, client, served, asked)
    assert [(each["status"], json.loads(each["body"])) for each in result["answers"]] == [
        (200, {"day": day}) for day in days
    ]
    assert result["payments"] == 2
    assert served.runs == days
    assert served.admitted == [chosen] * 2


@pytest.mark.parametrize(
    ("client", "runner", "schemes", "chosen"), [each for each in PURCHASES if each[0] != "lightning-enable-mcp"]
)
def test_a_client_buys_what_is_for_one_body(
    client: str, runner: str, served: Shop, chosen: str, request: pytest.FixtureRequest
) -> None:
    """Case 108: the challenge carries the body's digest, and the body that comes with the credential is that one."""
    text = "two wörds"
    asked = [{"method": "POST", "url": f"{served.url}/shout", "json": {"text": text}}]
    result = send(request, runner, client, served, asked)
    assert [(each["status"], json.loads(each["body"])) for each in result["answers"]] == [(200, {"text": text.upper()})]
    assert result["payments"] == 1
    assert (served.runs, served.admitted) == ([text], [chosen])
