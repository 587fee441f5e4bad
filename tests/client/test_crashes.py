"""A client killed with SIGKILL at every point of a purchase, against servers of ours: nothing is paid twice.

`make crashes` kills it 200 times and more.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from l402_middleware.client import SQLiteStore
from tests.adapters.contract import Site
from tests.adapters.servers import GUNICORN_THREADS, KEY, ROOT, UVICORN_H11, running

from .crashing import POINTS

pytestmark = pytest.mark.slow

ROUNDS = int(os.environ.get("CRASH_ROUNDS", "2"))
SERVERS = {"starlette_app": UVICORN_H11, "flask_app": GUNICORN_THREADS}
LIBRARIES = ("httpx2", "httpx2 awaiting", "requests")


@pytest.fixture(scope="module", params=SERVERS)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The scenario on a real server."""
    with running(SERVERS[request.param], request.param, tmp_path_factory.mktemp("server")) as site:
        yield site


def run(folder: Path, url: str, library: str, point: str) -> "subprocess.CompletedProcess[str]":
    """The client, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "tests.client.crashing", str(folder), url, library, point],
        cwd=ROOT,
        env={**os.environ, "L402_DEV": "1", "L402_SECRET_KEYS": KEY},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("round_", range(ROUNDS))
def test_a_killed_client_pays_once(site: Site, tmp_path: Path, point: str, round_: int) -> None:
    """Killed at a point, run again, killed again, run to its end: one payment, one answer, one run of the handler."""
    library = LIBRARIES[(POINTS.index(point) + round_) % len(LIBRARIES)]
    url = f"http://127.0.0.1:{site.port}/pages?pages={5 + round_}&of={tmp_path.name}"
    site.runs()
    assert run(tmp_path, url, library, point).returncode == -signal.SIGKILL
    # What is dead by then cannot die again.
    again = run(tmp_path, url, library, POINTS[-1 - round_ % 3])
    assert again.returncode in (0, -signal.SIGKILL), again.stderr
    done = run(tmp_path, url, library, "")
    assert done.returncode == 0, done.stderr
    status, _, body = done.stdout.partition(" ")
    assert status == "200"
    payments = (tmp_path / "payments").read_text().split()
    assert json.loads(body)["paid"] in payments
    purchases = SQLiteStore(tmp_path / "purchases.db").purchases()
    # Whoever was killed when all was over has had its answer: each run after it is a request of its own.
    finished = [point, POINTS[-1 - round_ % 3]].count("when that is written down too")
    assert len(payments) <= 1 + finished
    assert {purchase.state for purchase in purchases} == {"over"}
    assert sorted(purchase.payment_hash.hex() for purchase in purchases) == sorted(payments)
    assert len(site.runs()) == len(payments)
