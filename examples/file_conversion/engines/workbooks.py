"""Excel's XLSX and XLSM (ECMA-376): the values of each sheet, as their number formats mean them."""

import datetime
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO
from xml.etree import ElementTree

from file_conversion.engines import Unconvertible
from file_conversion.engines.cells import Cell, Row, Sheet

_LITERAL = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?!h+\]|m+\]|s+\])[^\]]*\]', re.IGNORECASE)
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
_REFERENCE = re.compile(r"([A-Z]{1,3})(\d{1,7})")
_BUILT_IN = {
    **dict.fromkeys((14, 15, 16, 17, *range(27, 32), *range(34, 37), *range(50, 55), 57, 58), "date"),
    **dict.fromkeys((18, 19, 20, 21, 32, 33, 55, 56), "time"),
    22: "date time",
    **dict.fromkeys((45, 46, 47), "duration"),
}


class Workbook:
    """An open workbook."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        root = self._tree("xl/workbook.xml")
        properties = root.find("{*}workbookPr")
        from_1904 = properties is not None and properties.get("date1904") in ("1", "true")
        self._epoch = datetime.datetime(1904, 1, 1) if from_1904 else datetime.datetime(1899, 12, 30)
        self._kinds = self._read_kinds()
        self._strings = self._read_strings()
        parts = self._targets()
        self.sheets = [
            Sheet(sheet.get("name", ""), self._rows(part))
            for sheet in root.iterfind("{*}sheets/{*}sheet")
            if sheet.get("state", "visible") == "visible" and (part := parts.get(_attribute(sheet, "id"))) is not None
        ]
        self.hidden = any(sheet.get("state", "visible") != "visible" for sheet in root.iterfind("{*}sheets/{*}sheet"))

    def _open(self, part: str) -> IO[bytes]:
        return self._archive.open(part)

    def _tree(self, part: str) -> ElementTree.Element:
        with self._open(part) as file:
            return ElementTree.parse(file).getroot()  # noqa: S314 - in the sandbox

    def _targets(self) -> dict[str, str]:
        """Which part each worksheet is, by its relationship; charts and dialogues are none."""
        found = {}
        for relation in self._tree("xl/_rels/workbook.xml.rels"):
            if relation.get("Type", "").endswith("/worksheet"):
                target = relation.get("Target", "")
                found[relation.get("Id", "")] = target.lstrip("/") if target.startswith("/") else f"xl/{target}"
        return {identity: str(PurePosixPath(part)) for identity, part in found.items()}

    def _read_kinds(self) -> list[str]:
        """Of each cell style: `date`, `time`, `date time`, `duration`, or nothing for a plain number."""
        if "xl/styles.xml" not in self._archive.namelist():
            return []
        root = self._tree("xl/styles.xml")
        codes = {entry.get("numFmtId"): entry.get("formatCode", "") for entry in root.iterfind("{*}numFmts/{*}numFmt")}
        kinds = []
        for style in root.iterfind("{*}cellXfs/{*}xf"):
            number = style.get("numFmtId", "0")
            kinds.append(_kind(codes[number]) if number in codes else _BUILT_IN.get(int(number), ""))
        return kinds

    def _read_strings(self) -> list[str]:
        if "xl/sharedStrings.xml" not in self._archive.namelist():
            return []
        strings = []
        with self._open("xl/sharedStrings.xml") as file:
            for _, element in ElementTree.iterparse(file):  # noqa: S314 - in the sandbox
                if element.tag.endswith("}si"):
                    strings.append(_text(element))
                    element.clear()
        return strings

    def _rows(self, part: str) -> Iterator[Row]:
        number = 0
        with self._open(part) as file:
            for _, element in ElementTree.iterparse(file):  # noqa: S314 - in the sandbox
                if not element.tag.endswith("}row"):
                    continue
                at = int(element.get("r") or number + 1)
                for _ in range(at - number - 1):
                    yield ()
                number = at
                yield self._row(element)
                element.clear()

    def _row(self, element: ElementTree.Element) -> list[Cell]:
        row: list[Cell] = []
        for cell in element:
            if not cell.tag.endswith("}c"):
                continue
            reference = _REFERENCE.fullmatch(cell.get("r", ""))
            column = _column(reference[1]) if reference else len(row)
            value = self._value(cell)
            if value is not None and column >= len(row):
                row += [None] * (column - len(row))
                row.append(value)
        return row

    def _value(self, cell: ElementTree.Element) -> Cell:  # noqa: PLR0911 - one for each kind
        kind = cell.get("t", "n")
        if kind == "inlineStr":
            inline = cell.find("{*}is")
            return _text(inline) if inline is not None else None
        text = cell.findtext("{*}v") or ""
        if not text:  # a program that calculates nothing has stored no value
            formula = cell.findtext("{*}f")
            return f"={formula}" if formula and kind != "str" else None
        match kind:
            case "s":
                return self._strings[int(text)]
            case "b":
                return text == "1"
            case "str":
                return _unescaped(text)
            case "d" | "e":
                return text
        style = int(cell.get("s", "0"))
        return self._number(float(text), self._kinds[style] if style < len(self._kinds) else "")

    def _number(self, value: float, kind: str) -> Cell:
        if not kind or (value < 0 and kind != "duration"):
            return value
        if kind == "duration":
            return datetime.timedelta(milliseconds=round(value * 86_400_000))
        if kind == "time" and value < 1:
            return (datetime.datetime.min + datetime.timedelta(milliseconds=round(value * 86_400_000))).time()
        days = value + 1 if self._epoch.year == 1899 and value < 60 else value  # 1900 had no 29 February but here
        try:
            moment = self._epoch + datetime.timedelta(milliseconds=round(days * 86_400_000))
        except OverflowError:
            return value
        return moment.date() if kind == "date" and moment.time() == datetime.time() else moment


def sheets(given: Path) -> Iterator[Sheet]:
    """The visible sheets, in the order of their tabs."""
    try:
        with zipfile.ZipFile(given) as archive:
            yield from Workbook(archive).sheets
    except (ElementTree.ParseError, KeyError, ValueError, IndexError, zipfile.BadZipFile):
        raise Unconvertible from None


def _attribute(element: ElementTree.Element, name: str) -> str:
    """An attribute of the relationships' namespace, which has two spellings (transitional and strict)."""
    return next((value for key, value in element.attrib.items() if key.endswith(f"}}{name}")), "")


def _text(element: ElementTree.Element) -> str:
    """The runs of a text; without what tells how it is spoken (rPh)."""
    if element.find("{*}rPh") is not None:
        for spoken in element.findall("{*}rPh"):
            element.remove(spoken)
    return _unescaped("".join(piece.text or "" for piece in element.iterfind(".//{*}t")))


def _unescaped(text: str) -> str:
    """ECMA-376, part 1, 22.9.2.19: `_x0009_` is a tab."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text) if "_x" in text else text


def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number - 1


def _kind(code: str) -> str:
    plain = _LITERAL.sub("", code.split(";", maxsplit=1)[0]).lower()
    if "general" in plain:
        return ""
    if re.search(r"\[(h+|m+|s+)\]", plain):
        return "duration"
    days = re.search(r"[yd]", plain) or ("m" in plain and not re.search(r"[hs]", plain))
    hours = re.search(r"[hs]", plain)
    return "date time" if days and hours else "date" if days else "time" if hours else ""
