"""FastAPI: `L402(app, paywall)`, and prices as dependencies, `Priced(21)`."""

from collections.abc import Iterable, Iterator
from inspect import Signature
from typing import Any, Final, Unpack

try:
    from fastapi import FastAPI, params
    from fastapi.dependencies.models import Dependant
    from starlette.middleware import Middleware
    from starlette.requests import HTTPConnection
except ImportError as error:
    from .slips import missing

    raise missing("fastapi", "fastapi", error) from error

from . import starlette
from .asgi.scope import Receive, Scope, Send
from .core.errors import ConfigurationError
from .openapi import add_prices, add_service
from .paywall.delivery import Payment
from .paywall.offer import Conditions, Offer, Price, mark, offer_of, refuse_left_out
from .paywall.paywall import Paywall
from .paywall.settings import paywall_from_settings
from .paywall.whole_application import WholeApplication, leads_on, whole_or_none
from .routing import RouteTerms, chosen_route, leaves, readers
from .starlette import endpoint_name, guarded, l402_required

__all__ = ["Free", "L402", "L402Middleware", "Priced", "get_payment", "l402_required"]  # noqa: RUF022 - plainly sorted

_TERMS = "__l402_terms__"

leads_on.update(("original_router", "include_context", "dependant", "dependencies", "dependency", "call"))


def Priced(price: Price, **conditions: Unpack[Conditions]) -> Any:  # noqa: N802 - as FastAPI's Depends
    """A dependency that sells what it stands at; `l402_middleware.Offer` says what price and conditions mean.

    As a parameter, `payment: Annotated[Payment, Priced(21)]`, or in the `dependencies=[...]` of a route, a router, an
    `include_router` or the application. The most specific one counts: a parameter's before the route's own before its
    router's before the application's. It decides before a body is parsed and before any other dependency runs.
    """
    return _Dependency(PriceTag(Offer(price, **conditions)))


def Free() -> Any:  # noqa: N802
    """A dependency that gives away what a less specific `Priced`, or the `default` of `L402`, would sell."""
    return _Dependency(PriceTag(None))


async def get_payment(connection: HTTPConnection) -> Payment | None:
    """What was paid for this request, as a dependency: `Annotated[Payment | None, Depends(get_payment)]`."""
    payment: Payment | None = getattr(connection.state, "l402", None)
    return payment


def L402(  # noqa: N802 - as Flask's
    app: FastAPI, paywall: Paywall | None = None, default: Price | Offer | None = None, free: Iterable[str] = ()
) -> None:
    """Guard an application: it gets `L402Middleware` as its innermost, and its OpenAPI document says the prices.

    Without a paywall the environment describes one: `paywall_from_settings`. With a `default` everything costs that
    which has no price of its own, but for the paths in `free`, as for `l402_middleware.starlette.L402Middleware`. Call
    it before the application starts; routes may come before and after.
    """
    if not isinstance(app, FastAPI):
        raise ConfigurationError(f"L402(app, paywall) is for a FastAPI application, not for {type(app).__name__}")
    if app.middleware_stack is not None:
        raise ConfigurationError("L402(app, paywall) comes too late: call it before the application starts")
    if any(
        isinstance(each.cls, type) and issubclass(each.cls, starlette.L402Middleware) for each in app.user_middleware
    ):
        raise ConfigurationError("this application has its L402 already: write L402(app, paywall) once")
    paywall = paywall_from_settings() if paywall is None else paywall
    if not isinstance(paywall, Paywall):
        raise ConfigurationError(f"L402(app, paywall) needs a Paywall(...), not {type(paywall).__name__}")
    whole = whole_or_none(default, free)
    options: dict[str, Any] = {} if whole is None else {"default": whole.offer, "free": whole.free}
    app.user_middleware.append(Middleware(L402Middleware, paywall=paywall, **options))
    document(app, paywall, whole)


class L402Middleware(starlette.L402Middleware):
    """Sees every request of a FastAPI application to its end; `L402(app, paywall)` puts it where it belongs.

    With `app.add_middleware(L402Middleware, paywall=paywall)` add it before any other. The prices are then in the
    OpenAPI document as soon as the application has started.
    """

    _is_started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._is_started:
            self._is_started = True
            for app, mount in _applications(scope.get("app")):
                document(app, self.paywall, self.whole, mount)
                if scope["type"] == "lifespan" and (faults := list(_faults(app))):
                    await receive()
                    await send({"type": "lifespan.startup.failed", "message": "\n".join(faults)})
                    # Starlette's TestClient waits for ever where a start-up that failed does not raise.
                    raise ConfigurationError("\n".join(faults))
        await super().__call__(scope, receive, send)


class _Dependency(params.Depends):
    """What `Priced` and `Free` return. Inside another `Depends` it says what to write."""

    @property
    def __signature__(self) -> Signature:
        # FastAPI asks this of what a `Depends` is given, when the route is made.
        raise ConfigurationError("Depends(Priced(...)) or Depends(Free()): write Priced(...) or Free() alone")

    def __call__(self) -> None:
        """Only so that FastAPI asks for the signature."""


class PriceTag:
    """What `Priced` and `Free` put among the dependencies of a route: an offer, or None where it is free."""

    def __init__(self, offer: Offer | None) -> None:
        self.offer = offer
        if offer is not None:
            mark(self, offer)

    async def __call__(self, connection: HTTPConnection) -> Payment | None:
        """The payment. Where routing did not show the price, as for `app.frontend`, the decision is made here."""
        scope = connection.scope
        terms = _known_terms(chosen_route(scope))
        offer = terms.offer if self in terms.tags else self.offer
        if offer is not None:
            visit = guarded(scope.get("l402"))
            refusal = await visit.admit(offer, endpoint_name(scope))
            if refusal is not None:
                await visit.answer(refusal)
                raise _RefusedError
        return await get_payment(connection)


class _RefusedError(Exception):
    """Ends a request that has been answered; it never leaves the middleware."""


_NO_TERMS: Final = RouteTerms(None)


def terms_of(route: Any) -> RouteTerms:
    """What a route's decorator and dependencies say. Raises `ConfigurationError` where its own ones contradict.

    It takes a route, a `fastapi.routing.RouteContext` of an included one, or None.
    """
    dependant: Dependant | None = getattr(route, "dependant", None)
    if dependant is None:
        return _NO_TERMS
    # FastAPI puts them in this order: the application's, each include's, each router's, the route's, the parameters'.
    levels = [list(_tags(each)) for each in dependant.dependencies]
    listed = len(route.dependencies)
    parameters = [tag for level in levels[listed:] for tag in level]
    for level in (parameters, *levels[:listed]):
        if len({id(tag) for tag in level}) > 1:
            raise ConfigurationError(f"{route.path} has two prices: Priced and Free are among its dependencies twice")
    decorated = offer_of(route.endpoint)
    if decorated is not None and parameters:
        raise ConfigurationError(f"{route.path} has two prices: one from @l402_required, one from a parameter")
    tags = [tag for level in levels for tag in level]
    if decorated is None and not tags:
        return _NO_TERMS
    return RouteTerms(decorated or tags[-1].offer, tags)


def _tags(dependant: Dependant) -> Iterator[PriceTag]:
    if isinstance(dependant.call, PriceTag):
        yield dependant.call
    for each in dependant.dependencies:
        yield from _tags(each)


def _known_terms(route: Any) -> RouteTerms:
    """`terms_of`, found out once per route: FastAPI makes another one of it where what it depends on changes."""
    terms: RouteTerms | None = getattr(route, _TERMS, None)
    if terms is None:
        terms = terms_of(route)
        if getattr(route, "dependant", None) is not None:
            setattr(route, _TERMS, terms)
    return terms


def _read(route: Any, app: Any) -> RouteTerms | None:
    """What a FastAPI route says. Raises `ConfigurationError` where its decorators were left out of it."""
    terms = _known_terms(route)
    if terms is not _NO_TERMS:
        return terms
    if isinstance(app, FastAPI) and hasattr(route, "dependant"):
        refuse_left_out(route.endpoint, route.path, _endpoints(app))
    return None


# The middleware asks this before routing: no body is parsed, and no dependency solved. A dependency alone comes too
# late for that, and FastAPI has no hook between the two.
readers.append(_read)


def document(app: FastAPI, paywall: "Paywall", whole: WholeApplication | None = None, mount: str = "") -> None:
    """Let the application's OpenAPI document say what its operations cost, alone or below `mount` in a `whole` one; and
    what the paywall's service is.
    """
    if not isinstance(app.openapi, _PricedDocument):
        app.openapi = _PricedDocument(app, paywall, whole, mount)  # type: ignore[method-assign]


class _PricedDocument:
    """In place of an application's `openapi`: what that gives, with the prices."""

    def __init__(self, app: FastAPI, paywall: "Paywall", whole: WholeApplication | None, mount: str) -> None:
        self._app = app
        self._schemes = paywall.schemes
        self._make = app.openapi
        self._whole = whole
        self._mount = mount
        self._service = paywall.discovery

    def __call__(self) -> dict[str, Any]:
        made = self._make()
        offers: dict[tuple[str, str], Offer | None] = {}
        for route in leaves(self._app.routes):
            path = getattr(route, "path_format", "")
            for method in getattr(route, "methods", None) or ():
                # Of two routes for one operation, the first is served.
                offers.setdefault((path, method.lower()), self._offer(terms_of(route), path))
        add_prices(made, {operation: offer for operation, offer in offers.items() if offer is not None}, self._schemes)
        if self._service is not None:
            add_service(made, self._service)
        return made

    def _offer(self, terms: RouteTerms, path: str) -> Offer | None:
        if self._whole is None or terms is not _NO_TERMS or self._mount + path in self._whole.free:
            return terms.offer
        return self._whole.offer


def _applications(app: Any, mount: str = "") -> Iterator[tuple[FastAPI, str]]:
    """A FastAPI application, and those that are mounted in it, with their mounts."""
    if isinstance(app, FastAPI):
        yield app, mount
        for route in leaves(app.routes):
            yield from _applications(getattr(route, "app", None), f"{mount}{getattr(route, 'path', '')}")


def _faults(app: FastAPI) -> Iterable[str]:
    for route in leaves(app.routes):
        try:
            if terms_of(route) is _NO_TERMS:
                refuse_left_out(_endpoint(route), getattr(route, "path", ""), _endpoints(app))
        except ConfigurationError as error:
            yield str(error)


def _endpoints(app: FastAPI) -> Iterator[object]:
    return map(_endpoint, leaves(app.routes))


def _endpoint(route: Any) -> object:
    return getattr(route, "endpoint", None)
