"""Which surviving mutants README.md explains."""

import re
from dataclasses import dataclass
from pathlib import Path

README = Path(__file__).with_name("README.md")

_LITERAL = re.compile(r"""("[^"]*"|'[^']*')""")
# Names that Python looks up without regard to case.
_NAMES = {'"sha256"', '"utf-8"', '"latin-1"', '"ascii"', "'ascii'"}


@dataclass(frozen=True, slots=True)
class Change:
    """What a mutant changes, and where: the dotted name of a function below the package, lines before and after."""

    where: str
    before: tuple[str, ...]
    after: tuple[str, ...]

    @classmethod
    def of_mutant(cls, name: str, diff: str) -> "Change":
        """The change that mutmut calls `l402_middleware.core.keys.x_generate_key__mutmut_1`, from its diff."""
        module, _, mangled = name.removeprefix("l402_middleware.").rpartition(".")
        # "x_function", or "xǁClassǁmethod"; the bar is a letter to Python.
        function = mangled[2:].rpartition("__mutmut_")[0].replace("\u01c1", ".")
        return cls(f"{module}.{function}", *_lines(diff.splitlines()))

    @property
    def is_of_words_only(self) -> bool:
        """Whether all that differs is the text of a sentence, three words or more: no test holds anybody to those."""
        return all(was.count(" ") > 1 and was.lower() == _without_marks(now).lower() for was, now in self._literals())

    @property
    def is_of_names_only(self) -> bool:
        """Whether all that differs is the case of a codec's or a digest's name."""
        return all(was in _NAMES and was.lower() == now.lower() for was, now in self._literals())

    def _literals(self) -> list[tuple[str, str]]:
        """The string literals that differ; a pair that no rule allows where anything else does."""
        before, after = (_LITERAL.split("\n".join(lines)) for lines in (self.before, self.after))
        if before[::2] != after[::2]:
            return [("", "x")]
        return [(was, now) for was, now in zip(before, after, strict=True) if was != now]


def explained() -> set[Change]:
    """The changes in README.md: below a heading that names the function, in blocks marked `diff`."""
    found: set[Change] = set()
    where = ""
    block: list[str] | None = None
    for line in README.read_text().splitlines():
        if heading := re.fullmatch("#+ `(.+)`", line):
            where = heading[1]
        elif line == "```diff":
            block = []
        elif line == "```" and block is not None:
            found |= {Change(where, *_lines(change)) for change in _changes(block)}
            block = None
        elif block is not None:
            block.append(line)
    return found


def _changes(block: list[str]) -> list[list[str]]:
    """One after the other: each is lines that go, and then lines that come."""
    changes: list[list[str]] = []
    for line in block:
        if line.startswith("-") and (not changes or changes[-1][-1].startswith("+")):
            changes.append([])
        changes[-1].append(line)
    return changes


def _lines(diff: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    changed = [line for line in diff if not line.startswith(("---", "+++"))]
    before, after = (tuple(line[1:].strip() for line in changed if line.startswith(sign)) for sign in "-+")
    return before, after


def _without_marks(literal: str) -> str:
    """Mutmut puts XX to both ends of a text."""
    return re.sub("^(.)XX(.*)XX(.)$", r"\1\2\3", literal)
