"""WSGI (PEP 3333): what the server and the application do goes into the exchange, and its outputs are carried out."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from ..core.errors import ConfigurationError
from ..exchange.exchange import Exchange
from ..exchange.states import Output, State
from ..flow import Call, drive
from ..paywall.delivery import STAY, Delivery
from ..paywall.offer import Offer, Sale
from ..paywall.request import Body
from ..paywall.response import Response, refused
from .environ import split_path, view_of
from .headers import raw_headers, respond, status_line, text_headers
from .input import WatchedInput, content_length, drain, read_whole

if TYPE_CHECKING:
    from _typeshed import OptExcInfo
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from ..paywall.paywall import Paywall

T = TypeVar("T")

EXCHANGE = "l402_middleware.exchange"
PAYMENT = "l402_middleware.payment"

log = logging.getLogger("l402_middleware")


class WSGIExchange(Exchange):
    """One request's way through the application; it stands in the environ under `EXCHANGE` while that runs.

    It is the iterable that the server gets of an answer that is sold, and settles just before its last piece. Where
    there is a `default`, no answer goes out undecided.
    """

    _body: Body | None = None
    _input: WatchedInput | None = None
    _is_head = False
    _is_again = False
    _held: "tuple[str, OptExcInfo | None] | None" = None
    _left_at = 0.0
    _is_ended = False

    def __init__(self, paywall: "Paywall", environ: "WSGIEnvironment", default: Sale | None = None) -> None:
        super().__init__(paywall, default)
        self.environ = environ
        self._start_response: StartResponse
        self._pieces: Iterator[bytes] = iter(())
        self._close: Callable[[], object] = lambda: None
        self._server_write: Callable[[bytes], object] = lambda piece: None
        environ[PAYMENT] = None

    # The request.

    def admit(self, offer: Offer, endpoint: str) -> Response | None:
        """Decide about this request, once; the response to give instead of the handler's, or None: run it.

        Raises `ConfigurationError` where one request is asked to pay for two offers.
        """
        if self.is_new(offer, endpoint):
            view = view_of(self.environ, endpoint, self.path(), lambda body: Call(self.spool, body))
            drive(self.decide(view, offer))
            if isinstance(self.decision, Delivery):
                self.environ[PAYMENT] = self.decision.payment
                if self.decision.runs_as_get:
                    self._is_head = True
                    self.environ["REQUEST_METHOD"] = "GET"
                if self._body is None:
                    stream, length = self.environ["wsgi.input"], content_length(self.environ)
                    self._input = self.environ["wsgi.input"] = WatchedInput(stream, length, self.decision)
        return self.refusal()

    def path(self) -> str:
        """The path as the application sees it, with its mount."""
        return "".join(split_path(self.environ))

    def spool(self, body: Body) -> Body:
        """Read the whole body into `body`, and keep it for the application."""
        self._body = body
        read_whole(self.environ, body)
        self.environ["wsgi.input"] = body.rewind()
        self.environ["CONTENT_LENGTH"] = str(body.size)
        return body

    def inside(self, function: Callable[..., T], *args: Any) -> T:
        """Call what belongs to the application, with this exchange in the environ.

        No longer than that: another application that is called with the same environ would be served for this one's
        payment, unwatched. And in a circle with the environ, all of this would wait for the garbage collector.
        """
        outer = self.environ.get(EXCHANGE)
        self.environ[EXCHANGE] = self
        try:
            return function(*args)
        finally:
            if outer is None:
                self.environ.pop(EXCHANGE, None)
            else:
                self.environ[EXCHANGE] = outer

    # The answer.

    def run(self, app: "WSGIApplication", start_response: "StartResponse", sale: Sale | None = None) -> Iterable[bytes]:
        """Run `app` for this request, once it has paid for `sale`, if that is known yet; see its answer to its end."""
        self._start_response = start_response
        try:
            refusal = None if sale is None else self.admit(*sale)
            if refusal is None:
                pieces = self.inside(app, self.environ, self.start)
            else:
                pieces = respond(refusal, self.environ, self.start)
        except BaseException:
            self._give_up()
            raise
        if isinstance(self.decision, Delivery):
            self._pieces = iter(pieces)
            self._close = getattr(pieces, "close", self._close)
            return self
        self._close_body()
        if not isinstance(self.decision, Response):
            return pieces
        if self._is_again:
            getattr(pieces, "close", self._close)()
            pieces = [b"" if self.environ["REQUEST_METHOD"] == "HEAD" else self.decision.body]
        return drain(self.environ, pieces)

    def start(
        self, status: str, headers: list[tuple[str, str]], exc_info: "OptExcInfo | None" = None
    ) -> Callable[[bytes], object]:
        """The application's `start_response`."""
        if self.state is State.OPEN and self.default is not None:
            raise ConfigurationError("something answered before the application's default price was asked for")
        if self.is_out:
            # PEP 3333: the server raises the application's error again, its headers being out already.
            return self._start_response(status, headers, exc_info)
        output = self.head(self.environ["REQUEST_METHOD"], int(status[:3]), raw_headers(headers), at_once=False)
        if output is Output.SEND:
            if self.decision is None:
                return self._start_response(status, headers, exc_info)
            if isinstance(self.decision, Response):
                # It went through the application's hooks when it was made: a second time would be once too often.
                self._is_again = self.decision.is_again and int(status[:3]) == self.decision.status
                self.headers = self.decision.headers if self._is_again else refused(self.headers, self.decision)
            self._server_write = self._start_response(status, text_headers(self.headers), exc_info)
            return self._write
        if output is Output.CUT_OFF:
            raise self.cut_off()
        self._held = status, exc_info
        if output is Output.SEND_HEAD_ALONE:
            self._send_head_alone()
        return self._write

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        while not self._is_ended:
            try:
                piece: bytes | None = self.inside(next, self._pieces, None)
            except BaseException:
                self._give_up()
                raise
            if piece is None:
                self._is_ended = True
                if self.state is State.WORKING or self.state is State.HEAD_WORKING:
                    # It never began an answer, which the server has a word for.
                    self._end()
                    break
            sent = self._carry_out(self.piece(piece or b"", is_last=piece is None), piece)
            if sent is not None:
                return sent
        raise StopIteration

    def _carry_out(self, output: Output, piece: bytes | None) -> bytes | None:
        """What goes to the server now, if anything."""
        if output is Output.SETTLE or output is Output.SETTLE_FOR_GOOD:
            output = drive(self.settle())
        if output is Output.SEND:
            self._begin()
            return piece
        if output is Output.SEND_INSTEAD:
            self._is_ended = True
            self._held, self.headers = (status_line(self.instead), None), self.instead.headers
            self._restore_method()
            self._begin()
            return b"" if self._is_head or self.environ["REQUEST_METHOD"] == "HEAD" else self.instead.body
        if output is Output.SEND_HEAD_ALONE:
            self._send_head_alone()
        elif output is Output.CUT_OFF:
            raise self.cut_off()
        elif output is Output.STOP:
            self._is_ended = True
        return None

    def _send_head_alone(self) -> None:
        # The rest of the body is for nobody.
        self._is_ended = True
        drive(self.give_back())
        self._restore_method()
        self._begin()

    def _begin(self) -> None:
        if self._held is not None:
            (status, exc_info), self._held = self._held, None
            self._server_write = self._start_response(status, text_headers(self.headers), exc_info)

    def _write(self, piece: bytes) -> object:
        """PEP 3333's `write`, for applications that push."""
        sent = self._carry_out(self.piece(piece, is_last=False), piece)
        if sent is None:
            return None
        try:
            return self._server_write(sent)
        except BaseException as error:
            # Servers say in their own ways that a client left; so they do not where a piece is no bytes.
            if not isinstance(error, TypeError | AssertionError):
                if not self._left_at:
                    self._left_at = time.monotonic()
                is_worth_it = self.client_left() is Output.STAY and time.monotonic() < self._left_at + STAY
                if isinstance(error, Exception) and is_worth_it:
                    return None
            raise

    # The end.

    def close(self) -> None:
        """The server is done: an answer that neither ended nor failed was left by its client."""
        try:
            self._stay()
        finally:
            try:
                self._close()
            finally:
                self.client_left()
                self._end()

    def _stay(self) -> None:
        """Finish an answer that its client did not wait for, so that it can be given again."""
        until = time.monotonic() + STAY
        try:
            while self.is_out and self.stays and time.monotonic() < until:
                next(self)
        except StopIteration:
            pass
        except Exception as error:
            log.warning("the answer to a client that left failed: %s", type(error).__name__)

    def _give_up(self) -> None:
        """The application failed. Where its client made it fail, by breaking off its own body, or by not taking what
        it pushes, that client just left: it could otherwise take all but the end of an answer, as often as it likes.
        """
        if self._input is not None and self._input.broke_off:
            self.client_left()
        self._end()

    def _end(self) -> None:
        self._is_ended = True
        self._restore_method()
        try:
            drive(self.end())
        finally:
            self._close_body()

    def _close_body(self) -> None:
        if self._body is not None:
            self._body.close()

    def _restore_method(self) -> None:
        # Servers look here whether an answer has a body.
        if self._is_head:
            self.environ["REQUEST_METHOD"] = "HEAD"
