"""What every ledger must do, as tests that a ledger's author runs.

    from l402_middleware.testing.ledger_contract import LedgerContract

    class TestMyLedger(LedgerContract):
        @pytest.fixture
        def ledger(self):
            ledger = MyLedger(...)
            yield ledger
            ledger.close()

A ledger that several handles can share also gives `another`, a second handle onto the same store. Every test
makes payments of its own, for endpoints of their own, so one store may serve them all. Times start at the clock's.
Needs pytest and Hypothesis; where trio is installed, every test runs under it too.
"""

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from l402_middleware.ledgers.ledger import Held, Ledger
from l402_middleware.testing.ledger_balances import Balancing
from l402_middleware.testing.ledger_holds import Holding
from l402_middleware.testing.ledger_memory import Remembering
from l402_middleware.testing.ledger_model import Histories
from l402_middleware.testing.ledger_races import Racing
from l402_middleware.testing.ledger_record import Recording
from l402_middleware.testing.ledger_steps import Take, claim, settle


class LedgerContract(Holding, Balancing, Remembering, Recording, Racing):
    """Subclass it in a test module and give a `ledger` fixture."""

    def test_one_key_is_kept(self, ledger: Ledger, another: Ledger, take: Take) -> None:
        """The first key offered is the key of everybody, also after the ledger was closed."""
        key = take(ledger.keep_key("first-" + "a" * 32))
        assert take(another.keep_key("second-" + "b" * 32)) == key
        ledger.close()
        assert take(ledger.keep_key("third-" + "c" * 32)) == key

    def test_a_closed_ledger_opens_again(self, ledger: Ledger, take: Take, now: float) -> None:
        """Closing twice is closing once, and what was counted before counts afterwards."""
        held = claim(now, bought=2)
        assert take(ledger.hold(held)) == Held(1)
        ledger.close()
        ledger.close()
        assert take(settle(ledger, held)) is True
        assert take(ledger.hold(claim(now, bought=2, like=held))) == Held(0)

    def test_any_history_agrees_with_the_model(self, ledger: Ledger) -> None:
        """Whatever order steps and clock ticks come in, every outcome is one that the written rule allows."""

        class OfThisLedger(Histories):
            store = ledger

        run_state_machine_as_test(
            OfThisLedger,
            settings=settings(
                max_examples=40,
                stateful_step_count=30,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
