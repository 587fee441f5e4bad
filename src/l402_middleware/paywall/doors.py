"""The ways in: the schemes that a paywall speaks, once there are keys to speak them with."""

import logging
import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from ..core.errors import ConfigurationError, LedgerError
from ..core.keys import KeyRing, generate_key
from ..flow import Flow, do
from ..ledgers.ledger import Ledger
from ..schemes import CredentialFault, Fields, Offered, Sale, Scheme, SchemeSettings, Shown
from ..schemes.registry import SCHEMES
from .response import VARIES

# Seconds between two questions to a ledger that could not say whether it keeps a key.
ASK_EVERY: Final = 5.0

log = logging.getLogger("l402_middleware")


class Doors:
    """The schemes of these names, in order, under the secrets in `listed`, or in `L402_SECRET_KEYS`.

    Where none are listed, under the one that the ledger keeps. Where some are listed after the ledger made its own,
    what was sold under that does not end: it goes on verifying, as the oldest. `settings` gives the schemes' settings
    for a key ring, and `on_keys` is told the ring before a scheme has it. Raises `ConfigurationError` for keys that
    cannot be used.
    """

    def __init__(
        self,
        names: Sequence[str],
        ledger: Ledger,
        listed: Iterable[str | bytes] | None,
        settings: Callable[[KeyRing], SchemeSettings],
        on_keys: Callable[[KeyRing], None],
    ) -> None:
        self._names = names
        self._ledger = ledger
        self._settings = settings
        self._on_keys = on_keys
        self._listed: tuple[str | bytes, ...] = ()
        self._ask_at = float("-inf")
        self.schemes: tuple[Scheme, ...] = ()
        self.varies_with: Sequence[bytes] = VARIES
        # Where it is not certain, somebody may show what was sold under a key that is not known yet.
        self.has_all_keys = False
        if listed is None and os.environ.get("L402_SECRET_KEYS"):
            listed = [key.strip() for key in os.environ["L402_SECRET_KEYS"].split(",")]
        if listed is not None:
            # Neither a single text nor a number is a list, and the ring says so.
            is_list = isinstance(listed, Iterable) and not isinstance(listed, str | bytes)
            self._listed = tuple(listed) if is_list else ()
            self._use(KeyRing(self._listed if is_list else listed))
            self.has_all_keys = not ledger.keeps_keys
        elif not ledger.keeps_keys:
            raise ConfigurationError(
                f"{type(ledger).__name__} keeps no secret keys: set L402_SECRET_KEYS or secret_keys=[...], "
                "the same on every machine; `l402 keygen` makes one"
            )

    def open(self) -> Flow[None]:
        """Have the keys. Raises `LedgerError` where that needs a ledger which fails."""
        if not self._listed:
            self._use(KeyRing([(yield from do(self._ledger.keep_key(generate_key())))]))
            self.has_all_keys = True
        elif time.monotonic() >= self._ask_at:
            # Those who come meanwhile are served under the listed keys.
            self._ask_at = time.monotonic() + ASK_EVERY
            try:
                kept = yield from do(self._ledger.kept_key())
            except LedgerError as error:
                log.debug("whether the ledger keeps a key of its own is asked again: %s", error)
                return
            if kept is not None and kept.encode() not in map(_octets, self._listed):
                log.warning(
                    "the ledger keeps a secret key of its own, from before keys were listed. What was sold under it "
                    "stays good where this ledger is used, and nowhere else until that key is listed too: "
                    "`l402 keys show` prints it; put it first in L402_SECRET_KEYS"
                )
                self._use(KeyRing([kept, *self._listed]))
            self.has_all_keys = True

    def read(self, fields: Fields, now: float) -> tuple[Iterable[Shown], CredentialFault | None, Scheme]:
        """What a request shows by any of the schemes, at unix time `now`.

        The credentials, one for each payment; and the first fault, with the scheme that it is one of. Raises
        `LedgerError` for a credential that may have been sold under a key which the ledger cannot give now.
        """
        shown: Sequence[Shown] = ()
        fault, by = None, self.schemes[0]
        for scheme in self.schemes:
            reading = scheme.read(fields, now)
            if reading.shown:
                shown = _each_once(shown, reading.shown) if shown else reading.shown
            if fault is None and reading.fault is not None:
                fault, by = reading.fault, scheme
        if fault is not None and fault.code == "invalid-credential" and not self.has_all_keys:
            raise LedgerError("the ledger's own key, under which this may have been sold, cannot be read")
        return shown, fault, by

    def offer(self, sale: Sale, fields: Fields) -> dict[str, Offered]:
        """How each of the schemes would have `sale` paid, by its name; without those that cannot, or are not wanted."""
        offered = {scheme.name: scheme.challenge(sale, fields) for scheme in self.schemes}
        return {name: each for name, each in offered.items() if each is not None}

    def _use(self, keys: KeyRing) -> None:
        self._on_keys(keys)
        settings = self._settings(keys)
        schemes = tuple(SCHEMES[name](settings) for name in self._names)
        self.varies_with = tuple(dict.fromkeys(name for scheme in schemes for name in scheme.varies_with))
        # Last: where another thread sees these, all else has its keys.
        self.schemes = schemes


def _each_once(some: Sequence[Shown], others: Sequence[Shown]) -> Sequence[Shown]:
    known = {each.verified.payment_hash for each in some}
    return (*some, *(each for each in others if each.verified.payment_hash not in known))


def _octets(key: str | bytes) -> bytes:
    return key.encode() if isinstance(key, str) else key
