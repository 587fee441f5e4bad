"""The secret keys: those that are set, or the one that the ledger keeps."""

import os
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from ..core.keys import KeyRing, generate_key
from ..ledgers import SQLiteLedger
from ..paywall.settings import keys_from
from .diagnosis import Diagnosis, Examination
from .files import private


def keys_are_good(examination: Examination) -> Iterator[Diagnosis]:
    """There are keys, nobody else may read them, and nobody can guess them."""
    path = examination.settings.get("L402_SECRET_KEYS_FILE")
    source = "L402_SECRET_KEYS_FILE" if path else "L402_SECRET_KEYS"
    keys = [key.decode("latin-1") if isinstance(key, bytes) else key for key in keys_from(examination.settings) or ()]
    if path and examination.settings.get("L402_SECRET_KEYS"):
        yield Diagnosis(
            "keys", "warning", "L402_SECRET_KEYS is ignored: L402_SECRET_KEYS_FILE wins", "drop one of them"
        )
    if not keys:
        yield _kept_key(examination)
        return
    if path:
        yield from private("keys", Path(path))
    KeyRing(keys)
    for position, key in enumerate(keys, 1):
        if not re.search("[0-9]", key) or re.search(r"\s", key):
            yield Diagnosis(
                "keys", "warning", f"secret key {position} looks like words", "`l402 keygen` makes a random one"
            )
    shortest = min(len(key.encode()) for key in keys)
    found = f"1 of {shortest} bytes in {source}"
    if len(keys) > 1:
        found = f"{len(keys)} of {shortest} bytes or more in {source}; the last one signs, and all verify"
    yield Diagnosis("keys", "ok", found)
    yield from _from_before(examination, keys)


def _from_before(examination: Examination, keys: list[str]) -> Iterator[Diagnosis]:
    """Say so where the ledger keeps a key of its own beside those that are set."""
    ledger = examination.ledger
    if ledger is None or not ledger.keeps_keys:
        return
    if isinstance(ledger, SQLiteLedger) and not os.path.exists(ledger.path):
        return
    with closing(ledger):
        kept = ledger.kept_key().block()
    if kept is not None and kept not in keys:
        found = (
            "the ledger keeps one of its own, from before these were set: what that signed is honoured until it expires"
        )
        yield Diagnosis("keys", "ok", found)


def _kept_key(examination: Examination) -> Diagnosis:
    if examination.ledger is None:
        return Diagnosis(
            "keys", "warning", "none are set, and there is no ledger to keep one", "see to the ledger first"
        )
    if isinstance(examination.ledger, SQLiteLedger) and not os.path.exists(examination.ledger.path):
        return Diagnosis("keys", "ok", "none are set: the ledger will make one and keep it, for all workers")
    with closing(examination.ledger) as ledger:
        # What the application's first request does; a Redis refuses, and says what to do.
        KeyRing([ledger.keep_key(generate_key()).block()])
    return Diagnosis("keys", "ok", "none are set: the ledger keeps one, for all workers")
