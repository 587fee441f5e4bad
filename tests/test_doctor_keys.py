"""What `l402 doctor` says of a key that the ledger keeps beside those that are set."""

from typing import Any

import pytest

from l402_middleware.core.keys import generate_key
from l402_middleware.doctor.diagnosis import Examination
from l402_middleware.doctor.keys import keys_are_good
from l402_middleware.flow import Call
from l402_middleware.ledgers import MemoryLedger

SET, KEPT = generate_key(), generate_key()


@pytest.mark.parametrize(
    ("kept", "is_said"), [(KEPT, True), (SET, False), (None, False)], ids=["another", "the same", "none"]
)
@pytest.mark.parametrize("keeps_keys", [True, False])
def test_a_key_from_before(monkeypatch: pytest.MonkeyPatch, kept: str | None, is_said: bool, keeps_keys: bool) -> None:
    """Setting keys for the first time voids nothing that was sold under the ledger's own, and that is said."""
    ledger = MemoryLedger()
    monkeypatch.setattr(MemoryLedger, "kept_key", lambda self: Call[str | None](lambda: kept), raising=False)
    monkeypatch.setattr(MemoryLedger, "keeps_keys", keeps_keys)
    settings: dict[str, Any] = {"L402_SECRET_KEYS": SET}
    said = list(keys_are_good(Examination(settings, False, 1, None, ledger=ledger)))
    assert [diagnosis.status for diagnosis in said] == ["ok"] * (1 + (is_said and keeps_keys))
    assert ("of its own" in said[-1].found) == (is_said and keeps_keys)
    assert not any(key in diagnosis.found for diagnosis in said for key in (SET, KEPT))
