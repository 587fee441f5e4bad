"""A Word document (ECMA-376) rewritten for engines that know less of the format: signs, turned pictures, headers."""

import html
import re
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path, PurePosixPath

from PIL import Image

from file_conversion.engines import typefaces
from file_conversion.engines.symbols import is_symbol_font, sign, signs

_TEXT_PARTS = re.compile(r"word/(document|header\d*|footer\d*|footnotes|endnotes|comments|numbering)\d*\.xml")
_SYM = re.compile(r"<w:sym\b[^>]*/>")
_RUN = re.compile(r"<w:r(?:\s[^>]*)?>.*?</w:r>", re.DOTALL)
_LEVEL = re.compile(r"<w:lvl\b.*?</w:lvl>", re.DOTALL)
_FONT = re.compile(r'<w:rFonts\b[^>]*w:(?:ascii|hAnsi)="([^"]*)"[^>]*/>')
_TEXT = re.compile(r"(<w:t(?:\s[^>]*)?>)([^<]*)(</w:t>)")
_NOT_RIGHT_TO_LEFT = re.compile(r'<w:(?:bidi|rtl)\s+w:val="(?:0|false|off)"\s*/>')
_DRAWING = re.compile(r"<w:drawing>.*?</w:drawing>", re.DOTALL)
_TURNED = re.compile(r'(<a:xfrm\b[^>]*?)\s+rot="(-?\d+)"')
_PARAGRAPH = re.compile(r"<w:(?:p|tbl)(?:\s[^>]*)?>.*</w:(?:p|tbl)>", re.DOTALL)
_STYLE = re.compile(r'<w:style\b[^>]*w:styleId="([^"]*)".*?</w:style>', re.DOTALL)
_OFF = r'(?![^>]*"(?:0|false|off)")'
_LACKING = re.compile(rf":oMath\b|<w:d?strike\b{_OFF}|<w:(?:caps|smallCaps)\b{_OFF}")
_MOST_PIXELS = 50_000_000


def lacks(given: Path) -> bool:
    """Whether the document has what dxpdf leaves out: equations, lines through words, and capitals by format."""
    with zipfile.ZipFile(given) as archive:
        parts = [
            archive.read(name).decode("utf-8", "replace") for name in archive.namelist() if _TEXT_PARTS.fullmatch(name)
        ]
        styles = (
            archive.read("word/styles.xml").decode("utf-8", "replace")
            if "word/styles.xml" in archive.namelist()
            else ""
        )
    used = {style for part in parts for style in re.findall(r'<w:[pr]Style\s+w:val="([^"]*)"', part)}
    parts += [style[0] for style in _STYLE.finditer(styles) if style[1] in used]
    return any(_LACKING.search(part) is not None for part in parts)


def rewrite(given: Path, made: Path, *, headers_in_body: bool = False) -> None:
    """Write the document anew; with `headers_in_body`, headers stand above the text and footers below it."""
    with zipfile.ZipFile(given) as archive, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as fresh:
        parts = {name: archive.read(name) for name in archive.namelist()}
        for name in [name for name in parts if _TEXT_PARTS.fullmatch(name)]:
            text = parts[name].decode("utf-8", "replace")
            text = _with_signs(_NOT_RIGHT_TO_LEFT.sub("", text))
            if "rot=" in text:
                text = _with_turned_pictures(text, name, parts)
            parts[name] = text.encode()
        if headers_in_body and (document := parts.get("word/document.xml")):
            parts["word/document.xml"] = _with_headers(document.decode(), parts).encode()
        for name, content in parts.items():
            fresh.writestr(name, content)


def characters(text: str) -> Iterator[str]:
    """The texts of a part as they will be drawn; for a look at the letters before the sale."""
    for piece in _TEXT.finditer(_with_signs(text)):
        yield html.unescape(piece[2])


def _with_signs(text: str) -> str:
    """Signs of symbol fonts as Unicode characters, and boxes that few fonts have as ones that they do."""

    def from_code(found: re.Match[str]) -> str:
        font, code = (re.search(rf'w:{name}="([^"]*)"', found[0]) for name in ("font", "char"))
        if not font or not code or not re.fullmatch("[0-9A-Fa-f]{1,5}", code[1]):
            return ""
        return f"<w:t>{html.escape(sign(font[1], int(code[1], 16)))}</w:t>"

    def set_in_signs(found: re.Match[str]) -> str:
        font = _FONT.search(found[0])
        if not font or not is_symbol_font(font[1]):
            return found[0]
        run = found[0].replace(font[0], "")
        run = _TEXT.sub(lambda text: f"{text[1]}{html.escape(signs(font[1], html.unescape(text[2])))}{text[3]}", run)
        return re.sub(
            r'(<w:lvlText\b[^>]*w:val=")([^"]*)"',
            lambda text: f'{text[1]}{html.escape(signs(font[1], html.unescape(text[2])))}"',
            run,
        )

    for pattern in (_RUN, _LEVEL):
        text = pattern.sub(set_in_signs, text)
    text = _SYM.sub(from_code, text)
    for character, alike in typefaces.ALIKE.items():
        if typefaces.face_for(character) is None:
            text = text.replace(character, alike)
    return text


def _with_turned_pictures(text: str, part: str, parts: dict[str, bytes]) -> str:
    """Pictures that are turned by a right angle, turned; their frame is the turned one's already."""
    home = PurePosixPath(part)
    relations = f"{home.parent}/_rels/{home.name}.rels"

    def turned(found: re.Match[str]) -> str:
        drawing = found[0]
        rotation, embedded = _TURNED.search(drawing), re.search(r'r:embed="([^"]*)"', drawing)
        if not rotation or not embedded or "<pic:pic" not in drawing or int(rotation[2]) % 5_400_000:
            return drawing
        quarters = int(rotation[2]) // 5_400_000 % 4
        known = parts.get(relations, b"").decode()
        target = re.search(rf'<Relationship\b[^>]*Id="{re.escape(embedded[1])}"[^>]*/>', known)
        path = re.search(r'Target="([^"]*)"', target[0]) if target else None
        if not target or not path or not quarters:
            return drawing
        name = path[1].lstrip("/") if path[1].startswith("/") else f"{home.parent}/{path[1]}"
        content = _turn(parts.get(name, b""), quarters)
        if content is None:
            return drawing
        identity = f"{embedded[1]}turned{quarters}"
        fresh = f"{PurePosixPath(path[1]).with_suffix('')}-turned{quarters}.png"
        parts[f"{home.parent}/{fresh}".replace("word//", "")] = content
        if f'"{identity}"' not in known:
            fresh_relation = re.sub(r'Id="[^"]*"', f'Id="{identity}"', target[0].replace(path[1], fresh))
            parts[relations] = known.replace("</Relationships>", f"{fresh_relation}</Relationships>").encode()
            parts["[Content_Types].xml"] = _with_png(parts["[Content_Types].xml"])
        drawing = _TURNED.sub(r"\1", drawing).replace(embedded[0], f'r:embed="{identity}"')
        return _sides_exchanged(drawing) if quarters % 2 else drawing

    return _DRAWING.sub(turned, text)


def _turn(content: bytes, quarters: int) -> bytes | None:
    try:
        with Image.open(BytesIO(content), formats=["PNG", "JPEG", "GIF", "BMP", "TIFF"]) as image:
            if image.width * image.height > _MOST_PIXELS:
                return None
            # Word turns clockwise, Pillow the other way round
            way = {1: Image.Transpose.ROTATE_270, 2: Image.Transpose.ROTATE_180, 3: Image.Transpose.ROTATE_90}[quarters]
            made = BytesIO()
            image.convert("RGBA").transpose(way).save(made, "PNG")
            return made.getvalue()
    except (OSError, ValueError, SyntaxError):
        return None


def _with_png(types: bytes) -> bytes:
    if b'Extension="png"' in types:
        return types
    return re.sub(rb"(<Types[^>]*>)", rb'\1<Default Extension="png" ContentType="image/png"/>', types, count=1)


def _sides_exchanged(drawing: str) -> str:
    """Width and height of the frame, which Word gives as they are before the turn."""
    exchange: Callable[[re.Match[str]], str] = lambda found: f'{found[1]}cx="{found[3]}" cy="{found[2]}"'  # noqa: E731
    return re.sub(r'(<(?:wp:extent|a:ext)\s+)cx="(\d+)"\s+cy="(\d+)"', exchange, drawing)


def _with_headers(document: str, parts: dict[str, bytes]) -> str:
    above, below = (_of_all_pages(document, parts, kind) for kind in ("header", "footer"))
    document = re.sub(r"(<w:body(?:\s[^>]*)?>)", lambda found: found[1] + above, document, count=1)
    last = document.rfind("<w:sectPr")
    end = last if last > document.rfind("</w:p>") else document.rfind("</w:body>")
    return document[:end] + below + document[end:] if below and end >= 0 else document


def _of_all_pages(document: str, parts: dict[str, bytes], kind: str) -> str:
    """The paragraphs of the header or footer, first and usual one, without pictures and page numbers."""
    relations = parts.get("word/_rels/document.xml.rels", b"").decode("utf-8", "replace")
    found = []
    for reference in re.findall(rf"<w:{kind}Reference\b[^>]*/>", document):
        identity = re.search(r'r:id="([^"]*)"', reference)
        target = (
            re.search(rf'<Relationship\b[^>]*Id="{re.escape(identity[1])}"[^>]*/>', relations) if identity else None
        )
        path = re.search(r'Target="([^"]*)"', target[0]) if target else None
        if path and 'w:type="even"' not in reference:
            content = parts.get(f"word/{path[1]}".replace("word//word/", "word/"), b"").decode("utf-8", "replace")
            inner = _PARAGRAPH.search(content)
            letters = re.sub(
                r"<w:instrText.*?</w:instrText>|<w:fldSimple.*?</w:fldSimple>", "", content, flags=re.DOTALL
            )
            if inner and re.search(r"<w:t(?:\s[^>]*)?>[^<]*\w", letters) and inner[0] not in found:
                found.append(
                    re.sub(
                        r"<w:drawing>.*?</w:drawing>|<w:pict\b.*?</w:pict>|<w:hyperlink\b[^>]*>|</w:hyperlink>",
                        "",
                        inner[0],
                        flags=re.DOTALL,
                    )
                )
    return "".join(found)
