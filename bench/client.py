"""A client that costs little: raw requests on connections that stay open, one after the other on each."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable

from .sales import Call

CONNECTIONS = 16


def raw(call: Call) -> bytes:
    """The request as it goes over the wire."""
    head = f"{call.method} {call.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\n"
    if call.authorization is not None:
        head += f"Authorization: {call.authorization.decode()}\r\n"
    if call.body:
        head += f"Content-Length: {len(call.body)}\r\n"
    return f"{head}\r\n".encode() + call.body


def seconds_per_request(port: int, requests: list[bytes], status: int, connections: int = CONNECTIONS) -> float:
    """How long one takes, on average, where so many are under way at once. Fails at an answer with another status."""
    return asyncio.run(_run(port, requests, status, connections))


def one(port: int, request: bytes) -> tuple[int, bytes, bytes]:
    """The status, the head and the body of the answer to one request."""
    return asyncio.run(_one(port, request))


async def _one(port: int, request: bytes) -> tuple[int, bytes, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return await _exchange(reader, writer, request)
    finally:
        writer.close()


async def _run(port: int, requests: list[bytes], status: int, connections: int) -> float:
    waiting = iter(requests)
    opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(min(connections, len(requests)))]
    try:
        started = time.perf_counter()
        await asyncio.gather(*(_work(*connection, waiting, status) for connection in opened))
        return (time.perf_counter() - started) / len(requests)
    finally:
        for _, writer in opened:
            writer.close()


async def _work(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, requests: Iterable[bytes], status: int
) -> None:
    for request in requests:
        got, head, body = await _exchange(reader, writer, request)
        assert got == status, (head, body)


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> tuple[int, bytes, bytes]:
    writer.write(request)
    if len(request) > 65536:
        await writer.drain()
    head = await reader.readuntil(b"\r\n\r\n")
    lower = head.lower()
    if b"content-length:" in lower:
        at = lower.index(b"content-length:") + 15
        body = await reader.readexactly(int(lower[at : lower.index(b"\r", at)]))
    else:
        body = b"".join([piece async for piece in _chunks(reader)])
    return int(head[9:12]), head, body


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while length := int(await reader.readuntil(b"\r\n"), 16):
        yield await reader.readexactly(length)
        await reader.readexactly(2)
    await reader.readexactly(2)
