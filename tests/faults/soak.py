"""Kill workers under load, and look whether everybody who paid was answered once.

`python -m tests.faults.soak [KILLS]` is what `make soak` runs. Everything is judged from outside: by what the customers
heard, by the lines that the handlers left, and by the ledger's record. Prints a table; the exit status says whether
every promise was kept.
"""

import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from l402_middleware.ledgers.ledger import History
from l402_middleware.ledgers.url import ledger_from_url
from tests.ledgers.postgres_server import PostgresServer, programs
from tests.ledgers.redis_server import RedisServer

from .customer import BROKEN
from .log import Run
from .shop import Purchase, Shop, Wallet, free_port, serving

WORKERS = 4
CUSTOMERS = 6
LEASE = 2.0
PATIENCE = 60
"""How long, in seconds, a customer asks again before giving up."""


@dataclass
class Sale:
    """One payment, and what its customer heard: the answers' bodies, and why it stopped asking."""

    purchase: Purchase
    target: str
    answers: list[str] = field(default_factory=list)
    endings: list[str] = field(default_factory=list)
    heard: Counter[str] = field(default_factory=Counter)


@dataclass
class Outcome:
    """What a soak came to: its counts, and what broke a promise."""

    counts: dict[str, int | str]
    broken: list[str]


def run(ledger: str, folder: Path, *, kills: int, replay_for: int) -> Outcome:
    """Sell under load while `kills` workers are killed; `ledger` is a URL."""
    began = time.monotonic()
    port = free_port()
    command = [sys.executable, "-m", "tests.faults.workers", str(port), str(WORKERS)]
    settings = {"L402_LEDGER": ledger, "L402_LEASE": str(LEASE), "L402_REPLAY_FOR": str(replay_for)}
    over = threading.Event()
    with serving(command, port, folder, **settings) as shop, ThreadPoolExecutor(CUSTOMERS) as pool:
        customers = [pool.submit(_shop_until, over, shop) for _ in range(CUSTOMERS)]
        try:
            killed = _kill(shop, kills)
        finally:
            over.set()
        sales = [sale for customer in customers for sale in customer.result()]
        runs = shop.runs()
        trouble = shop.output.read_text()
    outcome = _judge(ledger, sales, runs, killed, replays=bool(replay_for))
    outcome.counts["seconds"] = f"{time.monotonic() - began:.0f}"
    if "Traceback" in trouble:
        outcome.broken.append(f"a worker printed a traceback:\n{trouble[-3000:]}")
    return outcome


def _shop_until(over: threading.Event, shop: Shop) -> list[Sale]:
    """One customer after the other; each sends its paid request twice at the same time."""
    wallet = Wallet()
    sales = []
    with ThreadPoolExecutor(2) as pool:
        while not over.is_set():
            target = f"/work?seconds={random.uniform(0, 0.15):.3f}"
            try:
                challenge = shop.ask(target)
            except BROKEN:
                continue
            if challenge.status == 402:
                sales.append(Sale(wallet.pay(challenge.body), target))
                list(pool.map(lambda _: _redeem(shop, sales[-1]), range(2)))
    return sales


def _redeem(shop: Shop, sale: Sale) -> None:
    """Ask until there is an answer, or a refusal that is final."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            answer = shop.ask(sale.target, sale.purchase.credential)
        except BROKEN:
            sale.heard["nothing: the connection broke"] += 1
            continue
        if answer.status == 200:
            sale.answers.append(answer.body.decode())
            sale.endings.append("answered")
            return
        sale.heard[answer.code] += 1
        if answer.status != 409:
            sale.endings.append(answer.code)
            return
        time.sleep(0.1)
    sale.endings.append("gave up")


def _kill(shop: Shop, kills: int) -> dict[int, float]:
    """Kill that many workers, and give the time of each kill: half at any moment, half as a handler ends."""
    killed: dict[int, float] = {}
    while len(killed) < kills:
        time.sleep(random.uniform(0.02, 0.6))
        if len(killed) % 2:
            pid = _wait_for_an_end(shop)
            time.sleep(random.uniform(0, 0.004))
        else:
            pid = random.choice(shop.workers())
        os.kill(pid, signal.SIGKILL)
        killed[pid] = time.time()
    return killed


def _wait_for_an_end(shop: Shop) -> int:
    """The worker whose handler came to its end just now: it settles next, and then sends the answer."""
    with shop.runs_file.open() as lines:
        lines.seek(0, os.SEEK_END)
        while True:
            for line in lines:
                if line.split()[1] == "end":
                    return int(line.split()[3])
            time.sleep(0.0005)


def _judge(ledger_url: str, sales: list[Sale], runs: list[Run], killed: dict[int, float], *, replays: bool) -> Outcome:
    broken: list[str] = []
    by_payment: dict[str, list[Run]] = defaultdict(list)
    for each in runs:
        by_payment[each.payment_hash].append(each)
    ledger = ledger_from_url(ledger_url)
    counts: Counter[str] = Counter()
    heard: Counter[str] = Counter()
    recoveries = [0.0]
    for sale in sales:
        name = sale.purchase.payment_hash
        history = ledger.history(bytes.fromhex(name)).block()
        own = by_payment.pop(name, [])
        broken += [f"{name[:8]}: {fault}" for fault in _faults_of(sale, own, history, killed)]
        heard += sale.heard
        counts["handler runs"] += len(own)
        counts["handler runs cut off by a kill"] += sum(each.end is None for each in own)
        lapses = sum(event.what == "lapsed" for event in history.events) if history is not None else 0
        counts["killed between holding and starting"] += lapses - len(own) + 1
        counts["killed between ending and settling"] += sum(each.end is not None for each in own[:-1])
        if lapses == len(own) - 1:
            recoveries += [second.start - killed.get(first.pid, 0) for first, second in pairwise(own)]
        counts["payments run again after a kill"] += len(own) > 1
        if sale.answers and (set(sale.endings) == {"answered"} or not replays):
            counts["answered"] += 1
        elif not sale.answers and not replays and _was_lost_on_the_way(own, history, killed):
            counts["killed between settling and sending: lost"] += 1
        else:
            broken.append(f"{name[:8]}: paid, and refused its answer: {sale.endings}, {dict(sale.heard)}")
        if replays and history is not None:
            given_again = sum(event.what == "replayed" for event in history.events)
            counts["answers given again"] += given_again
            counts["killed between settling and sending, at most"] += given_again >= len(sale.answers) > 0
    if by_payment:
        broken.append(f"{len(by_payment)} payments ran a handler that nobody had bought")
    totals = ledger.totals(0, 10**6).block()
    paid = sum(total.count for total in totals if total.what == "paid")
    if (paid, sum(total.msat for total in totals)) != (len(sales), 21_000 * len(sales)):
        broken.append(f"the record counts {paid} payments, and {len(sales)} were made")
    ledger.close()
    figures: dict[str, int | str] = {"workers killed": len(killed), "payments": len(sales), **counts}
    figures |= {f"heard: {name}": count for name, count in sorted(heard.items())}
    figures["longest wait from a kill to the next run"] = f"{max(recoveries):.1f} s"
    return Outcome(figures, broken)


def _faults_of(sale: Sale, runs: list[Run], history: History | None, killed: dict[int, float]) -> list[str]:
    """What went wrong with one sale."""
    faults = []
    for first, second in pairwise(runs):
        cut_off_at = killed.get(first.pid)
        if cut_off_at is None:
            faults.append(f"ran again although the first run's worker lived: {first} {second}")
        elif second.start < cut_off_at:
            faults.append(f"ran twice at the same time: {first} {second}, killed at {cut_off_at}")
    if history is None:
        return [*faults, "the ledger does not know the payment"]
    delivered = [event.at for event in history.events if event.what == "delivered"]
    paid = [event.at for event in history.events if event.what == "paid"]
    if len(delivered) != 1 or history.settled != 1 or len(paid) != 1:
        faults.append(f"settled {len(delivered)} times, charged {len(paid)} times")
    elif late := [each for each in runs if each.start > delivered[0]]:
        faults.append(f"ran after it was settled at {delivered[0]}: {late}")
    if not set(sale.answers) <= {each.name for each in runs[-1:]}:
        faults.append(f"delivered another answer than the last run's: {sale.answers} {runs}")
    return faults


def _was_lost_on_the_way(runs: list[Run], history: History | None, killed: dict[int, float]) -> bool:
    """Whether the payment was settled, and its worker was killed right after that."""
    if history is None or not runs:
        return False
    settled = [event.at for event in history.events if event.what == "delivered"]
    return bool(settled) and 0 <= killed.get(runs[-1].pid, 0) - settled[0] < 1


@contextmanager
def servers() -> Iterator[dict[str, str]]:
    """URLs of empty ledgers on those servers that can be started here."""
    urls: dict[str, str] = {}
    redis = RedisServer() if shutil.which("redis-server") else None
    postgres = PostgresServer(found) if (found := programs()) else None
    try:
        if redis:
            redis.start()
            urls["Redis"] = redis.url
        if postgres:
            postgres.start()
            urls["PostgreSQL"] = postgres.database()
        yield urls
    finally:
        if redis:
            redis.remove()
        if postgres:
            postgres.remove()


def main(kills: int) -> int:
    """All rounds, as a table with a column for each; the exit status."""
    outcomes: dict[str, Outcome] = {}
    with tempfile.TemporaryDirectory(prefix="l402-soak-") as name, servers() as urls:
        for store, share, replay_for in (("SQLite", 1, 600), *((store, 4, 600) for store in urls), ("SQLite", 2, 0)):
            title = f"{store}, {'with' if replay_for else 'no'} replay"
            folder = Path(name, title)
            folder.mkdir()
            ledger = urls.get(store, f"sqlite:///{folder}/l402.db")
            outcomes[title] = run(ledger, folder, kills=max(kills // share, 1), replay_for=replay_for)
    broken = [f"{title}: {fault}" for title, outcome in outcomes.items() for fault in outcome.broken]
    lines = table({title: outcome.counts for title, outcome in outcomes.items()})
    sys.stdout.write("\n".join([*lines, *(broken or ["every promise was kept"]), ""]))
    return bool(broken)


def table(columns: dict[str, dict[str, int | str]]) -> list[str]:
    """A row for each count, in the order in which they first come."""
    rows = dict.fromkeys(name for counts in columns.values() for name in counts)
    head = [f"{title:>24}" for title in columns]
    cells = {row: [f"{counts.get(row, '-'):>24}" for counts in columns.values()] for row in rows}
    return [" ".join([f"{name:44}", *line]) for name, line in [("", head), *cells.items()]]


if __name__ == "__main__":
    os.environ["L402_DEV"] = "1"
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 200))
