"""A stranger's SVG made fit to be drawn: nothing from elsewhere, known fonts, and CSS that drawing engines know."""

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self
from urllib.parse import unquote_to_bytes
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from file_conversion.engines import Unconvertible, css, typefaces

SVG, XLINK, XHTML = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink", "http://www.w3.org/1999/xhtml"
_EMBEDDED = tuple(f"data:image/{kind};" for kind in ("png", "jpeg", "jpg", "gif", "webp"))
_DRAWING = "data:image/svg+xml"
_DEEPEST = 3
"""How far drawings may hold drawings."""

_FAMILY = re.compile(r"(font-family\s*:\s*)([^;{}]+)", re.IGNORECASE)
_FONT = re.compile(
    r"(?<![\w-])font\s*:\s*((?:[a-z0-9-]+\s+){0,4}?)(\d[\w.%]*)(?:\s*/\s*[\w.%]+)?\s+([^;{}]+)", re.IGNORECASE
)
_SLANTED, _HEAVY = {"italic", "oblique"}, re.compile(r"bold|bolder|lighter|[1-9]00")
_LENGTH = re.compile(r"\s*([+]?[\d.]+(?:e[+-]?\d+)?)\s*(px|mm|cm|in|pt|pc|q|)\s*", re.IGNORECASE)
_POINTS = {"": 0.75, "px": 0.75, "pt": 1, "pc": 12, "in": 72, "cm": 72 / 2.54, "mm": 72 / 25.4, "q": 72 / 101.6}
_BLOCKS = {"div", "p", "li", "h1", "h2", "h3", "h4", "h5", "h6", "tr", "section", "pre", "blockquote", "br"}

ElementTree.register_namespace("", SVG)
ElementTree.register_namespace("xlink", XLINK)


@dataclass(frozen=True, slots=True)
class Drawing:
    """A drawing that names nothing outside itself."""

    text: str
    size_in_points: tuple[float, float]
    notes: tuple[str, ...]

    @classmethod
    def read(cls, content: bytes, depth: int = 0) -> Self:
        """Read and settle a drawing; written anew, so without a DTD's entities. Raises `Unconvertible`."""
        try:
            root = ElementTree.fromstring(content)  # noqa: S314 - expat bounds entities, the sandbox the rest
        except ElementTree.ParseError:
            raise Unconvertible from None
        if root.tag != _svg("svg"):
            raise Unconvertible
        taken = [element for element in root.iter() if _stay_inside(element, depth)]
        _write_out_foreign(root)
        sheets = "\n".join(sheet.text or "" for sheet in root.iter(_svg("style")))
        if css.needs_settling(content.decode("utf-8", "replace")):
            css.settle(root, sheets)
        _name_fonts(root)
        return cls(
            ElementTree.tostring(root, encoding="unicode"), _size(root), ("references-left-out",) if taken else ()
        )


def _svg(name: str) -> str:
    return f"{{{SVG}}}{name}"


def _stay_inside(element: Element, depth: int) -> bool:
    """Take away references to files and addresses, which a drawing engine would open. Whether there was one."""
    taken = False
    for name in ("href", f"{{{XLINK}}}href"):
        reference = element.get(name, "").strip()
        if not reference or reference.startswith(("#", *_EMBEDDED)):
            continue
        if reference.startswith(_DRAWING) and depth < _DEEPEST:
            head, _, inner = reference.partition(",")
            packed = unquote_to_bytes(inner)
            try:
                drawing = Drawing.read(base64.b64decode(packed) if "base64" in head else packed, depth + 1)
            except (Unconvertible, ValueError):
                del element.attrib[name]
                taken = True
                continue
            element.set(name, f"{_DRAWING};base64,{base64.b64encode(drawing.text.encode()).decode()}")
        else:
            del element.attrib[name]
            taken |= element.tag in (_svg("image"), _svg("feImage"), _svg("use"))
    return taken


def _name_fonts(root: Element) -> None:
    """Let each family be one that is here, and give letters that the usual fonts lack one that has them."""
    if "font-family" not in root.attrib:
        root.set("font-family", typefaces.SANS)
    for element in list(root.iter()):
        if "font-family" in element.attrib:
            element.set("font-family", typefaces.stand_in(element.get("font-family", "")))
        if "style" in element.attrib:
            element.set("style", _with_known_fonts(element.get("style", "")))
        if element.tag == _svg("style"):
            element.text = _with_known_fonts(element.text or "")
    for text in root.iter(_svg("text")):
        for element in list(text.iter()):
            _split(element)


def _with_known_fonts(sheet: str) -> str:
    def in_full(found: re.Match[str]) -> str:
        words = found[1].lower().split()
        made = [f"font-size:{found[2]}", f"font-family:{found[3]}"]
        made += [f"font-style:{word}" for word in words if word in _SLANTED]
        made += [f"font-weight:{word}" for word in words if _HEAVY.fullmatch(word)]
        return ";".join(made)

    return _FAMILY.sub(
        lambda found: found[1] + typefaces.stand_in(found[2].replace("!important", "")), _FONT.sub(in_full, sheet)
    )


def _split(element: Element) -> None:
    spans = [(0, _spans(element.text))]
    spans += [(at, _spans(child.tail)) for at, child in enumerate(element, start=1)]
    children = list(element)
    for at, pieces in reversed(spans):
        if len(pieces) == 1 and not pieces[0][1]:
            continue
        plain, made = "", []
        for piece, family in pieces:
            if family:
                span = Element(_svg("tspan"), {"style": f"font-family:'{family}'"})
                span.text = piece
                made.append(span)
            elif made:
                made[-1].tail = piece
            else:
                plain = piece
        if at:
            children[at - 1].tail = plain
        else:
            element.text = plain
        element[at:at] = made


def _spans(text: str | None) -> list[tuple[str, str]]:
    return list(typefaces.runs(text)) if text else [("", "")]


def _write_out_foreign(root: Element) -> None:
    """HTML in a drawing, which drawing engines leave out, as lines of text; a `switch` has its own way without it."""
    for parent in list(root.iter()):
        for at, child in enumerate(list(parent)):
            if child.tag == _svg("foreignObject"):
                if parent.tag == _svg("switch") and len(parent) > 1:
                    parent.remove(child)
                else:
                    parent[at] = _written(child)


def _written(foreign: Element) -> Element:
    styles = " ".join(element.get("style", "") for element in foreign.iter())
    size = _number(re.search(r"font-size\s*:\s*([^;]+)", styles), 16.0)
    colour = re.search(r"(?<![\w-])color\s*:\s*([^;]+)", styles)
    left, top, width, height = (
        _number(_LENGTH.match(foreign.get(name, "")), 0.0) for name in ("x", "y", "width", "height")
    )
    most = max(int(width / (size * 0.5)), 8) if width else 10_000
    lines = [piece for line in _lines(foreign) for piece in _wrapped(line, most)]
    centred = re.search(r"text-align\s*:\s*center|justify-content\s*:[^;]*center", styles)
    drawn = Element(_svg("text"), {"font-size": f"{size:g}", "fill": colour[1].strip() if colour else "#000"})
    if centred:
        drawn.set("text-anchor", "middle")
        left += width / 2
    if re.search(r"align-items\s*:[^;]*center", styles):
        top += max(0.0, (height - len(lines) * size * 1.2) / 2)
    for name in ("transform", "font-family", "class"):
        if name in foreign.attrib:
            drawn.set(name, foreign.get(name, ""))
    for number, line in enumerate(lines):
        span = ElementTree.SubElement(
            drawn, _svg("tspan"), {"x": f"{left:g}", "y": f"{top + size * (1 + 1.2 * number):g}"}
        )
        span.text = line
    return drawn


def _lines(foreign: Element) -> list[str]:
    words = [""]

    def walk(element: Element) -> None:
        block = element.tag.rpartition("}")[2] in _BLOCKS
        if block:
            words.append("")
        words[-1] += element.text or ""
        for child in element:
            if child.tag.rpartition("}")[2] not in ("style", "script", "title"):
                walk(child)
            words[-1] += child.tail or ""
        if block:
            words.append("")

    walk(foreign)
    return [" ".join(line.split()) for line in words if line.strip()]


def _wrapped(line: str, most: int) -> Iterator[str]:
    made = ""
    for word in line.split():
        if made and len(made) + 1 + len(word) > most:
            yield made
            made = word
        else:
            made = f"{made} {word}".strip()
    yield made


def _number(found: re.Match[str] | None, otherwise: float) -> float:
    """A length in px; `otherwise` for none, or one that depends on something else."""
    length = _LENGTH.match(found[1] if found and found.re is not _LENGTH else found[0] if found else "")
    try:
        return float(length[1]) * _POINTS[length[2].lower()] / 0.75 if length else otherwise
    except ValueError:
        return otherwise


def _size(root: Element) -> tuple[float, float]:
    """Width and height in points, from the attributes or else the view box (SVG 2, 8.2)."""
    box = [float(number) for number in re.findall(r"[-+]?[\d.]+(?:[eE][-+]?\d+)?", root.get("viewBox", ""))[:4]]
    across, down = (box[2], box[3]) if len(box) == 4 and min(box[2:]) > 0 else (100.0, 100.0)
    width = _number(_LENGTH.fullmatch(root.get("width", "")), 0.0)
    height = _number(_LENGTH.fullmatch(root.get("height", "")), 0.0)
    if not width and not height:
        width, height = across, down
    width, height = width or height * across / down, height or width * down / across
    return max(width * 0.75, 1.0), max(height * 0.75, 1.0)
