"""The tokens that were revoked, as this process knows them: a pass is checked here, without asking the ledger."""

from typing import Final

from ..core.errors import LedgerError
from ..flow import Flow, do
from ..ledgers.ledger import Ledger

REFRESH_EVERY: Final = 5.0
STALE_AFTER: Final = 60.0


class Denylist:
    """A copy of the ledger's list, at most five seconds old while the ledger answers."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._revoked: frozenset[bytes] = frozenset()
        self._asked_at = float("-inf")
        self._read_at = float("-inf")

    def has(self, token_id: bytes, now: float) -> Flow[bool]:
        """Whether the token was revoked. Raises `LedgerError` where no list younger than a minute can be had."""
        if not 0 <= now - self._asked_at < REFRESH_EVERY:
            self._asked_at = now
            try:
                self._revoked = yield from do(self._ledger.revoked())
                self._read_at = now
            except LedgerError:
                self._check_age(now)
        self._check_age(now)
        return token_id in self._revoked

    def _check_age(self, now: float) -> None:
        if not 0 <= now - self._read_at < STALE_AFTER:
            raise LedgerError("the list of revoked tokens can not be read from the ledger")
