"""An exchange over ASGI: what HTTP and a WebSocket's handshake have in common."""

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

import anyio

from ..exchange.exchange import Exchange
from ..exchange.states import PASSES, Output, State
from ..flow import Call, adrive
from ..paywall.delivery import Delivery
from ..paywall.offer import Offer, Sale
from ..paywall.request import Body
from ..paywall.response import Response
from .body import KeptBody
from .scope import ASGIApp, Message, Receive, Scope, Send, view_of

if TYPE_CHECKING:
    from ..paywall.paywall import Paywall


class ASGIExchange(Exchange):
    """Translates one request for an ASGI server.

    `find_sale` says, as soon as the application has routed the request, which offer its endpoint makes, if any, and
    the endpoint's name; without one, the `default` counts. It is decided at the earliest of three moments: the body is
    read, the endpoint is called (`admit`), or a response starts.
    """

    is_head = False
    """Whether the application is shown a GET for the client's HEAD."""
    _decided: anyio.Event | None = None
    _body: KeptBody | None = None

    def __init__(
        self,
        paywall: "Paywall",
        scope: Scope,
        receive: Receive,
        send: Send,
        find_sale: Callable[[Scope], Sale | None],
        default: Sale | None = None,
    ) -> None:
        # As the base does: calling that takes a twentieth of what a free route costs.
        self.paywall = paywall
        self.default = default
        self.scope = scope
        self._receive = receive
        self._send = send
        self._find_sale = find_sale

    @abstractmethod
    async def receive(self) -> Message:
        """`receive` for the application."""

    @abstractmethod
    async def send(self, message: Message) -> None:
        """`send` for the application."""

    @abstractmethod
    async def answer(self, response: Response) -> None:
        """Send a response of the paywall's own, once; what the application sends from now on is dropped."""

    @abstractmethod
    async def spool(self, body: Body) -> Body:
        """Read the whole body into `body`, and keep it for the application."""

    async def run(self, app: ASGIApp, sale: Sale | None = None) -> None:
        """Run `app` for this request, once it has paid for `sale`, if that is known yet; see its answer to its end."""
        has_failed = False
        try:
            if sale is None or await self.pays(*sale):
                await app(self.scope, self.receive, self.send)
        except Exception:
            has_failed = True
            # Answered early, the application was cut off: how it fails then is of no interest.
            if not self.is_over:
                raise
        finally:
            # Most requests are for free routes.
            if self.state not in PASSES or self._body is not None:
                await self._close(has_failed)

    async def _close(self, has_failed: bool) -> None:
        if not has_failed:
            self.cut_short()
        try:
            if self.is_open:
                with anyio.CancelScope(shield=True):
                    await adrive(self.end())
        finally:
            self.restore_method()
            if self._body is not None:
                await self._body.close()

    async def admit(self, offer: Offer, endpoint: str) -> Response | None:
        """Decide about this request, once; the response to give instead of the handler's, or None: run it.

        Raises `ConfigurationError` where one request is asked to pay for two offers.
        """
        if self.is_new(offer, endpoint):
            try:
                await adrive(self.decide(view_of(self.scope, endpoint, self._read_body), offer))
                if isinstance(self.decision, Delivery):
                    self.scope["state"]["l402"] = self.decision.payment
                    if self.decision.runs_as_get:
                        self.is_head = True
                        self.scope["method"] = "GET"
                elif self._body is not None:
                    self._refuse_the_rest()
            finally:
                if self._decided is not None:
                    self._decided.set()
        elif self.state is State.DECIDING:
            self._decided = self._decided or anyio.Event()
            await self._decided.wait()
        return self.refusal()

    async def pays(self, offer: Offer, endpoint: str) -> bool:
        """Decide about this request before the application sees it: False where it was refused, and answered."""
        refusal = await self.admit(offer, endpoint)
        if refusal is not None:
            await self.answer(refusal)
        return not self.is_over

    def _refuse_the_rest(self) -> None:
        """The request is refused, and the paywall began to read its body."""

    def restore_method(self) -> None:
        """Show a HEAD for what it is again: servers look there whether an answer has a body."""
        if self.is_head:
            self.scope["method"] = "HEAD"

    def _read_body(self, body: Body) -> Call[Body]:
        return Call(self.spool, body)

    def _sale(self) -> Sale | None:
        """What this request has to pay for that was not decided about yet."""
        if self.state is not State.OPEN and self.state is not State.DECIDING:
            return None
        sale = self._find_sale(self.scope) or self.default
        # A paywall further inside may have taken this request over: then it answers for it.
        return sale if sale is not None and self.scope.get("l402") is self else None

    async def _settled(self, output: Output) -> Output:
        """What to do once the ledger was asked, as `output` says."""
        if output is Output.SETTLE_FOR_GOOD:
            with anyio.CancelScope(shield=True):
                return await adrive(self.settle())
        return await adrive(self.settle())
