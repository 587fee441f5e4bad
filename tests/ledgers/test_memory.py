"""MemoryLedger: the contract, and what one process's memory must not do."""

import os
import time
from collections.abc import Iterator

import pytest

from l402_middleware.core.errors import ConfigurationError, LedgerError
from l402_middleware.ledgers import MemoryLedger, SQLiteLedger, ledger_from_url
from l402_middleware.ledgers.ledger import Held
from l402_middleware.testing.ledger_contract import ANSWER, LIFE, REPLAY, LedgerContract, claim, settle


class TestMemoryLedger(LedgerContract):
    @pytest.fixture
    def ledger(self) -> Iterator[MemoryLedger]:
        ledger = MemoryLedger()
        yield ledger
        ledger.close()
