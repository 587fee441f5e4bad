"""The engines, one module a family, each with one function:

    convert(given: Path, source: str, made: Path, target: str) -> Notes

It reads `given`, a file of the type `source`, writes `made` as `target`, and raises `Unconvertible` where the file is
at fault; both are in the working directory. What the target cannot hold it names in its answer, as keys of `NOTES` in
`explanations`; None where nothing is lost. It runs confined, in a process of its own, and never lets the content choose
the decoder.
"""

from collections.abc import Callable, Iterable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

FONTS = Path(__file__).parents[1] / "fonts"

Notes = Iterable[str] | None
Convert = Callable[[Path, str, Path, str], Notes]


class Unconvertible(Exception):
    """The file is at fault; `code` is one of the `REASONS` in `explanations`.

    `said` is what the converter wrote about it, for the operator's log alone.
    """

    def __init__(self, code: str = "unreadable", said: bytes = b"") -> None:
        self.code = code
        super().__init__(code, said)


def load(name: str) -> Convert:
    """The `convert` of one engine. Loaded by name, so that a job imports no engine but its own."""
    convert: Convert = import_module(f"{__name__}.{name}").convert
    return convert


def bundled_program(package: str, pattern: str) -> Path:
    """The program that a package brought along.

    The package's own search would run it to see its version, or prefer another one of this machine.
    """
    found = find_spec(package)
    assert found is not None
    assert found.origin is not None
    return next(Path(found.origin).parent.glob(pattern))
