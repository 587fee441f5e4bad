"""Word to PDF: with dxpdf, which keeps the look; with Office2pdf what dxpdf leaves out; with Typst what both refuse."""

import os
from contextlib import suppress
from pathlib import Path
from xml.sax.saxutils import escape

from file_conversion.engines import FONTS, Notes, documents, office, typefaces, word_parts

_CONFIGURATION = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig>{folders}<cachedir>{cache}</cachedir>{twins}
<match target="pattern"><edit name="family" mode="append_last"><string>{usual}</string></edit></match></fontconfig>"""
_TWIN = '<alias binding="same"><family>{}</family><accept><family>{}</family></accept></alias>'


def convert(given: Path, source: str, made: Path, target: str) -> Notes:
    """A PDF that looks like the document; a plainer one where both engines give up."""
    mended = given.with_name("mended.docx")
    word_parts.rewrite(given, mended)
    if not word_parts.lacks(given):
        with suppress(BaseException):  # a Rust panic is no Exception
            made.write_bytes(_dxpdf(mended))
            return None
    with suppress(BaseException):
        made.write_bytes(office.pdf(mended, "docx"))
        return None
    return documents.convert(given, "docx", made, target)


def _dxpdf(given: Path) -> bytes:
    configuration = given.with_name("fonts.conf")
    configuration.write_text(
        _CONFIGURATION.format(
            folders="".join(f"<dir>{escape(str(folder))}</dir>" for folder in typefaces.folders()),
            cache=escape(str(given.with_name("font-cache"))),
            twins="".join(_TWIN.format(escape(name), twin) for name, twin in typefaces.TWINS.items()),
            usual=typefaces.SANS,
        )
    )
    os.environ.update(
        FONTCONFIG_FILE=str(configuration), XDG_DATA_HOME=str(FONTS.parent)
    )  # read at the first look for a font
    import dxpdf  # noqa: PLC0415

    return bytes(dxpdf.convert(given.read_bytes()))
