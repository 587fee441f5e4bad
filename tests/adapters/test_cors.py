"""What scripts of other origins may read, where `cors` allows it: on every adapter, and in a real browser."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from l402_middleware import ConfigurationError, Paywall
from l402_middleware.starlette import L402Middleware, l402_required
from tests.real.lab import program, serving

from .small_shops import APPLICATIONS, client_of, paid, paywall_with, starlette_app

PAGE = "https://page.example"
PREFLIGHT = {
    "Origin": PAGE,
    "Access-Control-Request-Method": "GET",
    "Access-Control-Request-Headers": "authorization,x-one",
}


@pytest.fixture(params=list(APPLICATIONS))
def create(request: pytest.FixtureRequest) -> Callable[[Paywall], Any]:
    """Makes an application that sells /goods and gives /free away."""
    return APPLICATIONS[request.param]


@pytest.mark.parametrize(("cors", "allowed"), [("*", "*"), ([PAGE], PAGE)])
def test_challenge_and_answer_can_be_read(create: Any, cors: Any, allowed: str) -> None:
    """A 402, the answer that was paid for, and the same given again, each say once who may read them, and what."""
    paywall = paywall_with(cors=cors)
    client = client_of(create(paywall))
    challenge = client.get("/goods", headers={"Origin": PAGE})
    headers = {"Origin": PAGE, **paid(paywall, challenge)}
    answers = [challenge, client.get("/goods", headers=headers), client.get("/goods", headers=headers)]
    assert [answer.status_code for answer in answers] == [402, 200, 200]
    assert answers[2].headers["l402-replayed"] == "true"
    for answer in answers:
        assert answer.headers.get_list("access-control-allow-origin") == [allowed]
        exposed = answer.headers["access-control-expose-headers"].split(", ")
        assert {"WWW-Authenticate", "Payment-Receipt", "L402-Replayed"} <= set(exposed)
        assert "access-control-allow-credentials" not in answer.headers
        assert ("origin" in answer.headers["vary"].lower().split(", ")) is (cors != "*")


def test_the_answer_given_again_is_for_who_asks_now(create: Any) -> None:
    """Nothing of the origin that was answered first stands in the copy."""
    paywall = paywall_with(cors=[PAGE, "https://other.example"])
    client = client_of(create(paywall))
    headers = paid(paywall, client.get("/goods"))
    client.get("/goods", headers={"Origin": PAGE, **headers})
    again = client.get("/goods", headers={"Origin": "https://other.example", **headers})
    assert again.headers.get_list("access-control-allow-origin") == ["https://other.example"]
    assert "access-control-allow-origin" not in client.get("/goods", headers=headers).headers


@pytest.mark.parametrize("headers", [{}, {"Origin": "https://elsewhere.example"}, {"Origin": f"{PAGE}.example"}])
def test_other_origins_are_told_nothing_but_that_it_varies(create: Any, headers: dict[str, str]) -> None:
    """Who is not listed reads nothing, and no cache gives it what was meant for another."""
    answer = client_of(create(paywall_with(cors=[PAGE]))).get("/goods", headers=headers)
    assert answer.status_code == 402
    assert "access-control-allow-origin" not in answer.headers
    assert "origin" in answer.headers["vary"].lower()


def test_preflights_for_what_is_sold_are_free(create: Any) -> None:
    """Whatever costs answers them, with the method and the fields that were asked for; no invoice is made."""
    challenged: list[object] = []
    answer = client_of(create(paywall_with(cors="*", observe=challenged.append))).options("/goods", headers=PREFLIGHT)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-methods"] == "GET"
    assert answer.headers["access-control-allow-headers"] == "authorization,x-one"
    assert not challenged


@pytest.mark.parametrize(
    ("path", "headers", "cors"),
    [
        ("/free", PREFLIGHT, "*"),
        ("/goods", {}, "*"),
        ("/goods", {"Origin": PAGE}, "*"),
        ("/goods", PREFLIGHT, None),
    ],
    ids=["free", "no preflight", "no method", "not switched on"],
)
def test_other_options_are_the_applications(create: Any, path: str, headers: dict[str, str], cors: Any) -> None:
    """A preflight of what is free, an OPTIONS that is none, and any without `cors`: nobody is allowed anything."""
    answer = client_of(create(paywall_with(cors=cors))).options(path, headers=headers)
    assert answer.status_code != 204
    assert "access-control-allow-methods" not in answer.headers


def test_a_preflight_of_an_origin_that_is_not_listed_allows_nothing(create: Any) -> None:
    """Its browser then sends no request."""
    answer = client_of(create(paywall_with(cors=["https://other.example"]))).options("/goods", headers=PREFLIGHT)
    assert answer.status_code == 204
    assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_what_the_application_says_itself_counts() -> None:
    """A handler that says who may read its answer is not contradicted."""

    @l402_required(price=5)
    async def goods(_: Request) -> Response:
        return PlainTextResponse("goods", headers={"Access-Control-Allow-Origin": "https://only.example"})

    paywall = paywall_with(cors="*")
    app = Starlette(routes=[Route("/", goods)], middleware=[Middleware(L402Middleware, paywall=paywall)])
    with TestClient(app) as client:
        answer = client.get("/", headers={"Origin": PAGE, **paid(paywall, client.get("/"))})
    assert answer.headers.get_list("access-control-allow-origin") == ["https://only.example"]
    assert "access-control-expose-headers" not in answer.headers


@pytest.mark.parametrize(
    "origins", [["*", PAGE], ["https://page.example/"], ["page.example"], [7], ["null"], "https://Page.example", [b"*"]]
)
def test_what_is_no_origin(origins: Any) -> None:
    """Such a list would allow nobody, or more than was meant; the message shows the fault."""
    with pytest.raises(ConfigurationError, match="cors="):
        paywall_with(cors=origins)


SCRIPT = """<!doctype html><title>page</title><pre id="result">nothing</pre><script>
(async () => {
  const result = {};
  try {
    const url = "SHOP/goods";
    const challenge = await fetch(url);
    result.status = challenge.status;
    result.challenge = challenge.headers.get("WWW-Authenticate").slice(0, 14);
    const body = await challenge.json();
    const preimage = await (await fetch("/pay?invoice=" + body.invoice)).json();
    const authorization = "L402 " + body.macaroon + ":" + preimage;
    for (const name of ["answer", "again"]) {
      const answer = await fetch(url, {headers: {Authorization: authorization}});
      result[name] = [answer.status, await answer.text(), answer.headers.get("L402-Replayed")];
    }
  } catch (error) { result.error = String(error); }
  document.getElementById("result").textContent = JSON.stringify(result);
})();
</script>"""


@pytest.mark.slow
@pytest.mark.parametrize("allows", [True, False])
def test_a_page_pays_in_a_browser(allows: bool, tmp_path: Path) -> None:
    """Chromium lets a script of another origin read the challenge, pay, and read the answer, where `cors` does."""
    paywall = paywall_with(cors="*" if allows else None)
    shop = starlette_app(paywall)

    async def pay(request: Request) -> Response:
        assert paywall.wallet is not None
        return JSONResponse(paywall.wallet.pay(request.query_params["invoice"]).hex())

    with serving(shop) as shop_url:

        async def page(_: Request) -> Response:
            return HTMLResponse(SCRIPT.replace("SHOP", shop_url))

        with serving(Starlette(routes=[Route("/", page), Route("/pay", pay)])) as page_url:
            dom = subprocess.run(
                [
                    *(
                        program("chromium"),
                        "--headless",
                        "--no-sandbox",
                        "--disable-gpu",
                        f"--user-data-dir={tmp_path}",
                    ),
                    *("--virtual-time-budget=10000", "--dump-dom", page_url),
                ],
                capture_output=True,
                text=True,
                timeout=60,
                check=True,
            ).stdout
    result = json.loads(dom.partition('<pre id="result">')[2].partition("</pre>")[0])
    if allows:
        assert result == {
            "status": 402,
            "challenge": "L402 macaroon=",
            "answer": [200, "goods", None],
            "again": [200, "goods", "true"],
        }
    else:
        assert result == {"error": "TypeError: Failed to fetch"}
