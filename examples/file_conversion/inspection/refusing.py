"""What all checks share: how one says that a file is not what it claims to be."""

from collections.abc import Callable

Check = Callable[[bytes], None]


class Mismatch(Exception):
    """The file is of another type."""


def expect(condition: bool) -> None:
    """Raise `Mismatch` unless the condition holds."""
    if not condition:
        raise Mismatch
