"""What a table is here: sheets with names and rows of values; and how a value is written as text."""

import datetime
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from file_conversion.engines import Unconvertible

MAX_CELLS = 2_000_000
MAX_GAP = 100_000
"""Blank rows one after the other, before one that is not."""

Cell = (
    str | int | float | Decimal | bool | datetime.datetime | datetime.date | datetime.time | datetime.timedelta | None
)
Row = Sequence[Cell]

_LIKE_A_FORMULA = re.compile(r"[=+\-@\t\r]")
_HARMLESS = re.compile(r"[+-]?[\d\s().,/-]*")


@dataclass(slots=True)
class Sheet:
    """One table; its rows can be read once."""

    name: str
    rows: Iterable[Row]


def bounded(rows: Iterable[Row]) -> Iterator[Row]:
    """The rows without what is blank at their ends and after the last one; a row given is not blank by then."""
    cells = blank = 0
    for row in rows:
        used = len(row)
        while used and (row[used - 1] is None or (isinstance(row[used - 1], str) and not str(row[used - 1]).strip())):
            used -= 1
        if not used:
            blank += 1
            continue
        cells += blank + used
        if cells > MAX_CELLS or blank > MAX_GAP:
            raise Unconvertible("too-many-rows")
        for _ in range(blank):
            yield ()
        blank = 0
        yield row[:used]


def written(cell: Cell) -> str:  # noqa: PLR0911 - one for each kind
    """A value as text: ISO dates, hours beyond a day counted on, numbers with the 15 digits that programs show."""
    match cell:
        case None:
            return ""
        case bool():
            return "TRUE" if cell else "FALSE"
        case float():
            return _number(cell)
        case Decimal():
            return format(cell, "f")
        case datetime.datetime():
            return cell.isoformat(" ", "milliseconds").removesuffix(".000")
        case datetime.time():
            return cell.isoformat("milliseconds").removesuffix(".000")
        case datetime.timedelta():
            return _hours(cell)
        case _:
            return str(cell)


def _number(value: float) -> str:
    plain = format(value, ".15g")
    return format(Decimal(plain), "f") if "e" in plain and 1e-7 < abs(value) < 1e21 else plain


def _hours(length: datetime.timedelta) -> str:
    sign = "-" if length < datetime.timedelta() else ""
    thousandths = round(abs(length) / datetime.timedelta(milliseconds=1))
    minutes, thousandths = divmod(thousandths, 60_000)
    fraction = f".{thousandths % 1000:03}" if thousandths % 1000 else ""
    return f"{sign}{minutes // 60}:{minutes % 60:02}:{thousandths // 1000:02}{fraction}"


def may_run(cell: Cell) -> bool:
    """Whether some programs would take this text for a formula if it stood in a CSV file."""
    return isinstance(cell, str) and _LIKE_A_FORMULA.match(cell) is not None and not _HARMLESS.fullmatch(cell)
