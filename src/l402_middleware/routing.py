"""Which route a Starlette application will choose for a request, asked before it does."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import repeat
from operator import is_
from types import MethodType
from typing import Any, Final, NamedTuple

from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.routing import BaseRoute, Host, Match, Mount, Router

from .asgi.middleware import PaywallMiddleware
from .asgi.scope import Scope
from .core.errors import ConfigurationError
from .paywall.offer import Offer

# The middleware of these answers for itself, or hands the request on with its path as it is.
_FAITHFUL = ("starlette.middleware.", "fastapi.middleware.")

# Nobody has more middleware than this around one router: something in it gives a new object each time it is asked.
MAX_LAYERS: Final = 100

# More mounts than this, one in another, are one that is mounted in itself.
_MAX_MOUNTS: Final = 50

# Where FastAPI keeps which of a router's inclusions a request came through.
_INCLUSION: Final = "effective_route_context"


class RouteTerms(NamedTuple):
    """What stands at a route about its price: an offer, or None where it is given away; and what says so."""

    offer: Offer | None
    tags: Sequence[object] = ()


readers: Final[list[Callable[[Any, Any], RouteTerms | None]]] = []
"""What frameworks on top of Starlette say of a route, beside its endpoint's decorator; each adds its own.

A reader takes the route and the application, or None where that is not to be looked at. It gives None where nothing
stands at the route, and raises `ConfigurationError` where that contradicts itself.
"""


class Choice(NamedTuple):
    """A route, and the request's scope as it is handed to it.

    `doubtful` names the middleware on the way there that may choose another one, if there is such; `by_host` says
    whether a `Host` decided.
    """

    route: Any
    scope: Scope
    doubtful: str | None
    by_host: bool

    @property
    def endpoint(self) -> Any:
        return self.scope.get("endpoint")


def terms_beside(route: Any, app: Any = None) -> RouteTerms | None:
    """What the framework has at this route; None where that is nothing. Raises `ConfigurationError` as a reader."""
    return next(filter(None, (read(route, app) for read in readers)), None)


def foresee(app: Any, scope: Scope) -> Choice | None:
    """What will be called for this request; None where it is no route's endpoint: for a 404, a 405, static files.

    It asks the routes themselves, in the routers' order, down through mounts and included routers.
    """
    doubtful, by_host = None, False
    for _ in range(_MAX_MOUNTS):
        for each in _inwards(app):
            doubtful = doubtful or _doubt_of(each)
            if isinstance(each, Starlette):
                # FastAPI's setting stands in for what it is given.
                own = getattr(each, "root_path", None)
                scope = {**scope, "app": each, **({"root_path": own} if own else {})}
            app = each
        if not isinstance(app, Router):
            return None
        chosen = _chosen_of(app, scope)
        if chosen is None:
            return None
        route, scope = chosen
        if not isinstance(route, Mount | Host):
            return Choice(route, scope, doubtful, by_host)
        by_host = by_host or isinstance(route, Host)
        app = route.app
    return None


def retrace(scope: Scope, choice: Choice | None = None) -> Choice | None:
    """How routing came to what it chose, asked where it has begun; None where that cannot be told.

    Where it has not come to an end, `choice` is what is foreseen of the rest. If the way there is not clear, a `Host`
    may have stood on it.
    """
    router = scope.get("router")
    if choice is None:
        route = chosen_route(scope)
        # Some routers leave an outer router's route in the scope, or none.
        if route is not None and getattr(route, "endpoint", None) is scope.get("endpoint"):
            choice = Choice(route, scope, None, by_host=False)
            if router is not None and any(map(is_, router.routes, repeat(route))):
                return choice
    elif router is None:
        return choice
    again = None
    if router is not None:
        root_path = scope.get("app_root_path", scope.get("root_path", ""))
        again = foresee(router, {**scope, "root_path": root_path, "fastapi": {}})
    is_same = again is not None and (
        again.endpoint is scope.get("endpoint") if choice is None else again.route is choice.route
    )
    if is_same:
        return again
    return None if choice is None else choice._replace(by_host=True)


def chosen_route(scope: Scope) -> Any:
    """The route that routing chose; None where the router does not say.

    FastAPI gives the route as its router has it, without the prefixes and the dependencies under which that was
    included: alone, /basic/report and /premium/report would be one endpoint.
    """
    route = scope.get("route")
    included = scope["fastapi"].get(_INCLUSION) if "fastapi" in scope else None
    return included if included is not None and included.original_route is route else route


def check_unobstructed(app: Any) -> None:
    """Raise `ConfigurationError` where it cannot be foreseen what happens between a middleware of ours and routing."""
    layers = list(_inwards(app))
    doubtful = next(filter(None, map(_doubt_of, layers)), None)
    if doubtful is None and not isinstance(layers[-1], Router):
        doubtful = type(layers[-1]).__qualname__
    if doubtful is not None:
        raise ConfigurationError(
            f"L402Middleware(default=...) has to know the route before it is taken, and {doubtful} stands between: "
            "put L402Middleware last in the list of middleware (FastAPI: add it first)"
        )


def leaves(routes: Iterable[BaseRoute]) -> Iterator[Any]:
    """The routes in the order in which they are tried, with those of FastAPI's included routers in their place."""
    for route in routes:
        # FastAPI keeps a whole router that was included as one route; before 0.137 it copied the routes of it.
        included = getattr(route, "effective_route_contexts", None)
        if included is None:
            yield route
        else:
            # What is matched is not always the router's own route: a prefix may stand before it.
            for inclusion in included():
                yield inclusion.starlette_route or inclusion


def _chosen_of(router: Router, scope: Scope) -> tuple[Any, Scope] | None:
    """The route that takes this request, and the scope for it."""
    for route in leaves(router.routes):
        match, child_scope = _matches(route, scope)
        if match is Match.FULL:
            return route, {**scope, **child_scope}
    return None


def _matches(route: Any, scope: Scope) -> tuple[Match, Scope]:
    original = getattr(route, "original_route", None)
    if original is None:
        found: tuple[Match, Scope] = route.matches(scope)
    else:
        # As FastAPI does it: the class of the route may have a `matches` of its own, which decides by more than the
        # path.
        found = original.matches({**scope, "fastapi": {**scope.get("fastapi", {}), _INCLUSION: route}})
    return found


def _doubt_of(app: Any) -> str | None:
    """The name of a middleware that may send a request on to another path than its own; None for any other."""
    if isinstance(app, Starlette):
        return next(filter(None, (_doubt_of(each.cls) for each in app.user_middleware)), None)
    kind = app if isinstance(app, type) else type(app)
    if issubclass(kind, PaywallMiddleware | Router):
        return None
    if kind.__module__.startswith(_FAITHFUL) and not issubclass(kind, BaseHTTPMiddleware):
        return None
    return str(getattr(kind, "__qualname__", kind))


def _inwards(app: Any) -> Iterator[Any]:
    """`app`, and what it stands around, down to its router. Raises `ConfigurationError` where that has no end."""
    for depth, layer in enumerate(_layers(app)):
        if depth > MAX_LAYERS:
            raise ConfigurationError(
                f"{type(app).__qualname__} has no end to look for routes in: something in it answers to any "
                "attribute, as proxies and mocks do; mount the application itself"
            )
        yield layer


def _layers(app: Any) -> Iterator[Any]:
    while app is not None:
        yield app
        if isinstance(app, Router):
            layer: Any = getattr(app, "middleware_stack", None)
            while layer is not None and not isinstance(layer, MethodType):
                yield layer
                layer = getattr(layer, "app", None)
            yield app
            return
        app = app.router if isinstance(app, Starlette) else getattr(app, "app", None)
