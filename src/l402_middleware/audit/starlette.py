"""The audit of Starlette and FastAPI applications."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from types import FunctionType, MethodType
from typing import Any, Final

from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.routing import BaseRoute, Host, Mount, Route, Router, WebSocketRoute
from starlette.staticfiles import StaticFiles

from ..asgi.middleware import PaywallMiddleware
from ..core.errors import ConfigurationError
from ..paywall.whole_application import WholeApplication
from ..routing import MAX_LAYERS, leaves, readers, terms_beside
from ..starlette import L402Middleware
from .finding import PREFLIGHT, Finding, Verdict, decorators_above, free, hole, name_of, verdict_on
from .hidden_routes import unless_hidden
from .position import Found, Layer, Position, explore_or_say, layer_of, wrapped_by

_ENDPOINT_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY")

_LAST: Final = "put L402Middleware last in the list of middleware (FastAPI: L402(app, paywall) does)"


def explore(app: object, position: Position) -> Found:
    """The findings on an application, a router or a route of Starlette's or FastAPI's; None for anything else."""
    if isinstance(app, Starlette):
        return _behind([_listed(each) for each in app.user_middleware], app.router, position)
    if isinstance(app, Router):
        return list(_router(app, position))
    if isinstance(app, BaseRoute):
        return list(_route(app, position))
    if isinstance(app, StaticFiles):
        remedy = "list this path among the exceptions, or take the mount away"
        return [position.finding("GET", "/{path}", free(f"serves the files in {app.directory}", remedy))]
    return None


def _behind(layers: list[Layer], router: Router, position: Position) -> list[Finding]:
    if not layers:
        return list(_router(router, position))
    inside = position.inside(layers[0])
    return inside.with_free_paths(_behind(layers[1:], router, inside))


def _listed(middleware: Middleware) -> Layer:
    kind: object = middleware.cls
    options: dict[str, Any] = (
        dict(zip(("paywall", "default", "free"), middleware.args, strict=False)) | middleware.kwargs
    )
    whole = None
    if isinstance(kind, type) and issubclass(kind, PaywallMiddleware) and options.get("default") is not None:
        whole = WholeApplication(options["default"], options.get("free", ()))
    return Layer(kind, options.get("paywall"), is_global=True, whole=whole)


def _router(router: Router, position: Position) -> Iterator[Finding]:
    position = position.inside(*_layers(router.middleware_stack, router))
    routes = list(leaves(router.routes))
    for number, route in enumerate(routes):
        yield from _route(route, replace(position, trail=(*position.trail, (routes[:number], route))))
    for group in getattr(router, "_iter_low_priority_routes", tuple)():
        yield from _frontend(group, position)
    if router.default != router.not_found:
        verdict = free(
            f"{name_of(router.default)} answers whatever no route matches",
            "list this path among the exceptions, or take the router's `default` away",
        )
        yield position.finding("*", "/{path}", verdict)


def _layers(outermost: object, innermost: object) -> Iterator[Layer]:
    """The middleware from `outermost` to `innermost`, or as far as they can be seen."""
    app: object | None = outermost
    for _ in range(MAX_LAYERS):
        if app is innermost or isinstance(app, FunctionType | MethodType | type):
            return
        inner = next(wrapped_by(app), None)
        if inner is None:
            return
        yield layer_of(app)
        app = inner


def _route(route: Any, position: Position) -> Iterator[Finding]:
    original = getattr(route, "original_route", route)
    if isinstance(original, Route):
        yield from _http(route, position.inside(*_layers(route.app, route.endpoint)))
    elif isinstance(route, WebSocketRoute):
        yield _websocket(route, position.inside(*_layers(route.app, route.endpoint)))
    elif isinstance(route, Mount):
        yield from explore_or_say(route.app, position.under(route.path))
    elif isinstance(route, Host):
        yield from explore_or_say(route.app, replace(position, host=route.host))
    else:
        verdict = free(
            f"{name_of(route)} is a kind of route that cannot be looked into",
            "price it by other means, and list it among the exceptions",
        )
        yield position.finding("*", getattr(route, "path", "/{path}"), verdict)


def _http(route: Any, position: Position) -> Iterator[Finding]:
    endpoint = route.endpoint
    listed = sorted(route.methods or ())
    if isinstance(endpoint, type) and issubclass(endpoint, HTTPEndpoint):
        there = [name for name in _ENDPOINT_METHODS if getattr(endpoint, name.lower(), None) is not None]
        verdicts = {name: verdict_on(getattr(endpoint, name.lower())) for name in there if not listed or name in listed}
        if any(verdict.offer for verdict in verdicts.values()):
            verdicts = {name: _unlike_its_siblings(endpoint, verdict) for name, verdict in verdicts.items()}
    elif not _is_called_with_a_request(route):
        reason = f"{name_of(endpoint)} is an ASGI application of its own, which cannot be looked into"
        verdicts = {"*": free(reason, "write it as a function or an HTTPEndpoint, or list it among the exceptions")}
    else:
        names = [name for name in listed if name != "HEAD" or "GET" not in listed] or ["*"]
        verdicts = dict.fromkeys(names, _verdict(route))
    for method, verdict in verdicts.items():
        reached = unless_hidden(verdict, position, method, route.path)
        yield position.finding(
            method, route.path, _guarded(reached, position), tuple(_notes(route, position, method, verdict))
        )


def _is_called_with_a_request(route: Any) -> bool:
    endpoint = route.endpoint
    while isinstance(endpoint, partial):
        endpoint = endpoint.func
    return isinstance(endpoint, FunctionType | MethodType) or hasattr(route, "dependant")


def _unlike_its_siblings(endpoint: type, verdict: Verdict) -> Verdict:
    if verdict.status != "free":
        return verdict
    return replace(
        verdict,
        reason=f"{verdict.reason}, though other methods of {name_of(endpoint)} are priced",
        remedy="put @l402_required(price=...) on this method too",
    )


def _verdict(route: Any) -> Verdict:
    verdict = verdict_on(route.endpoint)
    if str(getattr(route.endpoint, "__module__", "")) == "fastapi.applications":
        return free("FastAPI's own documentation", "list it among the exceptions, or make FastAPI(openapi_url=None)")
    return verdict if verdict.offer is not None else _verdict_of_dependencies(route) or verdict


def _verdict_of_dependencies(route: Any) -> Verdict | None:
    try:
        terms = terms_beside(route)
    except ConfigurationError as error:
        return hole(str(error), "take one of the two away")
    if terms is None or terms.offer is not None:
        return None if terms is None else Verdict("priced", offer=terms.offer)
    return Verdict("free", "Free() gives it away", "take Free() away, or list it among the exceptions", is_given=True)


def _websocket(route: Any, position: Position) -> Finding:
    verdict = _verdict(route)
    if verdict.status == "free":
        verdict = replace(verdict, remedy="put @l402_required(price=...) on it: its handshake is then sold")
    # BaseHTTPMiddleware lets websockets pass.
    layers = tuple(layer for layer in position.layers if not _is(layer, BaseHTTPMiddleware))
    return position.finding("WEBSOCKET", route.path, _guarded(verdict, replace(position, layers=layers)))


def _frontend(group: Any, position: Position) -> Iterator[Finding]:
    prefix = getattr(group, "frontend_prefix", "")
    for route in getattr(getattr(group, "original_route", group), "routes", ()):
        path = f"{prefix}{route.path}".rstrip("/")
        verdict = free(
            f"serves the files in {route.app.directory}", "list this path among the exceptions, or take it away"
        )
        offers = [offer for each in group.dependant.dependencies if (offer := getattr(each.call, "offer", None))]
        if offers:
            verdict = _guarded(Verdict("priced", offer=offers[0]), position)
        yield position.finding("GET", f"{path}/{{path}}", verdict)


def _guarded(verdict: Verdict, position: Position) -> Verdict:
    """`verdict`, where a middleware sees to it that what is priced is paid."""
    if verdict.status != "priced":
        return verdict
    visit, inner = None, list[Layer]()
    for layer in position.layers:
        # A second one with the same paywall leaves the request to the first.
        if _is(layer, L402Middleware) and (visit is None or visit.paywall is not layer.paywall):
            visit, inner = layer, []
        else:
            inner.append(layer)
    if visit is None:
        remedy = (
            "put Middleware(L402Middleware, paywall=...) last in the application's list of middleware "
            "(FastAPI: L402(app, paywall))"
        )
        return hole("there is no L402Middleware around it: every request for it fails", remedy, verdict.offer)
    for layer in inner:
        if _is(layer, BaseHTTPMiddleware):
            reason = f"{layer} inside L402Middleware ends a broken answer as if it were whole: it would be charged"
            return hole(reason, _LAST, verdict.offer)
        if layer.is_global and not _is_starlettes(layer):
            reason = f"{layer} inside L402Middleware may answer, or read the body, before anything is paid"
            return hole(reason, _LAST, verdict.offer)
    return verdict


def _is(layer: Layer, kind: type) -> bool:
    return isinstance(layer.kind, type) and issubclass(layer.kind, kind)


def _is_starlettes(layer: Layer) -> bool:
    return str(getattr(layer.kind, "__module__", "")).partition(".")[0] in ("starlette", "fastapi", "l402_middleware")


def _notes(route: Any, position: Position, method: str, verdict: Verdict) -> Iterator[str]:
    visits = [number for number, layer in enumerate(position.layers) if _is(layer, PaywallMiddleware)]
    for layer in position.layers[visits[0] + 1 :] if visits else ():
        if _is(layer, BaseHTTPMiddleware):
            yield f"{layer} ends a broken answer as if it were whole: it is charged"
        elif layer.is_global and not _is(layer, PaywallMiddleware):
            yield f"{layer} stands inside L402Middleware, and does not see the refusals"
    if verdict.offer is None:
        return
    if method == "OPTIONS":
        yield PREFLIGHT
    unpaid = list(_run_unpaid(route, method))
    if unpaid:
        yield f"runs before it is paid: {', '.join(unpaid)}"


def _run_unpaid(route: Any, method: str) -> Iterator[str]:
    endpoint: Any = route.endpoint
    dispatch = getattr(endpoint, "dispatch", None)
    if isinstance(endpoint, type):
        if dispatch is not HTTPEndpoint.dispatch:
            yield name_of(dispatch)
        endpoint = getattr(endpoint, method.lower())
    dependant = getattr(route, "dependant", None)
    # Where FastAPI's routes can be asked, that is done before anything; otherwise it is refused a body first.
    if dependant is not None and readers:
        return
    if dependant is not None and getattr(route, "body_field", None) is None:
        yield from (name_of(dependency.call) for dependency in dependant.dependencies)
    yield from decorators_above(endpoint)
