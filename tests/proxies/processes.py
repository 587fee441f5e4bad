"""The shops on real servers, and nginx in front of them: each on free loopback ports, in a folder of its own."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from l402_middleware.core.keys import KeyRing
from l402_middleware.providers import DevNode

ROOT = Path(__file__).parents[2]
KEY = "0123456789abcdef" * 4
START_SECONDS = 30

_NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
worker_processes 1;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {http}
}}
"""


def free_port() -> int:
    """A port on 127.0.0.1 that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def node() -> DevNode:
    """The development node of a shop, which pays its invoices in another process: it has the same key."""
    made = DevNode()
    made.use_keys(KeyRing([KEY]))
    return made


@contextmanager
def listening(command: Sequence[str], port: int, folder: Path, name: str, **settings: str) -> Iterator[None]:
    """A program that listens on `port` until the block ends."""
    output = folder / f"{name}.log"
    with output.open("w") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **settings}, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{name} did not start: {output.read_text()}")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@contextmanager
def shop(arguments: Sequence[str], app: str, folder: Path, **settings: str) -> Iterator[int]:
    """A shop of this folder on a server (`python -m ...`, with `{app}` and `{port}` to fill in); gives its port."""
    port = free_port()
    command = [sys.executable, "-m", *(each.format(app=f"tests.proxies.{app}", port=port) for each in arguments)]
    given = {
        "L402_DEV": "1",
        "L402_PROVIDER": "dev:",
        "L402_LEDGER": f"sqlite:///{folder}/l402.db",
        "L402_SECRET_KEYS": KEY,
        **settings,
    }
    with listening(command, port, folder, "server", **given):
        yield port


@contextmanager
def nginx(http: str, port: int, folder: Path, skip_or_fail: Callable[[str], NoReturn]) -> Iterator[None]:
    """Nginx with `http` for its configuration's http block, which listens on `port`."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        skip_or_fail("no nginx; apt-get install nginx")
    configuration = folder / "nginx.conf"
    configuration.write_text(_NGINX.format(folder=folder, http=http))
    with listening([program, "-p", str(folder), "-c", str(configuration)], port, folder, "nginx"):
        yield
