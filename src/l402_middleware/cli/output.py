"""What the command prints: plain lines or JSON, and nothing that a terminal would obey."""

import json
import sys
from collections.abc import Iterable

from ..credentials.inspection import Parts


class Failure(Exception):
    """What the command was asked for cannot be done; the message says why."""


def lines_of(parts: Parts, indent: str = "") -> Iterable[str]:
    """What an inspection shows, indented by its parts."""
    width = max(len(name) for name in parts)
    for name, value in parts.items():
        if isinstance(value, dict):
            yield f"{indent}{name}"
            yield from lines_of(value, indent + "  ")
        elif isinstance(value, list):
            yield f"{indent}{name}"
            yield from (f"{indent}  {printable(item)}" for item in value)
        elif value is not None:
            shown = {True: "yes", False: "no"}[value] if isinstance(value, bool) else printable(str(value))
            yield f"{indent}{name:{width}}  {shown}".rstrip()


def keys_of(parts: Parts) -> dict[str, object]:
    """`parts` as programs like them: names without spaces."""
    return {name.replace(" ", "_"): keys_of(part) if isinstance(part, dict) else part for name, part in parts.items()}


def printable(text: str) -> str:
    """`text` from strangers, without what a terminal would obey."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def say(lines: Iterable[str]) -> None:
    """Print lines, in whatever letters the terminal has."""
    encoding = sys.stdout.encoding
    for line in lines:
        # An endpoint or a description may have letters that the terminal does not.
        print(line.encode(encoding, "backslashreplace").decode(encoding))  # noqa: T201 - the command's output


def say_json(value: object) -> None:
    """Print a value as JSON."""
    say([json.dumps(value, indent=2)])
