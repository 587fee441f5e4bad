"""An answer over WSGI (PEP 3333), the application's or the paywall's own, on its way to the server."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING

from ..core.errors import ConfigurationError, LedgerError
from ..flow import drive
from ..paywall.delivery import STAY, Delivery
from ..paywall.rendering import undelivered
from ..paywall.response import Headers, Response, body_length, refused

if TYPE_CHECKING:
    from _typeshed import OptExcInfo
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from .visit import Visit

log = logging.getLogger("l402_middleware")


class Answer:
    """The application's answer on its way to the server: an iterable that settles just before its last piece."""

    def __init__(self, visit: "Visit", start_response: "StartResponse") -> None:
        self._visit = visit
        self._start_response = start_response
        self._begun = False
        self._head: tuple[str, Headers, OptExcInfo | None] | None = None
        self._length: int | None = None
        self._sent = 0
        self._replaced = False
        self._again: Response | None = None
        self._pieces: Iterator[bytes] = iter(())
        self._close: Callable[[], object] = lambda: None
        self._server_write: Callable[[bytes], object] = lambda piece: None
        self._left_at: float | None = None

    def start(
        self, status: str, headers: list[tuple[str, str]], exc_info: "OptExcInfo | None" = None
    ) -> Callable[[bytes], object]:
        """The application's `start_response`."""
        decision = self._visit.decision
        if isinstance(decision, Response):
            if decision.is_again and int(status[:3]) == decision.status:
                # It went through the application's hooks when it was made: a second time would be once too often.
                self._again = decision
                return self._start_response(status, text_headers(decision.headers), exc_info)
            kept = refused(raw_headers(headers), decision)
            return self._start_response(status, text_headers(kept), exc_info)
        if decision is None and self._visit.default is not None:
            raise ConfigurationError("something answered before the application's default price was asked for")
        if decision is None:
            return self._start_response(status, headers, exc_info)
        if self._begun:
            # PEP 3333: the server raises the application's error again, its headers being out already.
            return self._start_response(status, headers, exc_info)
        raw = decision.start(int(status[:3]), raw_headers(headers))
        self._length = body_length(self._visit.environ["REQUEST_METHOD"], int(status[:3]), raw)
        self._head = (status, raw, exc_info)
        return self._write

    def watch(self, pieces: Iterable[bytes]) -> Iterable[bytes]:
        """The iterable for the server: the application's own, where nothing was sold."""
        if not isinstance(self._visit.decision, Delivery):
            self._visit.close()
            if self._again is None:
                return pieces
            getattr(pieces, "close", self._close)()
            return [b"" if self._visit.environ["REQUEST_METHOD"] == "HEAD" else self._again.body]
        self._pieces = iter(pieces)
        self._close = getattr(pieces, "close", self._close)
        return self

    def fail(self) -> None:
        """The application raised before it gave its iterable."""
        if isinstance(self._visit.decision, Delivery):
            self._give_up(self._visit.decision)
        self._visit.close()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        delivery = self._visit.decision
        assert isinstance(delivery, Delivery)
        if self._replaced:
            raise StopIteration
        try:
            piece: bytes | None = self._visit.inside(next, self._pieces, None)
        except BaseException:
            self._give_up(delivery)
            raise
        if piece is not None:
            delivery.take(piece)
            self._sent += len(piece)
        is_last = piece is None or (self._length is not None and self._sent >= self._length)
        if is_last and not self._settle(delivery):
            piece = self._replace(undelivered())
        self._begin()
        if piece is None:
            raise StopIteration
        return piece

    def _give_up(self, delivery: Delivery) -> None:
        """The application failed. Where its client made it fail, by breaking off its own body, or by not taking what
        it pushes, that client just left: it could otherwise take all but the end of an answer, as often as it likes.
        """
        if self._begun and (self._visit.broke_off or self._left_at is not None):
            self._leave(delivery)
        else:
            drive(delivery.fail())

    def _stay(self, delivery: Delivery) -> None:
        """Finish an answer that its client did not wait for, so that it can be given again."""
        until = time.monotonic() + STAY
        try:
            while self._begun and delivery.stays and time.monotonic() < until:
                next(self)
        except StopIteration:
            pass
        except Exception as error:
            log.warning("the answer to a client that left failed: %s", type(error).__name__)

    def _settle(self, delivery: Delivery) -> bool:
        if self._head is None:
            drive(delivery.fail())
            return True
        try:
            return drive(delivery.finish())
        except LedgerError as error:
            log.error("an answer could not be settled, and was not delivered: %s", error)
            return False

    def _replace(self, response: Response) -> bytes:
        if self._begun:
            raise LedgerError("the payment of an answer already begun could not be settled: the answer is cut off")
        self._replaced = True
        self._head = (f"{response.status} {HTTPStatus(response.status).phrase}", response.headers, None)
        return b"" if self._visit.environ["REQUEST_METHOD"] == "HEAD" else response.body

    def _begin(self) -> None:
        if not self._begun and self._head is not None:
            self._begun = True
            status, headers, exc_info = self._head
            self._server_write = self._start_response(status, text_headers(headers), exc_info)

    def _write(self, piece: bytes) -> object:
        """PEP 3333's `write`, for applications that push."""
        delivery = self._visit.decision
        assert isinstance(delivery, Delivery)
        self._begin()
        delivery.take(piece)
        try:
            return self._server_write(piece)
        except BaseException as error:
            # Servers say in their own ways that a client left; so they do not where a piece is no bytes.
            if not isinstance(error, TypeError | AssertionError):
                self._left_at = self._left_at or time.monotonic()
                if isinstance(error, Exception) and delivery.stays and time.monotonic() < self._left_at + STAY:
                    return None
            raise

    def close(self) -> None:
        """The server is done: an answer that neither ended nor failed was left by its client."""
        delivery = self._visit.decision
        assert isinstance(delivery, Delivery)
        try:
            self._stay(delivery)
        finally:
            try:
                self._close()
            finally:
                self._leave(delivery)

    def _leave(self, delivery: Delivery) -> None:
        try:
            drive(delivery.vanish())
        except LedgerError as error:
            log.error("the answer to a client that left could not be settled: %s", error)
        self._visit.close()


def raw_headers(headers: list[tuple[str, str]]) -> Headers:
    """Header fields as bytes, from the text that WSGI has."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]


def text_headers(headers: Headers) -> list[tuple[str, str]]:
    """Header fields as WSGI has them: text in which every character is a byte."""
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]


def respond(response: Response, environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
    """Give a whole response; HEAD gets its headers only."""
    start_response(f"{response.status} {HTTPStatus(response.status).phrase}", text_headers(response.headers))
    return [b""] if environ["REQUEST_METHOD"] == "HEAD" else [response.body]
