"""What the tests share: event loops, runs, an empty folder, a Redis, and what to do for want of something outside."""

import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from .ledgers.redis_server import RedisServer
from .real import lab

os.environ["L402_DEV"] = "1"


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """The event loops that every async test runs on."""
    return str(request.param)


@pytest.fixture(scope="session")
def skip_or_fail() -> Callable[[str], NoReturn]:
    """Skip the running test for want of something outside; fail it instead where L402_TEST_ALL=1 is set."""
    return lab.skip_or_fail


@pytest.fixture
def runs_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where handlers in this process note their runs."""
    path = tmp_path / "runs"
    path.touch()
    monkeypatch.setenv("RUNS", str(path))
    return path


@pytest.fixture
def newcomer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder, the variable that allows the development wallet, and no other setting."""
    monkeypatch.chdir(tmp_path)
    for name in ("L402_SECRET_KEYS", "L402_SECRET_KEYS_FILE", "L402_PROVIDER", "L402_LEDGER", "WEB_CONCURRENCY"):
        # Set first, so that what a snippet sets is taken back too.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("L402_DEV", "1")


@pytest.fixture
def redis_server(skip_or_fail: Callable[[str], NoReturn]) -> Iterator[RedisServer]:
    """A running Redis."""
    if shutil.which("redis-server") is None:
        skip_or_fail("there is no redis-server on PATH (Debian: apt-get install redis-server)")
    server = RedisServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


# What a log must never hold: a credential, a token (every one begins with the same bytes of V2 and our own service's
# name or another), and the value of a header that carries a key.
SECRET = re.compile(
    r"\b(?:L402|LSAT)\s+[\w+/=-]{40,}|\bAgE[A-Z][\w+/-]{60,}|(?:x-api-key|rune|macaroon)\W{1,6}[\w+/=-]{16,}", re.I
)


class _Watch(logging.Handler):
    """Notes each record that holds a secret."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.leaks: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        # The tests' own HTTP client tells what it received, challenges among it, as any client may.
        message = record.getMessage()
        if SECRET.search(message) and not message.startswith("receive_response_headers"):
            self.leaks.append(f"{record.name}: {message}")


@pytest.fixture(autouse=True)
def no_secret_in_any_log() -> Iterator[None]:
    """Case 112: whatever any test does, no logger says a secret, at DEBUG and with the HTTP client's loggers too."""
    root, watch = logging.getLogger(), _Watch()
    level = root.level
    root.addHandler(watch)
    root.setLevel(logging.DEBUG)
    yield
    root.setLevel(level)
    root.removeHandler(watch)
    assert not watch.leaks
