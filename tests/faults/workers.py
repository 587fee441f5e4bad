"""uvicorn workers that are started again when they die: `python -m tests.faults.workers PORT COUNT`.

Nobody can kill a worker of `uvicorn --workers` as often as the tests do: its supervisor looks twice a second. The
workers share one listening socket, so what was not yet accepted by one that dies is accepted by another.
"""

import os
import signal
import socket
import sys
from types import FrameType

import uvicorn

from . import starlette_shop


def main(port: int, count: int) -> None:
    """Keep `count` workers running until SIGTERM."""
    listener = socket.create_server(("127.0.0.1", port), backlog=1024)
    workers: set[int] = set()

    def stop(number: int, frame: FrameType | None) -> None:
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        os._exit(0)

    signal.signal(signal.SIGTERM, stop)
    while True:
        while len(workers) < count:
            # Forked with everything imported, so that 200 of them take no time; the shop is made in the child.
            pid = os.fork()
            if not pid:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                uvicorn.Server(uvicorn.Config(starlette_shop.create(), log_level="warning")).run([listener])
                os._exit(0)
            workers.add(pid)
        workers.discard(os.wait()[0])


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
