"""The OpenAPI document: valid, true to the routes, and to every answer that can be had out of a running service."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import jsonschema_rs
import pytest
import schemathesis
from file_conversion import app, flask_app
from file_conversion.catalogue import PAIRS
from file_conversion.openapi import OPENAPI_PATH, document
from file_conversion.order import Order
from file_conversion.shop import Shop
from starlette.routing import Route

from l402_middleware import Paywall
from l402_middleware.providers import DevNode

from .customer import PATH
from .in_process import Service
from .server import ROOT, Server

HERE = Path(__file__).parent
METHODS = {(path, method.upper()) for path, operations in document()["paths"].items() for method in operations}


def test_the_document_is_valid() -> None:
    """It is OpenAPI 3.1, as the specification's own schema has it."""
    schemathesis.openapi.from_dict(document()).validate()


def test_it_is_served_and_free(service: Service) -> None:
    """Both applications serve the very document, and ask nothing for it."""
    answer = service.customer.http.get(OPENAPI_PATH)
    assert (answer.status_code, answer.json()) == (200, document())
    assert service.node.invoiced == []


def test_it_names_the_routes_of_starlette(tmp_path: Path) -> None:
    """Every route of the Starlette application is in the document, and nothing else."""
    made = app.create_app(Shop(tmp_path), Paywall(DevNode()))
    paths = {route.path for route in made.routes if isinstance(route, Route)}
    assert len(paths) == len(made.routes)
    assert paths == set(document()["paths"])


def test_it_names_the_routes_of_flask(tmp_path: Path) -> None:
    """Every rule of the Flask application, with its methods, is in the document, and nothing else."""
    rules = flask_app.create_app(Shop(tmp_path), Paywall(DevNode())).url_map.iter_rules()
    served = {
        (re.sub("<([^>]+)>", r"{\1}", rule.rule), method)
        for rule in rules
        if rule.endpoint != "static"
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert served == METHODS


@pytest.mark.parametrize("method", ["DELETE", "PUT", "PATCH"])
def test_the_methods_that_are_allowed(service: Service, method: str) -> None:
    """RFC 9110, section 15.5.6: a 405 lists what the resource supports, all of it."""
    answer = service.customer.http.request(method, PATH)
    assert answer.status_code == 405
    allowed = set(re.split(r",\s*", answer.headers["Allow"]))
    assert allowed - {"HEAD", "OPTIONS"} == {"GET", "POST"}


def schema(name: str) -> Any:
    """A validator for one of the document's schemas."""
    return jsonschema_rs.validator_for({"$ref": f"#/components/schemas/{name}", **document()})


def test_what_is_bought_is_as_described(service: Service, png_to_webp: bytes) -> None:
    """The offers, the order, the challenge, the link and its four parts are as the document has them."""
    offers = service.customer.http.get(PATH).json()
    schema("Offers").validate(offers)
    assert {(source, target) for source in offers["conversions"] for target in offers["conversions"][source]} == set(
        PAIRS
    )
    challenge = service.customer.ask(png_to_webp)
    schema("Challenge").validate(challenge.json())
    answer = service.customer.ask(png_to_webp, service.customer.pay(challenge)).json()
    schema("Link").validate(answer)
    link = urlsplit(answer["url"])
    identity, name = link.path.split("/")[-2:]
    parts = {"identity": identity, "name": unquote(name), **dict(parse_qsl(link.query))}
    parameters = document()["paths"]["/files/{identity}/{name}"]["get"]["parameters"]
    assert parts.keys() == {parameter["name"] for parameter in parameters}
    for parameter in parameters:
        assert re.search(parameter["schema"]["pattern"], parts[parameter["name"]])


def test_the_example_is_a_good_order() -> None:
    """What the document gives as an example can be bought."""
    content = document()["paths"][PATH]["post"]["requestBody"]["content"]["application/json"]
    for example in content["examples"].values():
        schema("Order").validate(example["value"])
        assert Order.from_json(jsonschema_rs.canonical.json.to_string(example["value"]).encode())


@pytest.mark.slow
@pytest.mark.parametrize("payer", ["", "tests.service.payer"], ids=["unpaid", "paid"])
def test_schemathesis_finds_nothing(server: Server, payer: str) -> None:
    """Cases 23, 24, 64: some hundred requests, fit and unfit, paid and not, get answers as the document has them."""
    results_before = server.results()
    command = ["--config-file", str(HERE / "schemathesis.toml"), "run", server.url + OPENAPI_PATH]
    # Of a request without a credential it expects 401 or 403; what is not paid for has tests of its own.
    command += ["--checks", "all", "--exclude-checks", "ignored_auth,missing_required_header"]
    command += ["--seed", "1", "--max-examples", "20", "--generation-database", "none", "--warnings", "off"]
    done = subprocess.run(
        [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", *command],
        cwd=ROOT,
        env=os.environ | ({"SCHEMATHESIS_HOOKS": payer} if payer else {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=180,
    )
    report = done.stdout.decode(errors="replace")
    assert done.returncode == 0, report
    generated = re.search(r"(\d+) generated", report)
    assert generated, report
    assert int(generated[1]) > 50
    assert (server.results() > results_before) == bool(payer)
