"""SQLiteLedger: the contract, several processes, forks, kills, and every way in which a file can fail."""

import asyncio
import gc
import logging
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from l402_middleware.core.errors import ConfigurationError, LedgerError
from l402_middleware.ledgers import SQLiteLedger, sqlite_turn, sqlite_writer
from l402_middleware.ledgers.ledger import Busy, Claim, Held, Spent
from l402_middleware.testing.ledger_contract import LedgerContract
from l402_middleware.testing.ledger_steps import ANSWER, LEASE, LIFE, claim, settle

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="forks, signals and resource limits"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]

LARGE = bytes(1 << 20)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a test's ledger is."""
    return tmp_path / "l402.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[SQLiteLedger]:
    """A new ledger, not yet opened."""
    ledger = SQLiteLedger(path)
    yield ledger
    ledger.close()


class TestSQLiteLedger(LedgerContract):
    @pytest.fixture
    def ledger(self, path: Path) -> Iterator[SQLiteLedger]:
        ledger = SQLiteLedger(path)
        yield ledger
        ledger.close()

    @pytest.fixture
    def another(self, path: Path) -> Iterator[SQLiteLedger]:
        ledger = SQLiteLedger(path)
        yield ledger
        ledger.close()


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    """What the file holds, read past the ledger."""
    db = sqlite3.connect(path)
    try:
        return db.execute(query).fetchall()
    finally:
        db.close()


@contextmanager
def written_by_another(path: Path) -> Iterator[None]:
    """A write transaction of somebody else's, open for as long as the block runs."""
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        db.execute("ROLLBACK")
        db.close()


@contextmanager
def lock_file_held(path: Path, which: str = "lock") -> Iterator[None]:
    """Another process's turn to write, or (`next`) its place next in line, for as long as the block runs."""
    script = "import fcntl, sys; file = open(sys.argv[1], 'r+b'); fcntl.flock(file, fcntl.LOCK_EX); print(); input()"
    with subprocess.Popen(
        [sys.executable, "-c", script, f"{path}-{which}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield
        finally:
            process.communicate(b"\n")


@contextmanager
def sqlite_paused(ledger: SQLiteLedger) -> Iterator[None]:
    """The writer busy with one step for 0.1 s, so that the steps of the block go into one batch."""
    begun = threading.Event()

    def pause(db: sqlite3.Connection) -> None:
        begun.set()
        time.sleep(0.1)

    busy = threading.Thread(target=sqlite_writer.Operation(ledger._submit, pause).block)
    busy.start()
    begun.wait()
    try:
        yield
    finally:
        busy.join()


def run_child(work: Callable[[], int]) -> int:
    """Fork, run `work` in the child, and give the child's process id."""
    if (child := os.fork()) == 0:
        status = 99
        try:
            status = work()
        finally:
            os._exit(status)
    return child


def status_of(child: int) -> int:
    """How the child ended."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


# The file


@pytest.mark.parametrize("path", ["", ":memory:", "l402\0.db"])
def test_a_ledger_needs_a_file(path: str) -> None:
    """A path that cannot be shared is refused at once."""
    with pytest.raises(ConfigurationError, match="path of a file"):
        SQLiteLedger(path)


def test_only_the_owner_reads_the_file(ledger: SQLiteLedger, path: Path) -> None:
    """The file holds a key, so it and its companions are for their owner alone."""
    ledger.keep_key("k" * 32).block()
    modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    assert set(modes) == {"l402.db", "l402.db-wal", "l402.db-shm", "l402.db-lock", "l402.db-next"}
    assert set(modes.values()) == {0o600}


def test_every_commit_waits_for_the_disk(ledger: SQLiteLedger) -> None:
    """The writer's connection runs in WAL mode with synchronous=FULL."""

    def modes(db: sqlite3.Connection) -> list[object]:
        return [db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]

    assert sqlite_writer.Operation(ledger._submit, modes).block() == ["wal", 2]


def test_what_is_over_is_forgotten(ledger: SQLiteLedger, path: Path) -> None:
    """Case 53: a long life of traffic leaves a constant number of rows behind."""
    now, step = time.time(), 600
    for second in range(0, 10 * int(LIFE), step):
        held = claim(now + second)
        ledger.hold(held).block()
        assert settle(ledger, held, ANSWER).block() is True
    counts = {table: rows(path, f"SELECT count(*) FROM {table}")[0][0] for table in ("payments", "answers", "holds")}
    assert counts == {"payments": LIFE // step, "answers": 1, "holds": 0}


# Failures: what a user reads, and that nothing is lost


def make_directory(path: Path) -> None:
    """A folder where the file should be."""
    path.mkdir()


def make_garbage(path: Path) -> None:
    """A file of another kind."""
    path.write_bytes(b"not a database, but long enough to look like one\n" * 100)


def make_damaged(path: Path) -> None:
    """A ledger whose first pages were overwritten."""
    ledger = SQLiteLedger(path)
    ledger.keep_key("k" * 32).block()
    ledger.close()
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 8000)


def make_newer(path: Path) -> None:
    """A ledger of a version to come."""
    ledger = SQLiteLedger(path)
    ledger.keep_key("k" * 32).block()
    ledger.close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()


def make_foreign(path: Path) -> None:
    """The application's own database."""
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE payments (id INTEGER PRIMARY KEY)")
    db.close()


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (make_directory, "make sure that its folder exists"),
        (make_garbage, "not an intact SQLite database; restore a backup"),
        (make_damaged, "not an intact SQLite database; restore a backup"),
        (make_newer, "has schema 99, .* upgrade the package"),
        (make_foreign, "another application's database; give the ledger a file of its own"),
    ],
)
def test_a_file_that_can_not_be_used(path: Path, break_it: Callable[[Path], None], message: str) -> None:
    """Each failure says which file, what is wrong and what to do; it is gone once its cause is."""
    break_it(path)
    ledger = SQLiteLedger(path)
    with pytest.raises(LedgerError, match=message) as failed:
        ledger.hold(claim(time.time())).block()
    assert str(path) in str(failed.value)
    assert failed.value.__cause__ is None
    path.rename(path.with_name("aside"))
    assert ledger.hold(claim(time.time())).block() == Held(0)
    ledger.close()


def test_a_missing_folder(tmp_path: Path) -> None:
    """A folder that is not there is named, and the ledger works as soon as it is made."""
    ledger = SQLiteLedger(tmp_path / "later" / "l402.db")
    with pytest.raises(LedgerError, match=r"later/l402\.db: .*folder exists"):
        ledger.hold(claim(time.time())).block()
    (tmp_path / "later").mkdir()
    assert ledger.hold(claim(time.time())).block() == Held(0)
    ledger.close()


def test_a_full_disk_takes_back_the_whole_batch(path: Path) -> None:
    """A write past the limit fails every step of its batch and changes nothing; with room again all works."""

    def work() -> int:
        now = time.time()
        ledger = SQLiteLedger(path)
        small, large, other = claim(now), claim(now), claim(now)
        ledger.hold(small).block()
        ledger.hold(large).block()
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (256 << 10, most))

        async def together() -> list[object]:
            steps = [settle(ledger, small), settle(ledger, large, LARGE), ledger.hold(other)]
            return list(await asyncio.gather(*(step.wait() for step in steps), return_exceptions=True))

        failures = asyncio.run(together())
        assert all(isinstance(failure, LedgerError) for failure in failures), failures
        assert all("the disk" in str(failure) and "l402.db" in str(failure) for failure in failures)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        assert ledger.hold(claim(now, like=other)).block() == Held(0)
        assert ledger.hold(claim(now, like=small)).block() == Busy()
        assert settle(ledger, small).block() is True
        assert settle(ledger, large, LARGE).block() is True
        ledger.close()
        return 0

    assert status_of(run_child(work)) == 0


def test_a_database_that_is_full(ledger: SQLiteLedger) -> None:
    """Where SQLite finds no page left, the message says to make room, and the next step starts afresh."""
    held = claim(time.time())
    ledger.hold(held).block()
    sqlite_writer.Operation(ledger._submit, lambda db: db.execute("PRAGMA max_page_count = 1")).block()
    with pytest.raises(LedgerError, match=r"the disk is full; make room.*SQLITE_FULL"):
        settle(ledger, held, LARGE).block()
    assert settle(ledger, held, LARGE).block() is True


def test_a_file_that_may_not_be_written() -> None:
    """A process without the right to write is told so, and goes on once it has it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "l402.db"
        ledger = SQLiteLedger(path)
        ledger.keep_key("k" * 32).block()
        ledger.close()
        for file in path.parent.iterdir():
            file.chmod(0o444)
        os.chmod(folder, 0o755)

        def work() -> int:
            if os.getuid() == 0:
                os.setuid(65534)
            try:
                ledger.hold(claim(time.time())).block()
            except LedgerError as error:
                return 0 if str(path) in str(error) and "this process may write" in str(error) else 1
            return 2

        assert status_of(run_child(work)) == 0
        for file in path.parent.iterdir():
            file.chmod(0o600)
        assert ledger.hold(claim(time.time())).block() == Held(0)
        ledger.close()


@pytest.mark.parametrize("how", ["lock", "next", "transaction"])
def test_a_lock_that_is_never_given_back(
    ledger: SQLiteLedger, path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Case 48: past the time limit a step fails and says whom to look for; without the lock it goes through."""
    monkeypatch.setattr(sqlite_turn, "LOCK_SECONDS", 0.2)
    first = claim(time.time())
    ledger.hold(first).block()
    locked = written_by_another(path) if how == "transaction" else lock_file_held(path, how)
    with locked, pytest.raises(LedgerError, match=r"kept it locked.*end whatever holds"):
        settle(ledger, first).block()
    assert settle(ledger, first).block() is True


def test_steps_before_a_failure_in_one_batch_are_undone(ledger: SQLiteLedger) -> None:
    """A batch is one transaction: what its first step did is gone when a later step fails."""
    now = time.time()
    good, bad = claim(now), replace(claim(now), msat=1 << 70)

    async def together() -> list[object]:
        return list(await asyncio.gather(ledger.hold(good).wait(), ledger.hold(bad).wait(), return_exceptions=True))

    ledger.hold(claim(now)).block()
    with sqlite_paused(ledger):
        outcomes = asyncio.run(together())
    assert [type(outcome) for outcome in outcomes] == [LedgerError, LedgerError]
    assert ledger.hold(good).block() == Held(0)


# Waiting and cancelling


def test_the_event_loop_goes_on_while_another_process_writes(ledger: SQLiteLedger, path: Path) -> None:
    """Case 48: with the store locked elsewhere for 0.3 s, no turn of the event loop takes 0.1 s."""

    async def main() -> float:
        worst, over = 0.0, False

        async def probe() -> None:
            nonlocal worst
            while not over:
                before = time.perf_counter()
                await asyncio.sleep(0.001)
                worst = max(worst, time.perf_counter() - before)

        probing = asyncio.create_task(probe())
        async with asyncio.TaskGroup() as tasks:
            with lock_file_held(path):
                waiting = [tasks.create_task(_hold(ledger)) for _ in range(50)]
                await asyncio.sleep(0.3)
                assert not any(task.done() for task in waiting)
        over = True
        await probing
        assert all(task.result() == Held(0) for task in waiting)
        return worst

    ledger.hold(claim(time.time())).block()
    assert asyncio.run(main()) < 0.1


async def _hold(ledger: SQLiteLedger) -> object:
    return await ledger.hold(claim(time.time())).wait()


def test_a_cancelled_task_leaves_no_complaint(
    ledger: SQLiteLedger, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Case 78: a step that fails after its task was cancelled, or its loop closed, is not logged by anyone."""
    monkeypatch.setattr(sqlite_turn, "LOCK_SECONDS", 0.2)

    async def main(*, stay: bool) -> None:
        with anyio.move_on_after(0.05):
            await ledger.hold(claim(time.time())).wait()
        if stay:
            await asyncio.sleep(0.4)

    ledger.hold(claim(time.time())).block()
    for stay in (True, False):
        with lock_file_held(path):
            asyncio.run(main(stay=stay))
            time.sleep(0.3)
    gc.collect()
    assert ledger.hold(claim(time.time())).block() == Held(0)
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


def test_a_ledger_that_nobody_wants_ends_its_thread(path: Path) -> None:
    """A ledger dropped without `close` takes its writer thread with it."""
    ledger = SQLiteLedger(path)
    ledger.keep_key("k" * 32).block()
    (thread,) = [thread for thread in threading.enumerate() if str(path) in thread.name]
    del ledger
    thread.join(5)
    assert not thread.is_alive()


# Forks and several processes


@pytest.mark.parametrize("used", [False, True])
def test_a_fork(ledger: SQLiteLedger, used: bool) -> None:
    """Case 84: made, even used, before a fork, a ledger counts with the parent in every worker."""
    now = time.time()
    first = claim(now, bought=5)
    if used:
        assert ledger.hold(first).block() == Held(4)
        assert settle(ledger, first).block() is True

    def work() -> int:
        held = claim(now, bought=5, like=first)
        outcome = ledger.hold(held).block()
        return 0 if isinstance(outcome, Held) and settle(ledger, held).block() else 1

    children = [run_child(work) for _ in range(4)]
    assert [status_of(child) for child in children] == [0] * 4
    assert ledger.hold(claim(now, bought=5, like=first)).block() == (Spent() if used else Held(0))


def test_a_fork_amid_traffic(ledger: SQLiteLedger) -> None:
    """Case 84: forked while threads use the ledger, the child does not hang and the threads lose nothing."""
    now, stop, counted = time.time(), threading.Event(), [0, 0, 0, 0]

    def traffic(which: int) -> None:
        while not stop.is_set():
            held = claim(now)
            if ledger.hold(held).block() == Held(0) and settle(ledger, held).block():
                counted[which] += 1

    threads = [threading.Thread(target=traffic, args=(which,)) for which in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            assert status_of(run_child(lambda: ledger.hold(claim(now)).block() != Held(0))) == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert min(counted) > 0


CONTENDER = """
import sys, threading
from concurrent.futures import ThreadPoolExecutor
from l402_middleware.ledgers import SQLiteLedger
from l402_middleware.ledgers.ledger import Held
from l402_middleware.testing.ledger_steps import claim, settle
from dataclasses import replace

ledger = SQLiteLedger(sys.argv[1])
first = replace(claim(float(sys.argv[3])), payment_hash=bytes.fromhex(sys.argv[2]), bought=int(sys.argv[4]))
print("ready", flush=True)
sys.stdin.readline()

def contend(_):
    mine = claim(first.now, bought=first.bought, like=first)
    return isinstance(ledger.hold(mine).block(), Held) and settle(ledger, mine).block()

with ThreadPoolExecutor(100) as threads:
    print(sum(threads.map(contend, range(100))), ledger.keep_key(str(threading.get_native_id()) * 40).block())
"""

KILLED = """
import sys, time
from dataclasses import replace
from l402_middleware.ledgers import SQLiteLedger
from l402_middleware.testing.ledger_steps import claim

ledger = SQLiteLedger(sys.argv[1])
print(ledger.hold(replace(claim(float(sys.argv[3])), payment_hash=bytes.fromhex(sys.argv[2]))).block(), flush=True)
while True:  # killed while it writes
    ledger.hold(claim(time.time())).block()
"""


def start(script: str, path: Path, first: Claim) -> "subprocess.Popen[str]":
    """Run `script` in a process of its own, on the payment of `first`."""
    arguments = [str(path), first.payment_hash.hex(), repr(first.now), str(first.bought)]
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.slow
@pytest.mark.parametrize("uses", [1, 20])
def test_four_processes(path: Path, uses: int) -> None:
    """Cases 46 and 47: of 4 processes with 100 threads each on one credential, exactly `uses` deliver; one key."""
    first = claim(time.time(), bought=uses)
    processes = [start(CONTENDER, path, first) for _ in range(4)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    printed = [process.communicate(timeout=60)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    assert sum(int(delivered) for delivered, _ in printed) == uses
    assert len({key for _, key in printed}) == 1


@pytest.mark.slow
def test_a_killed_process(ledger: SQLiteLedger, path: Path) -> None:
    """Case 52: what a killed process held is busy during its lease and usable, once, after it."""
    first = claim(time.time())
    process = start(KILLED, path, first)
    assert process.stdout is not None
    assert process.stdout.readline() == "Held(left=0, confirmed=False, units=1)\n"
    time.sleep(0.1)
    process.kill()
    process.communicate()
    assert ledger.hold(claim(first.now + 1, like=first)).block() == Busy()
    taken = claim(first.now + LEASE, like=first)
    assert ledger.hold(taken).block() == Held(0)
    assert settle(ledger, taken).block() is True
    assert ledger.hold(claim(first.now + LEASE + 2, like=first)).block() == Spent()


@pytest.mark.slow
def test_a_busy_process_lets_others_write(ledger: SQLiteLedger, path: Path) -> None:
    """A process that writes without pause does not keep another one waiting for long."""
    first = claim(time.time())
    process = start(KILLED, path, first)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        waits = []
        for _ in range(50):
            before = time.perf_counter()
            ledger.hold(claim(time.time())).block()
            waits.append(time.perf_counter() - before)
    finally:
        process.kill()
        process.communicate()
    assert sorted(waits)[25] < 0.05


@pytest.mark.slow
def test_the_interpreter_ends(path: Path) -> None:
    """A program that never closes its ledger ends by itself, and what it counted is in the file."""
    script = """
import sys, time
from l402_middleware.ledgers import SQLiteLedger
from l402_middleware.testing.ledger_steps import claim
ledger = SQLiteLedger(sys.argv[1])
ledger.hold(claim(time.time())).block()
"""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", script, str(path)], capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stderr == ""
    assert not path.with_name("l402.db-wal").exists()
    assert rows(path, "SELECT count(*) FROM payments") == [(1,)]
