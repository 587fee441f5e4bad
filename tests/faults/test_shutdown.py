"""SIGTERM to a server while a handler runs: its answer is delivered and charged, or its use is back."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tests.adapters.servers import GRANIAN, GUNICORN_SYNC, GUNICORN_THREADS, UVICORN_H11, UVICORN_HTTPTOOLS, Server

from .customer import BROKEN
from .shop import command, free_port, serving, wait_for

pytestmark = pytest.mark.slow

LEASE = 1

# With one worker uvicorn is a single process; the others have a first process above their workers in any case.
SERVERS = [
    (UVICORN_H11, "starlette_shop", 1, ("--timeout-graceful-shutdown", "2")),
    (UVICORN_HTTPTOOLS, "starlette_shop", 2, ("--timeout-graceful-shutdown", "2")),
    (GRANIAN, "starlette_shop", 2, ("--workers-kill-timeout", "2")),
    (GUNICORN_SYNC, "flask_shop", 2, ("--graceful-timeout", "2")),
    (GUNICORN_THREADS, "flask_shop", 2, ("--graceful-timeout", "2")),
]


@pytest.mark.parametrize(
    ("seconds", "is_in_time"), [(0.5, True), (4, False)], ids=["within-its-grace", "longer-than-its-grace"]
)
@pytest.mark.parametrize(("server", "module", "workers", "grace"), SERVERS, ids=[server.name for server, *_ in SERVERS])
def test_stopped_while_a_handler_runs(
    server: Server, module: str, workers: int, grace: tuple[str, ...], seconds: float, is_in_time: bool, tmp_path: Path
) -> None:
    """Case 52: what is answered before the server ends is charged; what is cut off is good again after the lease."""
    port = free_port()
    target = f"/work?seconds={seconds}"
    settings = {"L402_LEASE": str(LEASE), "L402_REPLAY_FOR": "0"}
    with serving(command(server, module, port, workers, *grace), port, tmp_path, **settings) as shop:
        purchase = shop.buy(target)
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(shop.ask, target, purchase.credential)
            wait_for(lambda: len(shop.runs()) == 1, "the handler")
            shop.process.send_signal(signal.SIGTERM)
            first = None
            with suppress(*BROKEN):
                first = asked.result()
        shop.process.wait(20)
    delivered = first is not None and first.status == 200
    assert first is None or first.status in (200, 500, 503), first
    time.sleep(LEASE)
    with serving(command(server, module, port), port, tmp_path, **settings) as shop:
        again = shop.ask("/work?seconds=0", purchase.credential)
        runs = shop.runs()
    assert {run.payment_hash for run in runs} == {purchase.payment_hash}
    if delivered:
        assert (again.status, again.code, len(runs)) == (402, "already-used", 1)
    else:
        assert (again.status, len(runs)) == (200, 2)
        assert runs[1].start >= (runs[0].end or 0)
    assert delivered or not is_in_time
