"""Who may read a file that holds a secret, and whose it is."""

import os
from collections.abc import Iterator
from pathlib import Path

from .diagnosis import Diagnosis


def private(check: str, path: Path) -> Iterator[Diagnosis]:
    """Warn where others may read the file."""
    if os.name == "posix" and path.stat().st_mode & 0o077:
        yield Diagnosis(check, "warning", f"others may read {path}, which holds a secret", f"chmod 600 {path}")


def own(path: Path) -> Iterator[Diagnosis]:
    """Warn where the ledger's file is not of the user who runs this."""
    if os.name == "posix" and path.stat().st_uid != os.geteuid():
        yield Diagnosis(
            "ledger",
            "warning",
            f"{path} belongs to another user",
            "run `l402 doctor` as the user that the application has",
        )
