"""The paywall of an application in this process, and where its handlers note their runs."""

from pathlib import Path

import pytest

from l402_middleware import Paywall
from l402_middleware.providers.devnode import DevNode

from .servers import KEY


@pytest.fixture
def runs_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where handlers note their runs."""
    path = tmp_path / "runs"
    path.touch()
    monkeypatch.setenv("RUNS", str(path))
    return path


@pytest.fixture
def paywall() -> Paywall:
    """A paywall of one process."""
    return Paywall(DevNode(), secret_keys=[KEY])
