"""The page that explains mutants: it speaks of code that is there, and its rules let nothing else live."""

from pathlib import Path

import pytest

import l402_middleware

from .explained import Change, explained

PACKAGE = Path(l402_middleware.__file__).parent
NAME = "l402_middleware.core.keys.x\u01c1KeyRing\u01c1__init____mutmut_2"


def place(change: Change) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """What a change is sorted by: a set has no order, and two processes have to find the same tests."""
    return change.where, change.before, change.after


CHANGES = sorted(explained(), key=place)


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_what_is_explained_is_there(change: Change) -> None:
    """The lines that a mutant changes still stand in that function's module: otherwise the explanation is stale."""
    folder, module, *names = change.where.split(".")
    source = [line.strip() for line in (PACKAGE / folder / f"{module}.py").read_text().splitlines()]
    assert set(change.before) <= set(source)
    assert any(line.startswith(f"def {names[-1]}(") for line in source)
    assert change.before != change.after


def test_the_name_of_a_mutant() -> None:
    """As mutmut spells it: functions and methods, private ones among them."""
    names = {
        NAME: "core.keys.KeyRing.__init__",
        "l402_middleware.core.keys.x_generate_key__mutmut_1": "core.keys.generate_key",
        "l402_middleware.core.macaroon.x__field__mutmut_27": "core.macaroon._field",
    }
    for name, where in names.items():
        assert Change.of_mutant(name, "").where == where


@pytest.mark.parametrize(
    ("before", "after", "words", "names"),
    [
        ('raise V("one two three")', 'raise V("XXone two threeXX")', True, False),
        ('raise V(1, f"One {two} three")', 'raise V(1, f"ONE {TWO} THREE")', True, False),
        ('raise V("one-two", "a b c")', 'raise V("XXone-twoXX", "a b c")', False, False),
        ('raise V("one two three")', "raise V(None)", False, False),
        ('raise V("one two three", 1)', 'raise V("one two three", 2)', False, False),
        ('raise V("one two three")', 'raise V("one two four")', False, False),
        ('text.strip(" \\t")', 'text.strip("XX \\tXX")', False, False),
        ('digest(it, "sha256")', 'digest(it, "SHA256")', False, True),
        ('digest(it, "sha256")', 'digest(it, "XXsha256XX")', False, False),
        ('header("vary")', 'header("VARY")', False, False),
    ],
)
def test_the_rules(before: str, after: str, words: bool, names: bool) -> None:
    """Only wording, and only names that Python finds in any case."""
    change = Change.of_mutant(NAME, f"--- a\n+++ b\n@@ -1 +1 @@\n-    {before}\n+    {after}")
    assert (change.is_of_words_only, change.is_of_names_only) == (words, names)
