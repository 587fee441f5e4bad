"""WSGI (PEP 3333): a request in, a decision out, and the answer watched until it is delivered."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from ssl import SSLSocket
from typing import TYPE_CHECKING, Any, TypeVar

from ..core.errors import ConfigurationError, LedgerError
from ..flow import Call, drive
from ..paywall.callers import from_pem
from ..paywall.delivery import STAY, Delivery
from ..paywall.offer import Offer, Sale
from ..paywall.paywall import Decision, Paywall
from ..paywall.request import Body, RequestView
from ..paywall.response import Headers, Response, body_length, refused, undelivered
from .input import content_length, read_whole

if TYPE_CHECKING:
    from _typeshed import OptExcInfo
    from _typeshed.wsgi import InputStream, StartResponse, WSGIApplication, WSGIEnvironment

T = TypeVar("T")

VISIT = "l402_middleware.visit"
PAYMENT = "l402_middleware.payment"

log = logging.getLogger("l402_middleware")


class Visit:
    """One request's way through the application; it stands in the environ under `VISIT` while the application runs.

    Where there is a `default`, no answer goes out undecided.
    """

    def __init__(self, paywall: Paywall, environ: "WSGIEnvironment", default: Sale | None = None) -> None:
        self.paywall = paywall
        self.environ = environ
        self.default = default
        self.decision: Decision | None = None
        self._sold: Sale | None = None
        self._body: Body | None = None
        self._input: _WatchedInput | None = None
        environ[PAYMENT] = None

    def admit(self, offer: Offer, endpoint: str) -> Response | None:
        """Decide about this request, once; the response to give instead of the handler's, or None: run it.

        Raises `ConfigurationError` where one request is asked to pay for two offers.
        """
        if self._sold is None:
            self._sold = offer, endpoint
            self.decision = drive(self.paywall.admit(self._view(endpoint), offer))
            if isinstance(self.decision, Delivery):
                self.environ[PAYMENT] = self.decision.payment
                if self._body is None:
                    stream, length = self.environ["wsgi.input"], content_length(self.environ)
                    self._input = self.environ["wsgi.input"] = _WatchedInput(stream, length, self.decision)
        elif self._sold[0] is not offer:
            raise ConfigurationError(
                f"{endpoint} is asked to be paid twice: a priced endpoint called another one, or has two decorators"
            )
        if self.decision is None:
            raise RuntimeError(f"whether {endpoint} was paid for could not be decided, so it is not served")
        return self.decision if isinstance(self.decision, Response) else None

    def was_asked_for(self, offer: Offer) -> bool:
        """Whether the default was decided about already, on the same terms: one middleware stands around its like."""
        return self._sold is not None and self._sold == self.default and self._sold[0].has_terms_of(offer)

    def run(self, app: "WSGIApplication", start_response: "StartResponse", sale: Sale | None = None) -> Iterable[bytes]:
        """Run `app` for this request, once it has paid for `sale`, if that is known yet; see its answer to its end."""
        answer = _Answer(self, start_response)
        try:
            refusal = None if sale is None else self.admit(*sale)
            if refusal is None:
                pieces = self.inside(app, self.environ, answer.start)
            else:
                pieces = respond(refusal, self.environ, answer.start)
        except BaseException:
            answer.fail()
            raise
        return answer.watch(pieces)

    def inside(self, function: Callable[..., T], *args: Any) -> T:
        """Call what belongs to the application, with this visit in the environ.

        No longer than that: another application that is called with the same environ would be served for this one's
        payment, unwatched. And in a circle with the environ, all of this would wait for the garbage collector.
        """
        outer = self.environ.get(VISIT)
        self.environ[VISIT] = self
        try:
            return function(*args)
        finally:
            if outer is None:
                self.environ.pop(VISIT, None)
            else:
                self.environ[VISIT] = outer

    @property
    def broke_off(self) -> bool:
        """Whether the client left while the application read its body."""
        return self._input is not None and self._input.broke_off

    def close(self) -> None:
        """Give up the body that was kept for the application."""
        if self._body is not None:
            self._body.close()

    def path(self) -> str:
        """The path as the application sees it, with its mount."""
        return "".join(split_path(self.environ))

    def _view(self, endpoint: str) -> RequestView:
        environ = self.environ
        return RequestView(
            method=method_of(environ),
            endpoint=endpoint,
            path=self.path(),
            query_string=environ.get("QUERY_STRING", "").encode("latin-1"),
            headers=list(headers_of(environ)),
            peer=environ.get("REMOTE_ADDR"),
            read_body=lambda body: Call(self.spool, body),
            read_certificate=self._certificate,
            scheme=environ["wsgi.url_scheme"],
        )

    def _certificate(self) -> bytes | None:
        """What the server says: in the variables of Apache's mod_ssl, or by the connection itself."""
        environ = self.environ
        if "SSL_CLIENT_CERT" in environ:
            is_proved = environ.get("SSL_CLIENT_VERIFY", "SUCCESS") in ("SUCCESS", "GENEROUS")
            return from_pem(environ["SSL_CLIENT_CERT"]) if is_proved else None
        connection = environ.get("gunicorn.socket")
        if not isinstance(connection, SSLSocket):
            return None
        return connection.getpeercert(binary_form=True)

    def spool(self, body: Body) -> Body:
        """Read the whole body into `body`, and keep it for the application."""
        self._body = body
        read_whole(self.environ, body)
        self.environ["wsgi.input"] = body.rewind()
        self.environ["CONTENT_LENGTH"] = str(body.size)
        return body


class _WatchedInput:
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


class _Answer:
    """The application's answer on its way to the server: an iterable that settles just before its last piece."""

    def __init__(self, visit: Visit, start_response: "StartResponse") -> None:
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


def method_of(environ: "WSGIEnvironment") -> str:
    """The request's method; upper-case, because Werkzeug and Django take `post` for POST: so must a price function."""
    return str(environ["REQUEST_METHOD"]).upper()


def split_path(environ: "WSGIEnvironment") -> tuple[str, str]:
    """The mount, and the path below it, which the application routes by; decoded."""
    mount, path = environ.get("SCRIPT_NAME", ""), environ.get("PATH_INFO", "")
    return mount.encode("latin-1").decode("utf-8", "surrogateescape"), path.encode("latin-1").decode(
        "utf-8", "surrogateescape"
    )


def raw_headers(headers: list[tuple[str, str]]) -> Headers:
    """Header fields as bytes, from the text that WSGI has."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]


def text_headers(headers: Headers) -> list[tuple[str, str]]:
    """Header fields as WSGI has them: text in which every character is a byte."""
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]


def headers_of(environ: "WSGIEnvironment") -> Iterator[tuple[bytes, bytes]]:
    """The request's header fields, their names in lower case."""
    for key, value in environ.items():
        if key.startswith("HTTP_"):
            yield key[5:].replace("_", "-").lower().encode("latin-1"), value.encode("latin-1")
        elif key in ("CONTENT_TYPE", "CONTENT_LENGTH") and value:
            yield key.replace("_", "-").lower().encode("latin-1"), value.encode("latin-1")


def respond(response: Response, environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
    """Give a whole response; HEAD gets its headers only."""
    start_response(f"{response.status} {HTTPStatus(response.status).phrase}", text_headers(response.headers))
    return [b""] if environ["REQUEST_METHOD"] == "HEAD" else [response.body]
