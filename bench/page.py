"""The results as text: a line in the terminal, and the tables between the markers of docs/performance.md."""

import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
BEGIN, END = "<!-- results: written by `make bench` -->", "<!-- end of results -->"

VERDICTS = {True: "holds", False: "fails", None: ""}

HEADINGS = {
    "verification": "Verifying a credential",
    "requests": "Whole requests, in process",
    "ledgers": "Ledgers",
    "bodies": "Bodies",
    "memory": "Unpaid challenges",
    "startup": "Import time",
    "lag": "The event loop",
    "million": "A million requests",
    "wire": "Over the wire",
    "peers": "Beside other packages",
    "aperture": "Beside Aperture",
}


def line(entry: dict[str, Any]) -> str:
    """One result for the terminal."""
    bar = "-" if entry["bar"] is None else f"{entry['bar']:.2f}"
    sides = f"{entry['value']:>10g} {entry['against']:>10g} {entry['unit']}"
    verdict = VERDICTS[entry["holds"]]
    return f"{entry['name']:78} {entry['ratio']:8.2f} {bar:>6}  {verdict:5} {sides}  {entry['note']}".rstrip()


def write(entries: list[dict[str, Any]]) -> None:
    """Put the tables into the page, between its markers."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{''.join(_tables(entries))}{END}{after}")


def _tables(entries: list[dict[str, Any]]) -> Iterator[str]:
    for part, group in groupby(entries, key=lambda entry: entry["part"]):
        rows = list(group)
        versions = ", ".join(f"{name} {number}" for name, number in rows[0]["versions"].items())
        yield f"### {HEADINGS[part]}\n\n{rows[0]['date']}; {versions}\n\n"
        notes = any(row["note"] for row in rows)
        yield "| what | ratio | bar | verdict | measured | against |" + (" beside it |\n" if notes else "\n")
        yield "| --- | --- | --- | --- | --- | --- |" + (" --- |\n" if notes else "\n")
        for row in rows:
            bar = "" if row["bar"] is None else f"{row['bar']:.2f}"
            sides = f"{_figure(row['value'], row['unit'])} | {_figure(row['against'], row['unit'])}"
            cells = f"| {row['name']} | {row['ratio']:.2f} | {bar} | {VERDICTS[row['holds']]} | {sides} |"
            yield re.sub(" +", " ", cells) + (f" {row['note']} |\n" if notes else "\n")
        yield "\n"


def _figure(number: float, unit: str) -> str:
    return f"{number:,.0f} {unit}" if number >= 100 else f"{number:.3g} {unit}"
