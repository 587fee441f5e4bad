"""The tokens that were revoked, as this process knows them: a pass is checked here, without asking the ledger."""

import logging
from typing import Final

from ..core.errors import LedgerError
from ..flow import Flow, do
from ..ledgers.ledger import Ledger

REFRESH_EVERY: Final = 5.0
STALE_AFTER: Final = 60.0

log = logging.getLogger("l402_middleware")


class Denylist:
    """A copy of the ledger's list, at most five seconds old while the ledger answers."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._revoked: frozenset[bytes] = frozenset()
        self._asked_at = float("-inf")
        self._read_at = float("-inf")
        self._has_failed = False

    def is_due(self, now: float) -> bool:
        """Whether it is time to `refresh`.

        While there is no list that counts, also for those who come before the first of them has its answer: they would
        be refused. Not once the ledger has failed: each of them would wait for it to fail again.
        """
        if not 0 <= now - self._asked_at < REFRESH_EVERY:
            return True
        return not (self._has_failed or self._counts(now))

    def refresh(self, now: float) -> Flow[None]:
        """Read the list anew. A ledger that fails is asked again at the next refresh."""
        self._asked_at = now
        self._has_failed = False
        try:
            self._revoked = yield from do(self._ledger.revoked())
            self._read_at = now
        except LedgerError as error:
            self._has_failed = True
            log.warning("the denylist could not be read, the last one counts for a minute: %s", error)

    def has(self, token_id: bytes, now: float) -> bool:
        """Whether the token was revoked. Raises `LedgerError` where the list is older than a minute."""
        if not self._counts(now):
            raise LedgerError("the list of revoked tokens cannot be read from the ledger")
        return token_id in self._revoked

    def _counts(self, now: float) -> bool:
        return 0 <= now - self._read_at < STALE_AFTER
