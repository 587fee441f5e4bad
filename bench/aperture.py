"""Beside Aperture, on the wire: both in front of the same handler, with invoices from the same LND.

`L402_BENCH_APERTURE` and `L402_BENCH_LND` name the two programs; without them nothing is measured. The LND has no chain
behind it: it makes invoices, and says the preimages of its own.
"""

import base64
import json
import os
import re
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from l402_middleware.core.invoice import decode
from tests.processes import end

from .client import one, raw, seconds_per_request
from .measure import Result
from .sales import BUNDLE, PASS, UNPAID, Call, Load
from .servers import running
from .wire import PAIRS, from_rates, settings

APERTURE, LND = "L402_BENCH_APERTURE", "L402_BENCH_LND"
START_SECONDS = 60
REQUESTS = 2000
INVOICES = 200

CHECKS = "checks HMAC, expiry where a caveat has one, preimage; counts nothing: a credential is good for ever"

CONFIGURATION = """
listenaddr: "127.0.0.1:{port}"
insecure: true
debuglevel: "error"
basedir: "{folder}"
authenticator:
  network: "regtest"
  lndhost: "127.0.0.1:{rpc}"
  tlspath: "{lnd}/tls.cert"
  macdir: "{lnd}/data/chain/bitcoin/regtest"
dbbackend: "sqlite"
sqlite:
  dbfile: "{folder}/aperture.db"
services:
  - name: "bench"
    hostregexp: ".*"
    pathregexp: ".*"
    address: "127.0.0.1:{behind}"
    protocol: http
    auth: "on"
    price: 21
"""


@dataclass(frozen=True, slots=True)
class Node:
    """A running LND: its folder and the ports of its two interfaces."""

    folder: Path
    rpc: int
    rest: int

    def preimage(self, payment_hash: bytes) -> str:
        """The preimage of an invoice of its own, in hex."""
        return base64.b64decode(self._get(f"/v1/invoice/{payment_hash.hex()}")["r_preimage"]).hex()

    def is_ready(self) -> bool:
        """Whether it answers."""
        try:
            self._get("/v1/getinfo")
        except (OSError, urllib.error.URLError):
            return False
        return True

    @property
    def url(self) -> str:
        """It as our provider."""
        invoices = self.folder / "data/chain/bitcoin/regtest/invoice.macaroon"
        files = f"tls_cert={self.folder}/tls.cert&macaroon_file={invoices}"
        return f"lnd+https://127.0.0.1:{self.rest}?network=regtest&{files}"

    def _get(self, path: str) -> dict[str, str]:
        macaroon = (self.folder / "data/chain/bitcoin/regtest/admin.macaroon").read_bytes().hex()
        request = urllib.request.Request(
            f"https://127.0.0.1:{self.rest}{path}", headers={"Grpc-Metadata-macaroon": macaroon}
        )
        context = ssl.create_default_context(cafile=self.folder / "tls.cert")
        with urllib.request.urlopen(request, context=context, timeout=5) as answer:  # noqa: S310 - likewise
            read: dict[str, str] = json.load(answer)
            return read


def results() -> Iterator[Result]:
    """Our requests per second as a multiple of Aperture's, in alternating runs."""
    aperture, lnd = os.environ.get(APERTURE), os.environ.get(LND)
    if not aperture or not lnd:
        print(f"not measured: {APERTURE} and {LND} must name the programs aperture and lnd")
        return
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        node = stack.enter_context(_lnd(lnd, folder / "lnd"))
        bare = stack.enter_context(running("uvicorn", "starlette_app:served"))
        theirs = stack.enter_context(_aperture(aperture, folder / "aperture", node, bare))
        charging = settings(f"sqlite:///{folder}/ledger.db") | {"L402_PROVIDER": node.url}
        ours = stack.enter_context(running("uvicorn", "starlette_app:served", charging))
        paid = _paid(theirs, node)
        yield _against("pass, against Aperture's reusable credential", ours, PASS, theirs, paid, CHECKS)
        yield _against("bundle on SQLite, against Aperture's reusable credential", ours, BUNDLE, theirs, paid, CHECKS)
        unpaid = raw(Call("GET", "/single"))
        yield _against("402 with an invoice from LND, against Aperture's", ours, UNPAID, theirs, unpaid, "", INVOICES)


def versions() -> dict[str, str]:
    """Of the two programs, where they are given."""
    found = {}
    for name in (APERTURE, LND):
        if path := os.environ.get(name):
            said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
            numbers = re.findall(r"\d+\.\d+[\w.-]*", said.stdout + said.stderr)
            found[Path(path).name] = numbers[0] if numbers else "unknown"
    return found


def _against(name: str, ours: int, load: Load, theirs: int, request: bytes, note: str, count: int = REQUESTS) -> Result:
    rates = []
    for _ in range(PAIRS):
        mine = [raw(call) for call in islice(load.calls(), count)]
        our_rate = 1 / seconds_per_request(ours, mine, load.status)
        rates.append((our_rate, 1 / seconds_per_request(theirs, [request] * count, load.status)))
    return from_rates(f"wire, uvicorn, {name}", rates, note)


def _paid(port: int, node: Node) -> bytes:
    """A request with a paid credential of Aperture's."""
    _, head, _ = one(port, raw(Call("GET", "/pass")))
    challenge = re.search(rb'L402 macaroon="([^"]+)", invoice="([^"]+)"', head)
    assert challenge, head
    preimage = node.preimage(decode(challenge[2].decode()).payment_hash)
    return raw(Call("GET", "/pass", b"L402 " + challenge[1] + b":" + preimage.encode()))


@contextmanager
def _lnd(program: str, folder: Path) -> Iterator[Node]:
    listen, rpc, rest = _free_ports(3)
    node = Node(folder, rpc, rest)
    command = [program, f"--lnddir={folder}", "--noseedbackup", "--bitcoin.regtest", "--bitcoin.node=nochainbackend"]
    ports = [f"--listen=127.0.0.1:{listen}", f"--rpclisten=127.0.0.1:{rpc}", f"--restlisten=127.0.0.1:{rest}"]
    with _process([*command, "--nobootstrap", "--debuglevel=error", *ports], node.is_ready):
        yield node


@contextmanager
def _aperture(program: str, folder: Path, node: Node, behind: int) -> Iterator[int]:
    (port,) = _free_ports(1)
    folder.mkdir()
    written = folder / "aperture.yaml"
    written.write_text(
        CONFIGURATION.format(port=port, folder=folder, rpc=node.rpc, lnd=node.folder, behind=behind), encoding="utf-8"
    )

    def is_ready() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            return False
        return True

    with _process([program, f"--configfile={written}"], is_ready):
        yield port


@contextmanager
def _process(command: list[str], is_ready: Callable[[], bool]) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not is_ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} does not start")
            time.sleep(0.2)
        yield
    finally:
        end(process)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
