"""The table of cases in docs/security.md."""

import pytest

from .cases import BEGIN, CASES, END, PAGE, found, named_in, page


@pytest.mark.parametrize(
    ("docstring", "numbers"),
    [
        ("Case 3: a token.", [3]),
        ("Cases 3 and 14: a token.", [3, 14]),
        ("Cases 3, 4 and 6: a token.", [3, 4, 6]),
        ("Cases 3 to 6, and 9: a token.", [3, 4, 5, 6, 9]),
        ("In this case 3 tokens.", []),
    ],
)
def test_cases_that_a_docstring_names(docstring: str, numbers: list[int]) -> None:
    """Single numbers, lists and ranges are read."""
    assert list(named_in(docstring)) == numbers


@pytest.mark.parametrize("number", CASES)
def test_each_case_is_tested(number: int) -> None:
    """Some test names it."""
    assert found().get(number), f"no test's docstring names case {number}"


def test_no_test_names_an_unknown_case() -> None:
    """A number that is not in the table is a slip, or a case to be added to it."""
    assert not found().keys() - CASES.keys()


def test_the_table_is_of_today() -> None:
    """`python -m tests.docs.cases` has nothing to change."""
    text = PAGE.read_text(encoding="utf-8")
    assert BEGIN in text
    assert END in text
    assert page(text) == text, "run python -m tests.docs.cases"
