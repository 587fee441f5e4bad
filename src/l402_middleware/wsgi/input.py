"""Reads a request's whole body from `wsgi.input`, before the application does, and not for longer than it may take."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from ..core.errors import Refusal
from ..paywall.request import CHUNK_BYTES, Body, announced_length
from ..paywall.spool import too_slow

if TYPE_CHECKING:
    from _typeshed.wsgi import InputStream, WSGIEnvironment

# Where servers show the connection that `wsgi.input` reads from.
_CONNECTIONS = ("gunicorn.socket", "werkzeug.socket")


def read_whole(environ: "WSGIEnvironment", body: Body) -> None:
    """Read everything into `body`. Raises `Refusal` where it does not come, not in time, or not to its end."""
    length = content_length(environ)
    if length is not None:
        body.expect(length)
    elif not environ.get("wsgi.input_terminated"):
        if "HTTP_TRANSFER_ENCODING" in environ:
            # Where this server's input ends can not be seen: reading on could wait for ever.
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
    """End the connection's input when the body's time is over: a blocking read can not be told to end otherwise."""
    connection = next((environ[name] for name in _CONNECTIONS if name in environ), None)
    if not isinstance(connection, socket.socket) or not (
        content_length(environ) or environ.get("HTTP_TRANSFER_ENCODING")
    ):
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
