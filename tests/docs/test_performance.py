"""docs/performance.md: its tables are the bench's own, and a bar that does not hold is explained."""

import re
from typing import Any

import pytest

from bench import page
from bench.__main__ import PARTS

from .markdown import DOCS, rows, section

PAGE = DOCS / "performance.md"


def entry(part: str, ratio: float, bar: float | None) -> dict[str, Any]:
    """A result as `bench/results.json` has it."""
    return {
        "part": part,
        "name": "what was measured",
        "ratio": ratio,
        "bar": bar,
        "holds": None if bar is None else ratio <= bar,
        "value": 1234.5,
        "against": 2.5,
        "unit": "us",
        "note": "a note",
        "date": "2024-02-29",
        "versions": {"python": "3.11"},
    }


def measured() -> list[list[str]]:
    """The rows of the page's tables."""
    return rows(section(PAGE, "The last run"))


def test_every_part_has_its_table() -> None:
    """The page shows a run of every part of the bench; Aperture's is there where somebody has given its program."""
    shown = re.findall("^### (.+)$", section(PAGE, "The last run"), re.MULTILINE)
    given = [part for part in PARTS if part != "aperture" or page.HEADINGS[part] in shown]
    assert shown == [page.HEADINGS[part] for part in given]


def test_verdicts_follow_from_ratio_and_bar() -> None:
    """No verdict was written by hand."""
    assert measured()
    for name, ratio, bar, verdict, *_ in measured():
        wanted = "" if not bar else page.VERDICTS[float(ratio) <= float(bar)]
        # The table rounds what was compared.
        assert verdict == wanted or abs(float(ratio) - float(bar)) <= 0.005, name


def test_bars_that_fail_are_explained() -> None:
    """Where a bar does not hold, the page says why, under the row's own name."""
    explained = section(PAGE, "Where a bar does not hold")
    for name, _, _, verdict, *_ in measured():
        assert verdict != "fails" or f"**{name}**" in explained, name


def test_the_tables_replace_what_was_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Writing the page changes what is between the markers and nothing else, however often."""
    copy = tmp_path / "performance.md"
    copy.write_text(f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n")
    monkeypatch.setattr(page, "PAGE", copy)
    for _ in range(2):
        page.write([entry("ledgers", 0.5, 0.4), entry("wire", 0.7, None)])
    text = copy.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert rows(text) == [
        ["what was measured", "0.50", "0.40", "fails", "1,234 us", "2.5 us", "a note"],
        ["what was measured", "0.70", "", "", "1,234 us", "2.5 us", "a note"],
    ]
