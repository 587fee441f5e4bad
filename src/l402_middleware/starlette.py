"""Starlette, and FastAPI, which is one: `L402Middleware` and `@l402_required(price=...)`."""

import inspect
from collections.abc import Callable, Iterable
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar, Unpack, cast
from urllib.parse import quote

try:
    from starlette import __version__ as version
    from starlette.concurrency import run_in_threadpool
    from starlette.datastructures import Headers
    from starlette.endpoints import HTTPEndpoint
    from starlette.requests import HTTPConnection, Request
    from starlette.responses import Response as StarletteResponse
except ImportError as error:
    from .slips import missing

    raise missing("starlette", "starlette", error) from error

from .asgi.exchange import ASGIExchange
from .asgi.middleware import PaywallMiddleware, current_exchange, whole_sale
from .asgi.scope import ASGIApp, Scope, method_of, split_path
from .asgi.websocket import WebSocketExchange
from .core.errors import ConfigurationError, Refusal
from .paywall.offer import Conditions, Offer, Price, Sale, mark, offer_of
from .paywall.request import RequestView
from .paywall.response import Response
from .paywall.whole_application import leads_on, whole_or_none
from .routing import Choice, check_unobstructed, chosen_route, foresee, readers, retrace, terms_beside
from .slips import refuse_bare_decorator

if TYPE_CHECKING:
    from .paywall.paywall import Paywall

__all__ = ["L402Middleware", "l402_required"]

# Before 1.1 an `HTTPEndpoint` gives a request to whatever of its own has the name of the request's method: REPORT would
# run `report`, which a priced `get` calls.
_HELPERS_ARE_REACHED: Final = tuple(map(int, version.split(".")[:2])) < (1, 1)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

leads_on.update(("router", "routes", "endpoint"))

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


class L402Middleware(PaywallMiddleware):
    """Sees every request of a Starlette or FastAPI application to its end; put it last in the list of middleware.

    What is priced is what `@l402_required` decorates. Anything else passes through untouched, unless there is a
    `default`: then it costs that, 404s included, before anything of the application runs, but for the paths in `free`;
    `l402_middleware.asgi.L402Middleware` says what both may be. The handler finds the `Payment` in
    `request.state.l402`, None where the route is free.
    """

    def __init__(
        self, app: ASGIApp, paywall: "Paywall", default: Price | Offer | None = None, free: Iterable[str] = ()
    ) -> None:
        super().__init__(app, paywall, whole_or_none(default, free))
        if self.whole is not None:
            check_unobstructed(app)

    def sales(self, scope: Scope) -> tuple[Sale | None, Sale | None]:
        """The default sale for this request, and what it has to pay before the application sees it.

        Raises `ConfigurationError` where a middleware between the routers might prove wrong what they say.
        """
        if _HELPERS_ARE_REACHED and scope["type"] == "http" and self._reaches_helper(scope):
            return None, (_NOT_DECLARED, f"{scope['method']} {scope['path']}")
        default = None if self.whole is None else whole_sale(self.whole, scope)
        choice = foresee(self.app, scope) if default is not None or readers else None
        terms = None if choice is None else terms_beside(choice.route, choice.scope.get("app"))
        if choice is None or (terms is None and _offer_of(choice.endpoint, scope) is None):
            return default, default
        if choice.doubtful is not None:
            if default is None:
                return None, None
            raise ConfigurationError(
                f"{choice.doubtful} stands before a priced endpoint in an application mounted below "
                "L402Middleware(default=...), and may choose another one: put it around the whole application"
            )
        if terms is None:
            # Its decorator asks.
            return default, None
        return (None, None) if terms.offer is None else (default, (terms.offer, endpoint_name(scope, choice)))

    def is_sold(self, scope: Scope) -> bool:
        """Whether the default, or what routing will choose, asks for a payment."""
        if any(self.sales(scope)):
            return True
        choice = foresee(self.app, scope)
        return choice is not None and _offer_of(choice.endpoint, scope) is not None

    def own_sale(self, scope: Scope) -> Sale | None:
        """What the endpoint sells that the router chose."""
        offer = _offer_of(scope.get("endpoint"), scope)
        if offer is None and readers:
            terms = terms_beside(chosen_route(scope))
            offer = None if terms is None else terms.offer
        return None if offer is None else (offer, endpoint_name(scope))

    def _reaches_helper(self, scope: Scope) -> bool:
        if scope["method"].upper() in _METHODS:
            return False
        choice = foresee(self.app, scope)
        if choice is None or choice.doubtful is not None:
            # What is sold whole is paid for in any case.
            return self.whole is None
        return isinstance(choice.endpoint, type) and issubclass(choice.endpoint, HTTPEndpoint)


def _refuse_helper(request: RequestView) -> NoReturn:
    raise Refusal(405, "method-not-allowed", f"There is no {request.method} here.")


_NOT_DECLARED: Final = Offer(_refuse_helper)


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
        call: Callable[..., Any] = endpoint if _is_async(endpoint) else partial(run_in_threadpool, endpoint)

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


def _is_async(endpoint: Any) -> bool:
    """Whether Starlette awaits this endpoint, and does not call it in a thread."""
    while isinstance(endpoint, partial):
        endpoint = endpoint.func
    return inspect.iscoroutinefunction(endpoint) or inspect.iscoroutinefunction(getattr(endpoint, "__call__", None))  # noqa: B004


def _offer_of(endpoint: Any, scope: Scope) -> Offer | None:
    """What an endpoint sells to this request: an `HTTPEndpoint`, what its method for it does."""
    if isinstance(endpoint, type) and issubclass(endpoint, HTTPEndpoint):
        if endpoint.dispatch is not HTTPEndpoint.dispatch:
            return None
        method = method_of(scope)
        name = "get" if method == "HEAD" and not hasattr(endpoint, "head") else method.lower()
        return offer_of(getattr(endpoint, name, None))
    return offer_of(endpoint)


def endpoint_name(scope: Scope, choice: Choice | None = None) -> str:
    """The name of the endpoint that routing chose, or that it is certain to choose: what a credential is bound to."""
    # The mounts' own paths as they were matched, and the route's template: one prefix per application, even
    # where one application is mounted twice, or two mounted ones share a paywall. The bar keeps the route /b of an
    # application at /a apart from a route /a/b: who may choose a prefix, may not choose another route's name.
    choice = retrace(scope, choice)
    scope = scope if choice is None else choice.scope
    method = method_of(scope)
    mounts = scope.get("root_path", "")
    if mounts:
        mounts = f"{quote(mounts, errors='surrogateescape')}|"
    host = "" if choice is not None and not choice.by_host else _host(scope)
    return f"{'GET' if method == 'HEAD' else method} {host}{mounts}{_template(scope, choice)}"


def _host(scope: Scope) -> str:
    """The host that was asked for and a space."""
    # Quoted, because a stranger may write anything here: no host can end in another route's path.
    return f"{quote(Headers(scope=scope).get('host', '').lower(), safe=':')} "


def _template(scope: Scope, choice: Choice | None) -> str:
    """The template of the chosen route, below the mounts; the path itself where that is not known for certain."""
    path = split_path(scope)[1]
    pattern = None if choice is None else getattr(choice.route, "path_regex", None)
    # A credential for one path is never too wide, if no path can be spelled as a template, or as a mount and what is
    # below it: a template begins with a slash.
    if choice is None or pattern is None or not pattern.match(path):
        return f"={path}"
    return str(choice.route.path)


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
