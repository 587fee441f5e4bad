"""`l402 check`: it finds each fault that is planted in a server, and none where there is none."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest
from starlette.testclient import TestClient

from l402_middleware.checkup import examine
from l402_middleware.checkup.answer import ServiceAnswer
from l402_middleware.cli import main
from l402_middleware.discovery import Service
from tests.real.lab import serving, unused_address

from . import shop as made
from .shop import DOCUMENTS, FAULTS, Shop, openapi, services

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def open_shop() -> Iterator[tuple[Shop, str]]:
    """A shop for all tests of the module, and its URL."""
    shop = made.shop()
    with serving(shop) as url:
        yield shop, f"{url}/forecast"


@pytest.fixture
def shop(open_shop: tuple[Shop, str]) -> Shop:
    """It, with nothing planted."""
    shop, _ = open_shop
    shop.fault, shop.documents = lambda answer: None, {}
    return shop


@pytest.fixture
def check(open_shop: tuple[Shop, str], capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, Any]]:
    """Run the command: its exit status, and the findings by status."""

    def check(*arguments: str, url: str = open_shop[1]) -> tuple[int, Any]:
        status = main(["check", "--json", *arguments, url])
        said = json.loads(capsys.readouterr().out)
        assert said["ok"] is (status == 0)
        codes: dict[str, set[str]] = {"ok": set(), "note": set(), "fault": set()}
        for finding in said["findings"]:
            codes[finding["status"]].add(finding["code"])
        return status, codes

    return check


def test_nothing_is_held_against_a_good_shop(shop: Shop, check: Any) -> None:
    """It has no fault; that it is for tests, and announces nothing, are notes."""
    assert check() == (
        0,
        {
            "ok": {"readers", "invoice", "head", "recovers", "cors"},
            "note": {"network", "not-announced"},
            "fault": set(),
        },
    )


@pytest.mark.parametrize(("code", "fault"), FAULTS.values(), ids=list(FAULTS))
def test_a_planted_fault_is_found(shop: Shop, check: Any, code: str, fault: Any) -> None:
    """By its name, with an exit status that a script can branch on."""
    shop.fault = fault
    status, codes = check()
    assert status == 1
    assert code in codes["fault"]


@pytest.mark.parametrize(("code", "path", "text"), DOCUMENTS.values(), ids=list(DOCUMENTS))
def test_a_planted_fault_in_a_document_is_found(shop: Shop, check: Any, code: str, path: str, text: str) -> None:
    """Prices as announced, and documents as indexes read them."""
    shop.documents = {path: text}
    status, codes = check()
    assert (status, codes["fault"]) == (1, {code})


def test_documents_that_cost_are_found(shop: Shop, check: Any) -> None:
    """Nobody pays to learn what there is to buy."""

    def charge(answer: Any) -> None:
        if answer.asked[1] == "/llms.txt":
            answer.status = 402

    shop.fault = charge
    assert check()[1]["fault"] == {"document-charged"}


def test_prices_as_announced_are_well(shop: Shop, check: Any) -> None:
    """Both documents may say the price, in either's manner."""
    shop.documents = {"/openapi.json": openapi("21"), "/.well-known/l402-services": services(21_000), "/llms.txt": "x"}
    status, codes = check()
    assert (status, codes["fault"], codes["note"]) == (0, set(), {"network"})
    assert "announced" in codes["ok"]


def test_for_people_it_prints_a_line_for_each_finding(
    shop: Shop, open_shop: tuple[Shop, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The status, the code and a sentence; nothing that a terminal would obey."""

    def escape(answer: Any) -> None:
        answer.status = 302
        answer.put("location", "https://\x9b31m.example")

    shop.fault = escape
    assert main(["check", open_shop[1]]) == 1
    out, err = capsys.readouterr()
    assert out.startswith("fault  redirects: it redirects to https://\\x9b31m.example")
    assert err == "l402: 1 of 1 findings are held against the service\n"


def test_a_service_that_cannot_be_reached(capsys: pytest.CaptureFixture[str]) -> None:
    """The failure is said, without a traceback."""
    with unused_address() as url:
        assert main(["check", url]) == 1
    assert "ConnectError from http://127.0.0.1:" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["ftp://shop.example/"], ["nowhere"], ["-H", "no field", "https://a.example/"]])
def test_what_was_called_wrongly(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """It ends with status 2, before anything is sent."""
    with pytest.raises(SystemExit) as end:
        main(["check", *arguments])
    assert end.value.code == 2
    assert "error: " in capsys.readouterr().err


def test_what_time_and_the_line_do() -> None:
    """An invoice that ends, and a service that anybody on the way can listen to."""
    app = TestClient(made.shop().app)

    def ask(method: str, url: str, headers: Mapping[str, str]) -> ServiceAnswer:
        given = app.request(method, urlsplit(url).path, headers=dict(headers))
        return ServiceAnswer(given.status_code, list(given.headers.raw), given.content)

    found = {
        (each.status, each.code) for each in examine("GET", "http://shop.example/forecast", ask, time.time() + 600)
    }
    assert {code for status, code in found if status == "fault"} == {"plain-http", "expired"}


def test_nothing_is_held_against_what_discovery_announces(check: Any) -> None:
    """A shop's own documents say what it asks for, in the forms that are looked for."""
    with serving(made.shop(discovery=Service("Weather")).app) as url:
        assert check(url=f"{url}/forecast") == (
            0,
            {
                "ok": {"readers", "invoice", "head", "recovers", "cors", "announced"},
                "note": {"network"},
                "fault": set(),
            },
        )
