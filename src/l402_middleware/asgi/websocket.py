"""ASGI over WebSockets: a handshake is decided before it is accepted, and delivered when it is."""

from http import HTTPStatus
from typing import Final

from ..exchange.states import Output, State
from ..paywall.delivery import Delivery
from ..paywall.request import Body
from ..paywall.response import Response
from .body import KeptBody
from .exchange import ASGIExchange
from .scope import Message

# RFC 6455, section 7.4.1: policy violation. Before the handshake is accepted, a server says 403 instead.
CLOSE_CODE: Final = 1008


class WebSocketExchange(ASGIExchange):
    """One WebSocket's way through the application.

    Its use is settled just before the handshake is accepted, and given back where it never is; there is no replay.
    What comes after passes through.
    """

    async def receive(self) -> Message:
        """`receive` for the application, which learns of a refusal as of a client that left."""
        if sale := self._sale():
            await self.pays(*sale)
        if self.is_over:
            return {"type": "websocket.disconnect", "code": 1006, "reason": ""}
        return await self._receive()

    async def send(self, message: Message) -> None:
        """`send` for the application: it accepts nothing that is not paid, and settled."""
        status = _status(message)
        output = self.aside() if status is None or self.state is State.DELIVERED else await self._conclude(status)
        if output is Output.SEND:
            await self._send(message)
        elif output is Output.SEND_INSTEAD:
            await self._respond(self.instead)
        elif output is Output.CUT_OFF:
            raise self.cut_off()

    async def _conclude(self, status: int) -> Output:
        if sale := self._sale():
            await self.pays(*sale)
        output = self.head("GET", status, [], at_once=False)
        if not isinstance(self.decision, Delivery):
            return output
        # With the head the client has what it paid for.
        output = self.unseen(None, is_last=True)
        return output if output is Output.SEND else await self._settled(output)

    async def answer(self, response: Response) -> None:
        """Give this response in place of a WebSocket; a plain 403 where the server cannot send one."""
        if self.answer_now() is Output.SEND_INSTEAD:
            await self._respond(response)

    async def _respond(self, response: Response) -> None:
        if "websocket.http.response" in (self.scope.get("extensions") or {}):
            await self._send(
                {"type": "websocket.http.response.start", "status": response.status, "headers": response.headers}
            )
            await self._send({"type": "websocket.http.response.body", "body": response.body})
        else:
            await self._send({"type": "websocket.close", "code": CLOSE_CODE, "reason": str(response.status)})

    async def spool(self, body: Body) -> Body:
        """A handshake has no body."""
        self._body = KeptBody(body)
        return body


def _status(message: Message) -> int | None:
    """The status with which a message ends the handshake; None where it does not, or only refuses it."""
    if message["type"] == "websocket.accept":
        return HTTPStatus.SWITCHING_PROTOCOLS
    return message["status"] if message["type"] == "websocket.http.response.start" else None
