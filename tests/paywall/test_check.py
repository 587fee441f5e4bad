"""The check at start-up: an application whose ledger cannot be opened need not start."""

from pathlib import Path

import pytest

from l402_middleware import ConfigurationError, LedgerError, Paywall
from l402_middleware.core.keys import generate_key
from l402_middleware.flow import drive
from l402_middleware.ledgers import SQLiteLedger
from l402_middleware.providers import LNbits

WALLET = LNbits("https://lnbits.example", invoice_key="0123")


@pytest.mark.parametrize("keys", [None, [generate_key()]])
def test_a_ledger_that_opens(tmp_path: Path, keys: list[str] | None) -> None:
    """The ledger is open afterwards, whoever keeps the keys; nothing was asked of the provider."""
    paywall = Paywall(WALLET, f"sqlite:///{tmp_path}/l402.db", secret_keys=keys)
    drive(paywall.check())
    assert (tmp_path / "l402.db").exists()
    paywall.close()


@pytest.mark.parametrize("keys", [None, [generate_key()]])
def test_a_ledger_that_does_not(tmp_path: Path, keys: list[str] | None) -> None:
    """A ledger that cannot be opened says so, whoever keeps the keys."""
    paywall = Paywall(WALLET, f"sqlite:///{tmp_path}/nowhere/l402.db", secret_keys=keys)
    with pytest.raises(LedgerError, match="nowhere"):
        drive(paywall.check())
    paywall.close()


def test_a_kept_key_that_is_none(tmp_path: Path) -> None:
    """A key in the ledger that no ring takes is refused at the start, too."""
    ledger = SQLiteLedger(tmp_path / "l402.db")
    ledger.keep_key("short").block()
    paywall = Paywall(WALLET, ledger)
    with pytest.raises(ConfigurationError, match="secret key 1"):
        drive(paywall.check())
    paywall.close()
