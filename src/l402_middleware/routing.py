"""Which route a Starlette application will choose for a request, asked before it does."""

from collections.abc import Iterable, Iterator
from types import MethodType
from typing import Any, NamedTuple

from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.routing import BaseRoute, Host, Match, Mount, Router

from .asgi.middleware import PaywallMiddleware
from .asgi.scope import Scope
from .core.errors import ConfigurationError

# The middleware of these answers for itself, or hands the request on with its path as it is.
_FAITHFUL = ("starlette.middleware.", "fastapi.middleware.")


class Choice(NamedTuple):
    """A route, and the endpoint that it calls.

    `doubtful` names the middleware on the way there that may choose another one, if there is such.
    """

    route: Any
    endpoint: Any
    doubtful: str | None


def foresee(app: Any, scope: Scope, doubtful: str | None = None) -> Choice | None:
    """What will be called for this request; None where it is no route's endpoint: for a 404, a 405, static files.

    It asks the routes themselves, in the routers' order, down through mounts and included routers.
    """
    for each in _inwards(app):
        doubtful = doubtful or _doubt_of(each)
        if isinstance(each, Starlette) and (own := getattr(each, "root_path", None)):
            scope = {**scope, "root_path": own}  # FastAPI's setting stands in for what it is given.
        app = each
    if not isinstance(app, Router):
        return None
    for route in _leaves(app.routes):
        match, child_scope = route.matches(scope)
        if match is Match.FULL:
            if isinstance(route, Mount | Host):
                return foresee(route.app, {**scope, **child_scope}, doubtful)
            return Choice(route, child_scope.get("endpoint"), doubtful)
    return None


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


def _doubt_of(app: Any) -> str | None:
    """The name of a middleware that may send a request on to another path than its own; None for any other."""
    if isinstance(app, Starlette):
        return next(filter(None, (_doubt_of(each.cls) for each in app.user_middleware)), None)
    kind = app if isinstance(app, type) else type(app)
    if issubclass(kind, PaywallMiddleware | Router):
        return None
    if kind.__module__.startswith(_FAITHFUL) and not issubclass(kind, BaseHTTPMiddleware):
        return None
    return kind.__qualname__


def _inwards(app: Any) -> Iterator[Any]:
    """`app`, and what it stands around, down to its router."""
    while app is not None:
        yield app
        if isinstance(app, Router):
            layer: Any = app.middleware_stack
            while layer is not None and not isinstance(layer, MethodType):
                yield layer
                layer = getattr(layer, "app", None)
            yield app
            return
        app = app.router if isinstance(app, Starlette) else getattr(app, "app", None)


def _leaves(routes: Iterable[BaseRoute]) -> Iterator[Any]:
    for route in routes:
        # FastAPI keeps a whole router that was included as one route.
        included = getattr(route, "effective_route_contexts", None)
        if included is None:
            yield route
        else:
            for context in included():
                yield context.starlette_route or context
