"""Word to PDF with dxpdf, which keeps the look; documents with equations, where it drops brackets, by way of Typst."""

import os
import zipfile
from contextlib import suppress
from pathlib import Path

import dxpdf

from file_conversion.engines import FONTS, documents

_EQUATION = b":oMath"


def convert(given: Path, source: str, made: Path, target: str) -> None:
    """A PDF that looks like the document; a plainer one where it has equations or dxpdf gives up."""
    # read when dxpdf first looks for a font; the second is where fonts.conf finds them
    os.environ.update(FONTCONFIG_FILE=str(FONTS / "fonts.conf"), XDG_DATA_HOME=str(FONTS.parent))
    if not _has_equations(given):
        with suppress(BaseException):  # a Rust panic is no Exception
            made.write_bytes(dxpdf.convert(given.read_bytes()))
            return
    documents.convert(given, source, made, target)


def _has_equations(given: Path) -> bool:
    with zipfile.ZipFile(given) as archive:
        return any(
            _EQUATION in archive.read(name)
            for name in archive.namelist()
            if name.startswith("word/document") and name.endswith(".xml")
        )
