"""ASGI over HTTP: a request in, a decision out, and the answer watched until it is delivered."""

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import nullcontext
from typing import Any, TypeAlias

import anyio

from ..core.errors import ConfigurationError, LedgerError, Refusal
from ..flow import Call, adrive
from ..paywall.body_budget import too_slow
from ..paywall.caller_binding import from_pem
from ..paywall.delivery import STAY, Delivery
from ..paywall.offer import Offer, Sale
from ..paywall.paywall import Decision, Paywall
from ..paywall.rendering import undelivered
from ..paywall.request import Body, RequestView, announced_length
from ..paywall.response import Response, body_length
from .body import KeptBody

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

log = logging.getLogger("l402_middleware")


def method_of(scope: Scope) -> str:
    """The request's method; a WebSocket's handshake, which is sold apart from a GET, has one of its own.

    Upper-case, because some servers pass `post` on, and some frameworks take it for POST: so must a price function.
    """
    return "WEBSOCKET" if scope["type"] == "websocket" else str(scope["method"]).upper()


class Visit:
    """One HTTP request's way through the application.

    `find_sale` says, as soon as the application has routed the request, which offer its endpoint makes, if any, and
    the endpoint's name; without one, the `default` counts. The visit admits at the earliest of three moments: the body
    is read, the endpoint is called (`admit`), or a response starts.
    """

    # Defaults of the class, because most requests are for free routes and change none of them.
    _sold: Sale | None = None
    _decision: Decision | None = None
    _deciding = False
    _decided: anyio.Event | None = None
    _answered = False
    _gone_at: float | None = None
    _is_partly_out = False
    _over: anyio.Event | None = None
    _start: Message | None = None
    _left: int | None = None
    _body: KeptBody | None = None
    _body_again: KeptBody | None = None
    _body_is_taken = False
    _body_is_cut_off = False

    def __init__(
        self,
        paywall: Paywall,
        scope: Scope,
        receive: Receive,
        send: Send,
        find_sale: Callable[[Scope], Sale | None],
        default: Sale | None = None,
    ) -> None:
        self.paywall = paywall
        self.scope = scope
        self._receive = receive
        self._send = send
        self._find_sale = find_sale
        self.default = default

    async def run(self, app: ASGIApp, sale: Sale | None = None) -> None:
        """Run `app` for this request, once it has paid for `sale`, if that is known yet; see its answer to its end."""
        has_failed = False
        try:
            if sale is None or await self.pays(*sale):
                await app(self.scope, self.receive, self.send)
        except Exception:
            has_failed = True
            # Answered early, the application was cut off: what it makes of that concerns nobody.
            if not self._answered:
                raise
        finally:
            if isinstance(self._decision, Delivery) and self._decision.is_open:
                # Clients can have an answer cut off: by an ill-formed request beside this one, for which Hypercorn
                # cancels both, or by reading slowly, until Quart gives up. Given back, the use would buy all but the
                # end of a stream, as often as they like.
                if self._is_partly_out and not has_failed:
                    self._note_gone()
                await self._end(self._decision)
            if self._body is not None:
                await self._body.close()

    async def admit(self, offer: Offer, endpoint: str) -> Response | None:
        """Decide about this request, once; the response to give instead of the handler's, or None: run it.

        Raises `ConfigurationError` where one request is asked to pay for two offers.
        """
        if self._sold is None:
            self._sold = offer, endpoint
            self._deciding = True
            try:
                self._decision = await adrive(self.paywall.admit(self._view(endpoint), offer))
                if isinstance(self._decision, Delivery):
                    self.scope["state"]["l402"] = self._decision.payment
                elif self._body_is_cut_off and self.scope.get("http_version", "1.1").startswith("1"):
                    # Otherwise the server takes the rest of the body, for as long as the client likes to send.
                    self._decision.headers.append((b"connection", b"close"))
            finally:
                self._deciding = False
                if self._decided is not None:
                    self._decided.set()
        elif self._sold[0] is not offer:
            raise ConfigurationError(
                f"{endpoint} is asked to be paid twice: a priced endpoint called another one, or has two decorators"
            )
        elif self._deciding:
            self._decided = self._decided or anyio.Event()
            await self._decided.wait()
        if self._decision is None:
            raise RuntimeError(f"whether {endpoint} was paid for could not be decided, so it is not served")
        return self._decision if isinstance(self._decision, Response) else None

    def was_asked_for(self, offer: Offer) -> bool:
        """Whether the default was decided about already, on the same terms: one middleware stands around its like."""
        return self._sold is not None and self._sold == self.default and self._sold[0].has_terms_of(offer)

    async def pays(self, offer: Offer, endpoint: str) -> bool:
        """Decide about this request before the application sees it: False where it was refused, and answered."""
        await self._admit_early(offer, endpoint)
        return not self._answered

    async def receive(self) -> Message:
        """`receive` for the application: refuses before a body is read, and gives one again that was read."""
        if self._decision is None and (sale := self._sale()):
            await self._admit_early(*sale)
        if self._answered:
            return {"type": "http.disconnect"}
        if self._body_again is not None:
            again = await self._body_again.message()
            if again is not None:
                return again
            self._body_again = None
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._note_gone()
            await self._stay()
        elif self._decision is None:
            self._body_is_taken = True
        elif isinstance(self._decision, Delivery):
            self._decision.read(message.get("body", b""), message.get("more_body", False))
        return message

    async def send(self, message: Message) -> None:
        """`send` for the application: nothing of an unpaid answer, and the last piece only once it is settled."""
        if self._decision is None and message["type"] == "http.response.start":
            # A 405 is the router's: the endpoint was not called, and there is nothing to sell, unless everything is.
            sale = self._sale() if message["status"] != 405 or self.default is not None else None
            if sale is not None:
                await self._admit_early(*sale)
        delivery = self._decision
        if delivery is None:
            await self._send(message)
        elif self._answered:
            pass
        elif not isinstance(delivery, Delivery):
            await self._send(message)
        elif delivery.is_watched:
            await self._deliver(delivery, message)
        else:
            if message["type"] == "http.response.start":
                message = {**message, "headers": delivery.start(message["status"], message.get("headers", ()))}
            await self._send(message)

    async def _deliver(self, delivery: Delivery, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            headers = delivery.start(message["status"], message.get("headers", ()))
            self._start = {**message, "headers": headers}
            # A stream's head goes out at once. Any other waits for the body's first piece, so that a failed
            # settlement can still be answered with a 503.
            self._left = body_length(self.scope["method"], message["status"], headers)
            if self._left is None:
                await self._send_start()
        elif kind == "http.response.body":
            piece = message.get("body", b"")
            delivery.take(piece)
            if self._left is not None:
                self._left -= len(piece)
            # Of a known length, the piece that completes it is the last: with it the client has everything.
            is_whole = self._left is not None and self._left <= 0
            await self._send_piece(delivery, message, is_last=is_whole or not message.get("more_body", False))
        elif kind in ("http.response.pathsend", "http.response.zerocopysend"):
            delivery.forgo_copy()
            await self._send_piece(delivery, message, is_last=not message.get("more_body", False))
        else:
            await self._send_watched(message)

    def _view(self, endpoint: str) -> RequestView:
        scope = self.scope
        client = scope.get("client")
        return RequestView(
            method=method_of(scope),
            endpoint=endpoint,
            path=scope["path"],
            query_string=scope["query_string"],
            headers=scope["headers"],
            peer=client[0] if client else None,
            read_body=lambda body: Call(self.spool, body),
            read_certificate=self._certificate,
            scheme=scope.get("scheme", "http"),
        )

    def _certificate(self) -> bytes | None:
        """What the server says by ASGI's `tls` extension; few servers do."""
        tls = (self.scope.get("extensions") or {}).get("tls") or {}
        chain = () if tls.get("client_cert_error") else tls.get("client_cert_chain") or ()
        return from_pem(next(iter(chain), ""))

    def _sale(self) -> Sale | None:
        sale = self._find_sale(self.scope) or self.default
        # A paywall further inside may have taken this request over: then it answers for it.
        return sale if sale is not None and self.scope.get("l402") is self else None

    async def _admit_early(self, offer: Offer, endpoint: str) -> None:
        refusal = await self.admit(offer, endpoint)
        if refusal is not None:
            await self.answer(refusal)

    async def answer(self, response: Response) -> None:
        """Send a response of the paywall's own; whatever the application sends from now on is dropped."""
        # Of several tasks that asked at the same time, one answers.
        if not self._answered:
            self._answered = True
            await respond(self._send, response, self.scope["method"])

    async def _send_piece(self, delivery: Delivery, message: Message, *, is_last: bool) -> None:
        if is_last and not await self._settle(delivery):
            if self._start is None:
                raise LedgerError("the payment of an answer already begun could not be settled: it is cut off")
            await self.answer(undelivered())
            return
        self._check_over(delivery)
        await self._send_start()
        self._is_partly_out = self._is_partly_out or message.get("body") != b""
        await self._send_watched(message)

    async def _settle(self, delivery: Delivery) -> bool:
        try:
            # Cancelled, it would give the use back: not where all but the last piece is out already.
            with anyio.CancelScope(shield=True) if self._is_partly_out else nullcontext():
                return await adrive(delivery.finish())
        except LedgerError as error:
            log.error("an answer could not be settled, and was not delivered: %s", error)
        return False

    async def _send_start(self) -> None:
        if self._start is not None:
            start, self._start = self._start, None
            await self._send_watched(start)

    async def _send_watched(self, message: Message) -> None:
        try:
            await self._send(message)
        except OSError:
            self._note_gone()
            if not self._may_stay():
                raise
        except anyio.get_cancelled_exc_class():
            # By the application's own time limit, it may be: a client that does not read could reach it.
            if self._is_partly_out:
                self._note_gone()
            raise

    def _note_gone(self) -> None:
        self._gone_at = self._gone_at or anyio.current_time()

    def _may_stay(self) -> bool:
        decision = self._decision
        assert self._gone_at is not None
        in_time = anyio.current_time() < self._gone_at + STAY
        return in_time and isinstance(decision, Delivery) and decision.stays

    async def _stay(self) -> None:
        """Do not tell the application that its client left before the answer is whole, and kept to be given again."""
        if self._may_stay():
            self._over = self._over or anyio.Event()
            with anyio.move_on_after(STAY):
                await self._over.wait()

    def _check_over(self, delivery: Delivery) -> None:
        if self._over is not None and not delivery.stays:
            self._over.set()

    async def _end(self, delivery: Delivery) -> None:
        with anyio.CancelScope(shield=True):
            try:
                await adrive(delivery.vanish() if self._gone_at is not None else delivery.fail())
            except LedgerError as error:
                log.error("the answer to a client that left could not be settled: %s", error)

    async def spool(self, body: Body) -> Body:
        """Read the whole body into `body`, and keep it for the application."""
        kept = self._body = KeptBody(body)
        self._body_is_cut_off = True
        if self._body_is_taken:
            raise ConfigurationError(
                "the request's body, which this sale is bound to, was read before the paywall could: "
                "put L402Middleware last in the list of middleware (FastAPI: add it first)"
            )
        for name, value in self.scope["headers"]:
            if name.lower() == b"content-length":
                body.expect(announced_length(value.decode("latin-1")) or 0)
        more = True
        while more:
            with anyio.move_on_after(body.seconds_left()) as in_time:
                message = await self._receive()
            if in_time.cancelled_caught:
                raise too_slow()
            if message["type"] == "http.disconnect":
                self._note_gone()
                raise Refusal(400, "incomplete-body", "The connection ended before the request's body did.")
            more = message.get("more_body", False)
            await kept.write(message.get("body", b""), is_last=not more)
        self._body_again = kept
        self._body_is_cut_off = False
        return body


async def respond(send: Send, response: Response, method: str) -> None:
    """Send a whole response; HEAD gets its headers only."""
    await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else response.body})
