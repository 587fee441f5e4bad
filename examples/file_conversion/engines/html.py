"""A page made fit for readers that know no CSS and no forms: what is hidden is gone, what is filled in is text."""

import base64
from collections.abc import Iterator

import tinycss2
from justhtml import Element, JustHTML, Node, SelectorError, Text

from file_conversion.engines import Unconvertible, typefaces
from file_conversion.engines.drawings import Drawing

_NO_TEXT = {"script", "style", "title", "head", "template", "noscript", "svg", "math"}
_TICKED, _EMPTY = "\N{BALLOT BOX WITH CHECK}", "\N{BALLOT BOX}"
_MOST_RULES = 5_000


class Page:
    """A page of HTML, to be changed and written."""

    def __init__(self, text: str) -> None:
        self._document = JustHTML(text, sanitize=False)
        self.families: dict[str, typefaces.Face] = {}
        """Fonts that `name_fonts` asked for."""

    def _query(self, selector: str) -> list[Element]:
        return [found for found in self._document.query(selector) if isinstance(found, Element)]

    def settle(self) -> None:
        """Take away what is hidden, and write what forms hold as text and drawings as pictures."""
        for element in list(self._hidden()):
            _remove(element)
        for name in ("script", "noscript", "template"):
            for element in self._query(name):
                _remove(element)
        for element in self._query("form"):
            element.name = "div"
        for element in self._query("input, select, textarea"):
            _replace(element, *_filled_in(element))
        for element in self._query("svg"):
            if picture := _picture(element):
                _replace(element, picture)

    def name_fonts(self) -> None:
        """Give letters that the usual fonts lack a family that has them."""
        for text in list(_texts(self._document.root)):
            pieces = list(typefaces.runs(text.data or ""))
            if len(pieces) == 1 and not pieces[0][1]:
                continue
            made: list[Element | Text] = []
            for piece, family in pieces:
                if family:
                    face = typefaces.face_for(next(letter for letter in piece if not letter.isspace()))
                    if face:
                        self.families[family] = face
                    span = Element("span", {"style": f"font-family:'{family}'"}, "html")
                    span.append_child(Text(piece))
                    made.append(span)
                else:
                    made.append(Text(piece))
            _replace(text, *made)

    def html(self) -> str:
        """The page as it is now."""
        return str(self._document.to_html(pretty=False))

    def _hidden(self) -> Iterator[Element]:
        yield from self._query("[hidden], input[type=hidden], dialog:not([open])")
        for element in self._query("[style]"):
            if _hides(_attribute(element, "style")):
                yield element
        for sheet in self._query("style"):
            text = "".join(child.data or "" for child in sheet.children or ())
            for rule in tinycss2.parse_stylesheet(text, skip_comments=True, skip_whitespace=True)[:_MOST_RULES]:
                if rule.type == "qualified-rule" and _hides(tinycss2.serialize(rule.content)):
                    try:
                        yield from self._query(tinycss2.serialize(rule.prelude).strip())
                    except (SelectorError, ValueError):
                        continue


def _attribute(element: Element, name: str) -> str:
    return (element.attrs or {}).get(name) or ""


def _hides(style: str) -> bool:
    for found in tinycss2.parse_blocks_contents(style, skip_comments=True, skip_whitespace=True):
        if found.type == "declaration":
            value = tinycss2.serialize(found.value).strip().lower()
            if (found.lower_name, value) in (("display", "none"), ("visibility", "hidden")):
                return True
    return False


def _filled_in(element: Element) -> Iterator[Element | Text]:
    kind = (_attribute(element, "type") or "text").lower()
    if element.name == "select":
        options = [option for option in element.query("option") if isinstance(option, Element)]
        chosen = [option for option in options if "selected" in (option.attrs or {})] or options[:1]
        yield Text(", ".join(option.to_text().strip() for option in chosen))
    elif element.name == "textarea":
        lines = element.to_text(strip=False).strip("\n").split("\n")
        for number, line in enumerate(lines):
            if number:
                yield Element("br", {}, "html")
            yield Text(line)
    elif kind in ("checkbox", "radio"):
        yield Text(f"{_TICKED if 'checked' in (element.attrs or {}) else _EMPTY} ")
    elif kind not in ("hidden", "password", "file", "image"):
        yield Text(f"{_attribute(element, 'value')} ")


def _picture(drawing: Element) -> Element | None:
    from file_conversion.engines import svg  # noqa: PLC0415 - only pages with drawings need it

    try:
        made = Drawing.read(drawing.to_html(pretty=False).encode())
        pixels = svg.draw(made)
    except (Unconvertible, ValueError):
        return None
    width, height = (round(length / 0.75) for length in made.size_in_points)
    source = f"data:image/png;base64,{base64.b64encode(pixels).decode()}"
    return Element("img", {"src": source, "width": str(width), "height": str(height), "alt": ""}, "html")


def _texts(element: Node) -> Iterator[Text]:
    for child in element.children or ():
        if isinstance(child, Text):
            yield child
        elif isinstance(child, Element) and child.name not in _NO_TEXT:
            yield from _texts(child)


def _remove(element: Element | Text) -> None:
    if element.parent is not None:
        element.parent.remove_child(element)


def _replace(old: Element | Text, *new: Element | Text) -> None:
    if old.parent is not None:
        for node in new:
            old.parent.insert_before(node, old)
        old.parent.remove_child(old)
