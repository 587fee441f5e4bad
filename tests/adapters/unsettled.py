"""A ledger that fails at the last moment."""

from typing import Any

from l402_middleware import LedgerError
from l402_middleware.flow import Call, Step
from l402_middleware.ledgers import MemoryLedger


class Unsettled(MemoryLedger):
    """Holds uses, and cannot settle any."""

    def settle(self, *args: Any) -> Step[bool]:
        def fail() -> bool:
            raise LedgerError("the disk is full")

        return Call(fail)
