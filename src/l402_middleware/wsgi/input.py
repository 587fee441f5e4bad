"""`wsgi.input`: read whole, and in time, before the application may read it; watched while the application reads; or
read and forgotten, where an early answer leaves it unread.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from ..core.errors import Refusal
from ..exchange import unread
from ..paywall.body_budget import too_slow
from ..paywall.delivery import Delivery
from ..paywall.request import CHUNK_BYTES, Body, announced_length

if TYPE_CHECKING:
    from _typeshed.wsgi import InputStream, WSGIEnvironment

# Where servers show the connection that `wsgi.input` reads from.
_CONNECTIONS = ("gunicorn.socket", "werkzeug.socket")


# Threads that may read bodies which nobody wants: fewer than a server has, so that those who have paid find one.
_DRAINING: Final = threading.BoundedSemaphore(2)


def read_whole(environ: "WSGIEnvironment", body: Body) -> None:
    """Read everything into `body`. Raises `Refusal` where it does not come, not in time, or not to its end."""
    length = content_length(environ)
    if length is not None:
        body.expect(length)
    elif not environ.get("wsgi.input_terminated"):
        if "HTTP_TRANSFER_ENCODING" in environ:
            # Where this server's input ends cannot be seen: reading on could wait for ever.
            raise Refusal(411, "length-required", "This price is for one exact request: send a Content-Length.")
        return
    with _cut_off_in_time(environ, body):
        try:
            _copy(environ["wsgi.input"], length, body)
        except OSError:
            if body.seconds_left() > 0:
                raise
    if length is None or body.size < length:
        if body.seconds_left() <= 0:
            raise too_slow()
        if length is not None:
            raise Refusal(
                400,
                "incomplete-body",
                "The request's body ended early, or the application read it before the paywall could.",
            )


def _copy(stream: "InputStream", length: int | None, body: Body) -> None:
    while length is None or body.size < length:
        chunk = stream.read(CHUNK_BYTES if length is None else min(CHUNK_BYTES, length - body.size))
        if not chunk:
            return
        body.write(chunk)


@contextmanager
def _cut_off_in_time(environ: "WSGIEnvironment", body: Body) -> Iterator[None]:
    """End the connection's input when the body's time is over: a blocking read cannot be told to end otherwise."""
    connection = _connection(environ)
    if connection is None or not (content_length(environ) or environ.get("HTTP_TRANSFER_ENCODING")):
        # A server that shows none has read the body already, or has a limit of its own.
        yield
        return
    over = threading.Event()

    def watch() -> None:
        while not over.wait(max(body.seconds_left(), 0.05)):
            if body.seconds_left() <= 0:
                # Of the connection below TLS: an SSLSocket's own shutdown() would send what follows in the open.
                with suppress(OSError):
                    socket.socket.shutdown(connection, socket.SHUT_RD)
                return

    watcher = threading.Thread(target=watch, name="l402-body", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def content_length(environ: "WSGIEnvironment") -> int | None:
    """The length that a request says its body has; None where it does not."""
    return announced_length(environ.get("CONTENT_LENGTH") or "")


def _connection(environ: "WSGIEnvironment") -> socket.socket | None:
    connection = next((environ[name] for name in _CONNECTIONS if name in environ), None)
    return connection if isinstance(connection, socket.socket) else None


def drain(environ: "WSGIEnvironment", pieces: Iterable[bytes]) -> Iterable[bytes]:
    """An early answer, after which the rest of its request's body is read, within bounds.

    A server that shows no connection has read the body already, or nothing could end the reading in time.
    """
    length = content_length(environ)
    connection = _connection(environ)
    if connection is None or not unread.is_worth_reading(
        length,
        is_chunked="HTTP_TRANSFER_ENCODING" in environ and bool(environ.get("wsgi.input_terminated")),
        expects="HTTP_EXPECT" in environ,
    ):
        return pieces
    return _then_drain(pieces, environ["wsgi.input"], connection, unread.BYTES if length is None else length)


def _then_drain(
    pieces: Iterable[bytes], stream: "InputStream", connection: socket.socket, most: int
) -> Iterator[bytes]:
    try:
        yield from pieces
        if _DRAINING.acquire(blocking=False):
            try:
                _forget(stream, connection, most)
            finally:
                _DRAINING.release()
    finally:
        getattr(pieces, "close", lambda: None)()


def _forget(stream: "InputStream", connection: socket.socket, most: int) -> None:
    until = time.monotonic() + unread.SECONDS
    before = connection.gettimeout()
    # A client that left, one that is too slow, and a body that is no chunks, end the reading alike.
    with suppress(Exception):
        try:
            while most > 0 and (left := until - time.monotonic()) > 0:
                connection.settimeout(left)
                piece = stream.read(min(CHUNK_BYTES, most))
                if not piece:
                    break
                most -= len(piece)
        finally:
            connection.settimeout(before)


class WatchedInput:
    """`wsgi.input`, for an application that reads it while the delivery notes what it reads."""

    def __init__(self, stream: "InputStream", length: int | None, delivery: Delivery) -> None:
        self.broke_off = False
        self._stream = stream
        self._delivery = delivery
        self._left = length

    def read(self, size: int | None = -1) -> bytes:
        size = -1 if size is None else size
        return self._noted(self._stream.read, size, is_all=size < 0)

    def readline(self, size: int = -1) -> bytes:
        return self._noted(self._stream.readline, size, is_all=False)

    def readlines(self, hint: int = -1) -> list[bytes]:
        return list(self)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")

    def _noted(self, read: Callable[[int], bytes], size: int, *, is_all: bool) -> bytes:
        try:
            piece = read(size)
            if self._left is not None:
                self._left -= len(piece)
                # A lost connection is an end like any other to some servers: half a body would be sold as a whole one.
                if self._left > 0 and (is_all or (size and not piece)):
                    raise ConnectionResetError("the client left before its request's body was complete")
        except BaseException:
            self.broke_off = True
            raise
        self._delivery.read(piece, more=bool(piece) if self._left is None else self._left > 0)
        return piece
