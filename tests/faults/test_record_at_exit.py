"""The record has what was offered: soon while the process runs, and whole when it ends in an orderly way."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from l402_middleware.ledgers import ledger_from_url
from tests.adapters.servers import GUNICORN_SYNC, GUNICORN_THREADS, ROOT, UVICORN_H11, Server

from .shop import command, environment, free_port, serving, wait_for

ASKED = 20

PLAIN = f"""
from tests.faults.flask_shop import create
client = create().test_client()
for _ in range({ASKED}):
    assert client.get("/work").status_code == 402
"""


def offered(folder: Path) -> int:
    """How many challenges the record has."""
    ledger = ledger_from_url(f"sqlite:///{folder}/l402.db")
    try:
        return sum(total.count for total in ledger.totals(0, 10**6).block() if total.what == "offered")
    finally:
        ledger.close()


def test_a_plain_process_that_ends(tmp_path: Path) -> None:
    """Nobody closes a Flask application: its record is whole all the same."""
    environ = environment(tmp_path) | {"L402_PROVIDER": "dev:"}
    subprocess.run([sys.executable, "-c", PLAIN], cwd=ROOT, env=os.environ | environ, check=True, timeout=60)
    assert offered(tmp_path) == ASKED


@pytest.mark.parametrize(
    ("server", "module"),
    [(GUNICORN_SYNC, "flask_shop"), (GUNICORN_THREADS, "flask_shop"), (UVICORN_H11, "starlette_shop")],
    ids=lambda each: each.name if isinstance(each, Server) else "",
)
def test_a_server_after_sigterm(server: Server, module: str, tmp_path: Path) -> None:
    """Each of its workers writes what it has counted before it ends."""
    port = free_port()
    with serving(command(server, module, port, 2), port, tmp_path) as shop:
        for _ in range(ASKED):
            assert shop.ask().status == 402
        shop.process.send_signal(signal.SIGTERM)
        shop.process.wait(30)
    assert offered(tmp_path) == ASKED


def test_a_process_that_runs(tmp_path: Path) -> None:
    """Within seconds, and without another request, the record has what was asked for."""
    port = free_port()
    with serving(command(GUNICORN_THREADS, "flask_shop", port), port, tmp_path) as shop:
        for _ in range(ASKED):
            assert shop.ask().status == 402
        wait_for(lambda: offered(tmp_path) == ASKED, "the record")
