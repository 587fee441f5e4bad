"""What the tests of a ledger are given."""

import time
from collections.abc import Iterator

import pytest

from l402_middleware.ledgers.ledger import Ledger
from l402_middleware.testing.ledger_steps import BACKENDS, Take, claim, taking


class LedgerTests:
    """Tests that want a `ledger` fixture."""

    def forget(self, ledger: Ledger, now: float) -> None:
        """Bring the ledger to forget what it may at `now`: by traffic at that time, for one that prunes as it goes.

        Where the store forgets by a clock of its own, wait for that time first.
        """
        for _ in range(20):
            ledger.hold(claim(now)).block()

    @pytest.fixture
    def ledger(self) -> Ledger:
        raise NotImplementedError("a LedgerContract needs a `ledger` fixture")

    @pytest.fixture
    def another(self, ledger: Ledger) -> Ledger:
        return ledger

    @pytest.fixture(params=BACKENDS)
    def anyio_backend(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture(params=["block", *BACKENDS])
    def take(self, request: pytest.FixtureRequest) -> Iterator[Take]:
        with taking(request.param) as take:
            yield take

    @pytest.fixture
    def now(self) -> float:
        return time.time()
