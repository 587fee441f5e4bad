"""The laboratory: other people's software, installed once below `.lab/`, and servers on free loopback ports.

Nothing here goes into the interpreter that runs the tests. Deleting `.lab/` is always safe.
"""

import fcntl
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import httpx2
import pytest
import uvicorn
from starlette.types import ASGIApp
from werkzeug.serving import make_server

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

# Takes the job that a script in `clients/` describes, and gives what it made of it.
Client: TypeAlias = Callable[[Any], Any]

LAB = Path(__file__).parents[2] / ".lab"

# bitstring 5 breaks the import of bolt11, which LNbits needs.
_LNBITS = ("lnbits==1.6.2", "bitstring<5")
_LNBITS_PYTHONS = ((3, 10), (3, 11), (3, 12))

_CLIENTS = Path(__file__).with_name("clients")
_PYTHON_CLIENTS = (
    "l402-requests==0.9.0",
    "bolthub==0.7.0",
    "l402kit==1.10.1",
    "lightning-enable-mcp==2.1.1",
    "pympp==0.16.0",
)

_INSTALL_SECONDS = 900
_START_SECONDS = 120
_CLIENT_SECONDS = 60

# `uvicorn --fd` would take the socket for a Unix one, and hide the peer's address from the application.
_SERVE_ON_DESCRIPTOR = """
import socket, sys, uvicorn
config = uvicorn.Config(sys.argv[1], log_level="warning")
uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(sys.argv[2]))])
"""


def skip_or_fail(reason: str) -> NoReturn:
    """Skip the running test for want of something outside; fail it instead where L402_TEST_ALL=1 is set."""
    if os.environ.get("L402_TEST_ALL") == "1":
        pytest.fail(f"L402_TEST_ALL=1, and {reason}", pytrace=False)
    pytest.skip(reason)


def program(name: str) -> str:
    """The path of a program; without it the running test is skipped."""
    return shutil.which(name) or skip_or_fail(f"there is no {name} on PATH")


def installed(name: str, wanted: str, install: Callable[[Path], None]) -> Path:
    """The folder `.lab/<name>`, filled by `install` unless it holds exactly `wanted` already.

    Of several processes that ask at once, one installs and the others wait for it.
    """
    LAB.mkdir(exist_ok=True)
    folder = LAB / name
    stamp = folder / "installed"
    with (LAB / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.is_file() or stamp.read_text() != wanted:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            install(folder)
            stamp.write_text(wanted)
    return folder


def virtualenv(name: str, python: str, requirements: tuple[str, ...]) -> Path:
    """The interpreter of the virtual environment `.lab/<name>`, which holds `requirements`."""

    def install(folder: Path) -> None:
        command(python, "-m", "venv", str(folder))
        command(str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *requirements)

    return installed(name, "\n".join((python, *requirements)), install) / "bin" / "python"


def command(*arguments: str, folder: Path | None = None) -> None:
    """Run one step of an installation; where it fails, the running test is skipped with the error's first line."""
    try:
        done = subprocess.run(
            arguments,
            cwd=folder,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=_INSTALL_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as failure:
        skip_or_fail(f"{' '.join(arguments)} did not end: {type(failure).__name__}")
    if done.returncode:
        lines = (done.stdout + done.stderr).splitlines()
        error = next((line for line in lines if "err" in line.lower()), "it printed no error")
        skip_or_fail(f"{' '.join(arguments)} ended with {done.returncode}: {error}")


@contextmanager
def serving(app: ASGIApp) -> Generator[str]:
    """The URL of `app` on a real uvicorn, in a thread with its own event loop, from startup to shutdown."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none", lifespan="on"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield _url(listener)
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@contextmanager
def serving_wsgi(app: "WSGIApplication") -> Generator[str]:
    """The URL of `app` on a real Werkzeug server with a thread for each request, until the block ends."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def unused_address() -> Generator[str]:
    """A loopback URL at which, for as long as this lasts, nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield _url(taken)


@dataclass(frozen=True, slots=True)
class LNbitsServer:
    """A running LNbits with two wallets: one that receives, and one with a million sats that pays."""

    url: str
    invoice_key: str = field(repr=False)
    payer_key: str = field(repr=False)

    def pay(self, bolt11: str) -> str:
        """Pay an invoice from the payer's wallet; the preimage in hex, as the payer learns it."""
        with _http(self.url) as http:
            payment = _json(
                http.post(
                    "/api/v1/payments", headers={"X-Api-Key": self.payer_key}, json={"out": True, "bolt11": bolt11}
                )
            )
        assert payment["status"] == "success"
        preimage: str = payment["preimage"]
        is_its_preimage = sha256(bytes.fromhex(preimage)).hexdigest() == payment["payment_hash"]
        assert is_its_preimage
        return preimage

    def received(self, payment_hash: str) -> dict[str, Any]:
        """What the receiver's wallet knows about one of its invoices."""
        with _http(self.url) as http:
            answer = _json(http.get(f"/api/v1/payments/{payment_hash}", headers={"X-Api-Key": self.invoice_key}))
        return {"paid": answer["paid"], "memo": answer["details"]["memo"], "msat": answer["details"]["amount"]}


@contextmanager
def lnbits_server(folder: Path) -> Generator[LNbitsServer]:
    """A fresh LNbits on FakeWallet funding, with its data in `folder`, until the end of the block."""
    python = virtualenv("lnbits", _lnbits_python(), _LNBITS)
    # LNbits opens its templates relative to the working directory.
    (package,) = python.parent.parent.glob("lib/python*/site-packages/lnbits")
    (folder / "lnbits").symlink_to(package)
    for name in ("data", "extensions"):
        (folder / name).mkdir()
    listener = socket.create_server(("127.0.0.1", 0))
    url = _url(listener)
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [python, "-c", _SERVE_ON_DESCRIPTOR, "lnbits.__main__:app", str(listener.fileno())],
            cwd=folder,
            env=_lnbits_settings(folder, listener.getsockname()[1]),
            pass_fds=[listener.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    # With this copy closed, a request waits while LNbits starts, and fails at once if it dies.
    listener.close()
    try:
        yield _set_up(url, folder)
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def python_clients(folder: Path) -> Client:
    """Does jobs with `clients/python_clients.py`, which runs in `folder`."""
    python = virtualenv("python-clients", sys.executable, _PYTHON_CLIENTS)
    return partial(_do, folder, str(python), str(_CLIENTS / "python_clients.py"))


def node_clients() -> Client:
    """Does jobs with `clients/lightning_tools.mjs`."""
    return _node_clients("node-clients", _CLIENTS, "lightning_tools.mjs")


def mppx_client() -> Client:
    """Does jobs with `clients/mppx.mjs`."""
    return _node_clients("mppx-client", _CLIENTS / "mppx", "mppx.mjs")


def _node_clients(name: str, packages: Path, script: str) -> Client:
    node, npm = program("node"), program("npm")

    def install(folder: Path) -> None:
        for file in ("package.json", "package-lock.json"):
            shutil.copy(packages / file, folder)
        command(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", folder=folder)

    folder = installed(name, (packages / "package-lock.json").read_text(), install)
    return partial(_do, folder, node, str(_CLIENTS / script))


def _do(folder: Path, interpreter: str, script: str, job: Any) -> Any:
    done = subprocess.run(
        [interpreter, script],
        cwd=folder,
        # A proxy or a wallet that the developer has configured must not be found.
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        input=json.dumps(job),
        capture_output=True,
        text=True,
        timeout=_CLIENT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _set_up(url: str, folder: Path) -> LNbitsServer:
    with _http(url) as http:
        try:
            # Of any status: until the first user exists, it redirects.
            http.get("/api/v1/health", timeout=_START_SECONDS)
        except httpx2.TransportError as error:
            pytest.fail(f"LNbits did not start ({type(error).__name__}); see {folder}/server.log", pytrace=False)
        password = secrets.token_hex(16)
        login = _json(
            http.put(
                "/api/v1/auth/first_install",
                json={"username": "admin", "password": password, "password_repeat": password},
            )
        )
        http.cookies.clear()
        receiver = _json(http.post("/api/v1/account", json={"name": "receiver"}))
        payer = _json(http.post("/api/v1/account", json={"name": "payer"}))
        _json(
            http.put(
                "/users/api/v1/balance",
                headers={"Authorization": f"Bearer {login['access_token']}"},
                json={"id": payer["id"], "amount": 1_000_000},
            )
        )
    return LNbitsServer(url, invoice_key=receiver["inkey"], payer_key=payer["adminkey"])


def _lnbits_settings(folder: Path, port: int) -> dict[str, str]:
    """The server's whole environment: no setting of the developer's own reaches it."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "LNBITS_BASEURL": f"http://127.0.0.1:{port}/",
        "LNBITS_DATA_FOLDER": str(folder / "data"),
        "LNBITS_EXTENSIONS_PATH": str(folder / "extensions"),
        "LNBITS_BACKEND_WALLET_CLASS": "FakeWallet",
        "LNBITS_ADMIN_UI": "true",
        "AUTH_HTTPS_ONLY": "false",
        "LNBITS_RATE_LIMIT_NO": "1000000",
        "LNBITS_AUDIT_ENABLED": "false",
        # Without these it asks the internet for extensions and exchange rates.
        "LNBITS_EXTENSIONS_MANIFESTS": "[]",
        "LNBITS_WASM_EXTENSIONS_MANIFESTS": "[]",
        "LNBITS_EXCHANGE_RATE_PROVIDERS": "[]",
        "LNBITS_PRICE_AGGREGATOR_ENABLED": "false",
    }


def _lnbits_python() -> str:
    if sys.version_info[:2] in _LNBITS_PYTHONS:
        return sys.executable
    for major, minor in reversed(_LNBITS_PYTHONS):
        path = shutil.which(f"python{major}.{minor}")
        # A version manager's stand-in is found even where that version is not installed.
        if path and subprocess.run([path, "--version"], capture_output=True, check=False).returncode == 0:
            return path
    return skip_or_fail("LNbits needs Python 3.10, 3.11 or 3.12, and none of them is on PATH")


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()
    return f"http://{host}:{port}"


def _http(url: str) -> httpx2.Client:
    return httpx2.Client(base_url=url, timeout=30, trust_env=False)


def _json(response: httpx2.Response) -> Any:
    # Of a failed call only the status: LNbits' answers hold keys and preimages.
    assert response.is_success, f"LNbits answered {response.status_code} to {response.request.url.path}"
    return response.json()
