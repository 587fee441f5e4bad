"""Flask: the extension `L402` and `@l402_required(price=...)`."""

import os
from collections.abc import Callable, Iterable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, cast
from urllib.parse import quote

try:
    from flask import Flask, Request, current_app, g, request
    from flask import Response as FlaskResponse
    from flask.views import MethodView
    from werkzeug.exceptions import HTTPException
except ImportError as error:
    from .slips import missing

    raise missing("flask", "flask", error) from error

from .core.errors import ConfigurationError
from .paywall.delivery import Delivery
from .paywall.offer import Conditions, Offer, Price, mark, offer_of, refuse_left_out
from .paywall.paywall import Paywall
from .paywall.response import Response
from .paywall.settings import paywall_from_settings
from .paywall.whole_application import WholeApplication, leads_on, whole_or_none
from .slips import refuse_bare_decorator
from .wsgi.environ import split_path
from .wsgi.exchange import EXCHANGE, WSGIExchange
from .wsgi.headers import text_headers
from .wsgi.middleware import answer_aside, whole_sale

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["L402", "l402_required"]

_WHOLE = "l402.whole_application"

leads_on.update(("view_functions", "view_class"))

View = TypeVar("View", bound=Callable[..., Any])


class L402:
    """Sees every request of a Flask application to its end.

    `L402(app, paywall)`, or `l402 = L402(); l402.init_app(app)` in an application factory. Without a
    paywall, one is made from the `L402_...` settings in `app.config` and in the environment. What is priced is
    what `@l402_required` decorates. With a `default` everything else costs that, 404s and static files included, but
    for the paths in `free`; `l402_middleware.wsgi.L402Middleware` says what both may be. The view finds the `Payment`
    in `g.l402`, None where the route is free.
    """

    def __init__(
        self,
        app: Flask | None = None,
        paywall: Paywall | None = None,
        default: Price | Offer | None = None,
        free: Iterable[str] = (),
    ) -> None:
        self._paywall = paywall
        self.whole = whole_or_none(default, free)
        if app is not None:
            self.init_app(app)

    def init_app(
        self,
        app: Flask,
        paywall: Paywall | None = None,
        default: Price | Offer | None = None,
        free: Iterable[str] = (),
    ) -> None:
        """Install the paywall in `app`. Raises `ConfigurationError` where it has one, or no settings for one."""
        if not isinstance(app, Flask):
            raise ConfigurationError(f"L402(app, paywall) is for a Flask application, not for {type(app).__name__}")
        if "l402" in app.extensions:
            raise ConfigurationError("this application has its L402 extension already; install it once")
        whole = whole_or_none(default, free) or self.whole
        if whole is not None and getattr(app.wsgi_app, "__self__", None) is not app:
            raise ConfigurationError(
                f"app.wsgi_app is {type(app.wsgi_app).__name__}, which may answer before L402(default=...) is asked: "
                "install L402 first, and wrap app.wsgi_app then"
            )
        paywall = paywall or self._paywall or paywall_from_settings({**os.environ, **app.config})
        if not isinstance(paywall, Paywall):
            raise ConfigurationError(f"L402(app, paywall) needs a Paywall(...), not {type(paywall).__name__}")
        app.extensions["l402"] = paywall
        app.extensions[_WHOLE] = whole
        app.wsgi_app = _Wrapped(app, paywall, whole)  # type: ignore[method-assign]
        # First of all, also of those registered before: whoever reads the body earlier hides it from the paywall.
        app.before_request_funcs.setdefault(None, []).insert(0, _admit_early)


class _Wrapped:
    """The application's `wsgi_app`, with an exchange around each request."""

    def __init__(self, flask: Flask, paywall: Paywall, whole: WholeApplication | None) -> None:
        self.app: WSGIApplication = flask.wsgi_app
        self._flask = flask
        self.paywall = paywall
        self.whole = whole

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        answer = answer_aside(self._flask, self.paywall, environ, start_response, self._is_sold)
        if answer is not None:
            return answer
        default = None if self.whole is None else whole_sale(self.whole, environ)
        outer: WSGIExchange | None = environ.get(EXCHANGE)
        if outer is not None and outer.paywall is self.paywall:
            outer.default = outer.default or default
            return self.app(environ, start_response)
        return _FlaskExchange(self.paywall, environ, default).run(self.app, start_response)

    def _is_sold(self, environ: "WSGIEnvironment") -> bool:
        if self.whole is not None and whole_sale(self.whole, environ) is not None:
            return True
        try:
            endpoint, _ = self._flask.create_url_adapter(Request(environ)).match()  # type: ignore[union-attr]
        except (HTTPException, AssertionError):
            return False
        return _offer_of(self._flask.view_functions.get(endpoint), environ["REQUEST_METHOD"]) is not None


class _FlaskExchange(WSGIExchange):
    def path(self) -> str:
        # Werkzeug routes by this: //dear is /dear to it, and must not have the price of another path.
        mount, path = split_path(self.environ)
        return f"{mount}/{path.lstrip('/')}"


def l402_required(price: Price, **conditions: Unpack[Conditions]) -> Callable[[View], View]:
    """Run this view only for requests that have paid; `l402_middleware.Offer` says what price and conditions mean.

    Put it under `@app.route`, on a function, plain or async, or on a method of a `MethodView`. Without the `L402`
    extension it raises `ConfigurationError` instead of running.
    """
    refuse_bare_decorator(price)
    offer = Offer(price, **conditions)

    def decorate(view: View) -> View:
        if isinstance(view, type):
            raise ConfigurationError(
                f"@l402_required on the class {view.__name__}: put it into its `decorators`, or on its methods"
            )

        @wraps(view)
        def paid(*args: Any, **kwargs: Any) -> Any:
            refusal = _admit(offer)
            return refusal if refusal is not None else current_app.ensure_sync(view)(*args, **kwargs)

        mark(paid, offer, view)
        return cast(View, paid)

    return decorate


def _admit_early() -> FlaskResponse | None:
    """Refuse before any other `before_request` function reads the body or opens a session."""
    g.l402 = None
    sells_everything = current_app.extensions[_WHOLE] is not None
    offer = _offer_of_view()
    if offer is not None:
        return _admit(offer)
    default = _visit().default if sells_everything else None
    if default is None or _visit().was_asked_for(default[0]):
        return None
    return _admit(*default)


def _offer_of_view() -> Offer | None:
    """What the view sells that Flask will call; of a `MethodView`, what its method does."""
    if request.method == "OPTIONS" and getattr(request.url_rule, "provide_automatic_options", False):
        # Flask answers this itself, without the view; a browser's preflight cannot pay.
        return None
    view = current_app.view_functions.get(request.endpoint or "")
    offer = _offer_of(view, request.method)
    if offer is None and getattr(view, "view_class", None) is None:
        refuse_left_out(view, request.path, current_app.view_functions.values())
    return offer


def _offer_of(view: object, method: str) -> Offer | None:
    """What a view sells to requests of that method; a `MethodView`, what its method for it does."""
    offer, view_class = offer_of(view), getattr(view, "view_class", None)
    if offer is not None or view_class is None:
        return offer
    if view_class.dispatch_request is not MethodView.dispatch_request:
        return offer_of(view_class.dispatch_request)
    name = "get" if method == "HEAD" and not hasattr(view_class, "head") else method.lower()
    return offer_of(getattr(view_class, name, None))


def _visit() -> WSGIExchange:
    visit: WSGIExchange | None = request.environ.get(EXCHANGE)
    if visit is None:
        raise ConfigurationError("@l402_required without its extension: add L402(app, paywall) to the application")
    return visit


def _admit(offer: Offer, endpoint: str | None = None) -> FlaskResponse | None:
    visit = _visit()
    refusal = visit.admit(offer, endpoint or _endpoint_name())
    if refusal is not None:
        return _flask_response(refusal)
    if isinstance(visit.decision, Delivery):
        g.l402 = visit.decision.payment
        # A HEAD whose answer is kept runs as the GET that follows it.
        request.method = request.environ["REQUEST_METHOD"].upper()
    return None


def _endpoint_name() -> str:
    rule = request.url_rule
    assert rule is not None
    method = "GET" if request.method == "HEAD" else request.method
    mount = quote(request.environ.get("SCRIPT_NAME", "").encode("latin-1"))
    # The bar keeps the route /b of an application at /a apart from a route /a/b: gunicorn takes the mount from a
    # request header where a proxy on this machine lets one through.
    return f"{method} {rule.host or rule.subdomain or ''}{mount}{'|' if mount else ''}{rule.rule}"


def _flask_response(refusal: Response) -> FlaskResponse:
    response: FlaskResponse = current_app.response_class(refusal.body, refusal.status)
    response.headers.clear()
    response.headers.extend(text_headers(refusal.headers))
    return response
