"""ASGI over HTTP: what the server and the application say goes into the exchange, and its outputs are carried out."""

from http import HTTPStatus
from typing import Final

import anyio

from ..core.errors import ConfigurationError
from ..exchange.states import PASSES, Output, State
from ..flow import adrive
from ..paywall.delivery import STAY
from ..paywall.request import Body
from ..paywall.response import Response
from .body import KeptBody, drain, has_unread_body
from .exchange import ASGIExchange
from .scope import Message, is_http_1

_OF_THE_BODY: Final = frozenset({"http.response.body", "http.response.pathsend", "http.response.zerocopysend"})

# On Python 3.11 it takes 0.07 us to get a member from an Enum.
_SEND: Final = Output.SEND


class HTTPExchange(ASGIExchange):
    """One HTTP request's way through the application."""

    _held: Message | None = None
    _left_at = 0.0
    _kept_whole: anyio.Event | None = None
    _own_answer: anyio.Event | None = None
    _is_body_begun = False
    _is_body_whole = False
    _is_given_again = False

    async def receive(self) -> Message:
        """`receive` for the application: refuses before a body is read, and gives one again that was read."""
        if sale := self._sale():
            await self.pays(*sale)
        if self.is_over:
            if self._own_answer is not None:
                # Told before it is out, the application could be cancelled, and this answer with it.
                await self._own_answer.wait()
            return {"type": "http.disconnect"}
        if self._is_given_again:
            assert self._body is not None
            again = await self._body.message()
            if again is not None:
                return again
            self._is_given_again = False
        message = await self._next_message()
        if message["type"] == "http.disconnect":
            await self._stay()
        else:
            self.read(message.get("body", b""), more=message.get("more_body", False))
        return message

    async def _next_message(self) -> Message:
        """The server's next message, noted: a piece of the body, or that the client left."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._note_left()
        else:
            self._is_body_begun = True
        # Whoever left sends no more.
        self._is_body_whole = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """`send` for the application: nothing of an unpaid answer, and the last piece only once it is settled."""
        is_start = message["type"] == "http.response.start"
        if not is_start and self.state in PASSES:
            await self._send(message)
            return
        if is_start:
            # A 405 is the router's: the endpoint was not called, and there is nothing to sell, unless everything is.
            if (message["status"] != 405 or self.default is not None) and (sale := self._sale()):
                await self.pays(*sale)
            output = self.head(self.scope["method"], message["status"], message.get("headers", ()), at_once=True)
            if self.decision is not None:
                message = {**message, "headers": self.headers}
        else:
            output = self._body_of(message)
            if output is Output.SETTLE or output is Output.SETTLE_FOR_GOOD:
                output = await self._settled(output)
            if self._kept_whole is not None and not self.stays:
                self._kept_whole.set()
        if output is not _SEND:
            await self._hold_back(output, message)
        elif self.state in PASSES:
            await self._send(message)
        elif self.state is State.REFUSED:
            await self._send_early(message)
        else:
            await self._send_sold(message)

    def _body_of(self, message: Message) -> Output:
        is_last = not message.get("more_body", False)
        if message["type"] == "http.response.body":
            return self.piece(message.get("body", b""), is_last=is_last)
        if message["type"] in _OF_THE_BODY:
            return self.unseen(message.get("count"), is_last=is_last)
        return self.aside()

    async def _hold_back(self, output: Output, message: Message) -> None:
        """Carry out what is to be done in place of sending this message."""
        if output is Output.HOLD:
            self._held = message
        elif output is Output.SEND_INSTEAD:
            await self._respond(self.instead)
        elif output is Output.SEND_HEAD_ALONE:
            await self._send_own(self._held or message, b"")
        elif output is Output.CUT_OFF:
            raise self.cut_off()
        elif output is Output.STOP:
            raise OSError("the client has its headers, and wants no body")

    async def answer(self, response: Response) -> None:
        """Send a response of the paywall's own; whatever the application sends from now on is dropped."""
        if self.answer_now() is Output.SEND_INSTEAD:
            await self._respond(response)

    async def _respond(self, response: Response) -> None:
        start = {"type": "http.response.start", "status": response.status, "headers": response.headers}
        await self._send_own(start, b"" if self._method == "HEAD" else response.body)

    async def _send_own(self, start: Message, body: bytes) -> None:
        self._own_answer = anyio.Event()
        self._held = None
        self.restore_method()
        try:
            await adrive(self.give_back())
            await self._send(start)
            await self._send_early({"type": "http.response.body", "body": body})
        finally:
            self._own_answer.set()

    async def _send_early(self, message: Message) -> None:
        """Send what ends an answer to a request whose body may be unread, once that is read, within bounds."""
        is_last = message["type"] == "http.response.body" and not message.get("more_body", False)
        # Whoever is told 408 had its time for the body.
        is_late = isinstance(self.decision, Response) and self.decision.status == HTTPStatus.REQUEST_TIMEOUT
        if is_last and not self._is_body_whole and not is_late and has_unread_body(self.scope):
            await self._send({**message, "more_body": True})
            await drain(self._next_message)
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    async def _send_sold(self, message: Message) -> None:
        if self._held is not None and message["type"] in _OF_THE_BODY:
            start, self._held = self._held, None
            await self._send_watched(start)
        await self._send_watched(message)

    async def _send_watched(self, message: Message) -> None:
        try:
            await self._send(message)
        except OSError:
            self._note_left()
            if not self._may_stay():
                raise
        except anyio.get_cancelled_exc_class():
            # It may be the application's own time limit, which a client reaches by not reading.
            self.cut_short()
            raise

    def _note_left(self) -> None:
        if not self.has_left:
            self._left_at = anyio.current_time()
        self.client_left()

    def _may_stay(self) -> bool:
        return self.stays and anyio.current_time() < self._left_at + STAY

    async def _stay(self) -> None:
        """Do not tell the application that its client left before the answer is whole, and kept to be given again."""
        if self._may_stay():
            self._kept_whole = self._kept_whole or anyio.Event()
            with anyio.move_on_after(STAY):
                await self._kept_whole.wait()

    def _refuse_the_rest(self) -> None:
        if isinstance(self.decision, Response) and not self._is_body_whole and is_http_1(self.scope):
            # Otherwise the server takes the rest of the body, for as long as the client likes to send.
            self.decision.headers.append((b"connection", b"close"))

    @property
    def _method(self) -> str:
        """The method as the client sent it."""
        return "HEAD" if self.is_head else str(self.scope["method"])

    async def spool(self, body: Body) -> Body:
        """Read the whole body into `body`, and keep it for the application."""
        kept = self._body = KeptBody(body)
        if self._is_body_begun:
            raise ConfigurationError(
                "the request's body, which this sale is bound to, was read before the paywall could: "
                "put L402Middleware last in the list of middleware (FastAPI: add it first)"
            )
        await kept.fill(self.scope, self._next_message)
        self._is_given_again = True
        return body
