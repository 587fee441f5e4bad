"""What one customer asks, and what they hear. Imports nothing heavy: some customers are processes of their own."""

import json
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException

# What an answer that did not come raises.
BROKEN = (OSError, HTTPException)


@dataclass(frozen=True)
class Answer:
    """What a shop said."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The code of a refusal."""
        return str(json.loads(self.body)["code"])


def ask(port: int, target: str, credential: str | None = None, timeout: float = 30) -> Answer:
    """GET from this machine, on a connection of its own, so that the kernel picks a worker. Raises one of `BROKEN`."""
    connection = HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", target, headers={"Authorization": credential} if credential else {})
        answer = connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()
