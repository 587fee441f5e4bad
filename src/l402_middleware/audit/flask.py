"""The audit of Flask applications."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from types import MethodType
from typing import Any, Final
from uuid import UUID

from flask import Flask
from flask.views import MethodView
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.routing import (
    AnyConverter,
    BaseConverter,
    FloatConverter,
    IntegerConverter,
    PathConverter,
    RequestRedirect,
    Rule,
    UnicodeConverter,
    UUIDConverter,
)

from ..flask import _admit_early, _Wrapped
from .finding import PREFLIGHT, Finding, Verdict, decorators_above, free, hole, name_of, verdict_on
from .position import Found, Layer, Position, explore_or_say, layer_of

_SAMPLES: Final[dict[type[BaseConverter], Any]] = {
    UnicodeConverter: "l402",
    PathConverter: "l402/~L4.02~",
    IntegerConverter: 402,
    FloatConverter: 4.02,
    UUIDConverter: UUID(int=402),
}


def explore(app: object, position: Position) -> Found:
    """The findings on a Flask application, or on Werkzeug's dispatcher; None for anything else."""
    if isinstance(app, Flask):
        return explore_or_say(app.wsgi_app, position)
    if isinstance(app, MethodType) and isinstance(app.__self__, Flask):
        return list(_rules(app.__self__, position))
    if isinstance(app, DispatcherMiddleware):
        inside = position.inside(layer_of(app))
        mounted = [explore_or_say(mount, inside.under(path)) for path, mount in app.mounts.items()]
        return [*chain.from_iterable(mounted), *explore_or_say(app.app, inside)]
    return None


def _rules(app: Flask, position: Position) -> Iterator[Finding]:
    for rule in app.url_map.iter_rules():
        if rule.build_only:
            continue
        view = app.view_functions.get(rule.endpoint)
        for method in _methods(rule, view):
            verdict = _verdict(rule, view, method)
            if verdict.offer is not None:
                verdict = _reached(verdict, app, rule, method)
            verdict = _guarded(verdict, app, position)
            notes = tuple(_notes(app, position, rule, view, method)) if verdict.offer is not None else ()
            yield replace(position, host=_host(app, rule)).finding(method, rule.rule, verdict, notes)


def _methods(rule: Rule, view: object) -> list[str]:
    if rule.websocket:
        return ["WEBSOCKET"]
    methods = set(rule.methods or ["*"])
    if getattr(rule, "provide_automatic_options", False):
        methods.discard("OPTIONS")  # answered by Flask, without the view
    if "GET" in methods and not hasattr(getattr(view, "view_class", None), "head"):
        methods.discard("HEAD")
    return sorted(methods)


def _host(app: Flask, rule: Rule) -> str:
    if rule.host or not rule.subdomain:
        return rule.host or ""
    return f"{rule.subdomain}.{app.config['SERVER_NAME'] or '*'}"


def _verdict(rule: Rule, view: Callable[..., Any] | None, method: str) -> Verdict:
    if rule.redirect_to is not None:
        return free("redirects; what it leads to has a line of its own", "list it among the exceptions")
    if view is None:
        return free(f"there is no view for {rule.endpoint!r}: every request for it fails", "take the rule away")
    verdict, handler = verdict_on(view), _handler(view, method)
    own = None if handler is None else verdict_on(handler)
    if own is not None and own.offer is not None and verdict.offer not in (None, own.offer):
        return hole(
            "@l402_required stands both in the class's `decorators` and on its method: every request for it fails",
            "take one of them away",
            verdict.offer,
        )
    if own is not None and verdict.offer is None:
        verdict = own
    if verdict.status == "free" and rule.endpoint.rpartition(".")[2] == "static":
        return free(
            "serves static files", "list it among the exceptions, or make the application with static_folder=None"
        )
    return verdict


def _handler(view: object, method: str) -> object | None:
    """The method of a view class that answers `method`."""
    cls = getattr(view, "view_class", None)
    handler = getattr(cls, method.lower(), None) if isinstance(cls, type) and issubclass(cls, MethodView) else None
    return getattr(cls, "dispatch_request", None) if handler is None else handler


def _guarded(verdict: Verdict, app: Flask, position: Position) -> Verdict:
    """`verdict`, where the extension sees to it that what is priced is paid."""
    if verdict.status != "priced" or _inside(position) is not None:
        return verdict
    if "l402" in app.extensions:
        return hole(
            "app.wsgi_app was replaced, and the extension L402 in it: every request for this fails",
            "wrap what is there, as in app.wsgi_app = Middleware(app.wsgi_app)",
            verdict.offer,
        )
    return hole(
        "the application has no extension L402: every request for this fails", "add L402(app, paywall)", verdict.offer
    )


def _inside(position: Position) -> tuple[Layer, ...] | None:
    """What stands between the extension and the application; None where there is no extension."""
    for number, layer in enumerate(position.layers):
        if layer.kind is _Wrapped:
            return position.layers[number + 1 :]
    return None


def _notes(app: Flask, position: Position, rule: Rule, view: object, method: str) -> Iterator[str]:
    if method == "OPTIONS":
        yield PREFLIGHT
    for layer in _inside(position) or ():
        if layer.kind not in (_Wrapped, DispatcherMiddleware):
            yield f"{layer} stands inside the extension L402: what it answers itself is not paid for"
    unpaid = [name_of(function) for function in _run_unpaid(app, rule, view)]
    if not _is_asked_first(view):
        unpaid += _run_unpaid_by_class(view, method)
    if unpaid:
        yield f"runs before it is paid: {', '.join(unpaid)}"


def _run_unpaid(app: Flask, rule: Rule, view: object) -> Iterator[Callable[..., Any]]:
    parts = rule.endpoint.split(".")[:-1]
    names = [None, *(".".join(parts[: number + 1]) for number in range(len(parts)))]
    for name in names:
        yield from app.url_value_preprocessors.get(name, ())
    for name in names:
        for function in app.before_request_funcs.get(name, ()):
            if function is not _admit_early:
                yield function
            elif _is_asked_first(view):
                return  # what follows runs for those who have paid


def _is_asked_first(view: object) -> bool:
    """Whether the extension sees the price before the view runs: not where a class dispatches in its own manner."""
    if verdict_on(view).offer is not None:
        return True
    dispatch = getattr(getattr(view, "view_class", None), "dispatch_request", None)
    return dispatch is MethodView.dispatch_request or verdict_on(dispatch).offer is not None


def _run_unpaid_by_class(view: object, method: str) -> Iterator[str]:
    """What a view class runs before it comes to its method, or to its `dispatch_request`, that is priced."""
    cls: Any = getattr(view, "view_class", MethodView)
    yield from (name_of(decorator) for decorator in reversed(cls.decorators))
    handler = _handler(view, method)
    if cls.dispatch_request not in (MethodView.dispatch_request, handler):
        yield name_of(cls.dispatch_request)
    yield from decorators_above(handler)


def _reached(verdict: Verdict, app: Flask, rule: Rule, method: str) -> Verdict:
    """`verdict`, unless Werkzeug gives this rule's requests to another one."""
    taker = _taken_by(app, rule, method)
    if taker is None:
        return verdict
    return hole(
        f"never reached: {taker.rule} ({taker.endpoint}) answers instead",
        "take one of the two away, or give them different paths or methods",
        verdict.offer,
    )


def _taken_by(app: Flask, rule: Rule, method: str) -> Rule | None:
    """The rule that answers a sample request for this one, if another does."""
    values = {**(rule.defaults or {})}
    for name, converter in rule._converters.items():
        sample = next(iter(converter.items)) if isinstance(converter, AnyConverter) else _SAMPLES.get(type(converter))
        if sample is None:
            return None
        values[name] = sample
    built = rule.build(values, append_unknown=False)
    if built is None:
        return None
    domain, path = built
    if app.url_map.host_matching:
        adapter = app.url_map.bind(domain or "l402.invalid")
    else:
        adapter = app.url_map.bind("l402.invalid", subdomain=domain)
    try:
        found, _ = adapter.match(path, None if method == "*" else method, return_rule=True)
    except (HTTPException, RequestRedirect):
        return None
    return None if found is rule else found
