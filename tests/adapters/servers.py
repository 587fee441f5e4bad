"""Real servers as subprocesses on free loopback ports."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx2

from tests.processes import end

from .contract import Site

ROOT = Path(__file__).parents[2]
KEY = "0123456789abcdef" * 4
START_SECONDS = 30


@dataclass(frozen=True)
class Server:
    """A server and how it is started: `{app}` is a module of this folder, `{port}` a free port."""

    name: str
    arguments: tuple[str, ...]
    is_asgi: bool = False
    streams_requests: bool = True
    """Whether the application sees a request before its body is there."""
    leaves_expect: bool = False
    """Whether an expectation of 100 is met when the application reads, and not by the server at once."""
    hidden_headers: tuple[str, ...] = ()
    """Headers that the application is not shown."""

    def command(self, app: str, port: int, workers: int = 1) -> list[str]:
        values = {"app": f"tests.adapters.{app}", "port": str(port), "workers": str(workers)}
        return [sys.executable, *(argument.format(**values) for argument in self.arguments)]


_UVICORN = ("-m", "uvicorn", "{app}:create", "--factory", "--port", "{port}", "--log-level", "warning")
_GUNICORN = ("-m", "gunicorn", "{app}:create()", "-b", "127.0.0.1:{port}", "--log-level", "warning", "-w", "{workers}")

UVICORN_H11 = Server(
    "uvicorn-h11", (*_UVICORN, "--http", "h11", "--workers", "{workers}"), is_asgi=True, leaves_expect=True
)
UVICORN_HTTPTOOLS = Server(
    "uvicorn-httptools", (*_UVICORN, "--http", "httptools", "--workers", "{workers}"), is_asgi=True, leaves_expect=True
)
GRANIAN = Server(
    "granian",
    (
        *("-m", "granian", "--interface", "asgi", "--factory", "{app}:create", "--port", "{port}", "--no-ws"),
        *("--log-level", "warning", "--workers", "{workers}"),
    ),
    is_asgi=True,
    leaves_expect=True,
)
HYPERCORN = Server(
    "hypercorn",
    ("-m", "hypercorn", "asgi:{app}:create()", "--bind", "127.0.0.1:{port}", "--workers", "{workers}"),
    is_asgi=True,
)
# As the servers above, with WebSockets.
UVICORN_WEBSOCKETS = Server("uvicorn-websockets", (*_UVICORN, "--ws", "websockets-sansio"), is_asgi=True)
UVICORN_WSPROTO = Server("uvicorn-wsproto", (*_UVICORN, "--ws", "wsproto"), is_asgi=True)
GRANIAN_WEBSOCKETS = Server(
    "granian-websockets", tuple(each for each in GRANIAN.arguments if each != "--no-ws"), is_asgi=True
)
GUNICORN_SYNC = Server("gunicorn-sync", (*_GUNICORN, "-k", "sync"))
GUNICORN_THREADS = Server("gunicorn-gthread", (*_GUNICORN, "-k", "gthread", "--threads", "24"))
GUNICORN_PRELOADED = Server("gunicorn-preloaded", (*_GUNICORN, "-k", "gthread", "--threads", "8", "--preload"))
WAITRESS = Server(
    "waitress",
    ("-m", "waitress", "--listen=127.0.0.1:{port}", "--threads=24", "--call", "{app}:create"),
    streams_requests=False,
    hidden_headers=("X-Forwarded-For", "X-Forwarded-Host", "Forwarded"),
)
WERKZEUG = Server("werkzeug", ("-m", "flask", "--app", "{app}:create", "run", "--port", "{port}", "--no-reload"))
# `flask run` serves nothing but Flask.
_RUN_SIMPLE = """
from werkzeug.serving import run_simple
from {app} import create
run_simple("127.0.0.1", {port}, create(), threaded=True)
"""
WERKZEUG_ALONE = Server("werkzeug", ("-c", _RUN_SIMPLE))

# Each kind of server once.
SERVERS = (
    UVICORN_H11,
    UVICORN_HTTPTOOLS,
    GRANIAN,
    HYPERCORN,
    GUNICORN_SYNC,
    GUNICORN_THREADS,
    WAITRESS,
    WERKZEUG,
)


@contextmanager
def running(server: Server, app: str, folder: Path, *, workers: int = 1, **settings: str | None) -> Generator[Site]:
    """The scenario on that server, with a SQLite ledger, until the block ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    runs = folder / "runs"
    runs.touch()
    given = {
        "L402_DEV": "1",
        "L402_PROVIDER": "dev:",
        "L402_LEDGER": f"sqlite:///{folder}/l402.db",
        "L402_SECRET_KEYS": KEY,
        "RUNS": str(runs),
        "PAUSE": "0.2",
        "WEB_CONCURRENCY": None,
        **settings,
    }
    environ = {**os.environ, **given}
    output = (folder / "output").open("w+")
    process = subprocess.Popen(
        server.command(app, port, workers),
        cwd=ROOT,
        env={name: value for name, value in environ.items() if value is not None},
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20) as client:
            site = Site(client, runs, port, folder / "output", server.hidden_headers)
            _wait_for(site, process)
            yield site
    finally:
        end(process)
        output.close()


def _wait_for(site: Site, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with suppress(httpx2.TransportError):
            if site.client.get("/free").status_code == 200:
                site.runs()
                return
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the server did not start: {site.output.read_text() if site.output else ''}")
        time.sleep(0.05)
