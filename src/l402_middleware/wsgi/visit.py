"""WSGI (PEP 3333): a request in, a decision out."""

from collections.abc import Callable, Iterable
from ssl import SSLSocket
from typing import TYPE_CHECKING, Any, TypeVar

from ..core.errors import ConfigurationError
from ..flow import Call, drive
from ..paywall.caller_binding import from_pem
from ..paywall.delivery import Delivery
from ..paywall.offer import Offer, Sale
from ..paywall.paywall import Decision, Paywall
from ..paywall.request import Body, RequestView
from ..paywall.response import Response
from .answer import Answer, respond
from .environ import headers_of, method_of, split_path
from .input import WatchedInput, content_length, read_whole

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

T = TypeVar("T")

VISIT = "l402_middleware.visit"
PAYMENT = "l402_middleware.payment"


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
        self._input: WatchedInput | None = None
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
                    self._input = self.environ["wsgi.input"] = WatchedInput(stream, length, self.decision)
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
        answer = Answer(self, start_response)
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
