"""The store: what is claimed by whom, across threads, forks and processes."""

import multiprocessing
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from l402_middleware.client import Budget, MemoryStore, NotPaid, SQLiteStore
from l402_middleware.client.purchase import Purchase
from l402_middleware.client.store import AnotherBuys
from l402_middleware.core.errors import ConfigurationError, LedgerError

from .by_hand import ASKED, NOW, foreign, payment_hash, preimage

BUDGET = Budget(50)


def purchase(number: int, uses: int | None = 1, msat: int = 21_000) -> Purchase:
    """A purchase that is about to begin."""
    return Purchase(
        payment_hash(number), ASKED.digest, ASKED.endpoint, ASKED.origin, foreign(number).decode(), msat, uses, False,
        "paying", NOW,
    )  # fmt: skip


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> MemoryStore:
    """Both kinds."""
    return MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "purchases.db")


def test_a_purchase_comes_back(store: MemoryStore) -> None:
    """Every field of it, once nobody claims it."""
    mine: set[bytes] = set()
    begun = purchase(1)
    assert store.begin(begun, BUDGET, mine) is None
    assert store.open(ASKED, NOW, set()) is None
    store.release(mine)
    again: set[bytes] = set()
    assert store.open(ASKED, NOW, again) == begun
    assert again == {begun.payment_hash}
    store.paid(begun.payment_hash, preimage(1), 7)
    (paid,) = store.purchases()
    assert (paid.state, paid.preimage, paid.fee_msat, paid.exact) == ("paid", preimage(1), 7, False)
    assert store.spent(NOW).total == 21_007


def test_what_many_may_use_is_bought_by_one(store: MemoryStore) -> None:
    """Others are told that it is on its way; once it was honoured, all may use it."""
    mine: set[bytes] = set()
    store.begin(purchase(1, uses=5), BUDGET, mine)
    assert isinstance(store.open(ASKED, NOW, set()), AnotherBuys)
    assert isinstance(store.begin(purchase(2, uses=5), BUDGET, set()), AnotherBuys)
    assert len(store.purchases()) == 1
    store.paid(payment_hash(1), preimage(1), 0)
    assert isinstance(store.open(ASKED, NOW, set()), AnotherBuys)
    store.answered(payment_hash(1))
    for _ in range(2):
        others: set[bytes] = set()
        found = store.open(ASKED, NOW, others)
        assert isinstance(found, Purchase)
        assert found.uses == 4
        assert not others


def test_the_budget_is_everybodys(store: MemoryStore) -> None:
    """A hundred threads on room for five: five."""
    begun = []

    def begin(number: int) -> None:
        try:
            store.begin(purchase(number), Budget(50, total=105), set())
        except NotPaid:
            return
        begun.append(number)

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(begun) == 5


def in_process(work: Callable[..., Any], *arguments: Any) -> Any:
    """What a function gives in a process that then dies without a word."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_dying, args=(theirs, work, *arguments))
    process.start()
    given = ours.recv()
    process.join()
    return given


def _dying(pipe: Any, work: Callable[..., Any], *arguments: Any) -> None:
    pipe.send(work(*arguments))
    pipe.close()
    os._exit(9)


def _begin(path: Path, number: int) -> None:
    SQLiteStore(path).begin(purchase(number), BUDGET, set())


def _open(path: Path) -> bool:
    return SQLiteStore(path).open(ASKED, NOW, set()) is None


@pytest.mark.slow
def test_a_claim_ends_with_its_process(tmp_path: Path) -> None:
    """A dead one's purchase is taken over, by one; a living one's is not."""
    path = tmp_path / "purchases.db"
    in_process(_begin, path, 1)
    store, mine = SQLiteStore(path), set[bytes]()
    assert isinstance(store.open(ASKED, NOW, mine), Purchase)
    assert in_process(_open, path)
    assert SQLiteStore(path).open(ASKED, NOW, set()) is None
    store.release(mine)
    store.close()
    assert not in_process(_open, path)
    # What dead processes leave lying about is cleared away by the next one.
    assert isinstance(SQLiteStore(path).open(ASKED, NOW, set()), Purchase)


def test_a_file_is_its_owners_only(tmp_path: Path) -> None:
    """It holds preimages."""
    path = tmp_path / "purchases.db"
    store = SQLiteStore(path)
    store.begin(purchase(1), BUDGET, set())
    for file in tmp_path.iterdir():
        assert not stat.S_IMODE(file.stat().st_mode) & 0o077, file
    store.close()
    assert [file.name for file in tmp_path.iterdir() if file.name.endswith(".owner")] == []


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    """When the store is made, and not when there is something to pay."""
    with pytest.raises(ConfigurationError, match="cannot be written"):
        SQLiteStore(tmp_path / "no" / "purchases.db")


def test_a_file_of_another_kind_is_told(tmp_path: Path) -> None:
    """Nothing is paid without a store that works."""
    (tmp_path / "purchases.db").write_bytes(b"no database" * 100)
    with pytest.raises(LedgerError, match="store of purchases"):
        SQLiteStore(tmp_path / "purchases.db").open(ASKED, NOW, set())
