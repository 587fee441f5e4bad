"""JSON from strangers, read without the leniency of Python's own reader; and JSON written canonically (RFC 8785).

What two readers could take for different things, or what costs more than it is long, is refused: a member twice, NaN,
half a surrogate pair, numbers of hundreds of digits, thousands of brackets.

Of RFC 8785 this writes what the Payment scheme has in it: text, small whole numbers, and what holds them. How a
fraction is spelled, which is most of that RFC, does not occur, so a library for it would earn nothing here.
"""

import json
import re
from typing import Any, Final, NoReturn

MAX_DEPTH: Final = 16

# Of a 64-bit integer, and of what a double prints as.
_MAX_DIGITS: Final = 25

# RFC 8785, section 3.2.2.3: beyond these a double, which is what other readers make of a number, is not exact.
_MAX_INTEGER: Final = 2**53 - 1

# RFC 8259, section 7.
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_BRACKET: Final = re.compile(r"[\[\]{}]")


def read_object(raw: bytes) -> dict[str, Any]:
    """The members of a JSON object in UTF-8. Raises `ValueError`, and only that, for anything else.

    Also refused: a member named twice, NaN and Infinity, half a surrogate pair, a number of more than 25 characters,
    more than 16 levels.
    """
    text = raw.decode()
    _check_depth(text)
    value = json.loads(
        text, object_pairs_hook=_members, parse_int=_integer, parse_float=_fraction, parse_constant=_no_constant
    )
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    if "\\u" in text:
        # Half a surrogate pair has no UTF-8: UnicodeEncodeError is a ValueError.
        json.dumps(value, ensure_ascii=False).encode()
    return value


def canonical(value: object) -> bytes:
    """`value` as RFC 8785 writes it. Raises `ValueError` for fractions, numbers above 2**53, and half a surrogate."""
    return json.dumps(_sorted(value), ensure_ascii=False, separators=(",", ":")).encode()


def _check_depth(text: str) -> None:
    # json.loads would recurse as deep as the text says, and how deep it may is the interpreter's.
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > MAX_DEPTH:
            raise ValueError("JSON that is too deep")


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a JSON member twice")
    return members


def _integer(text: str) -> int:
    return int(_short(text))


def _fraction(text: str) -> float:
    number = float(_short(text))
    if abs(number) == float("inf"):
        raise ValueError("a JSON number that no double holds")
    return number


def _short(text: str) -> str:
    if len(text) > _MAX_DIGITS:
        raise ValueError("a JSON number that is too long")
    return text


def _no_constant(name: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


def _sorted(value: object) -> object:
    match value:
        case dict():
            # RFC 8785, section 3.2.3: by UTF-16 code units, which is another order than Python's above U+FFFF.
            return {name: _sorted(value[name]) for name in sorted(value, key=_code_units)}
        case list() | tuple():
            return [_sorted(item) for item in value]
        case str() | bool() | None:
            return value
        case int() if abs(value) <= _MAX_INTEGER:
            return value
    raise ValueError(f"canonical JSON is not written for this {type(value).__name__}")


def _code_units(name: str) -> bytes:
    return name.encode("utf-16-be")
