"""`L402Auth` for requests: `session.auth = L402Auth(wallet, budget=Budget(50))`. Needs the extra `requests`."""

import threading
import time
from collections.abc import Callable
from typing import Any

from ..core.errors import ConfigurationError
from .asked import Asked, origin_of
from .budget import Budget
from .buyer import Buyer, Confirm, Done, Scheme
from .steps import Answer, Drain, Send, Trade
from .store import MemoryStore
from .wallet import Wallet

try:
    import requests
    from requests.auth import AuthBase
except ImportError as missing:
    raise ConfigurationError(
        "l402_middleware.client.requests needs the package requests: pip install 'l402_middleware[requests]'"
    ) from missing


class L402Auth(AuthBase):
    """As `l402_middleware.client.L402Auth`, for requests: `requests.get(url, auth=L402Auth(...))`, or a session's.

    An answer that was paid for has a `Receipt` in its attribute `l402`, on others that is None. A request's body is
    read into memory first. With `stream=True` an answer counts as delivered with its head.
    """

    def __init__(
        self,
        wallet: Wallet,
        *,
        budget: Budget,
        store: MemoryStore | None = None,
        confirm: Confirm | None = None,
        schemes: tuple[Scheme, ...] = ("l402", "payment"),
        patience: float = 60.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.buyer = Buyer(wallet, budget, store, confirm=confirm, schemes=schemes, patience=patience, clock=clock)
        self._here = threading.local()

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Prepare the request; what becomes of its answer is decided when that is there."""
        # A thread sends one request after the other: an earlier one without an answer has failed.
        earlier: _Visit | None = getattr(self._here, "visit", None)
        if earlier is not None:
            earlier.close()
        self._here.visit = _Visit(self.buyer, request)
        return request


class _Visit:
    """One request, which its trade may send several times."""

    def __init__(self, buyer: Buyer, request: requests.PreparedRequest) -> None:
        self._own = request.headers.get("Authorization")
        self._trade: Trade[Done] = buyer.trade(Asked(request.method or "GET", _url_of(request), _body_of(request)))
        self._response: requests.Response | None = None
        # The first step that is requests' own to carry out is to send this.
        try:
            self._authorize(request, self._until_send(next(self._trade)))
        except StopIteration:
            raise AssertionError("a trade sends something before it ends") from None
        request.register_hook("response", self._on_response)

    def close(self) -> None:
        """Give up what is claimed, if that has not happened yet."""
        self._trade.close()

    def _on_response(self, response: requests.Response, **arguments: Any) -> requests.Response:
        """What requests calls with each answer, before it follows a redirect; it goes on with what this returns."""
        response.l402 = None  # type: ignore[attr-defined]
        if response.is_redirect or self._response is not None:
            return response
        earlier = []
        try:
            while True:
                self._response = response
                send = self._until_send(self._trade.send(_answer(response)))
                response.close()
                again = response.request.copy()
                self._authorize(again, send)
                earlier.append(response)
                response = response.connection.send(again, **arguments)
                response.request, response.history = again, [*earlier]
        except StopIteration as end:
            done: Done = end.value
        except BaseException:
            response.close()
            raise
        finally:
            self._trade.close()
        response.l402 = done.receipt  # type: ignore[attr-defined]
        if done.end is not None:
            self._deliver(response, done.end, bool(arguments.get("stream")))
        return response

    def _deliver(self, response: requests.Response, end: Callable[[bool], None], is_stream: bool) -> None:
        complete = False
        try:
            complete = is_stream or response.content is not None
        finally:
            end(complete)

    def _until_send(self, step: Any) -> Send:
        """Carry out steps until one is to send."""
        while not isinstance(step, Send):
            try:
                result = self._drained(step) if isinstance(step, Drain) else step.block()
            except BaseException as error:
                step = self._trade.throw(error)
            else:
                step = self._trade.send(result)
        return step

    def _authorize(self, request: requests.PreparedRequest, send: Send) -> None:
        # requests has no second line of one name; a comma is as good (RFC 9110, section 5.3).
        values = [str(value) for value in (self._own, send.authorization) if value is not None]
        request.headers.pop("Authorization", None)
        if values:
            request.headers["Authorization"] = ", ".join(values)

    def _drained(self, limits: Drain) -> bytes:
        response, content, until = self._response, bytearray(), time.monotonic() + limits.SECONDS
        assert response is not None
        for piece in response.iter_content(4096):
            content += piece
            if len(content) > limits.MAX_BYTES or time.monotonic() > until:
                content.clear()
                break
        response.close()
        return bytes(content)


def _answer(response: requests.Response) -> Answer:
    fields = response.raw.headers
    listed = fields.getlist("WWW-Authenticate") if hasattr(fields, "getlist") else [fields.get("WWW-Authenticate", "")]
    return Answer(
        response.status_code,
        origin_of(response.url),
        tuple(value.encode("latin-1", "replace") for value in listed),
        response.headers.get("Retry-After"),
        response.headers.get("Payment-Receipt"),
    )


def _url_of(request: requests.PreparedRequest) -> str:
    url = (request.url or "").partition("#")[0]
    try:
        origin_of(url)
    except ValueError:
        raise ConfigurationError("L402Auth: the request's URL is not an http or https URL with a host") from None
    return url


def _body_of(request: requests.PreparedRequest) -> bytes:
    body: Any = request.body
    if body is None:
        return b""
    if isinstance(body, str):
        return body.encode()
    if not isinstance(body, bytes):
        # It has to be sent again, and a file or a generator can be read once.
        body = body.read() if hasattr(body, "read") else b"".join(body)
        request.headers.pop("Transfer-Encoding", None)
        request.body = body
        request.prepare_content_length(body)
    return bytes(body)
