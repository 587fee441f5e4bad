"""A crowd of strangers: `python -m tests.faults.strangers`, with its orders as JSON on standard input.

Sends at a fixed rate, whatever the server does: a request for which no connection is free counts as not taken. Prints
what was answered, as JSON.
"""

import asyncio
import json
import random
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import cast

CONNECTIONS = 256
TICK = 0.005
BODY = b"x" * 2000


@dataclass
class Orders:
    """What to send: `rate` requests a second for `seconds`, `slow` bodies that never end, `forged` as a credential."""

    port: int
    rate: float
    seconds: float
    peers: list[str]
    forged: str
    slow: int


@dataclass
class Crowd:
    """All its connections, and what they heard."""

    orders: Orders
    idle: list["Line"] = field(default_factory=list)
    heard: Counter[str] = field(default_factory=Counter)
    opening: set[asyncio.Task[None]] = field(default_factory=set)

    def request(self) -> tuple[str, bytes]:
        """One of four kinds, drawn by lot."""
        orders = self.orders
        kind = random.choices(["no credential", "forged", "many peers", "bodies"], [4, 2, 2, 2])[0]
        peer = random.choice(orders.peers[1:]) if kind in ("many peers", "bodies") else orders.peers[0]
        lines = [f"Host: shop\r\nX-Forwarded-For: {random.getrandbits(32):x}, {peer}"]
        if kind == "forged":
            lines.append(f"Authorization: {orders.forged}")
        if kind == "bodies":
            lines.append(f"Content-Length: {len(BODY)}")
        target = "POST /upload" if kind == "bodies" else "GET /work"
        head = "\r\n".join([f"{target} HTTP/1.1", *lines, "", ""]).encode()
        return kind, head + (BODY if kind == "bodies" else b"")


class Line(asyncio.Protocol):
    """One connection, with one request at a time; it is opened again when the server closes it."""

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._kind = ""
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._crowd.idle.append(self)

    def send(self) -> None:
        """Ask for something."""
        self._kind, request = self._crowd.request()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, ends, body = self._received.partition(b"\r\n\r\n")
        if not ends:
            return
        lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        if len(body) >= int(lines.get(b"content-length", b"0")):
            self._crowd.heard[f"{self._kind}: {head[9:12].decode()}"] += 1
            self._received = b""
            if lines.get(b"connection") != b"close":
                self._kind = ""
                self._crowd.idle.append(self)
            else:
                self._kind = "closed"

    def connection_lost(self, error: Exception | None) -> None:
        if self._kind not in ("", "closed"):
            self._crowd.heard[f"{self._kind}: cut off"] += 1
        if self in self._crowd.idle:
            self._crowd.idle.remove(self)
        opening = asyncio.get_running_loop().create_task(open_line(self._crowd))
        self._crowd.opening.add(opening)
        opening.add_done_callback(self._crowd.opening.discard)


async def open_line(crowd: Crowd) -> None:
    """Connect, and again where the server has no room."""
    while True:
        with suppress(OSError):
            await asyncio.get_running_loop().create_connection(lambda: Line(crowd), "127.0.0.1", crowd.orders.port)
            return
        await asyncio.sleep(0.1)


async def pause_in_bodies(crowd: Crowd) -> None:
    """Send the beginning of a body, and wait for what the server makes of that; for ever."""
    while True:
        reader, writer = await asyncio.open_connection("127.0.0.1", crowd.orders.port)
        # From addresses of their own: those of the others have had their share, and are refused before a body is read.
        peer = f"2001:db8:ffff:{random.randrange(0x10000):x}::1"
        head = f"POST /upload HTTP/1.1\r\nHost: shop\r\nX-Forwarded-For: {peer}\r\nContent-Length: 100000\r\n\r\n"
        writer.write(head.encode() + BODY)
        answer = await reader.read(12)
        crowd.heard[f"slow bodies: {answer[9:12].decode() or 'cut off'}"] += 1
        writer.close()
        await asyncio.sleep(0.05)


async def main(orders: Orders) -> None:
    """Flood, and print what was heard."""
    crowd = Crowd(orders)
    loop = asyncio.get_running_loop()
    for _ in range(CONNECTIONS):
        await open_line(crowd)
    slow = [loop.create_task(pause_in_bodies(crowd)) for _ in range(orders.slow)]
    started, due = loop.time(), 0.0
    while (passed := loop.time() - started) < orders.seconds:
        while due < passed * orders.rate:
            due += 1
            if crowd.idle:
                crowd.idle.pop().send()
            else:
                crowd.heard["not taken"] += 1
        await asyncio.sleep(TICK)
    for task in slow:
        task.cancel()
    json.dump(crowd.heard, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main(Orders(**json.load(sys.stdin))))
