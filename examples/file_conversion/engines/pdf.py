"""PDF to an image or to plain text, with PDFium."""

import ctypes
from pathlib import Path

import pypdfium2
import pypdfium2.raw
from PIL import Image

from file_conversion.engines import Notes, Unconvertible, typefaces
from file_conversion.engines.columns import read_in_order

MAX_PAGES_IN_ONE_IMAGE = 20
MAX_PIXELS = 50_000_000
_DOTS_PER_POINT = 150 / 72
_LINE_END_HYPHEN = "\ufffe"  # what PDFium makes of it


def convert(given: Path, source: str, made: Path, target: str) -> Notes:
    """To `txt`: the text of all pages. To an image: all pages below each other, at 150 dpi or what fits."""
    _use_our_fonts()
    try:
        document = pypdfium2.PdfDocument(given)
    except pypdfium2.PdfiumError as failure:
        raise Unconvertible("encrypted" if "password" in str(failure).lower() else "unreadable") from None
    if not len(document):
        raise Unconvertible
    document.init_forms()  # before a page is loaded; without it what has been filled in is not drawn
    if document.formenv:
        pypdfium2.raw.FPDF_SetFormFieldHighlightAlpha(document.formenv, 0)
    if target == "txt":
        _text(document, made)
    else:
        _image(document, made, {"png": "PNG", "jpg": "JPEG"}[target])
    return None


def _use_our_fonts() -> None:
    """For text in fonts that the file names and does not hold."""
    raw = pypdfium2.raw
    folders = [ctypes.create_string_buffer(str(folder).encode()) for folder in typefaces.folders()]
    texts = ctypes.POINTER(ctypes.c_char)
    paths = (texts * (len(folders) + 1))(*[ctypes.cast(folder, texts) for folder in folders])  # the last one is null
    raw.FPDF_DestroyLibrary()
    raw.FPDF_InitLibraryWithConfig(raw.FPDF_LIBRARY_CONFIG(version=2, m_pUserFontPaths=paths))


def _text(document: pypdfium2.PdfDocument, made: Path) -> None:
    pages = []
    for number in range(len(document)):
        page = document[number]
        # What has been filled in becomes part of the page; the page has to be loaded again to see it.
        if pypdfium2.raw.FPDFPage_Flatten(page, pypdfium2.raw.FLAT_NORMALDISPLAY) == pypdfium2.raw.FLATTEN_SUCCESS:
            page.close()
            page = document[number]
        pages.append(read_in_order(page.get_textpage()).strip())
        page.close()
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
    pages = [page.render(scale=scale, may_draw_forms=True).to_pil().convert("RGB") for page in document]
    sheet = Image.new("RGB", (max(page.width for page in pages), sum(page.height for page in pages)), "white")
    top = 0
    for page in pages:
        sheet.paste(page, (0, top))
        top += page.height
    sheet.save(made, kind, dpi=(72 * scale, 72 * scale), **({"quality": 90} if kind == "JPEG" else {}))
