"""Flask: the extension `L402` and `@l402_required(price=...)`."""

import os
from collections.abc import Callable, Iterable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, cast

from flask import Flask, current_app, g, request
from flask import Response as FlaskResponse

from .core.errors import ConfigurationError
from .paywall.delivery import Delivery
from .paywall.offer import Conditions, Offer, Price, mark, offer_of
from .paywall.paywall import Paywall
from .paywall.response import Response
from .paywall.settings import paywall_from_settings
from .wsgi.middleware import answer_wallet
from .wsgi.visit import VISIT, Visit, text_headers

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["L402", "l402_required"]


View = TypeVar("View", bound=Callable[..., Any])


class L402:
    """Sees every request of a Flask application to its end.

    `L402(app, paywall)`, or `l402 = L402(); l402.init_app(app)` in an application factory. Without a
    paywall, one is made from the `L402_...` settings in `app.config` and in the environment. What is priced is
    what `@l402_required` decorates. The view finds the `Payment` in `g.l402`, None where the route is free.
    """

    def __init__(self, app: Flask | None = None, paywall: Paywall | None = None) -> None:
        self._paywall = paywall
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask, paywall: Paywall | None = None) -> None:
        """Install the paywall in `app`. Raises `ConfigurationError` where it has one, or no settings for one."""
        if "l402" in app.extensions:
            raise ConfigurationError("this application has its L402 extension already; install it once")
        paywall = paywall or self._paywall or paywall_from_settings({**os.environ, **app.config})
        app.extensions["l402"] = paywall
        app.wsgi_app = _Wrapped(app.wsgi_app, paywall)  # type: ignore[method-assign]
        # First of all, also of those registered before: whoever reads the body earlier hides it from the paywall.
        app.before_request_funcs.setdefault(None, []).insert(0, _admit_early)


class _Wrapped:
    """The application's `wsgi_app`, with a visit around each request."""

    def __init__(self, app: "WSGIApplication", paywall: Paywall) -> None:
        self._app = app
        self._paywall = paywall

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        answer = answer_wallet(self._paywall, environ, start_response)
        if answer is not None:
            return answer
        outer: Visit | None = environ.get(VISIT)
        if outer is not None and outer.paywall is self._paywall:
            return self._app(environ, start_response)
        visit = environ[VISIT] = Visit(self._paywall, environ)
        return visit.run(self._app, start_response)


def l402_required(price: Price, **conditions: Unpack[Conditions]) -> Callable[[View], View]:
    """Run this view only for requests that have paid; `l402_middleware.Offer` says what price and conditions mean.

    Put it under `@app.route`, on a function, plain or async, or on a method of a `MethodView`. Without the `L402`
    extension it raises `ConfigurationError` instead of running.
    """
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
    if request.method == "OPTIONS" and getattr(request.url_rule, "provide_automatic_options", False):
        # Flask answers this itself, without the view; a browser's preflight can not pay.
        return None
    view = current_app.view_functions.get(request.endpoint or "")
    offer = offer_of(view)
    return None if offer is None else _admit(offer)


def _admit(offer: Offer) -> FlaskResponse | None:
    visit: Visit | None = request.environ.get(VISIT)
    if visit is None:
        raise ConfigurationError("@l402_required without its extension: add L402(app, paywall) to the application")
    refusal = visit.admit(offer, _endpoint_name())
    if refusal is not None:
        return _flask_response(refusal)
    if isinstance(visit.decision, Delivery):
        g.l402 = visit.decision.payment
    return None


def _endpoint_name() -> str:
    rule = request.url_rule
    assert rule is not None
    method = "GET" if request.method == "HEAD" else request.method
    mount = request.environ.get("SCRIPT_NAME", "")
    # The bar keeps the route /b of an application at /a apart from a route /a/b: gunicorn takes the mount from a
    # request header where a proxy on this machine lets one through.
    return f"{method} {rule.host or rule.subdomain or ''}{mount}{'|' if mount else ''}{rule.rule}"


def _flask_response(refusal: Response) -> FlaskResponse:
    response: FlaskResponse = current_app.response_class(refusal.body, refusal.status)
    response.headers.clear()
    response.headers.extend(text_headers(refusal.headers))
    return response
