"""A Redis server of the tests' own, in a temporary folder."""

import signal
import socket
import subprocess
import tempfile
import time
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

PASSWORD = "hunter2-and/more@"
QUOTED = "hunter2-and%2Fmore%40"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


class RedisServer:
    """A redis-server on a loopback port and a socket, with all its files in one temporary folder."""

    def __init__(self, *options: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="l402-redis-")
        self.port = free_port()
        self.socket = f"{self._folder.name}/redis.sock"
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.socket}?password={QUOTED}"

    def start(self, *options: str, wait: bool = True) -> None:
        """Start it, with its files as they are."""
        command = ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--unixsocket", self.socket]
        command += ["--dir", self._folder.name, "--appendonly", "yes", "--save", "", "--requirepass", PASSWORD]
        command += [*self._options, *options]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while wait:
            try:
                with self.client() as client:
                    client.ping()
            except (redis.ConnectionError, redis.ResponseError):
                assert self._process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
            else:
                return

    def client(self) -> Any:
        """The operator's own client."""
        return redis.Redis(unix_socket_path=self.socket, password=PASSWORD, protocol=2, retry=Retry(NoBackoff(), 0))

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it as a power cut of the process would."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()

    def remove(self) -> None:
        self.kill()
        self._folder.cleanup()
