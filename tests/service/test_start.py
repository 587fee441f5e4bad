"""Starting the service: what cannot work ends at once, with one line that says what to change."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .server import UVICORN, environment

pytestmark = pytest.mark.slow


def started(folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Start the service, which has to end by itself."""
    variables = {name: value for name, value in environment(folder, **settings).items() if value != "unset"}
    command = [sys.executable, *UVICORN]
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=20, check=False)


def check_one_line(ended: subprocess.CompletedProcess[str], *words: str) -> None:
    """It failed, and said why in one line, which names itself and contains these words."""
    assert (ended.returncode, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith("file_conversion: ")
    for word in words:
        assert word in line


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"PORT": "abc"}, ["PORT=abc", "whole number"]),
        ({"PORT": "65536"}, ["PORT=65536", "65535"]),
        ({"PORT": "-1"}, ["PORT=-1"]),
        ({"PORT": "1_0"}, ["PORT=1_0"]),
        ({"WORKERS": "two"}, ["WORKERS=two"]),
        ({"WORKERS": "0"}, ["WORKERS=0", "from 1"]),
        ({"L402_DEV": "unset"}, ["L402_DEV=1"]),
        ({"L402_DEV": "unset", "WORKERS": "3"}, ["L402_DEV=1"]),
        ({"L402_DEV": "unset", "L402_PROVIDER": "unset"}, ["L402_DEV=1"]),
        ({"ENV": "production"}, ["ENV=production"]),
        ({"L402_ENV": "prod", "WORKERS": "3"}, ["L402_ENV=prod"]),
        ({"L402_PROVIDER": "lndbits://127.0.0.1"}, ["lndbits"]),
        ({"L402_PROVIDER": "lnbits+http://127.0.0.1:5000"}, ["invoice_key"]),
        ({"L402_PROVIDER": ""}, ["L402_PROVIDER"]),
        ({"L402_LEDGER": "mysql://127.0.0.1/l402"}, ["mysql", "sqlite:///"]),
        ({"L402_LEDGER": "sqlite:////dev/null/l402.db"}, ["/dev/null/l402.db", "cannot be opened"]),
        ({"L402_LEDGER": "sqlite:////dev/null/l402.db", "WORKERS": "3"}, ["/dev/null/l402.db", "cannot be opened"]),
        ({"L402_LEDGER": "memory:", "WORKERS": "2"}, ["WORKERS=2", "L402_LEDGER"]),
        ({"L402_SECRET_KEYS": "short"}, ["secret key 1", "l402 keygen"]),
        ({"L402_LEASE": "long"}, ["L402_LEASE"]),
        ({"PUBLIC_URL": "convert.example"}, ["PUBLIC_URL", "https://"]),
        ({"DATA_FOLDER": "/dev/null/data"}, ["/dev/null/data"]),
    ],
    ids=lambda value: " ".join(f"{name}={value[name]}" for name in value) if isinstance(value, dict) else "",
)
def test_a_setting_that_can_not_work(tmp_path: Path, settings: dict[str, str], words: list[str]) -> None:
    """Case 117: one line names the setting and the remedy; nothing is served, and no traceback is shown."""
    check_one_line(started(tmp_path, PORT="0" if "PORT" not in settings else settings.pop("PORT"), **settings), *words)


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port at which somebody else listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize("workers", ["1", "3"])
def test_a_port_in_use(tmp_path: Path, taken_port: int, workers: str) -> None:
    """The usual mistake of a second start: it says so, and leaves the first one alone."""
    check_one_line(started(tmp_path, PORT=str(taken_port), WORKERS=workers), f"PORT={taken_port}", "in use")


def test_no_secret_is_shown(tmp_path: Path) -> None:
    """Case 113: a wrong setting that holds a key is reported without it."""
    key = "0123456789abcdef0123456789abcdef"
    ended = started(tmp_path, PORT="0", L402_PROVIDER=f"lnbit+https://lnbits.example?invoice_key={key}")
    check_one_line(ended, "lnbit")
    assert key not in ended.stderr
