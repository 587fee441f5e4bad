"""Web servers as processes on loopback ports, each with one worker and its usual settings."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.processes import end

ROOT = Path(__file__).parents[1]
START_SECONDS = 30

_COMMANDS = {
    "uvicorn": "-m uvicorn {app} --factory --host 127.0.0.1 --port {port} --log-level warning --no-access-log",
    "granian": "-m granian --interface asgi --factory {app} --host 127.0.0.1 --port {port} --log-level warning --no-ws",
    # Its default worker hangs up after each answer; threads keep a connection, as the other servers do.
    "gunicorn": "-m gunicorn {app}() -b 127.0.0.1:{port} --log-level warning -k gthread --threads 8",
}


@contextmanager
def running(
    server: str, app: str, settings: dict[str, str] | None = None, python: str = sys.executable
) -> Iterator[int]:
    """The port on which `app` ("module:factory", of `bench.apps`) is served until the block ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    command = [python, *(part.format(app=f"bench.apps.{app}", port=port) for part in _COMMANDS[server].split())]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("L402_")}
    environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), environ.get("PYTHONPATH")]))
    process = subprocess.Popen(command, cwd=ROOT, env=environ | (settings or {}), start_new_session=True)
    try:
        _wait_for(port, process)
        yield port
    finally:
        end(process)


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with status {process.returncode} before it listened")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
