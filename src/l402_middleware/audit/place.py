"""Where in an application the audit stands: below which paths, and inside which middleware."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from types import FunctionType, MethodType
from typing import Any, Final, TypeAlias

from ..core.errors import ConfigurationError
from ..paywall.whole_application import WholeApplication
from .finding import Finding, Verdict, contents, free, hole, name_of

# What middleware of either kind call the application that they wrap.
_NAMES: Final = (
    "app",
    "_app",
    "application",
    "wsgi_application",
    "wsgi_app",
    "asgi_app",
    "wsgi",
    "wrapped",
    "__wrapped__",
    "func",
)

# What leads to no known application may be this many objects: a proxy or a mock makes new ones without end.
_MAX_UNKNOWN: Final = 200


@dataclass(frozen=True, slots=True)
class Layer:
    """A middleware around what follows: its class, or the function that it is.

    `is_global` where it stands around a whole application, and another one could have been put behind it. `whole` is
    what it sells of everything below `path`, where it is a paywall that does.
    """

    kind: object
    paywall: object = None
    is_global: bool = False
    whole: WholeApplication | None = None
    path: str = ""

    @property
    def knows_fastapi(self) -> bool:
        return any(kind.__module__ == "l402_middleware.fastapi" for kind in getattr(self.kind, "__mro__", ()))

    @property
    def knows_no_framework(self) -> bool:
        return self.kind.__module__.startswith(("l402_middleware.asgi", "l402_middleware.wsgi"))

    def __str__(self) -> str:
        return name_of(self.kind)


@dataclass(frozen=True, slots=True)
class Place:
    """`layers` are those passed, from the outermost; `trail` is the choices that routers made, for who made them."""

    path: str = ""
    host: str = ""
    layers: tuple[Layer, ...] = ()
    trail: tuple[Any, ...] = ()
    # What leads to no known application, so that circles end; the objects too, because the address of one that is
    # gone may be another's.
    unknown: dict[int, object] = field(default_factory=dict)

    def under(self, path: str) -> "Place":
        return replace(self, path=self.path + path)

    def inside(self, *layers: Layer) -> "Place":
        return replace(self, layers=(*self.layers, *(replace(layer, path=self.path) for layer in layers)))

    def finding(self, method: str, path: str, verdict: Verdict, notes: tuple[str, ...] = ()) -> Finding:
        """What the audit says of a route here. Where a paywall sells everything, what nothing else prices is priced."""
        full = self.path + path
        layer = next((layer for layer in reversed(self.layers) if layer.whole is not None), None)
        if (
            layer is not None
            and layer.whole is not None
            and verdict.status == "free"
            and not (verdict.is_given and layer.knows_fastapi)
        ):
            is_free = full.removeprefix(layer.path) in layer.whole.free
            verdict = _LISTED if is_free else Verdict("priced", offer=layer.whole.offer)
        elif layer is not None and verdict.offer is not None and layer.knows_no_framework:
            verdict = hole(
                "the middleware around it sells only at its default price, and does not start with another one inside",
                "use that of l402_middleware.starlette, or L402 of l402_middleware.flask",
                verdict.offer,
            )
        return Finding(method, self.host + full, verdict, notes if verdict.status == "priced" else ())

    def with_free_paths(self, findings: list[Finding]) -> list[Finding]:
        """`findings` on what is here, and on each path that the paywall here has as free and no route is known for."""
        whole = self.layers[-1].whole if self.layers else None
        known = {finding.path for finding in findings}
        paths = sorted(path for path in (whole.free if whole else ()) if self.host + self.path + path not in known)
        return [*findings, *(Finding("*", self.host + self.path + path, _LISTED) for path in paths)]


Found: TypeAlias = list[Finding] | None

_LISTED: Final = free("the paywall's list of free paths has it", "take it out of that list, or list it as an exception")


def layer_of(wrapper: object, *, is_global: bool = False) -> Layer:
    """A middleware that is there as an object."""
    kind = wrapper if isinstance(wrapper, FunctionType | type) else type(wrapper)
    paywall = getattr(wrapper, "paywall", None)
    return Layer(kind, paywall, is_global, _whole_of(wrapper))


def _whole_of(wrapper: object) -> WholeApplication | None:
    whole = getattr(wrapper, "whole", None)
    return whole if isinstance(whole, WholeApplication) else None


def audit(app: object) -> list[Finding]:
    """The findings on every route of `app`, an ASGI or WSGI application, in the order in which they are registered.

    Nothing is called but what the frameworks themselves call to build their routes. Raises `ConfigurationError` where
    `app` is no application.
    """
    if not callable(app) or isinstance(app, type):
        raise ConfigurationError(f"{app!r} is not an application: give the Starlette, FastAPI or Flask object")
    return explore_or_say(app, Place())


def explore(app: object, place: Place) -> Found:
    """The findings on everything below `app`; None where neither it nor what it wraps is an application known here."""
    if id(app) in place.unknown or len(place.unknown) > _MAX_UNKNOWN:
        return None
    # Whoever has an application of a framework has imported it; nobody needs the other ones.
    if "starlette" in sys.modules:
        from .starlette import explore_starlette  # noqa: PLC0415 - only where it is installed

        if (found := explore_starlette(app, place)) is not None:
            return found
    if "flask" in sys.modules:
        from .flask import explore_flask  # noqa: PLC0415 - only where it is installed

        if (found := explore_flask(app, place)) is not None:
            return found
    if _whole_of(app) is not None:
        inside = place.inside(layer_of(app, is_global=not place.trail))
        return inside.with_free_paths(explore_or_say(next(wrapped_by(app)), inside))
    place.unknown[id(app)] = app
    for wrapped in wrapped_by(app):
        found = explore(wrapped, place.inside(layer_of(app, is_global=not place.trail)))
        if found is not None:
            del place.unknown[id(app)]
            return found
    return None


def explore_or_say(app: object, place: Place) -> list[Finding]:
    """As `explore`, with one finding on an application that cannot be looked into."""
    found = explore(app, place)
    if found is not None:
        return found
    verdict = free(
        f"{name_of(app)} is an application that cannot be looked into",
        "give it a paywall of its own, and list this path among the exceptions",
    )
    return [place.finding("*", "/{path}", verdict)]


def wrapped_by(app: object) -> Iterator[object]:
    """What `app`, if it is a middleware, may have wrapped; the likeliest first."""
    for name in _NAMES:
        wrapped = getattr(app, name, None)
        if callable(wrapped) and not isinstance(wrapped, type):
            yield wrapped
    if isinstance(app, MethodType):
        yield app.__self__
    if isinstance(app, FunctionType):
        yield from contents(app.__closure__)
