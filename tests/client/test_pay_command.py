"""`l402 pay`: what it asks, prints, writes, and how it ends."""

import json
import os
import sys
from collections.abc import Callable
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest

from l402_middleware.cli import main
from l402_middleware.cli import pay as command

from .shops import Bank

pytestmark = pytest.mark.slow


class Terminal(StringIO):
    """A person who types."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def run(
    tmp_path: Path, bank: Bank, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run the command, from the bank's wallet, with a store of its own; what a person types, if there is one."""
    monkeypatch.setattr(command, "wallet_from_url", lambda _: bank.wallet)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))

    def run(*arguments: str, types: str | None = None) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(b"piped")) if types is None else Terminal(types))
        try:
            status = main(["pay", "--wallet", "x", *arguments])
        except SystemExit as end:
            status = int(str(end.code))
        out, err = capfd.readouterr()
        return status, out, err

    return run


def test_it_pays_without_asking_up_to_a_limit(run: Any, bank: Bank, shops: dict[str, str]) -> None:
    """The answer on the standard output, what was paid on the standard error."""
    status, out, err = run("--yes", "--max", "50", f"{shops['ours']}/forecast?days=2")
    assert (status, json.loads(out)["query"]) == (0, "days=2")
    assert f"paid 21 sat, payment {bank.paid[0]}" in err


def test_it_sends_what_it_is_given(run: Any, shops: dict[str, str], tmp_path: Path) -> None:
    """Method, headers and body, from a file and from the standard input; the answer into a file."""
    (tmp_path / "body").write_bytes(b"from a file")
    for given, body in (("text", "text"), (f"@{tmp_path}/body", "from a file"), ("@-", "piped")):
        arguments = ("-d", given, "-H", "X-One: 1", "-o", str(tmp_path / "answer"))
        status, out, _ = run("--yes", "--max", "50", *arguments, f"{shops['ours']}/forecast")
        assert (status, out) == (0, "")
        assert json.loads((tmp_path / "answer").read_text()) == {"method": "POST", "query": "", "body": body}


@pytest.mark.parametrize(("types", "paid"), [("y\n", 1), ("YES\n", 1), ("n\n", 0), ("\n", 0), ("", 0)])
def test_it_asks_a_person(run: Any, bank: Bank, shops: dict[str, str], types: str, paid: int) -> None:
    """With the price; what is no yes is a no."""
    status, _, err = run(f"{shops['ours']}/forecast", types=types)
    assert status == (0 if paid else command.NOT_PAID)
    assert f"{shops['ours']} asks for 21 sat" in err
    assert "Pay? [y/N]" in err
    assert len(bank.paid) == paid


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("hostile/dear", command.NOT_PAID, "over-budget"),
        ("hostile/expired", command.NOT_PAID, "expired"),
        ("hostile/for-ever", command.IN_VAIN, "asks to be paid again"),
        ("hostile/nothing", command.HTTP_ERROR, "answered 402"),
        ("ours/nowhere", command.HTTP_ERROR, "answered 404"),
    ],
)
def test_a_script_can_branch(run: Any, shops: dict[str, str], path: str, status: int, text: str) -> None:
    """Each way to end has a status of its own."""
    shop, _, rest = path.partition("/")
    ended, _, err = run("--yes", "--max", "50", f"{shops[shop]}/{rest}")
    assert ended == status
    assert text in err


def test_a_payment_under_way_has_its_status(run: Any, bank: Bank, shops: dict[str, str], monkeypatch: Any) -> None:
    """And the same command goes on from there."""
    pay = bank.wallet._pay
    monkeypatch.setattr(bank.wallet, "_pay", lambda _: bytes(32))
    assert run("--yes", "--max", "50", f"{shops['ours']}/forecast")[0] == command.UNCERTAIN
    monkeypatch.setattr(bank.wallet, "_pay", pay)
    assert run("--yes", "--max", "50", f"{shops['ours']}/forecast")[0] == 0
    assert len(bank.paid) == 1


def test_what_was_bought_is_used(run: Any, bank: Bank, shops: dict[str, str], tmp_path: Path) -> None:
    """By the next run; its file is the owner's only."""
    for note in ("paid 5 sat", "used what was paid before (5 sat)"):
        status, _, err = run("--yes", "--max", "50", f"{shops['ours']}/bundle")
        assert status == 0
        assert note in err
    assert len(bank.paid) == 1
    assert os.stat(tmp_path / "data" / "l402" / "purchases.db").st_mode & 0o077 == 0


def test_a_server_that_is_not_there_is_told(run: Any) -> None:
    """Without a traceback."""
    status, _, err = run("--yes", "--max", "50", "http://127.0.0.1:9/")
    assert status == 1
    assert "ConnectError from http://127.0.0.1:9" in err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["http://localhost/"], "no terminal"),
        (["--yes", "http://localhost/"], "--max"),
        (["--yes", "--max", "5", "ftp://localhost/"], "URL"),
        (["--yes", "--max", "5", "-H", "secret\n: x", "http://localhost/"], "--header is NAME:VALUE"),
        (["--yes", "--max", "5", "-d", "@/no/file", "http://localhost/"], "--data"),
        (["--yes", "--max", "0", "http://localhost/"], "--max"),
    ],
)
def test_a_wrong_call_is_told(run: Any, arguments: list[str], text: str) -> None:
    """Before anything is sent."""
    status, _, err = run(*arguments)
    assert status == 2
    assert text in err


def test_a_wallet_is_needed(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """From the option or the environment."""
    monkeypatch.delenv("L402_WALLET", raising=False)
    with pytest.raises(SystemExit):
        main(["pay", "http://localhost/"])
    assert "L402_WALLET" in capfd.readouterr().err
