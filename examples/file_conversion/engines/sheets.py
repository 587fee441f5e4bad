"""Tables: CSV, TSV, Excel's formats and OpenDocument's. Values, not formulas, colours or charts."""

import datetime
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import cache
from itertools import chain
from pathlib import Path

import xlsxwriter
from python_calamine import CalamineError, CalamineWorkbook, PasswordError, SheetTypeEnum, SheetVisibleEnum
from xlsxwriter.exceptions import FileCreateError
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from file_conversion.engines import Notes, Unconvertible, delimited, opendocument, workbooks
from file_conversion.engines.cells import MAX_CELLS, Cell, Row, Sheet, bounded

_DELIMITED = {"csv": "", "tsv": "\t"}
_LONGEST_CELL, _MOST_ROWS, _MOST_COLUMNS = 32_767, 1_048_576, 16_384
"""What Excel can open (its specifications and limits)."""


def convert(given: Path, source: str, made: Path, target: str) -> Notes:
    """Text formats get the first sheet that has cells; in the others, no text becomes a formula."""
    notes = []
    tables = _filled(given, source)
    first = next(tables, None)
    if first is None:
        raise Unconvertible("empty-result")
    if target in _DELIMITED:
        if delimited.write(first.rows, made, "\t" if target == "tsv" else ","):
            notes.append("texts-like-formulas")
        if next(tables, None) is not None:
            notes.append("sheets-left-out")
    else:
        try:
            (_write_xlsx if target == "xlsx" else opendocument.write)(chain([first], tables), made)
        except FileCreateError:  # XlsxWriter's word for a full disk
            raise Unconvertible("result-too-large") from None
        if source not in _DELIMITED:
            notes.append("values-only")
    return notes


def _filled(given: Path, source: str) -> Iterator[Sheet]:
    """The sheets that have cells."""
    for sheet in _sheets(given, source):
        rows = bounded(sheet.rows)
        if (first := next(rows, None)) is not None:
            yield Sheet(sheet.name, chain([first], rows))


def _sheets(given: Path, source: str) -> Iterator[Sheet]:
    if source in _DELIMITED:
        yield Sheet("Sheet1", delimited.read(given, _DELIMITED[source]))
    elif source == "ods":
        yield from opendocument.sheets(given)
    elif source in ("xlsx", "xlsm"):
        yield from workbooks.sheets(given)
    else:
        yield from _older(given)


def _older(given: Path) -> Iterator[Sheet]:
    """XLS and XLSB, Excel's binary formats."""
    try:
        workbook = CalamineWorkbook.from_path(str(given))
        for about in workbook.sheets_metadata:
            if about.visible == SheetVisibleEnum.Visible and about.typ == SheetTypeEnum.WorkSheet:
                sheet = workbook.get_sheet_by_name(about.name)
                if sheet.total_height * sheet.total_width > MAX_CELLS:
                    raise Unconvertible("too-many-rows")
                rows = sheet.to_python(skip_empty_area=False)
                yield Sheet(about.name, [[None if cell == "" else cell for cell in row] for row in rows])
    except PasswordError:
        raise Unconvertible("encrypted") from None
    except CalamineError:
        raise Unconvertible from None


def _write_xlsx(tables: Iterator[Sheet], made: Path) -> None:
    options = {"constant_memory": True, "tmpdir": str(made.parent)}
    with xlsxwriter.Workbook(str(made), options) as workbook:
        shown = cache(lambda code: workbook.add_format({"num_format": code}))
        names: set[str] = set()
        for number, table in enumerate(tables, start=1):
            name = _sheet_name(table.name, names) or f"Sheet{number}"
            names.add(name.lower())
            sheet = workbook.add_worksheet(name)
            for at, row in enumerate(table.rows):
                _require_room(at, row)
                for column, value in enumerate(row):
                    _put(sheet, at, column, value, shown)


def _require_room(at: int, row: Row) -> None:
    if at >= _MOST_ROWS:
        raise Unconvertible("too-many-rows")
    if len(row) > _MOST_COLUMNS:
        raise Unconvertible("too-many-columns")
    if any(isinstance(cell, str) and len(cell.encode("utf-16-le")) > 2 * _LONGEST_CELL for cell in row):
        raise Unconvertible("cell-too-long")


def _put(sheet: Worksheet, at: int, column: int, value: Cell, shown: Callable[[str], Format]) -> None:
    match value:
        case None | "":
            return
        case str():
            sheet.write_string(at, column, value)
        case bool():
            sheet.write_boolean(at, column, value)
        case datetime.datetime():
            sheet.write_datetime(at, column, value.replace(tzinfo=None), shown("yyyy-mm-dd hh:mm:ss"))
        case datetime.date():
            sheet.write_datetime(at, column, value, shown("yyyy-mm-dd"))
        case datetime.time():
            sheet.write_datetime(at, column, value, shown("hh:mm:ss"))
        case datetime.timedelta():
            sheet.write_number(at, column, value / datetime.timedelta(days=1), shown("[h]:mm:ss"))
        case Decimal() if str(value).endswith("0") and "." in str(value):  # 2.10 is not 2.1 to everybody
            sheet.write_number(at, column, float(value), shown("0." + "0" * len(str(value).partition(".")[2])))
        case _:
            sheet.write_number(at, column, float(value))


def _sheet_name(name: str, taken: set[str]) -> str:
    plain = "".join(" " if letter in "[]:*?/\\" else letter for letter in name)[:31].strip("'")
    return plain if plain.strip() and plain.lower() not in taken else ""
