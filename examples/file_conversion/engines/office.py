"""Presentations and spreadsheets to PDF, with Office2pdf; other tables by way of XLSX."""

from pathlib import Path

import office2pdf

from file_conversion.engines import Notes, Unconvertible, sheets, typefaces


def convert(given: Path, source: str, made: Path, target: str) -> Notes:
    """All slides or sheets, each beginning a page; close to what the program that made them would print."""
    notes = None
    if source in ("ods", "csv", "xls"):
        workbook = given.with_name("given-as.xlsx")
        notes = sheets.convert(given, source, workbook, "xlsx")
        given = workbook
    try:
        made.write_bytes(pdf(given, "pptx" if source == "pptx" else "xlsx"))
    except office2pdf.UnsupportedEncryptionError:
        raise Unconvertible("encrypted") from None
    except office2pdf.Office2PdfError as failure:
        raise Unconvertible(said=str(failure).encode()) from None
    return notes


def pdf(given: Path, source: str) -> bytes:
    """The file as a PDF; raises `Office2PdfError`."""
    options = office2pdf.ConvertOptions(font_paths=typefaces.folders(), last_resort_font_family=typefaces.SANS)
    return office2pdf.convert_bytes(given.read_bytes(), source, options).pdf
