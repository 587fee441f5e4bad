"""Routes of Starlette's that no request gets to, because another one stands before them."""

import re
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from starlette.routing import Match

from .finding import Verdict, hole, name_of
from .position import Position

# Two values per convertor, so that a route is not called hidden by one that takes only some of its paths.
_SAMPLES: Final[dict[str, tuple[str, str]]] = {
    "str": ("l402", "~L4.02~"),
    "path": ("l402/~L4.02~", "l402"),
    "int": ("402", "0"),
    "float": ("4.02", "0.5"),
    "uuid": (str(UUID(int=402)), str(UUID(int=2**128 - 1))),
}


def unless_hidden(verdict: Verdict, position: Position, method: str, path: str) -> Verdict:
    """`verdict`, unless another route takes all requests that this one would be paid for."""
    if verdict.offer is None:
        return verdict
    try:
        takers = [_taken_by(position, method, path, number) for number in range(2)]
    except Exception:
        # A route of somebody's own kind may want more of a request than there is here.
        return verdict
    if any(taker is None for taker in takers):
        return verdict
    return hole(
        f"never reached: {_shown(takers[0])}, which stands before it, answers instead",
        "put this route first, or take one of the two away",
        verdict.offer,
    )


def _shown(route: Any) -> str:
    where = getattr(route, "path", "") or getattr(route, "host", "")
    return f"{name_of(type(getattr(route, 'original_route', route)))} {where}".strip()


def _taken_by(position: Position, method: str, path: str, number: int) -> Any | None:
    """The route that answers a sample request for this one, if another does."""
    sample_path, sample_host = _sample(position.path + path, number), _sample(position.host or "l402.invalid", number)
    if sample_path is None or sample_host is None:
        return None
    scope: dict[str, Any] = {
        "type": "http",
        "scheme": "http",
        "method": "GET" if method == "*" else method,
        "path": sample_path,
        "root_path": "",
        "headers": [(b"host", sample_host.encode())],
        "query_string": b"",
    }
    choices: Sequence[tuple[list[Any], Any]] = position.trail
    for earlier, route in choices:
        for other in earlier:
            if other.matches(dict(scope))[0] is Match.FULL:
                return other
        match, child = route.matches(dict(scope))
        if match is Match.NONE:
            return None
        scope.update(child)
    return None


def _sample(template: str, number: int) -> str | None:
    """A path that `template` takes; None where it has a convertor that is not known here."""
    try:
        return re.sub(r"{\w+(?::(\w+))?}", lambda found: _SAMPLES[found.group(1) or "str"][number], template)
    except KeyError:
        return None
