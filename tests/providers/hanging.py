"""A node that takes every connection and answers none."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class HangingNode:
    """A server on this machine that reads requests and never answers.

    `requests` is how many came, `connections` how many are open.
    """

    def __init__(self, listener: socket.socket) -> None:
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.requests = self.connections = 0
        self._listener = listener
        self._lock = threading.Lock()

    def serve(self) -> None:
        """Until the listener is closed."""
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._read, args=(connection,), daemon=True).start()

    def _read(self, connection: socket.socket) -> None:
        self._count(1, 0)
        with connection, suppress(OSError):
            while piece := connection.recv(65536):
                self._count(0, piece.count(b" HTTP/1.1\r\n"))
        self._count(-1, 0)

    def _count(self, connections: int, requests: int) -> None:
        with self._lock:
            self.connections += connections
            self.requests += requests


@contextmanager
def hanging(port: int = 0) -> Iterator[HangingNode]:
    """The node, for a while."""
    with socket.create_server(("127.0.0.1", port), backlog=256) as listener:
        node = HangingNode(listener)
        server = threading.Thread(target=node.serve)
        server.start()
        try:
            yield node
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            server.join()
