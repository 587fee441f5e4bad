"""ledger_from_url: the ledgers a setting can name."""

from pathlib import Path

import pytest

from l402_middleware.core.errors import ConfigurationError
from l402_middleware.ledgers import MemoryLedger, SQLiteLedger, ledger_from_url


def test_memory() -> None:
    """`memory:` is the ledger of one process."""
    assert isinstance(ledger_from_url("memory:"), MemoryLedger)


@pytest.mark.parametrize("absolute", [False, True])
def test_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, absolute: bool) -> None:
    """Three slashes name a file in the working directory, four one from the root."""
    monkeypatch.chdir(tmp_path)
    ledger = ledger_from_url(f"sqlite:///{tmp_path}/l402.db" if absolute else "sqlite:///l402.db")
    assert isinstance(ledger, SQLiteLedger)
    monkeypatch.chdir("/")
    ledger.keep_key("k" * 32).block()
    ledger.close()
    assert (tmp_path / "l402.db").exists()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "memory",
        "memory:shared",
        "l402.db",
        "sqlite:",
        "sqlite:l402.db",
        "sqlite://l402.db",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///l402.db?mode=ro",
        "mysql://me:hunter2@db/l402",
        "hunter2",
    ],
)
def test_anything_else_is_refused(url: str) -> None:
    """Any other URL is a configuration error that says what works and repeats nothing secret."""
    with pytest.raises(ConfigurationError, match=r"memory:|MemoryLedger") as refused:
        ledger_from_url(url)
    assert "hunter2" not in str(refused.value)
