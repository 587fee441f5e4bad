"""PDF to an image or to plain text, with PDFium."""

from pathlib import Path

import pypdfium2
from PIL import Image

from file_conversion.engines import Unconvertible

MAX_PAGES_IN_ONE_IMAGE = 20
MAX_PIXELS = 50_000_000
_DOTS_PER_POINT = 150 / 72
_LINE_END_HYPHEN = "\ufffe"  # what PDFium makes of it


def convert(given: Path, source: str, made: Path, target: str) -> None:
    """To `txt`: the text of all pages. To an image: all pages below each other, at 150 dpi or what fits."""
    try:
        document = pypdfium2.PdfDocument(given)
    except pypdfium2.PdfiumError as failure:
        raise Unconvertible("encrypted" if "password" in str(failure).lower() else "unreadable") from None
    if target == "txt":
        _text(document, made)
    else:
        _image(document, made, {"png": "PNG", "jpg": "JPEG"}[target])


def _text(document: pypdfium2.PdfDocument, made: Path) -> None:
    pages = [page.get_textpage().get_text_range().strip() for page in document]
    if not any(pages):
        raise Unconvertible("no-text")
    text = "\n\n".join(pages).replace("\r\n", "\n").replace(_LINE_END_HYPHEN, "-")
    made.write_text(text.strip() + "\n", encoding="utf-8", errors="replace")


def _image(document: pypdfium2.PdfDocument, made: Path, kind: str) -> None:
    if len(document) > MAX_PAGES_IN_ONE_IMAGE:
        raise Unconvertible("too-many-pages")
    sizes = [document.get_page_size(number) for number in range(len(document))]
    width, height = max(width for width, _ in sizes), sum(height for _, height in sizes)
    scale = min(_DOTS_PER_POINT, (MAX_PIXELS / (width * height)) ** 0.5, 65_000 / height, 65_000 / width)
    pages = [page.render(scale=scale).to_pil().convert("RGB") for page in document]
    sheet = Image.new("RGB", (max(page.width for page in pages), sum(page.height for page in pages)), "white")
    top = 0
    for page in pages:
        sheet.paste(page, (0, top))
        top += page.height
    sheet.save(made, kind, **({"quality": 90} if kind == "JPEG" else {}))
