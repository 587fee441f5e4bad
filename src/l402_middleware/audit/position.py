"""Where in an application the audit stands: below which paths, and inside which middleware."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from types import FunctionType, MethodType
from typing import Any, Final, TypeAlias

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
class Position:
    """`layers` are those passed, from the outermost; `trail` is the choices that routers made, for who made them."""

    path: str = ""
    host: str = ""
    layers: tuple[Layer, ...] = ()
    trail: tuple[Any, ...] = ()
    # One for each framework that is there.
    explorers: "tuple[Explorer, ...]" = ()
    # What leads to no known application, so that circles end; the objects too, because the address of one that is
    # gone may be another's.
    unknown: dict[int, object] = field(default_factory=dict)
    # What is being explored: an application may be mounted in itself.
    around: tuple[object, ...] = ()

    def under(self, path: str) -> "Position":
        return replace(self, path=self.path + path)

    def inside(self, *layers: Layer) -> "Position":
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
Explorer: TypeAlias = Callable[[Any, Position], Found]

# Nobody wraps more middleware than this around an application: something gives a new object each time it is asked.
_MAX_UNKNOWN: Final = 200

_LISTED: Final = free("the paywall's list of free paths has it", "take it out of that list, or list it as an exception")


def layer_of(wrapper: object, *, is_global: bool = False) -> Layer:
    """A middleware that is there as an object."""
    kind = wrapper if isinstance(wrapper, FunctionType | type) else type(wrapper)
    paywall = getattr(wrapper, "paywall", None)
    return Layer(kind, paywall, is_global, _whole_of(wrapper))


def _whole_of(wrapper: object) -> WholeApplication | None:
    whole = getattr(wrapper, "whole", None)
    return whole if isinstance(whole, WholeApplication) else None


def explore(app: object, position: Position) -> Found:
    """The findings on everything below `app`; None where neither it nor what it wraps is an application known here."""
    unknown = position.unknown
    if id(app) in unknown or len(unknown) > _MAX_UNKNOWN or any(app is each for each in position.around):
        return None
    here = replace(position, around=(*position.around, app))
    for explorer in position.explorers:
        if (found := explorer(app, here)) is not None:
            return found
    if _whole_of(app) is not None:
        inside = here.inside(layer_of(app, is_global=not position.trail))
        return inside.with_free_paths(explore_or_say(next(wrapped_by(app)), inside))
    unknown[id(app)] = app
    for wrapped in wrapped_by(app):
        found = explore(wrapped, here.inside(layer_of(app, is_global=not position.trail)))
        if found is not None:
            del unknown[id(app)]
            return found
    return None


def explore_or_say(app: object, position: Position) -> list[Finding]:
    """As `explore`, with one finding on an application that cannot be looked into."""
    found = explore(app, position)
    if found is not None:
        return found
    verdict = free(
        f"{name_of(app)} is an application that cannot be looked into",
        "give it a paywall of its own, and list this path among the exceptions",
    )
    return [position.finding("*", "/{path}", verdict)]


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
