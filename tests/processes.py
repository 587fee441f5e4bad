"""Servers as processes."""

import os
import signal
import subprocess
from contextlib import suppress


def end(server: "subprocess.Popen[bytes]") -> None:
    """End a server that leads a process group, in its own way where that takes less than 10 s."""
    server.terminate()
    with suppress(subprocess.TimeoutExpired):
        server.wait(10)
    # Whatever its end left over: workers of a server that was killed, or that would not stop.
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()
