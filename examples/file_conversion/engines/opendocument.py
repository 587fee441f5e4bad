"""OpenDocument spreadsheets (ODF 1.3, part 3): read, and written with values alone."""

import datetime
import re
import zipfile
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape, quoteattr

from file_conversion.engines import Unconvertible
from file_conversion.engines.cells import MAX_CELLS, Cell, Row, Sheet, written

_NAMES = {
    name: f"{{urn:oasis:names:tc:opendocument:xmlns:{name}:1.0}}" for name in ("office", "table", "text", "style")
}
_OFFICE, _TABLE, _TEXT, _STYLE = _NAMES.values()
_DURATION = re.compile(r"(-?)P(?:(\d+)D)?T?(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?")
_MOST_REPEATED = 16_384
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
MIMETYPE = "application/vnd.oasis.opendocument.spreadsheet"


def sheets(given: Path) -> Iterator[Sheet]:
    """The visible tables, in their order."""
    try:
        with zipfile.ZipFile(given) as archive, archive.open("content.xml") as file:
            root = ElementTree.parse(file).getroot()  # noqa: S314 - in the sandbox
    except (ElementTree.ParseError, KeyError, zipfile.BadZipFile):
        raise Unconvertible from None
    hidden = {
        style.get(f"{_STYLE}name")
        for style in root.iter(f"{_STYLE}style")
        for properties in style.iter(f"{_STYLE}table-properties")
        if properties.get(f"{_TABLE}display") == "false"
    }
    for table in root.iterfind(f"{_OFFICE}body/{_OFFICE}spreadsheet/{_TABLE}table"):
        if table.get(f"{_TABLE}style-name") not in hidden:
            yield Sheet(table.get(f"{_TABLE}name", ""), _rows(table))


def _rows(table: Element) -> Iterator[Row]:
    for row in table.iter(f"{_TABLE}table-row"):
        cells: list[Cell] = []
        for cell in row:
            if cell.tag not in (f"{_TABLE}table-cell", f"{_TABLE}covered-table-cell"):
                continue
            times = int(cell.get(f"{_TABLE}number-columns-repeated") or 1)
            cells += [_value(cell)] * min(times, _MOST_REPEATED)
        while cells and cells[-1] is None:
            cells.pop()
        for _ in range(min(int(row.get(f"{_TABLE}number-rows-repeated") or 1), MAX_CELLS + 1)):
            yield cells


def _value(cell: Element) -> Cell:
    kind = cell.get(f"{_OFFICE}value-type")
    said = cell.get(f"{_OFFICE}value", "")
    match kind:
        case "float" | "currency" | "percentage" if said:
            text = _paragraphs(cell)
            return text if text.startswith(("#", "Err:")) else float(said)
        case "boolean":
            return cell.get(f"{_OFFICE}boolean-value") == "true"
        case "date":
            return _date(cell.get(f"{_OFFICE}date-value", ""))
        case "time":
            return _duration(cell.get(f"{_OFFICE}time-value", ""))
    return cell.get(f"{_OFFICE}string-value") or _paragraphs(cell) or None


def _date(text: str) -> Cell:
    try:
        return datetime.datetime.fromisoformat(text) if "T" in text else datetime.date.fromisoformat(text)
    except ValueError:
        return text


def _duration(text: str) -> Cell:
    parts = _DURATION.fullmatch(text)
    if parts is None:
        return text
    days, hours, minutes, seconds = (float(part or 0) for part in parts.groups()[1:])
    length = datetime.timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    if not parts[1] and length < datetime.timedelta(days=1):
        return (datetime.datetime.min + length).time()  # ODF has one type for times of day and for durations
    return -length if parts[1] else length


def _paragraphs(cell: Element) -> str:
    return "\n".join("".join(_letters(paragraph)) for paragraph in cell.findall(f"{_TEXT}p"))


def _letters(element: Element) -> Iterator[str]:
    yield element.text or ""
    for child in element:
        if child.tag == f"{_TEXT}s":
            yield " " * min(int(child.get(f"{_TEXT}c") or 1), 1_000)
        elif child.tag == f"{_TEXT}tab":
            yield "\t"
        elif child.tag == f"{_TEXT}line-break":
            yield "\n"
        elif not child.tag.endswith("}annotation"):
            yield from _letters(child)
        yield child.tail or ""


def write(tables: Iterable[Sheet], made: Path) -> None:
    """A spreadsheet with these sheets; no text becomes a formula."""
    spaces = " ".join(f"xmlns:{name}={quoteattr(space[1:-1])}" for name, space in _NAMES.items())
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", MIMETYPE, zipfile.ZIP_STORED)
        with archive.open("content.xml", "w") as file:
            file.write(
                f'<?xml version="1.0" encoding="UTF-8"?><office:document-content {spaces} office:version="1.3">'
                "<office:body><office:spreadsheet>".encode()
            )
            for table in tables:
                file.write(f"<table:table table:name={quoteattr(_legal(table.name))}>".encode())
                for row in table.rows:
                    cells = "".join(map(_cell, row)) or "<table:table-cell/>"
                    file.write(f"<table:table-row>{cells}</table:table-row>".encode())
                file.write(b"</table:table>")
            file.write(b"</office:spreadsheet></office:body></office:document-content>")
        archive.writestr(
            "META-INF/manifest.xml",
            '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0" '
            f'manifest:version="1.3"><manifest:file-entry manifest:full-path="/" manifest:media-type="{MIMETYPE}"/>'
            '<manifest:file-entry manifest:full-path="content.xml" manifest:media-type="text/xml"/>'
            "</manifest:manifest>",
        )


def _cell(value: Cell) -> str:
    match value:
        case None:
            return "<table:table-cell/>"
        case bool():
            kind = f'"boolean" office:boolean-value="{str(value).lower()}"'
        case int() | float() | Decimal():
            kind = f'"float" office:value="{value}"'
        case datetime.date():
            kind = f'"date" office:date-value="{value.isoformat()}"'
        case datetime.time():
            kind = f'"time" office:time-value="PT{value:%HH%MM%SS}"'
        case datetime.timedelta():
            hours, minutes, seconds = written(abs(value)).split(":")
            sign = "-" if value < datetime.timedelta() else ""
            kind = f'"time" office:time-value="{sign}PT{hours}H{minutes}M{seconds}S"'
        case _:
            kind = '"string"'
    lines = "".join(f"<text:p>{_spaced(line)}</text:p>" for line in _legal(written(value)).split("\n"))
    return f"<table:table-cell office:value-type={kind}>{lines}</table:table-cell>"


def _spaced(line: str) -> str:
    """OpenDocument folds blanks, unless they are elements."""
    return re.sub("  +|^ | $", lambda found: f'<text:s text:c="{len(found[0])}"/>', escape(line)).replace(
        "\t", "<text:tab/>"
    )


def _legal(text: str) -> str:
    return _ILLEGAL.sub("", text)
