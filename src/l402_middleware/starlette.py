"""Starlette, and FastAPI, which is one: `L402Middleware` and `@l402_required(price=...)`."""

import inspect
from collections.abc import Callable, Iterable
from functools import partial, wraps
from typing import Any, TypeVar, Unpack, cast
from urllib.parse import quote

try:
    from starlette._utils import get_route_path, is_async_callable
    from starlette.concurrency import run_in_threadpool
    from starlette.datastructures import Headers
    from starlette.endpoints import HTTPEndpoint
    from starlette.requests import HTTPConnection, Request
    from starlette.responses import Response as StarletteResponse
    from starlette.routing import Host
except ImportError as error:
    from .slips import missing

    raise missing("starlette", "starlette", error) from error

from .asgi.exchange import ASGIExchange
from .asgi.middleware import PaywallMiddleware, current_exchange
from .asgi.scope import ASGIApp, Receive, Scope, Send, method_of
from .asgi.websocket import WebSocketExchange
from .core.errors import ConfigurationError
from .paywall.offer import Conditions, Offer, Price, Sale, mark, offer_of
from .paywall.paywall import Paywall
from .paywall.response import Response
from .paywall.whole_application import whole_or_none
from .routing import Choice, check_unobstructed, foresee
from .slips import refuse_bare_decorator

__all__ = ["L402Middleware", "l402_required"]

# In a scope that a `Host` has routed.
_BY_HOST = "l402_middleware.by_host"

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


class L402Middleware(PaywallMiddleware):
    """Sees every request of a Starlette or FastAPI application to its end; put it last in the list of middleware.

    What is priced is what `@l402_required` decorates. Anything else passes through untouched, unless there is a
    `default`: then it costs that, 404s included, before anything of the application runs, but for the paths in `free`;
    `l402_middleware.asgi.L402Middleware` says what both may be. The handler finds the `Payment` in
    `request.state.l402`, None where the route is free.
    """

    def __init__(
        self, app: ASGIApp, paywall: Paywall, default: Price | Offer | None = None, free: Iterable[str] = ()
    ) -> None:
        super().__init__(app, paywall, whole_or_none(default, free))
        if self.whole is not None:
            check_unobstructed(app)

    def sells(self, choice: Choice, scope: Scope) -> bool:
        """Whether what routing will choose makes an offer of its own."""
        return _offer_of(choice.endpoint, scope) is not None

    def is_sold(self, scope: Scope) -> bool:
        """Whether the default, or what routing will choose, asks for a payment."""
        choice = foresee(self.app, scope)
        return super().is_sold(scope) or (choice is not None and self.sells(choice, scope))

    def foresees_own_sale(self, scope: Scope) -> bool:
        """What the routers say. Raises `ConfigurationError` where a middleware between them might prove them wrong."""
        choice = foresee(self.app, scope)
        if choice is None or not self.sells(choice, scope):
            return False
        if choice.doubtful is not None:
            raise ConfigurationError(
                f"{choice.doubtful} stands before a priced endpoint in an application mounted below "
                "L402Middleware(default=...), and may choose another one: put it around the whole application"
            )
        return True

    def own_sale(self, scope: Scope) -> Sale | None:
        """What the endpoint that the router chose sells."""
        offer = _offer_of(scope.get("endpoint"), scope)
        return None if offer is None else (offer, endpoint_name(scope))


def l402_required(price: Price, **conditions: Unpack[Conditions]) -> Callable[[Endpoint], Endpoint]:
    """Run this endpoint only for requests that have paid; `l402_middleware.Offer` says what price and conditions mean.

    Put it under the route's own decorator, on a function, plain or async, of an HTTP or a WebSocket route, or on a
    method of an `HTTPEndpoint`. The endpoint keeps its signature. Without `L402Middleware` around the application it
    raises `ConfigurationError` instead of running.
    """
    refuse_bare_decorator(price)
    offer = Offer(price, **conditions)

    def decorate(endpoint: Endpoint) -> Endpoint:
        if not callable(endpoint):
            raise ConfigurationError("@l402_required without a price: write @l402_required(price=...)")
        if isinstance(endpoint, type):
            raise ConfigurationError(
                f"@l402_required on the class {endpoint.__name__}: decorate its methods (get, post, ...) instead"
            )
        if inspect.isgeneratorfunction(endpoint) or inspect.isasyncgenfunction(endpoint):
            raise ConfigurationError(
                f"@l402_required on {endpoint.__name__}, which yields: return a StreamingResponse instead"
            )
        call: Callable[..., Any] = endpoint if is_async_callable(endpoint) else partial(run_in_threadpool, endpoint)

        @wraps(endpoint)
        async def paid(*args: Any, **kwargs: Any) -> Any:
            visit = _visit_of(args, kwargs)
            refusal = await visit.admit(offer, endpoint_name(visit.scope))
            if refusal is not None and isinstance(visit, WebSocketExchange):
                return await visit.answer(refusal)
            if refusal is not None:
                return RefusalResponse(refusal, visit.scope["method"])
            return await call(*args, **kwargs)

        mark(paid, offer, endpoint)
        return cast(Endpoint, paid)

    return decorate


def _offer_of(endpoint: Any, scope: Scope) -> Offer | None:
    """What an endpoint sells to this request: an `HTTPEndpoint`, what its method for it does."""
    if isinstance(endpoint, type) and issubclass(endpoint, HTTPEndpoint):
        if endpoint.dispatch is not HTTPEndpoint.dispatch:
            return None
        method = method_of(scope)
        name = "get" if method == "HEAD" and not hasattr(endpoint, "head") else method.lower()
        return offer_of(getattr(endpoint, name, None))
    return offer_of(endpoint)


def endpoint_name(scope: Scope) -> str:
    """The name of the endpoint that routing chose: what a credential is bound to."""
    # The mounts' own paths as they were matched, and the route's template: one prefix per application, even
    # where one application is mounted twice, or two mounted ones share a paywall. The bar keeps the route /b of an
    # application at /a apart from a route /a/b: who may choose a prefix, may not choose another route's name.
    method = method_of(scope)
    mounts = quote(scope.get("root_path", ""), errors="surrogateescape")
    return f"{'GET' if method == 'HEAD' else method} {_host(scope)}{mounts}{'|' if mounts else ''}{_template(scope)}"


def _host(scope: Scope) -> str:
    """The host that was asked for and a space, where a host may have decided which endpoint that is."""
    if scope.get("router") is not None and _BY_HOST not in scope:
        return ""
    # Quoted, because a stranger may write anything here: no host can end in another route's path.
    return f"{quote(Headers(scope=scope).get('host', '').lower(), safe=':')} "


# Looking for a `Host` among the routes would miss those behind somebody else's middleware, and those added late.
_handle_host = Host.handle


async def _handle_host_noted(self: Host, scope: Scope, receive: Receive, send: Send) -> None:
    """`Host.handle`, that notes what it does, also where a middleware between has copied the scope."""
    scope[_BY_HOST] = True
    visit: ASGIExchange | None = scope.get("l402")
    if visit is not None:
        visit.scope[_BY_HOST] = True
    await _handle_host(self, scope, receive, send)


Host.handle = _handle_host_noted  # type: ignore[method-assign]


def _template(scope: Scope) -> str:
    """The template of the chosen route, below the mounts; the path itself where that is not known for certain."""
    route = chosen_route(scope)
    path = get_route_path(scope)
    # Some routers leave an outer router's route in the scope, or none. A credential for one path is never too wide, if
    # no path can be spelled as a template, or as a mount and what is below it: a template begins with a slash.
    if route is None or getattr(route, "endpoint", None) is not scope["endpoint"] or not route.path_regex.match(path):
        return f"={path}"
    return str(route.path)


def chosen_route(scope: Scope, route: Any = None) -> Any:
    """The route that routing chose, if it is not that one already; None where the router does not say.

    FastAPI gives the route as its router has it, without the prefixes and the dependencies under which that was
    included: alone, /basic/report and /premium/report would be one endpoint.
    """
    route = scope.get("route") if route is None else route
    included = scope.get("fastapi", {}).get("effective_route_context")
    return included if included is not None and included.original_route is route else route


def _visit_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> ASGIExchange:
    for argument in (*args, *kwargs.values()):
        # The exact type is known at once; asking an abstract base takes a tenth of what a pass costs.
        if isinstance(argument, (Request, HTTPConnection)):
            return guarded(argument.scope.get("l402"))
    # A FastAPI endpoint need not ask for its request.
    return guarded(current_exchange.get())


def guarded(visit: ASGIExchange | None) -> ASGIExchange:
    """The exchange that there must be. Raises `ConfigurationError` where no middleware saw the request."""
    if visit is None:
        raise ConfigurationError(
            "a priced endpoint without its middleware: add Middleware(L402Middleware, paywall=...) to the "
            "application (FastAPI: L402(app, paywall))"
        )
    return visit


class RefusalResponse(StarletteResponse):
    """A refusal as a handler returns it, its headers exactly as the paywall made them; HEAD gets no body."""

    def __init__(self, refusal: Response, method: str) -> None:
        super().__init__(b"" if method == "HEAD" else refusal.body, refusal.status)
        self.raw_headers = list(refusal.headers)
