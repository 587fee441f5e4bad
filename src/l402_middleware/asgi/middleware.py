"""The middleware around any ASGI application: what every one of ours does, and the one that sells everything."""

from collections.abc import Iterable
from functools import partial

from ..core.errors import ConfigurationError
from ..flow import adrive
from ..paywall.offer import Offer, Price
from ..paywall.paywall import Paywall
from ..paywall.whole_application import WholeApplication, endpoint_name, refuse_decorated
from .visit import ASGIApp, Message, Receive, Sale, Scope, Send, Visit, method_of, respond
from .websocket import Handshake


class PaywallMiddleware:
    """Gives every request a visit, the development wallet its path, and the paywall its end with the application.

    A subclass says what is sold: before the application sees a request (`sale_before`), or as soon as its router has
    chosen an endpoint (`sale_of_endpoint`).
    """

    def __init__(self, app: ASGIApp, paywall: Paywall) -> None:
        if not isinstance(paywall, Paywall):
            raise ConfigurationError(f"L402Middleware needs paywall=Paywall(...), not {paywall!r}")
        self.app = app
        self.paywall = paywall

    def sale_before(self, scope: Scope) -> Sale | None:
        """What this request has to pay before the application sees it, if anything."""
        raise NotImplementedError

    def sale_of_endpoint(self, scope: Scope) -> Sale | None:
        """What this request has to pay now, if anything: asked again whenever routing may have chosen."""
        raise NotImplementedError

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http" and self.paywall.has_wallet_at(scope["path"]):
            await answer_wallet(self.paywall, scope, send)
        elif kind in ("http", "websocket"):
            outer = scope.get("l402")
            if outer is None or outer.paywall is not self.paywall:
                await self._visit(scope, receive, send)
            elif (sale := self.sale_before(scope)) is None or outer.is_for(*sale) or await outer.pays(*sale):
                await self.app(scope, receive, send)
        elif kind == "lifespan":
            await self.app(scope, receive, partial(self._send_lifespan, send))
        else:
            await self.app(scope, receive, send)

    async def _visit(self, scope: Scope, receive: Receive, send: Send) -> None:
        sale = self.sale_before(scope)
        make = Handshake if scope["type"] == "websocket" else Visit
        visit = scope["l402"] = make(self.paywall, scope, receive, send, self.sale_of_endpoint)
        scope.setdefault("state", {})["l402"] = None
        await self.run(visit, sale)

    async def run(self, visit: Visit, sale: Sale | None) -> None:
        """Run the application for a request that no other middleware of this paywall has seen."""
        await visit.run(self.app, sale)

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

    Raises `ConfigurationError`, also for an application with endpoints that `@l402_required` prices: such a one sells
    the rest with its own framework's middleware, which takes `default` and `free` too.
    """

    def __init__(self, app: ASGIApp, paywall: Paywall, *, default: Price | Offer, free: Iterable[str] = ()) -> None:
        super().__init__(app, paywall)
        self._whole = WholeApplication(default, free)
        self._is_checked = False
        refuse_decorated(app)

    def sale_before(self, scope: Scope) -> Sale | None:
        """The default offer, unless the path is free."""
        if not self._is_checked:
            # Routes may have been added since.
            refuse_decorated(self.app)
            self._is_checked = True
        return whole_sale(self._whole, scope)

    def sale_of_endpoint(self, scope: Scope) -> Sale | None:
        """Nothing more: all that there is to sell was sold before."""
        return None


def whole_sale(whole: WholeApplication, scope: Scope) -> Sale | None:
    """What a request to a whole application buys; None where its path is free."""
    mount, path = split_path(scope)
    if path in whole.free:
        return None
    return whole.offer, endpoint_name(method_of(scope), mount, path)


def split_path(scope: Scope) -> tuple[str, str]:
    """The mount that a server, a router or a proxy says, and the path below it, which the application routes by."""
    mount, path = scope.get("root_path", ""), scope["path"]
    # The specification has the mount in the path, and some servers leave it out.
    if mount and path.startswith(mount) and path[len(mount) :][:1] in ("", "/"):
        path = path[len(mount) :]
    return mount, path


async def answer_wallet(paywall: Paywall, scope: Scope, send: Send) -> None:
    """Answer a request to the development wallet."""
    client = scope.get("client")
    response = await adrive(
        paywall.answer_wallet(
            scope["method"], scope["query_string"].decode("latin-1"), client[0] if client else None, scope["headers"]
        )
    )
    await respond(send, response, scope["method"])
