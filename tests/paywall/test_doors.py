"""The keys that a paywall speaks its schemes with: listed ones, the ledger's own, and both."""

import time
from typing import Any

import pytest

from l402_middleware import LedgerError, Offer
from l402_middleware.flow import Call, Step, drive
from l402_middleware.ledgers import MemoryLedger
from l402_middleware.paywall import doors
from l402_middleware.paywall.delivery import Delivery

from .shop import KEY, Shop, ask, code

OFFER = Offer(10)


class Keeper(MemoryLedger):
    """A ledger that says which key it keeps, if any, and how often it was asked; it can go away."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: str | None = None
        self.asked = 0
        self.away = False

    def keep_key(self, candidate: str) -> Step[str]:
        self.kept = self.kept or candidate
        return super().keep_key(self.kept)

    def kept_key(self) -> Step[str | None]:
        self.asked += 1

        def answer() -> str | None:
            if self.away:
                raise LedgerError("away")
            return self.kept

        return Call(answer)


@pytest.fixture(name="ledger")
def _ledger(monkeypatch: pytest.MonkeyPatch) -> Keeper:
    monkeypatch.delenv("L402_SECRET_KEYS", raising=False)
    return Keeper()


def keyless(ledger: Keeper) -> Shop:
    """A shop before anybody listed keys."""
    return Shop({"ledger": ledger, "secret_keys": None})


def keyed(ledger: Keeper, *keys: Any) -> Shop:
    """The same shop with listed keys."""
    return Shop({"ledger": ledger, "secret_keys": list(keys) or [KEY]})


def test_listing_keys_voids_nothing(ledger: Keeper, caplog: pytest.LogCaptureFixture) -> None:
    """What was sold under the ledger's own key stays good; a loud line says where that key is, and not what it is."""
    credential = keyless(ledger).buy(OFFER)
    shop = keyed(ledger)
    assert isinstance(shop.decide(OFFER, ask("GET /thing", credential)), Delivery)
    [line] = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "`l402 keys show`" in line.getMessage()
    assert "L402_SECRET_KEYS" in line.getMessage()
    assert ledger.kept is not None
    assert ledger.kept not in caplog.text
    # Once, at the first request.
    shop.decide(OFFER, ask())
    assert ledger.asked == 1


def test_the_newest_listed_key_signs(ledger: Keeper) -> None:
    """The ledger's own is the oldest: another machine with the listed keys alone honours what is sold from now on."""
    keyless(ledger).buy(OFFER)
    credential = keyed(ledger).buy(OFFER)
    assert isinstance(keyed(Keeper()).decide(OFFER, ask("GET /thing", credential)), Delivery)


@pytest.mark.parametrize("as_bytes", [False, True])
def test_a_kept_key_that_is_listed(ledger: Keeper, as_bytes: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever followed the line's advice reads it no more."""
    credential = keyless(ledger).buy(OFFER)
    assert ledger.kept is not None
    shop = keyed(ledger, ledger.kept.encode() if as_bytes else ledger.kept, KEY)
    assert isinstance(shop.decide(OFFER, ask("GET /thing", credential)), Delivery)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_a_ledger_that_keeps_none(ledger: Keeper, caplog: pytest.LogCaptureFixture) -> None:
    """Keys that were listed from the beginning are all there are."""
    assert code(keyed(ledger).decide(OFFER, ask())) == (402, "payment-required")
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    assert ledger.kept is None


def test_a_ledger_that_cannot_say_now(ledger: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    """Meanwhile the listed keys do; who shows what may be its own key's is asked to come again, not to pay again."""
    credential = keyless(ledger).buy(OFFER)
    ledger.away = True
    shop = keyed(ledger)
    clock = [time.monotonic()]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    assert code(shop.decide(OFFER, ask())) == (402, "payment-required")
    mine = shop.buy(OFFER)
    assert isinstance(shop.decide(OFFER, ask("GET /thing", mine)), Delivery)
    assert code(shop.decide(OFFER, ask("GET /thing", credential))) == (503, "ledger-unavailable")
    assert ledger.asked == 1
    ledger.away = False
    clock[0] += doors.ASK_EVERY
    assert isinstance(shop.decide(OFFER, ask("GET /thing", credential)), Delivery)
    assert ledger.asked == 2


def test_a_check_asks_too(ledger: Keeper) -> None:
    """`check` has the keys before the first request comes."""
    keyless(ledger).buy(OFFER)
    shop = keyed(ledger)
    drive(shop.paywall.check())
    assert ledger.asked == 1


def test_the_wallet_pays_what_either_key_made(ledger: Keeper) -> None:
    """The development wallet knows the invoices from before keys were listed too."""
    challenge = keyless(ledger).decide(OFFER, ask())
    shop = keyed(ledger)
    drive(shop.paywall.check())
    assert isinstance(shop.decide(OFFER, ask("GET /thing", shop.pay(challenge))), Delivery)
