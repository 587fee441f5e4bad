"""`l402 routes`, run as an operator runs it."""

import json
import os
import subprocess
import sysconfig
from pathlib import Path

import pytest

from tests.docs.markdown import DOCS, fenced

pytestmark = pytest.mark.slow

COMMAND = Path(sysconfig.get_path("scripts")) / "l402"

SHOP = """
import sys

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from l402_middleware import Paywall, usd
from l402_middleware.providers import DevNode
from l402_middleware.starlette import L402Middleware, l402_required


@l402_required(price=21)
async def forecast(request):
    return PlainTextResponse("clear")


def by_days(request):
    return 21


@l402_required(price=by_days, uses=None, valid_for=86400)
async def long_forecast(request):
    return PlainTextResponse("clear")


@l402_required(price=21, uses=20, valid_for=90)
async def bundle(request):
    return PlainTextResponse("clear")


async def health(request):
    return PlainTextResponse("well")


def create_app(*routes):
    print("this goes to the standard error")
    return Starlette(
        routes=[Route("/forecast", forecast), Route("/health", health), *routes],
        middleware=[Middleware(L402Middleware, paywall=Paywall(DevNode()))],
    )


app = create_app()
everything = create_app(Route("/long", long_forecast), Mount("/b", routes=[Route("/{id}", bundle)]))
sold_out = create_app(Route("/{any}", health), Route("/long", long_forecast))
nothing = Starlette()
text = "no application"


def fails():
    raise ValueError("no shop today\\x1b[2J")


def stops():
    sys.exit(3)


class shelf:
    inner = app
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an application, one that cannot be imported, and one that does not stay."""
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "closed.py").write_text("import missing_module_of_nobody\n")
    (tmp_path / "wrong.py").write_text("app = (\n")
    (tmp_path / "leaving.py").write_text("import sys\nsys.exit('not today')\n")
    return tmp_path


def routes(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run `l402 routes` in a folder."""
    done = subprocess.run(
        [COMMAND, "routes", *arguments],
        cwd=folder,
        env=os.environ | {"L402_DEV": "1"} | settings,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    return done


def test_the_table(folder: Path) -> None:
    """Each route has its line with what it sells; a free one says why, and is no failure by itself."""
    done = routes(folder, "shop:everything")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "method  route      status  price      uses  bound to  valid for",
        "GET     /forecast  priced  21 sat     1     endpoint  1 h",
        "GET     /health    free",
        "    nothing prices health",
        "GET     /long      priced  by_days()  pass  request   1 d",
        "GET     /b/{id}    priced  21 sat     20    endpoint  90 s",
    ]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["shop:app"], 0, "nothing prices health"),
        (["shop:app", "--strict"], 1, "1 of 2 routes"),
        (["shop:app", "--strict", "--except", "/health"], 0, ""),
        (["shop:app", "--strict", "--except", "GET /health"], 0, ""),
        (["shop:app", "--strict", "--except", "POST /health"], 1, "'POST /health' matches no route"),
        (["shop:app", "--except", "/forecast"], 1, "'/forecast' covers what is priced"),
        (["shop:sold_out"], 1, "    mend it: put this route first, or take one of the two away"),
        (["shop:sold_out", "--except", "/long"], 0, "never reached"),
        (["shop:nothing"], 0, "the application has no routes"),
        (["shop"], 0, "/forecast"),
        (["shop:shelf.inner"], 0, "/forecast"),
        (["shop:create_app()"], 0, "/forecast"),
        (["shop:create_app", "--factory"], 0, "/forecast"),
    ],
)
def test_what_fails(folder: Path, arguments: list[str], status: int, said: str) -> None:
    """The command fails where something is wrong, and says what; only --strict minds a free route."""
    done = routes(folder, *arguments)
    assert done.returncode == status
    assert said in done.stdout + done.stderr
    assert (status == 0) is ("not as they should be" not in done.stderr)


@pytest.mark.parametrize(
    ("target", "status", "said"),
    [
        ("nowhere:app", 1, "nowhere cannot be imported: ModuleNotFoundError: No module named 'nowhere'"),
        ("closed:app", 1, "closed.py, line 1"),
        ("wrong:app", 1, "SyntaxError"),
        ("leaving:app", 1, "leaving cannot be imported: SystemExit: not today"),
        ("shop:App", 1, "shop has no App"),
        ("shop:shelf.outer", 1, "shop has no shelf.outer"),
        ("shop:fails()", 1, r"fails() fails: ValueError: no shop today\x1b[2J"),
        ("shop:stops()", 1, "stops() fails: SystemExit: 3"),
        ("shop:fails", 1, "give --factory"),
        ("shop:text", 2, "'no application' is not an application"),
        ("shop.py", 1, "cannot be imported"),
        ("shop:app:again", 2, "is not of the form module:app"),
        ("./shop.py:app", 2, "is not of the form module:app"),
        ("", 2, "is not of the form module:app"),
    ],
)
def test_an_application_that_can_not_be_had(folder: Path, target: str, status: int, said: str) -> None:
    """Whatever keeps the application away is told in a sentence, without a traceback."""
    done = routes(folder, target)
    assert (done.returncode, done.stdout) == (status, "")
    assert said in done.stderr


def test_for_programs(folder: Path) -> None:
    """JSON says the same, and nothing that the application prints gets into it."""
    done = routes(folder, "shop:everything", "--strict", "--json", "--except", "/gone")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert told["ok"] is False
    assert told["stale_exceptions"] == ["the exception '/gone' matches no route: take it away, or correct it"]
    forecast, health, _, bundle = told["routes"]
    assert forecast == {
        "method": "GET",
        "path": "/forecast",
        "status": "priced",
        "offer": {"price": "21 sat", "uses": 1, "bind": "endpoint", "bind_caller": None, "valid_for": 3600},
        "reason": "",
        "remedy": "",
        "notes": [],
    }
    assert (health["offer"], health["status"]) == (None, "free")
    assert bundle["offer"]["uses"] == 20


@pytest.mark.parametrize("target", ["file_conversion.app:create_app()", "file_conversion.flask_app:create_app()"])
def test_the_reference_application(folder: Path, target: str) -> None:
    """The reference application sells its conversion, in both frameworks, and else has only the exceptions."""
    download = "/files/{identity}/{name}" if "flask" not in target else "/files/<identity>/<name>"
    exceptions = [
        "GET /api/l402/file-conversion",
        "GET /api/l402/convert-file",
        "/openapi.json",
        download,
        *(["/static/<path:filename>"] if "flask" in target else []),
    ]
    arguments = [word for route in exceptions for word in ("--except", route)]
    examples = str(Path(__file__).parents[2] / "examples")
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), examples]))
    settings = {"L402_PROVIDER": "dev:", "DATA_FOLDER": str(folder), "PYTHONPATH": path}
    done = routes(folder, target, "--strict", *arguments, **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "POST    /api/l402/file-conversion" in done.stdout


def test_the_page_shows_what_the_command_prints(folder: Path) -> None:
    """The table on the page is the command's."""
    shown = next(
        block for block in fenced(DOCS / "auditing.md", "console") if block.startswith("$ l402 routes shop:app\n")
    )
    assert shown.partition("\n")[2] == routes(folder, "shop:app").stdout
