"""An OpenDocument text's pages: their size, header and footer, which pandoc does not read (ODF 1.3, part 3)."""

import html
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_LENGTH = re.compile(r"(\d+(?:\.\d+)?)(mm|cm|in|pt|pc|px)")
_POINTS = {"mm": 72 / 25.4, "cm": 72 / 2.54, "in": 72, "pt": 1, "pc": 12, "px": 0.75}
_PAGE_NUMBER = re.compile(r"<text:page-(?:number|count)\b[^>]*>[^<]*</text:page-(?:number|count)>")


@dataclass(frozen=True, slots=True)
class Pages:
    """What the first master page says: points, and the paragraphs of header and footer as they stand in the file."""

    width: float
    height: float
    margin: float
    header: str
    footer: str

    @classmethod
    def of(cls, given: Path) -> Self | None:
        """None where the document says nothing."""
        with zipfile.ZipFile(given) as archive:
            if "styles.xml" not in archive.namelist():
                return None
            text = archive.read("styles.xml").decode("utf-8", "replace")
        layouts = {
            found[1]: found[0]
            for found in re.finditer(
                r'<style:page-layout\s[^>]*style:name="([^"]*)".*?</style:page-layout>', text, re.DOTALL
            )
        }
        master = re.search(r"<style:master-page\b.*?(?:</style:master-page>|/>)", text, re.DOTALL)
        if master is None:
            return None
        used = re.search(r'style:page-layout-name="([^"]*)"', master[0])
        layout = layouts.get(used[1], "") if used else ""
        width, height = _points(layout, "fo:page-width"), _points(layout, "fo:page-height")
        margin = _points(layout, "fo:margin") or _points(layout, "fo:margin-left") or 57
        return cls(width, height, margin, _content(master[0], "header"), _content(master[0], "footer"))


def _points(layout: str, name: str) -> float:
    said = re.search(rf'{name}="([^"]*)"', layout)
    length = _LENGTH.fullmatch(said[1]) if said else None
    return float(length[1]) * _POINTS[length[2]] if length else 0


def _content(master: str, kind: str) -> str:
    found = re.search(rf"<style:{kind}(?:\s[^>]*)?>(.*?)</style:{kind}>", master, re.DOTALL)
    return found[1] if found else ""


def plain(content: str, page_number: str = "") -> list[str]:
    """The lines of a header, each without its markup."""
    lines = re.findall(r"<text:p(?:\s[^>]*)?>(.*?)</text:p>", _PAGE_NUMBER.sub(page_number, content), re.DOTALL)
    return [html.unescape(re.sub("<[^>]*>", " ", line)).strip() for line in lines]


def with_headers(given: Path, made: Path) -> None:
    """Write the document anew with its header above the text and its footer below."""
    pages = Pages.of(given)
    with zipfile.ZipFile(given) as archive, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as fresh:
        for name in archive.namelist():
            content = archive.read(name)
            if name == "content.xml" and pages:
                text = content.decode("utf-8", "replace")
                text = re.sub(
                    r"(<office:text(?:\s[^>]*)?>)", lambda found: found[1] + _kept(pages.header), text, count=1
                )
                text = text.replace("</office:text>", _kept(pages.footer) + "</office:text>")
                content = text.encode()
            fresh.writestr(name, content)


def _kept(content: str) -> str:
    """Text alone, and only where there is more than a page number; what it names is in another part."""
    lines = [line for line in plain(content) if re.search(r"\w", line)]
    return "".join(f"<text:p>{html.escape(line)}</text:p>" for line in lines)
