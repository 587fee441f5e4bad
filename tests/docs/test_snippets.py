"""Every Python snippet of README and docs runs, and what the complete applications sell can be bought."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from starlette.testclient import TestClient
from sybil import Sybil
from sybil.parsers.myst import PythonCodeBlockParser

from l402_middleware.audit import audit
from l402_middleware.testing import assert_priced

from .markdown import DOCS, PAGES, README, fenced

# What to buy from each application of a page, in their order.
SOLD = {
    README: [["/forecast"], ["/forecast"], ["/forecast/oslo?days=2"]],
    DOCS / "discovery.md": [["/forecast/oslo"]],
    DOCS / "fastapi.md": [
        ["/forecast", "/forecast?days=2"],
        ["/maps/rain", "/v2/maps/rain", "/maps/satellite", "/long?days=3", "/sun"],
        ["/moon"],
    ],
    DOCS / "fiat.md": [["/forecast", "/long?days=2"]],
    DOCS / "quickstart.md": [
        ["/forecast"],
        ["/forecast", "/forecast?days=2"],
        ["/forecast"],
        ["/long?days=2", "/long", "/bundle", "/pass"],
        ["/forecast"],
        ["/forecast"],
    ],
    DOCS / "whole-applications.md": [["/forecast"], ["/archive", "/today"], ["/archive", "/today"]],
}

# What the pages' applications give away, and say so.
FREE = {"/health", "/maps/legend", "/v2/maps/legend", "/", "/robots.txt"}


def members(answer: Any) -> dict[str, Any]:
    """The JSON of an answer, in either framework's manner."""
    loaded: dict[str, Any] = answer.json if isinstance(answer.json, dict) else answer.json()
    return loaded


def buy(client: Any, url: str, namespace: dict[str, Any]) -> None:
    """Ask, pay and ask again, as a customer does."""
    asked = client.get(url)
    assert asked.status_code == 402, (url, asked.status_code)
    challenge = members(asked)
    paid = client.get(f"/dev/wallet/pay?invoice={challenge['invoice']}")
    # Without a development wallet, the snippet's own node pays.
    preimage = (
        namespace["node"].dev.pay(challenge["invoice"]).hex() if paid.status_code == 404 else members(paid)["preimage"]
    )
    answer = client.get(url, headers={"Authorization": f"L402 {challenge['macaroon']}:{preimage}"})
    assert answer.status_code == 200, (url, answer.status_code)
    assert members(answer)["sky"]


def client_of(app: Any) -> Any:
    """A test client on this machine, where the development wallet answers."""
    return app.test_client() if isinstance(app, Flask) else TestClient(app, client=("127.0.0.1", 50000))


def applications(page: Path) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Run a page's snippets in order; each application as soon as it stands there, and the names it stands among."""
    document = Sybil([PythonCodeBlockParser()], path=str(page.parent)).parse(page)
    document.namespace["__name__"] = "shop"  # Flask looks for its folder
    seen: list[Any] = []
    for example in document.examples():
        example.evaluate()
        app = document.namespace.get("app")
        if app is not None and all(app is not each for each in seen):
            seen.append(app)
            yield app, document.namespace


def check_audit(app: Any) -> None:
    """Case 66: everything that a page's application has is priced, but what frameworks bring with them."""
    brought = {"/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc", "/static/<path:filename>"}
    # With a default price, what a framework brings is sold too.
    unsold = {finding.path for finding in audit(app) if finding.verdict.status != "priced"}
    assert_priced(app, except_=(brought | FREE) & unsold)


@pytest.mark.usefixtures("newcomer")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_snippet_runs_and_every_application_sells(page: Path) -> None:
    """Run a page's snippets in order; buy each thing that an application on it sells, as soon as it stands there."""
    count = 0
    for count, (app, namespace) in enumerate(applications(page), 1):
        check_audit(app)
        for url in SOLD[page][count - 1]:
            buy(client_of(app), url, namespace)
    assert count == len(SOLD.get(page, []))
    hidden = page.read_text().count("invisible-code-block: python")
    document = Sybil([PythonCodeBlockParser()], path=str(page.parent)).parse(page)
    assert len(list(document.examples())) == len(fenced(page, "python")) + hidden


@pytest.mark.usefixtures("newcomer")
def test_readme_says_the_same_forecast_in_every_framework() -> None:
    """README has a snippet per framework, and each sells at the same price."""
    snippets = [snippet for snippet in fenced(README, "python") if "l402_required(" in snippet or "Priced(" in snippet]
    assert len(snippets) == 3
    assert all("@l402_required(price=21)" in snippet or "Priced(21)" in snippet for snippet in snippets)
