"""An unpaid flood of twice what a server can answer, while customers are served.

`python -m tests.faults.flood [SECONDS]` is what `make flood` runs. The node is slow. Prints a table; the exit status
says whether every promise was kept.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection
from pathlib import Path

from tests.adapters.servers import GUNICORN_THREADS, ROOT, UVICORN_HTTPTOOLS, Server
from tests.providers.emulators import Emulator, Node, running

from .customer import BROKEN, Answer
from .shop import Shop, command, free_port, serving
from .soak import Outcome, table

LIMIT = 5
"""Challenges for each peer and minute."""
PEERS = ["203.0.113.1", *(f"198.51.100.{number}" for number in range(100)), *(f"2001:db8:{n:x}::1" for n in range(100))]
NODE_SECONDS = 0.05
TURNS = 32
BODY_SECONDS = 2
CUSTOMERS = 4
PATIENCE = 30

SITES: dict[str, tuple[Server, str, int]] = {
    "uvicorn": (
        replace(UVICORN_HTTPTOOLS, arguments=(*UVICORN_HTTPTOOLS.arguments, "--no-proxy-headers")),
        *("starlette_shop", 20),
    ),
    # A slow body holds a thread, of which there are 24; a proxy in front would take it off.
    "gunicorn": (GUNICORN_THREADS, "flask_shop", 4),
}
"""A server, the shop on it, and how many clients pause in their bodies there."""


@dataclass
class SlowNode(Node):
    """A wallet that counts who asks."""

    asked: int = 0
    at_once: int = 0
    most_at_once: int = 0
    counting: threading.Lock = field(default_factory=threading.Lock)


class SlowLNbits(Emulator):
    """LNbits, which takes its time for an invoice."""

    def respond(self, body: str) -> None:
        node = self.node
        assert isinstance(node, SlowNode)
        with node.counting:
            node.asked += 1
            node.at_once += 1
            node.most_at_once = max(node.most_at_once, node.at_once)
        time.sleep(NODE_SECONDS)
        asked = json.loads(body)
        kept = node.add(asked["amount"] * 1000, asked["memo"], asked["expiry"])
        with node.counting:
            node.at_once -= 1
        self.answer(201, {"bolt11": kept.bolt11, "payment_hash": kept.payment_hash.hex()})


def ask(shop: Shop, target: str, peer: str, credential: str = "") -> Answer:
    """GET, as a proxy hands it over for `peer`. Raises one of `BROKEN`."""
    connection = HTTPConnection("127.0.0.1", shop.port, timeout=PATIENCE)
    try:
        headers = {"X-Forwarded-For": peer} | ({"Authorization": credential} if credential else {})
        connection.request("GET", target, headers=headers)
        answer = connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def buy(shop: Shop, node: Node, target: str, peer: str) -> str:
    """A credential, paid by whoever has the node's invoices. Raises `RuntimeError` where there is no challenge."""
    until = time.monotonic() + PATIENCE
    while (challenge := ask(shop, target, peer)).status == 503 and time.monotonic() < until:
        # A slow node's turns are given to others at the moment: the answer says to come again.
        time.sleep(0.1)
    if challenge.status != 402:
        raise RuntimeError(f"{challenge.status} {challenge.code}: {shop.output.read_text()[-2000:]}")
    quoted = json.loads(challenge.body)
    preimage = node.invoices[bytes.fromhex(quoted["payment_hash"])].preimage
    return f"L402 {quoted['macaroon']}:{preimage.hex()}"


def run(site: str, folder: Path, seconds: float) -> Outcome:
    """Flood that site for so long."""
    server, module, slow = SITES[site]
    port = free_port()
    settings = {
        "L402_CHALLENGE_LIMIT": f"{LIMIT}/minute",
        "L402_TRUSTED_PROXIES": "127.0.0.1",
        "L402_FORWARDED_HEADER": "X-Forwarded-For",
        "L402_BODY_SECONDS": str(BODY_SECONDS),
    }
    with running(SlowLNbits, SlowNode()) as node:
        settings["L402_PROVIDER"] = f"lnbits+{node.url}?invoice_key={node.secret}&network=regtest"
        with serving(command(server, module, port), port, folder, **settings) as shop:
            assert isinstance(node, SlowNode)
            outcome = _flood(shop, node, seconds, slow)
            log = shop.output.read_text()
    outcome.counts["log, kB"] = f"{len(log) / 1000:.1f}"
    if len(log) > 50_000 or "Traceback" in log:
        outcome.broken.append(f"the log has {len(log)} bytes:\n{log[-2000:]}")
    return outcome


def _flood(shop: Shop, node: SlowNode, seconds: float, slow: int) -> Outcome:
    forged = buy(shop, node, "/work", "192.0.2.1").partition(":")[0] + ":" + "0" * 64
    orders = {"port": shop.port, "rate": 1e5, "seconds": 2, "peers": PEERS, "forged": forged, "slow": 0}
    # Once to use up what the limit allows: the refusals that follow are what most of a flood gets, and cost less.
    _strangers(orders)
    able = sum(count for heard, count in _strangers(orders).items() if heard != "not taken") / 2
    bought = _stock(shop, node, seconds)
    calm = _Customers(shop, node, bought, 1)
    calm.serve(min(seconds / 4, 5))
    asked_before, node.most_at_once = node.asked, 0
    customers = _Customers(shop, node, bought, 2)
    with _memory_of(shop) as memory, ThreadPoolExecutor(1) as pool:
        flooding = pool.submit(_strangers, orders | {"rate": 2 * able, "seconds": seconds, "slow": slow})
        customers.serve(seconds)
        heard = flooding.result()
    half = len(memory) // 2
    first, second = max(memory[:half]), max(memory[half:])
    offered, taken = sum(heard.values()), sum(heard.values()) - heard["not taken"]
    asked = node.asked - asked_before
    # In any minute twice as many at the most: a window that was filled at its end, and the next one.
    may_ask = LIMIT * len(PEERS) * (2 + seconds // 60) + len(customers.new)
    counts: dict[str, int | str] = {
        "requests a second it can answer": round(able),
        "requests a second offered by strangers": round(offered / seconds),
        "of these answered": round(taken / seconds),
        "clients that pause in a body": slow,
        **{f"strangers, {name}": count for name, count in sorted(heard.items()) if name != "not taken"},
        "invoices asked of the node": asked,
        "invoices that the limit allows, at most": int(may_ask),
        "invoices asked for at once, at most": node.most_at_once,
        **{f"{name} in calm, ms p50/p99": calm.figure(times) for name, times in calm.all()},
        **{f"{name} in the flood, ms p50/p99": customers.figure(times) for name, times in customers.all()},
        "new challenges put off with a 503": customers.later,
        "memory, MB, first and second half": f"{first:.0f} / {second:.0f}",
    }
    broken = [*calm.broken, *customers.broken]
    allowed = {"402", "429", "503", "408", "cut off"}
    broken += [f"strangers heard {name}" for name in heard if name.rpartition(": ")[2] not in {*allowed, "not taken"}]
    if asked > may_ask or node.most_at_once > TURNS:
        broken.append(f"the node was asked {asked} times, {node.most_at_once} at once; {may_ask} were allowed")
    if second > first + 10:
        broken.append(f"memory grew from {first:.0f} to {second:.0f} MB")
    if slow and not heard.get("slow bodies: 408"):
        broken.append("no client that pauses in its body was sent away")
    return Outcome(counts, broken)


def _strangers(orders: dict[str, object]) -> Counter[str]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.strangers"],
        cwd=ROOT,
        input=json.dumps(orders),
        capture_output=True,
        text=True,
        check=True,
    )
    return Counter(json.loads(done.stdout))


def _stock(shop: Shop, node: Node, seconds: float) -> list[str]:
    """Credentials for one use, bought before the flood."""
    peers = (f"100.64.{number // 250}.{number % 250}" for number in range(int(10 * seconds) + 100))
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda peer: buy(shop, node, "/work?seconds=0", peer), peers))


class _Customers:
    """They use passes again and again, and single uses once; some buy anew, from addresses of their own."""

    def __init__(self, shop: Shop, node: Node, stock: list[str], number: int) -> None:
        self._shop = shop
        self._node = node
        self._stock = stock
        self._peers = iter(f"10.{number}.{n // 250}.{n % 250}" for n in range(62_500))
        self._passes = [buy(shop, node, "/season", next(self._peers)) for _ in range(CUSTOMERS)]
        self.reusable: list[float] = []
        self.single: list[float] = []
        self.new: list[float] = []
        self.later = 0
        self.broken: list[str] = []

    def all(self) -> list[tuple[str, list[float]]]:
        """What was measured."""
        return [("reusable credential", self.reusable), ("single use", self.single), ("new challenge", self.new)]

    def figure(self, times: list[float]) -> str:
        """Median and 99th percentile, in ms."""
        worst = sorted(times)[int(len(times) * 0.99)]
        return f"{statistics.median(times) * 1000:.0f} / {worst * 1000:.0f} ({len(times)})"

    def serve(self, seconds: float) -> None:
        """Ask for so long."""
        until = time.monotonic() + seconds
        with ThreadPoolExecutor(CUSTOMERS) as pool:
            for each in [pool.submit(self._shop_until, until, credential) for credential in self._passes]:
                each.result()

    def _shop_until(self, until: float, reusable: str) -> None:
        while time.monotonic() < until:
            for _ in range(3):
                self._time(self.reusable, 200, "/season", "192.0.2.1", reusable)
                time.sleep(0.1)
            self._time(self.single, 200, "/work?seconds=0", "192.0.2.1", self._stock.pop())
            self._time(self.new, 402, "/work?seconds=0", next(self._peers))

    def _time(self, times: list[float], status: int, target: str, peer: str, credential: str = "") -> None:
        started = time.monotonic()
        try:
            answer = ask(self._shop, target, peer, credential)
        except BROKEN as error:
            self.broken.append(f"a customer was cut off: {error!r}")
            return
        times.append(time.monotonic() - started)
        if answer.status == 503 and not credential:
            # Strangers within their limits have the node's turns: who has not paid may have to come again.
            self.later += 1
        elif answer.status != status:
            self.broken.append(f"a customer heard {answer.status} {answer.body[:200]!r}")


@contextmanager
def _memory_of(shop: Shop) -> Iterator[list[float]]:
    """The resident memory of the shop's processes, in MB, twice a second."""
    found: list[float] = []
    over = threading.Event()

    def sample() -> None:
        while not over.wait(0.5):
            pids = [shop.process.pid, *shop.workers()]
            pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)
            found.append(pages * os.sysconf("SC_PAGE_SIZE") / 1e6)

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        yield found
    finally:
        over.set()
        sampler.join()


def main(seconds: float) -> int:
    """Both servers, as a table with a column for each; the exit status."""
    outcomes = {}
    with tempfile.TemporaryDirectory(prefix="l402-flood-") as name:
        for site in SITES:
            folder = Path(name, site)
            folder.mkdir()
            outcomes[site] = run(site, folder, seconds)
    broken = [f"{site}: {fault}" for site, outcome in outcomes.items() for fault in outcome.broken]
    lines = table({site: outcome.counts for site, outcome in outcomes.items()})
    sys.stdout.write("\n".join([*lines, *(broken[:20] or ["every promise was kept"]), ""]))
    return bool(broken)


if __name__ == "__main__":
    os.environ["L402_DEV"] = "1"
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 60))
