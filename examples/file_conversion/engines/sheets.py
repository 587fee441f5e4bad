"""Tables: read with calamine or csv, written as csv or with openpyxl. Values only, of the first visible sheet."""

import csv
import datetime
import mimetypes
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from python_calamine import CalamineWorkbook, PasswordError, SheetVisibleEnum

from file_conversion.engines import Unconvertible

mimetypes.knownfiles = []  # openpyxl looks for them in /etc as it is imported, which a job may not read
from openpyxl import Workbook  # noqa: E402
from openpyxl.cell import WriteOnlyCell  # noqa: E402
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE  # noqa: E402

MAX_CELLS = 2_000_000

Cell = str | int | float | bool | datetime.datetime | datetime.date | datetime.time | datetime.timedelta | None

_NUMBER = re.compile(r"-?(0|[1-9]\d{0,14})(\.\d{1,15})?")
_HARMLESS = re.compile(r"[+-]?[\d\s().,/-]*")


def convert(given: Path, source: str, made: Path, target: str) -> None:
    """To `csv`: UTF-8, commas, quoted where needed (RFC 4180). To `xlsx`: one sheet; no text becomes a formula."""
    rows = _from_csv(given) if source == "csv" else _from_workbook(given)
    (_to_csv if target == "csv" else _to_xlsx)(_bounded(rows), made)


def _bounded(rows: Iterable[Sequence[Cell]]) -> Iterator[Sequence[Cell]]:
    cells = 0
    for row in rows:
        cells += len(row) or 1
        if cells > MAX_CELLS:
            raise Unconvertible("too-many-rows")
        yield row


def _from_csv(given: Path) -> Iterator[Sequence[Cell]]:
    with open(given, encoding="utf-8-sig", newline="") as file:
        sample = file.read(64 * 1024)
        file.seek(0)
        try:
            dialect: type[csv.Dialect] = csv.Sniffer().sniff(sample, delimiters=",;\t")
        except csv.Error:
            dialect = csv.excel
        for row in csv.reader(file, dialect):
            # 007 and long digit strings are names of things: as numbers they would lose digits
            yield [float(text) if _NUMBER.fullmatch(text) else text or None for text in row]


def _from_workbook(given: Path) -> Iterator[Sequence[Cell]]:
    try:
        workbook = CalamineWorkbook.from_path(str(given))
    except PasswordError:
        raise Unconvertible("encrypted") from None
    visible = [sheet.name for sheet in workbook.sheets_metadata if sheet.visible == SheetVisibleEnum.Visible]
    if not visible:
        raise Unconvertible
    sheet = workbook.get_sheet_by_name(visible[0])
    if sheet.total_height * sheet.total_width > MAX_CELLS:
        raise Unconvertible("too-many-rows")
    yield from sheet.to_python(skip_empty_area=False)


def _to_csv(rows: Iterator[Sequence[Cell]], made: Path) -> None:
    with open(made, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([_inert(cell) for cell in row] for row in rows)


def _inert(cell: Cell) -> Cell:
    """A text that a spreadsheet would take for a formula, as a text: the apostrophe of spreadsheets in front."""
    if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")) and not _HARMLESS.fullmatch(cell):
        return "'" + cell
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return int(cell)
    return cell


def _to_xlsx(rows: Iterator[Sequence[Cell]], made: Path) -> None:

    workbook = Workbook(write_only=True)
    sheet = workbook.create_sheet("Sheet1")
    for row in rows:
        cells = []
        for value in row:
            cell = WriteOnlyCell(sheet)
            if isinstance(value, str):
                cell.value = ILLEGAL_CHARACTERS_RE.sub("", value)[:32_767]
                cell.data_type = "s"  # openpyxl has just taken a text that begins with "=" for a formula
            else:
                cell.value = value
            cells.append(cell)
        sheet.append(cells)
    workbook.save(made)
