"""The middleware around any ASGI application: what every one of ours does, and the one that sells everything."""

from collections.abc import Iterable
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING

from ..exchange.exchange import refuse_other_than_paywall
from ..flow import adrive
from ..paywall.cors import wanted_method
from ..paywall.offer import Offer, Price, Sale
from ..paywall.whole_application import WholeApplication, endpoint_name, refuse_decorated
from .exchange import ASGIExchange
from .http import HTTPExchange
from .scope import ASGIApp, Message, Receive, Scope, Send, method_of, split_path
from .websocket import WebSocketExchange

if TYPE_CHECKING:
    from ..paywall.paywall import Paywall
    from ..paywall.response import Response

current_exchange: ContextVar[ASGIExchange | None] = ContextVar("l402_exchange", default=None)
"""For endpoints that do not ask for their request."""


class PaywallMiddleware:
    """Gives every request an exchange, the development wallet its path, and the paywall its end with the application.

    Where there is a `whole` application to sell, its offer counts before the application sees a request, but for those
    that are certain to get to an endpoint with an offer of its own. That one is asked for when routing has chosen.
    """

    def __init__(self, app: ASGIApp, paywall: "Paywall", whole: WholeApplication | None) -> None:
        refuse_other_than_paywall(paywall)
        self.app = app
        self.paywall = paywall
        self._wallet_path = paywall.wallet_path
        self.whole = whole

    def foresees_own_sale(self, scope: Scope) -> bool:
        """Whether it is certain that this request will be asked to pay for another offer than the default one."""
        return False

    def own_sale(self, scope: Scope) -> Sale | None:
        """What the endpoint sells that routing has chosen by now; None where it has not, or it sells nothing."""
        return None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http" and self._wallet_path is not None and self._is_for(self._wallet_path, scope):
            await answer_wallet(self.paywall, scope, send)
        elif kind == "http" and scope["method"] == "OPTIONS" and (allowed := self._preflight(scope)) is not None:
            await respond(allowed, scope, send)
        elif kind == "http" and self.paywall.discovery is not None and (document := self._document(scope)) is not None:
            await respond(document, scope, send)
        elif kind in ("http", "websocket"):
            outer = scope.get("l402")
            if outer is not None and outer.paywall is self.paywall:
                if await self._joins(outer, scope):
                    await self.app(scope, receive, send)
                return
            default, sale = self.sales(scope)
            make = HTTPExchange if kind == "http" else WebSocketExchange
            exchange: ASGIExchange = make(self.paywall, scope, receive, send, self.own_sale, default)
            scope["l402"] = exchange
            scope.setdefault("state", {})["l402"] = None
            token = current_exchange.set(exchange)
            try:
                await exchange.run(self.app, sale)
            finally:
                current_exchange.reset(token)
                # The exchange has the scope: in a circle with it, both would wait for the garbage collector, with what
                # the server hangs on them. Granian, for one, kept the connection of a refused upload open so long.
                scope.pop("l402", None)
            if outer is not None:
                # The other paywall's may stand around a cascade, and have more to decide about.
                scope["l402"] = outer
        elif kind == "lifespan":
            await self.app(scope, receive, partial(self._send_lifespan, send))
        else:
            await self.app(scope, receive, send)

    def _is_for(self, path: str, scope: Scope) -> bool:
        # Below its mount, as any path of the application's.
        return scope["path"].endswith(path) and split_path(scope)[1] == path

    def is_sold(self, scope: Scope) -> bool:
        """Whether a request like this one would have to pay."""
        return self.whole is not None and whole_sale(self.whole, scope) is not None

    def _preflight(self, scope: Scope) -> "Response | None":
        """The answer to the preflight of a request that would have to pay, where browsers' scripts may pay at all."""
        if self.paywall.cors is None or (method := wanted_method(scope["headers"])) is None:
            return None
        if not self.is_sold({**scope, "method": method.decode("ascii").upper()}):
            return None
        return self.paywall.cors.preflight(scope["headers"])

    def _document(self, scope: Scope) -> "Response | None":
        """What programs find the service by, where this request is for it."""
        from ..discovery.documents import document_for  # noqa: PLC0415 - loaded where documents are asked for

        return document_for(self, self.paywall, scope["method"], *split_path(scope))

    async def _joins(self, outer: ASGIExchange, scope: Scope) -> bool:
        """Decide within the exchange that another middleware of this paywall began; False where that refused it."""
        default, sale = self.sales(scope)
        outer.default = outer.default or default
        return sale is None or outer.was_asked_for(sale[0]) or await outer.pays(*sale)

    def sales(self, scope: Scope) -> tuple[Sale | None, Sale | None]:
        """The default sale for this request, and what it has to pay before the application sees it."""
        if self.whole is None:
            return None, None
        default = whole_sale(self.whole, scope)
        return default, None if default is None or self.foresees_own_sale(scope) else default

    async def _send_lifespan(self, send: Send, message: Message) -> None:
        if message["type"].startswith("lifespan.shutdown."):
            await self.paywall.aclose()
        await send(message)


class L402Middleware(PaywallMiddleware):
    """Sells every request to an ASGI application, of whatever framework, but for those to the paths in `free`.

    What was not paid for is answered before the application sees it: unknown paths and methods, static files and
    WebSocket handshakes too. A payment buys one method and path. The application finds the `Payment` in
    `scope["state"]["l402"]`, None where the path is free.

    - `default`: an `Offer`, or a price as `Offer` takes it.
    - `free`: exact paths, decoded, below the `root_path`, without a query; another spelling of one is not free.

    Raises `ConfigurationError`, also for an application with endpoints that `@l402_required` prices: sell the rest
    of that with its own framework's middleware, which takes `default` and `free` too.
    """

    def __init__(self, app: ASGIApp, paywall: "Paywall", *, default: Price | Offer, free: Iterable[str] = ()) -> None:
        super().__init__(app, paywall, WholeApplication(default, free))
        self._is_checked = False
        refuse_decorated(app)

    def foresees_own_sale(self, scope: Scope) -> bool:
        """Never: there must be none."""
        if not self._is_checked:
            # Routes may have been added since.
            refuse_decorated(self.app)
            self._is_checked = True
        return False


def whole_sale(whole: WholeApplication, scope: Scope) -> Sale | None:
    """What a request to a whole application buys; None where its path is free."""
    mount, path = split_path(scope)
    if path in whole.free:
        return None
    return whole.offer, endpoint_name(method_of(scope), mount, path)


async def answer_wallet(paywall: "Paywall", scope: Scope, send: Send) -> None:
    """Answer a request to the development wallet."""
    client = scope.get("client")
    response = await adrive(
        paywall.answer_wallet(
            scope["method"], scope["query_string"].decode("latin-1"), client[0] if client else None, scope["headers"]
        )
    )
    await respond(response, scope, send)


async def respond(response: "Response", scope: Scope, send: Send) -> None:
    """Give a whole response past the application; HEAD gets its headers only."""
    await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else response.body})
