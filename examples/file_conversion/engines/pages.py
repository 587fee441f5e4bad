"""HTML to PDF with Ironpress, which knows CSS; it reads and fetches nothing but what is in the page."""

from pathlib import Path

import ironpress

from file_conversion.engines import FONTS, Notes, Unconvertible
from file_conversion.engines.html import Page


def convert(given: Path, source: str, made: Path, target: str) -> Notes:
    """The page as a browser would print it, on A4 unless it says otherwise."""
    page = Page(given.read_text(encoding="utf-8"))
    page.settle()
    page.name_fonts()
    writer = ironpress.HtmlConverter()
    for font in sorted(FONTS.glob("*.ttf")):
        writer.add_font(font.stem, font.read_bytes())
    for family, face in page.families.items():
        writer.add_font(family, face.path.read_bytes())
    try:
        made.write_bytes(writer.convert(page.html()))
    except ValueError as failure:
        raise Unconvertible(said=str(failure).encode()) from None
    return None
