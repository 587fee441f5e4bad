"""What the importable contracts show to somebody whose own ledger or provider does not keep them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

LEDGER = """
import pytest
from l402_middleware.ledgers import MemoryLedger
from l402_middleware.testing.ledger_contract import LedgerContract

class Forgetful(MemoryLedger):
    def history(self, payment_hash):
        return super().history(bytes(32))

class TestForgetful(LedgerContract):
    @pytest.fixture
    def ledger(self):
        return Forgetful()
"""


@pytest.mark.slow
def test_a_failing_contract_shows_the_values(tmp_path: Path) -> None:
    """A test of the contract that fails says what it got in place of what, as the reader's own tests do."""
    (tmp_path / "test_forgetful.py").write_text(LEDGER)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-k", "history", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout
    assert re.search(r"^E +assert None ", done.stdout, re.MULTILINE), done.stdout
