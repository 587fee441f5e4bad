"""The same load on other packages for charging with HTTP 402, each as its documentation has it, as far as it runs.

They stand in a virtual environment of their own, `.venv-peers`, which has everything that is compared here: the bare
frameworks, us, and them. No Lightning node and no facilitator is asked by anyone: each gets an in-process one.
"""

import base64
import hashlib
import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

from .client import one, raw, seconds_per_request
from .measure import Result
from .sales import PASS, SINGLE, UNPAID, Call
from .servers import ROOT, running
from .wire import PAIRS, from_rates, settings, share

PYTHON = Path(os.environ.get("BENCH_PEERS_PYTHON") or ROOT / ".venv-peers" / "bin" / "python")
REQUESTS = 2000

TOLL_CHECKS = (
    "checks HMAC, expiry, path and method, preimage; never that a use is the first: each credential is good for an hour"
)
TOLL_AS_PUBLISHED = (
    "the dependency of its README answers every request with 422: its `request` has no type that FastAPI knows, so it "
    "is taken for a query parameter; measured with its decorator"
)
KIT_CHECKS = (
    "checks expiry, preimage, first use (a set in memory that only grows); its token is not signed, so anyone can make "
    "one without paying: those used here were made without asking it"
)
X402_CHECKS = (
    "checks that the payment fits the offer; signature, funds and first use are its facilitator's, asked twice per "
    "request over the network, and here a function that says yes"
)
OURS_CHECKS = "checks HMAC, expiry, endpoint, preimage, denylist"
OURS_SINGLE = "checks HMAC, expiry, endpoint, preimage, denylist, first use; charges for delivered answers only"


def results() -> Iterator[Result]:
    """Requests per second as a share of the bare framework's, and of ours where a peer checks what we check."""
    if not PYTHON.exists():
        print(f"not measured: there is no {PYTHON}; `make .venv-peers/installed` makes it")
        return
    yield from _in_fastapi()
    yield from _in_flask()


def versions() -> dict[str, str]:
    """The versions in the peers' environment."""
    if not PYTHON.exists():
        return {}
    names = {"lightning-toll", "l402kit", "x402", "fastapi", "flask", "uvicorn", "uvloop", "gunicorn"}
    command = [PYTHON, "-m", "pip", "list", "--format=json", "--disable-pip-version-check"]
    listed = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return {each["name"].lower(): each["version"] for each in listed if each["name"].lower() in names}


def _in_fastapi() -> Iterator[Result]:
    serve = partial(running, "uvicorn", python=str(PYTHON))
    charging = settings("memory:")
    with serve("fastapi_app:served") as bare, serve("fastapi_app:served", charging) as ours:
        yield share("peers, FastAPI, l402_middleware, pass", ours, bare, PASS, OURS_CHECKS)
        yield share("peers, FastAPI, l402_middleware, single use in memory", ours, bare, SINGLE, OURS_SINGLE)
        yield share("peers, FastAPI, l402_middleware, 402", ours, bare, UNPAID, "a signed invoice")
        with serve("toll:published") as peer:
            status, _, _ = one(peer, raw(Call("GET", "/pass")))
        note = TOLL_CHECKS if status == 402 else f"{TOLL_CHECKS}; {TOLL_AS_PUBLISHED}"
        with serve("toll:served") as peer:
            token = _toll_token(peer)
            yield _rates("peers, FastAPI, lightning-toll, reusable", peer, bare, lambda: token, "/pass", note)
            yield _rates("peers, FastAPI, lightning-toll, 402", peer, bare, None, "/pass", "no invoice is made")
            yield _against_ours("peers, FastAPI, lightning-toll's share of our requests per second", peer, ours, token)
        with serve("kit:fastapi") as peer:
            yield _rates("peers, FastAPI, l402kit, single use", peer, bare, _kit_token, "/single", KIT_CHECKS)
            yield _rates("peers, FastAPI, l402kit, 402", peer, bare, None, "/single", "no invoice is made")
        with serve("x402_app:fastapi") as peer:
            paid = _x402_payment(peer)
            yield _rates("peers, FastAPI, x402, payment", peer, bare, paid, "/single", X402_CHECKS)
            yield _rates("peers, FastAPI, x402, 402", peer, bare, None, "/single", "no invoice is made")


def _in_flask() -> Iterator[Result]:
    serve = partial(running, "gunicorn", python=str(PYTHON))
    with serve("flask_app:served") as bare:
        with serve("flask_app:served", settings("memory:")) as ours:
            yield share("peers, Flask, l402_middleware, pass", ours, bare, PASS, OURS_CHECKS)
            yield share("peers, Flask, l402_middleware, single use in memory", ours, bare, SINGLE, OURS_SINGLE)
            yield share("peers, Flask, l402_middleware, 402", ours, bare, UNPAID, "a signed invoice")
        with serve("kit:flask") as peer:
            yield _rates("peers, Flask, l402kit, single use", peer, bare, _kit_token, "/single", KIT_CHECKS)
            yield _rates("peers, Flask, l402kit, 402", peer, bare, None, "/single", "no invoice is made")
        with serve("x402_app:flask") as peer:
            paid = _x402_payment(peer)
            yield _rates("peers, Flask, x402, payment", peer, bare, paid, "/single", X402_CHECKS)
            yield _rates("peers, Flask, x402, 402", peer, bare, None, "/single", "no invoice is made")


def _rates(name: str, peer: int, bare: int, header: Callable[[], bytes] | None, path: str, note: str) -> Result:
    """A peer's share of the bare framework; `header` gives the header line that pays, None asks unpaid."""
    status = 200 if header else 402
    rates = []
    for _ in range(PAIRS):
        requests = [_request(path, header() if header else b"") for _ in range(REQUESTS)]
        rates.append((1 / seconds_per_request(peer, requests, status), 1 / seconds_per_request(bare, requests, 200)))
    return from_rates(name, rates, note)


def _against_ours(name: str, peer: int, ours: int, token: bytes) -> Result:
    """The bar: nobody who checks is faster."""
    theirs = [_request("/pass", token)] * REQUESTS
    mine = [raw(call) for call in islice(PASS.calls(), REQUESTS)]
    rates = [
        (1 / seconds_per_request(peer, theirs, 200), 1 / seconds_per_request(ours, mine, 200)) for _ in range(PAIRS)
    ]
    ratio = statistics.median(their / our for their, our in rates)
    their, our = (statistics.median(side) for side in zip(*rates, strict=True))
    return Result(name, ratio, 1.0, their, our, "req/s", "the only one of them that checks a signature of its own")


def _request(path: str, line: bytes) -> bytes:
    return raw(Call("GET", path)).removesuffix(b"\r\n") + line + b"\r\n"


def _toll_token(port: int) -> bytes:
    _, _, body = one(port, raw(Call("GET", "/pass")))
    return f"Authorization: L402 {json.loads(body)['detail']['macaroon']}:{bytes(32).hex()}\r\n".encode()


def _kit_token() -> bytes:
    preimage = os.urandom(32)
    claim = {"hash": hashlib.sha256(preimage).hexdigest(), "exp": int(time.time() * 1000) + 3_600_000}
    return f"Authorization: L402 {base64.b64encode(json.dumps(claim).encode()).decode()}:{preimage.hex()}\r\n".encode()


def _x402_payment(port: int) -> Callable[[], bytes]:
    _, head, _ = one(port, raw(Call("GET", "/single")))
    at = head.lower().index(b"payment-required:") + len(b"payment-required:")
    wanted = json.loads(base64.b64decode(head[at : head.index(b"\r", at)]))

    def pay() -> bytes:
        payload = {"signature": f"0x{os.urandom(65).hex()}", "authorization": {"nonce": f"0x{os.urandom(32).hex()}"}}
        payment = {
            "x402Version": 2,
            "payload": payload,
            "accepted": wanted["accepts"][0],
            "resource": wanted["resource"],
        }
        return b"Payment-Signature: " + base64.b64encode(json.dumps(payment).encode()) + b"\r\n"

    return pay
