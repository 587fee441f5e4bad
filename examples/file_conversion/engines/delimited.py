"""CSV: which delimiter a file has, its rows, and what of them is a number."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

from file_conversion.engines import Unconvertible
from file_conversion.engines.cells import Cell, Row, may_run, written

_DELIMITERS = ",;\t|"
_SAMPLE_ROWS, _SAMPLE = 500, 65_536
_NAMED = re.compile(r"\A\"?sep=([^\"\r\n])\"?\r?\n", re.IGNORECASE)  # what Excel writes and obeys
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(?:\.(\d+))?")
_MOST_DIGITS = 15
"""As many as a double holds, before and after the point together."""


def read(given: Path, delimiter: str = "") -> Iterator[list[Cell]]:
    """The rows, by the delimiter that is given, that the file names, or that divides it best."""
    text = given.read_text(encoding="utf-8")
    if named := _NAMED.match(text):
        delimiter, text = named[1], text[named.end() :]
    csv.field_size_limit(len(text) + 1)
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter or _best(text), doublequote=True):
            yield [typed(cell) for cell in row]
    except csv.Error:
        raise Unconvertible from None


def _best(text: str) -> str:
    """The delimiter that gives the rows one width, counted outside quotes; of two such, the one that is no comma of
    numbers, and the first of `_DELIMITERS`.
    """
    scores = {delimiter: _score(text, delimiter) for delimiter in _DELIMITERS}
    best = max(_DELIMITERS, key=lambda delimiter: scores[delimiter])
    return best if scores[best][0] else ","


def _score(text: str, delimiter: str) -> tuple[float, bool, bool]:
    """How much a delimiter looks like one; a better one compares as greater."""
    widths: Counter[int] = Counter()
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, doublequote=True)
    with suppress(csv.Error):
        for row in reader:
            if row:
                widths[len(row)] += 1
            if reader.line_num > _SAMPLE_ROWS:
                break
    several = [count for width, count in widths.items() if width > 1]
    if not several:
        return 0, False, False
    sample = text[:_SAMPLE]
    decimal = all(re.fullmatch(r"\d,\d", sample[at.start() - 1 : at.end() + 1]) for at in re.finditer(",", sample))
    between = re.escape(delimiter)
    quoted = re.search(rf'(?:^|{between})"[^"\n]*"\s*(?={between}|$)', sample, re.MULTILINE) is not None
    return max(several) / sum(widths.values()), quoted, not (delimiter == "," and decimal)


def typed(text: str) -> Cell:
    """A number with its places where nothing of it would be lost; 007, 1e5 and long digit strings are names."""
    if not text:
        return None
    number = _NUMBER.fullmatch(text)
    if number is None or text == "-0" or len(number[1]) + len(number[2] or "") > _MOST_DIGITS:
        return text
    return Decimal(text)


def write(rows: Iterable[Row], made: Path, delimiter: str = ",") -> bool:
    """UTF-8, quoted where needed (RFC 4180), every text as it is. Whether some programs might run one."""
    risky = False
    with open(made, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        for row in rows:
            risky = risky or any(map(may_run, row))
            writer.writerow(map(written, row))
    return risky
