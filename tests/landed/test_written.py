"""Applications written for the first version run today as they stand: its pages, and its two examples."""

import io
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from PIL import Image

from ..docs.markdown import ROOT
from ..docs.test_snippets import applications, buy, client_of
from ..service.customer import order
from ..service.results import check_webp
from ..service.server import GUNICORN, UVICORN, serving

FIRST = "38a2dfbbb1a42871bc8c2f1846853d70d91fa099"
"""The commit of the first version."""

SOLD = {
    "README.md": [["/forecast"], ["/forecast"], ["/forecast/oslo?days=2"]],
    "docs/quickstart.md": [
        ["/forecast"],
        ["/forecast", "/forecast?days=2"],
        ["/forecast"],
        ["/long?days=2", "/long", "/bundle", "/pass"],
        ["/forecast"],
        ["/forecast"],
    ],
    "docs/fastapi.md": [
        ["/forecast", "/forecast?days=2"],
        ["/maps/rain", "/v2/maps/rain", "/maps/satellite", "/long?days=3", "/sun"],
        ["/moon"],
    ],
    "docs/fiat.md": [["/forecast", "/long?days=2"]],
    "docs/whole-applications.md": [["/forecast"], ["/archive", "/today"], ["/archive", "/today"]],
}
"""What to buy from each application on each of its pages, in their order."""


@pytest.fixture(scope="session", name="first")
def _first(tmp_path_factory: pytest.TempPathFactory, skip_or_fail: Callable[[str], NoReturn]) -> Path:
    """Pages and examples of the first version."""
    command = ["git", "-c", f"safe.directory={ROOT}", "archive", FIRST, "README.md", "docs", "examples"]
    archived = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if archived.returncode:
        skip_or_fail("the history does not go back to the first version (git fetch --unshallow)")
    folder = tmp_path_factory.mktemp("first")
    with tarfile.open(fileobj=io.BytesIO(archived.stdout)) as archive:
        archive.extractall(folder, filter="data")
    # The page shows the whole list, which has the Payment scheme in it by now.
    page = folder / "docs" / "fastapi.md"
    told = page.read_text("utf-8").replace(
        'operation["security"] == [{"L402": []}]', '{"L402": []} in operation["security"]'
    )
    page.write_text(told, "utf-8")
    return folder


@pytest.mark.usefixtures("newcomer")
@pytest.mark.parametrize("page", SOLD)
def test_a_page_of_the_first_version(first: Path, page: str) -> None:
    """Every snippet on it runs, and what each of its applications sells can be bought."""
    count = 0
    for count, (app, namespace) in enumerate(applications(first / page), 1):
        for url in SOLD[page][count - 1]:
            buy(client_of(app), url, namespace)
    assert count == len(SOLD[page])


@pytest.mark.slow
@pytest.mark.parametrize("command", [UVICORN, GUNICORN], ids=["starlette", "flask"])
def test_an_example_of_the_first_version(first: Path, tmp_path: Path, command: tuple[str, ...]) -> None:
    """It sells a conversion, whose result can be fetched; with the same credential, the same answer again."""
    picture = io.BytesIO()
    Image.radial_gradient("L").resize((96, 64)).convert("RGB").save(picture, "PNG")
    with serving(command, tmp_path, PYTHONPATH=str(first / "examples")) as server, server.customer() as customer:
        body = order(picture.getvalue(), "png", "webp")
        credential = customer.pay(customer.ask(body))
        answer = customer.ask(body, credential)
        check_webp(customer.fetch(answer))
        assert customer.ask(body, credential).content == answer.content
