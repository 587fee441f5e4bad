"""ASGI over WebSockets: a handshake is decided before it is accepted, and delivered when it is."""

from http import HTTPStatus
from typing import Final

from ..paywall.delivery import Delivery
from ..paywall.rendering import undelivered
from ..paywall.request import Body
from ..paywall.response import Response
from .body import KeptBody
from .visit import Message, Visit

# RFC 6455, section 7.4.1: policy violation. Before the handshake is accepted, a server says 403 instead.
CLOSE_CODE: Final = 1008


class Handshake(Visit):
    """One WebSocket's way through the application.

    Its use is settled just before the handshake is accepted, and given back where it never is; there is no replay.
    What comes after passes through.
    """

    _is_over = False

    async def receive(self) -> Message:
        """`receive` for the application, which learns of a refusal as of a client that left."""
        if not self._is_over and self._decision is None and (sale := self._sale()):
            await self._admit_early(*sale)
        if self._answered:
            return {"type": "websocket.disconnect", "code": 1006, "reason": ""}
        return await self._receive()

    async def send(self, message: Message) -> None:
        """`send` for the application: it accepts nothing that is not paid, and settled."""
        if not self._is_over:
            status = _status(message)
            if status is not None:
                await self._conclude(status)
        if not self._answered:
            await self._send(message)

    async def _conclude(self, status: int) -> None:
        if self._decision is None and (sale := self._sale()):
            await self._admit_early(*sale)
        if isinstance(self._decision, Delivery):
            self._decision.start(status, [])
            self._decision.forgo_copy()
            if not await self._settle(self._decision):
                await self.answer(undelivered())
        self._is_over = True

    async def answer(self, response: Response) -> None:
        """Give this response in place of a WebSocket; a plain 403 where the server cannot send one."""
        if self._answered:
            return
        self._answered = True
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
