"""Accept-Payment: which methods and intents a client pays by, and which it likes better.

Accept-Payment = #( ( method / "*" ) "/" ( intent / "*" ) [ weight ] )
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

# A method and an intent.
Way: TypeAlias = tuple[str, str]

_MAX_BYTES: Final = 1024

# RFC 9110, section 12.4.2: weight = OWS ";" OWS "q=" qvalue
_RANGE: Final = re.compile(
    r"([a-z]+|\*)/([A-Za-z0-9-]+|\*)(?:[ \t]*;[ \t]*[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?", re.ASCII
)


def acceptable(ways: Sequence[Way], values: Iterable[bytes]) -> list[Way]:
    """Those of `ways` that the field values ask for, liked best first; all as they are where that would be none.

    Of several ranges that fit a way the most specific one counts, and of equals ours stays first. A field that is
    absent, malformed or over 1 KiB is ignored, as the draft allows.
    """
    ranges = _ranges(list(values))
    weighed = [(_weight(way, ranges), way) for way in ways]
    chosen = [way for weight, way in sorted(weighed, key=lambda pair: -pair[0]) if weight > 0]
    return chosen or list(ways)


def excludes(way: Way, values: Iterable[bytes]) -> bool:
    """Whether the field values say of this way, in so many words, that it is not to be used: `q=0`.

    Not to be named is another matter: where nothing else is on offer, the draft lets a server offer it all the same.
    """
    return _weight(way, _ranges(list(values)), 1.0) == 0


def _ranges(values: list[bytes]) -> dict[Way, float]:
    if sum(map(len, values)) > _MAX_BYTES:
        return {}
    ranges: dict[Way, float] = {}
    for element in b",".join(values).decode("latin-1").split(","):
        text = element.strip(" \t")
        if not text:
            continue
        found = _RANGE.fullmatch(text)
        if found is None:
            return {}
        method, intent, weight = found.groups()
        ranges[method, intent] = 1.0 if weight is None else float(weight)
    return ranges


def _weight(way: Way, ranges: dict[Way, float], unnamed: float = 0.0) -> float:
    method, intent = way
    for fitting in (way, (method, "*"), ("*", intent), ("*", "*")):
        if fitting in ranges:
            return ranges[fitting]
    return unnamed
