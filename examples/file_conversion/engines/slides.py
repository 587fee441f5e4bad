"""Presentations (PPTX) as a page of HTML: every text, also of groups, tables, charts and notes, and the pictures."""

import base64
import html
import zipfile
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path, PurePosixPath
from posixpath import normpath
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from file_conversion.engines import Unconvertible

_PICTURES = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".gif": "gif", ".webp": "webp"}
_NOT_TOLD = {"sldNum", "dt", "ftr", "sldImg"}
"""Placeholders that say nothing of the slide: its number, the date, a footer, and on notes the slide itself."""
_DEEPEST = 30


def page(given: Path) -> str:
    """The slides one below the other, each under a heading."""
    try:
        with zipfile.ZipFile(given) as archive:
            body = "".join(_Slide(archive, part, number).html() for number, part in enumerate(_parts(archive), start=1))
    except (ElementTree.ParseError, KeyError, zipfile.BadZipFile):
        raise Unconvertible from None
    return f'<!doctype html><meta charset="utf-8"><body>{body}'


def _tree(archive: zipfile.ZipFile, part: str) -> Element:
    with archive.open(part) as file:
        return ElementTree.parse(file).getroot()  # noqa: S314 - in the sandbox


def _relations(archive: zipfile.ZipFile, part: str) -> dict[str, tuple[str, str]]:
    """Of each relationship its kind and the part it leads to."""
    home = PurePosixPath(part)
    name = f"{home.parent}/_rels/{home.name}.rels"
    if name not in archive.namelist():
        return {}
    return {
        relation.get("Id", ""): (
            relation.get("Type", "").rpartition("/")[2],
            normpath(f"{home.parent}/{target}")
            if not (target := relation.get("Target", "")).startswith("/")
            else target[1:],
        )
        for relation in _tree(archive, name)
        if relation.get("TargetMode") != "External"
    }


def _parts(archive: zipfile.ZipFile) -> Iterator[str]:
    """The visible slides in their order."""
    relations = _relations(archive, "ppt/presentation.xml")
    for slide in _tree(archive, "ppt/presentation.xml").iterfind("{*}sldIdLst/{*}sldId"):
        identity = next((value for name, value in slide.attrib.items() if name.endswith("}id")), "")
        if identity in relations and _tree(archive, relations[identity][1]).get("show") != "0":
            yield relations[identity][1]


class _Slide:
    def __init__(self, archive: zipfile.ZipFile, part: str, number: int) -> None:
        self._archive = archive
        self._number = number
        self._root = _tree(archive, part)
        self._relations = _relations(archive, part)
        self._title = ""

    def html(self) -> str:
        body = "".join(self._shapes(self._root.find("{*}cSld/{*}spTree"), 0))
        notes = "".join(self._notes())
        title = self._title or f"<h2>Slide {self._number}</h2>"
        return f"{title}{body}{f'<blockquote>{notes}</blockquote>' if notes else ''}"

    def _notes(self) -> Iterator[str]:
        for kind, part in self._relations.values():
            if kind == "notesSlide" and part in self._archive.namelist():
                for shape in _tree(self._archive, part).iter():
                    if shape.tag.endswith("}sp") and _placeholder(shape) not in _NOT_TOLD:
                        yield from _paragraphs(shape.find("{*}txBody"))

    def _shapes(self, parent: Element | None, depth: int) -> Iterator[str]:
        for shape in parent if parent is not None and depth < _DEEPEST else ():
            match shape.tag.rpartition("}")[2]:
                case "sp" if (role := _placeholder(shape)) not in _NOT_TOLD:
                    text = list(_paragraphs(shape.find("{*}txBody")))
                    if role in ("title", "ctrTitle") and text and not self._title:
                        self._title = f"<h2>{' '.join(_plain(shape.find('{*}txBody')))}</h2>"
                    else:
                        yield from text
                case "grpSp":
                    yield from self._shapes(shape, depth + 1)
                case "AlternateContent":
                    yield from self._shapes(next(iter(shape), None), depth + 1)
                case "pic":
                    yield from self._picture(shape)
                case "graphicFrame":
                    yield from self._graphic(shape)

    def _picture(self, shape: Element) -> Iterator[str]:
        blip = next((element for element in shape.iter() if element.tag.endswith("}blip")), None)
        identity = (
            next((value for name, value in blip.attrib.items() if name.endswith("}embed")), "")
            if blip is not None
            else ""
        )
        part = self._relations.get(identity, ("", ""))[1]
        kind = _PICTURES.get(PurePosixPath(part).suffix.lower())
        properties = shape.find("{*}nvPicPr/{*}cNvPr")
        alternative = html.escape((properties.get("descr") if properties is not None else "") or "")
        if kind and part in self._archive.namelist():
            content = base64.b64encode(self._archive.read(part)).decode()
            yield f'<p><img alt="{alternative}" src="data:image/{kind};base64,{content}"></p>'
        elif alternative:
            yield f"<p>{alternative}</p>"

    def _graphic(self, shape: Element) -> Iterator[str]:
        for element in shape.iter():
            name = element.tag.rpartition("}")[2]
            if name == "tbl":
                rows = [
                    ["".join(_paragraphs(cell.find("{*}txBody"))) for cell in row.iterfind("{*}tc")]
                    for row in element.iterfind("{*}tr")
                ]
                yield _table(rows)
            elif name in ("chart", "relIds"):
                for key, value in element.attrib.items():
                    kind, part = self._relations.get(value, ("", ""))
                    if key.startswith("{") and kind == "chart" and part in self._archive.namelist():
                        yield _chart(_tree(self._archive, part))
                    elif key.endswith("}dm") and part in self._archive.namelist():  # SmartArt
                        yield "".join(
                            f"<p>{''.join(_plain(text))}</p>"
                            for text in _tree(self._archive, part).iter()
                            if text.tag.endswith("}p") and "".join(_plain(text)).strip()
                        )


def _placeholder(shape: Element) -> str:
    found = next((element for element in shape.iter() if element.tag.endswith("}ph")), None)
    return found.get("type", "body") if found is not None else ""


def _plain(element: Element | None) -> Iterator[str]:
    for piece in element.iter() if element is not None else ():
        name = piece.tag.rpartition("}")[2]
        if name == "t":
            yield html.escape(piece.text or "")
        elif name == "br":
            yield " "


def _paragraphs(body: Element | None) -> Iterator[str]:
    """The paragraphs, those that are indented as lists."""
    open_lists = 0
    for paragraph in body.iterfind("{*}p") if body is not None else ():
        properties = paragraph.find("{*}pPr")
        level = min(int(properties.get("lvl") or 0), 8) if properties is not None else 0
        text = "".join(_run(piece) for piece in paragraph).strip()
        if not text:
            continue
        yield "<ul>" * (level - open_lists) + "</ul>" * (open_lists - level)
        open_lists = level
        yield f"<li>{text}</li>" if level else f"<p>{text}</p>"
    yield "</ul>" * open_lists


def _run(piece: Element) -> str:
    text = "".join(_plain(piece)) if not piece.tag.endswith("}br") else "<br>"
    properties = piece.find("{*}rPr")
    for attribute, tag in (("b", "strong"), ("i", "em")):
        if properties is not None and properties.get(attribute) == "1" and text.strip():
            text = f"<{tag}>{text}</{tag}>"
    return text


def _chart(root: Element) -> str:
    """What a chart shows, as the table behind it: categories down, series across."""
    titles = [
        f"<p>{''.join(_plain(title))}</p>"
        for title in root.iter()
        if title.tag.endswith("}title") and "".join(_plain(title)).strip()
    ]
    names: list[str] = []
    columns: list[list[str]] = []
    categories: list[str] = []
    for series in (element for element in root.iter() if element.tag.endswith("}ser")):
        names.append(" ".join(_points(series.find("{*}tx"))))
        columns.append(_points(series.find("{*}val") if series.find("{*}val") is not None else series.find("{*}yVal")))
        categories = categories or _points(
            series.find("{*}cat") if series.find("{*}cat") is not None else series.find("{*}xVal")
        )
    rows = [["", *names], *([*row] for row in zip_longest(categories, *columns, fillvalue=""))]
    return "".join(titles) + (_table(rows) if columns else "")


def _points(element: Element | None) -> list[str]:
    return (
        [html.escape(point.text or "") for point in element.iter() if point.tag.endswith("}v")]
        if element is not None
        else []
    )


def _table(rows: list[list[str]]) -> str:
    head, *rest = rows or [[]]
    cells = "".join(f"<th>{cell}</th>" for cell in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rest)
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>"
