"""What the audit says about a route, and about the endpoint behind it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from types import CellType, FunctionType, MethodType
from typing import Any, Final, Literal, TypeAlias

from ..paywall.offer import Offer, is_priced_elsewhere, offer_of

Status: TypeAlias = Literal["priced", "free", "hole"]

_PRICE_IT: Final = "put @l402_required(price=...) under the route's decorator, on the function itself"

PREFLIGHT: Final = "OPTIONS is among its methods: a browser's preflight is asked to pay, and cannot"

# A decorator under a decorator: nobody nests them deeper than this.
_MAX_DEPTH: Final = 6


# Nobody stacks more decorators than this: something in them gives a new object each time it is asked.
_MAX_WRAPPED: Final = 100


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether something is sold: "priced"; "free", which may be meant; or a "hole", where a price was meant and fails.

    `reason` and `remedy` are empty where it is priced.
    """

    status: Status
    reason: str = ""
    remedy: str = ""
    offer: Offer | None = None
    # Free by somebody's word, which counts before a default price where the paywall knows it.
    is_given: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """One method of one route.

    `method` is in capitals, `WEBSOCKET`, or `*` for any; `path` is the template with all mounts, behind the host where
    one decides. `notes` are what is worth knowing of a route that is priced all the same.
    """

    method: str
    path: str
    verdict: Verdict
    notes: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def free(reason: str, remedy: str) -> Verdict:
    """Nothing says that this should be sold."""
    return Verdict("free", reason, remedy)


def hole(reason: str, remedy: str, offer: Offer | None = None) -> Verdict:
    """Somebody meant to sell this, and it is not sold."""
    return Verdict("hole", reason, remedy, offer)


def verdict_on(endpoint: object) -> Verdict:
    """Whether an endpoint, by itself, is priced; what stands around it is not looked at."""
    while isinstance(endpoint, partial):
        endpoint = endpoint.func
    offer = offer_of(endpoint)
    if offer is not None:
        if any(other is not offer for other in _offers_below(endpoint)):
            return hole(
                "two @l402_required with different offers: every request for it fails", "take one of them away", offer
            )
        return Verdict("priced", offer=offer)
    if getattr(endpoint, "__qualname__", "") == "l402_required.<locals>.decorate":
        return hole("@l402_required without a price: every request fails", "write @l402_required(price=...)")
    name = name_of(endpoint)
    hidden = next(_priced_inside(endpoint, set(), 0), None)
    if hidden is not None:
        return hole(
            f"{name_of(hidden)} is priced, but a decorator above @l402_required hides that from the router ({name})",
            "write functools.wraps into that decorator, or put @l402_required above it",
            offer_of(hidden),
        )
    if is_priced_elsewhere(endpoint):
        return hole(
            f"the route has {name} as it was before @l402_required",
            "put @l402_required under the route's decorator; or give the decorated function to the router",
        )
    return free(f"nothing prices {name}", _PRICE_IT)


def name_of(thing: object) -> str:
    """How a reader knows a function, a class or an object: by the name in the source."""
    return str(getattr(thing, "__qualname__", type(thing).__qualname__)).rpartition("<locals>.")[2]


def decorators_above(endpoint: object) -> list[str]:
    """The names of the decorators, outermost first, above the one that priced `endpoint`, whose mark they keep."""
    names = []
    while isinstance(endpoint, FunctionType) and offer_of(getattr(endpoint, "__wrapped__", None)) is not None:
        # A decorator that keeps the name of what it wraps cannot keep that of its code.
        names.append(endpoint.__code__.co_qualname.partition(".<locals>")[0])
        endpoint = endpoint.__wrapped__  # type: ignore[attr-defined]
    return names


def _offers_below(endpoint: object) -> Iterator[Offer]:
    for _ in range(_MAX_WRAPPED):
        endpoint = getattr(endpoint, "__wrapped__", None)
        offer = offer_of(endpoint)
        if offer is not None:
            yield offer


def _priced_inside(endpoint: object, seen: set[int], depth: int) -> Iterator[object]:
    """The priced functions that a decorator, which did not keep their mark, has wrapped."""
    for inner in _wrapped_by(endpoint):
        if id(inner) in seen or depth > _MAX_DEPTH:
            continue
        seen.add(id(inner))
        if offer_of(inner) is not None:
            yield inner
        else:
            yield from _priced_inside(inner, seen, depth + 1)


def _wrapped_by(endpoint: object) -> Iterator[object]:
    if isinstance(endpoint, partial | MethodType):
        yield endpoint.func if isinstance(endpoint, partial) else endpoint.__func__
    wrapped = getattr(endpoint, "__wrapped__", None)
    if wrapped is not None:
        yield wrapped
    if isinstance(endpoint, FunctionType):
        for content in contents(endpoint.__closure__):
            # Defined side by side in an application factory, one endpoint may mention the other: that wraps nothing.
            if isinstance(content, partial) or _scope(content) != _scope(endpoint):
                yield content
    elif not isinstance(endpoint, type):
        yield from (value for value in getattr(endpoint, "__dict__", {}).values() if isinstance(value, FunctionType))


def contents(cells: tuple[CellType, ...] | None) -> Iterator[Any]:
    """What a function's closure holds and can be called, classes excepted."""
    for cell in cells or ():
        try:
            content = cell.cell_contents
        except ValueError:
            continue  # the name is not bound yet
        if callable(content) and not isinstance(content, type):
            yield content


def _scope(thing: Any) -> str:
    return str(getattr(thing, "__qualname__", "")).rpartition(".")[0]
