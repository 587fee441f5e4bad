"""README's session, as a newcomer types it: `make demo` in one terminal, the shell block in another."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pypdfium2
import pytest

from .markdown import README, ROOT, fenced

START_SECONDS = 60


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[str]:
    """The port of a server that `make demo` started, in the environment that runs the tests."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = ["make", "--old-file=.venv/demo", f"BIN={Path(sys.executable).parent}", f"PORT={port}", "demo"]
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("L402_", "MAKE"))}
    with (tmp_path / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**settings, "DATA_FOLDER": str(tmp_path / "data")},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_for(port, process, tmp_path / "server.log")
        yield port
    finally:
        # As Ctrl-C does: to make and to the server alike.
        os.killpg(process.pid, signal.SIGINT)
        process.wait(timeout=30)


def wait_for(port: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Return as soon as the server listens."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", int(port)), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"make demo does not serve:\n{log.read_text()}", pytrace=False)


def words(text: str) -> set[str]:
    """The longer words of a text, in lower case."""
    return set(re.findall("[a-z]{6,}", text.lower()))


@pytest.mark.slow
def test_readme_session_buys_a_pdf(demo: str, tmp_path: Path) -> None:
    """The session ends with a PDF that opens and has the text of the Word document."""
    (session,) = fenced(README, "sh")
    newcomer = tmp_path / "clone"
    newcomer.mkdir()
    # Another folder than the repository's, so that the session's files do not stay in it.
    (newcomer / "tests").symlink_to(ROOT / "tests")
    (file,) = re.findall("^FILE=(.+)$", session, re.MULTILINE)
    done = subprocess.run(
        ["sh", "-eu"],
        input=re.sub(r"(?<=127\.0\.0\.1:)8402\b", demo, session),
        cwd=newcomer,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0

    with zipfile.ZipFile(ROOT / file) as document:
        written = words(re.sub("<[^>]+>", "", document.read("word/document.xml").decode()))
    with pypdfium2.PdfDocument(newcomer / "report.pdf") as pdf:
        read = words("\n".join(page.get_textpage().get_text_bounded() for page in pdf))
    assert len(written) > 100
    assert len(written & read) > 0.9 * len(written)
