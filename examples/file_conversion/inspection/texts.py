"""Text: that it is text, and for formats with a beginning of their own, that it has it."""

import re

from l402_middleware import Refusal

from ..engines.encodings import decoded
from .refusing import Check, expect

_PDF_WITHIN = 1024
"""Programs that find %PDF- so late open the file (ISO 32000-1, annex H, note 13)."""


def _text(file: bytes) -> None:
    _read(file)


def _read(file: bytes, kind: str = "") -> str:
    try:
        text = decoded(file, kind)
    except (UnicodeDecodeError, LookupError):
        raise Refusal(422, "not-utf-8", "The text is not UTF-8; save it as UTF-8 and try again.") from None
    expect("\0" not in text)
    return text


def _svg(file: bytes) -> None:
    expect(re.search(r"<(?:\w+:)?svg[\s>]", _read(file, "svg")[: 64 * 1024]) is not None)


def _html(file: bytes) -> None:
    _read(file, "html")


def _xml(file: bytes) -> None:
    expect(_read(file, "xml").lstrip().startswith("<"))


def _json(file: bytes) -> None:
    expect(_read(file).lstrip()[:1] in tuple('{["-0123456789tfn'))


def _srt(file: bytes) -> None:
    expect("-->" in _read(file))


def _vtt(file: bytes) -> None:
    expect(_read(file).startswith("WEBVTT"))


def _ass(file: bytes) -> None:
    expect("[script info]" in _read(file)[:4096].lower())


def _pdf(file: bytes) -> None:
    start = file.find(b"%PDF-", 0, _PDF_WITHIN)
    expect(start >= 0 and b"<" not in file[:start])


CHECKS: dict[str, Check] = {
    "pdf": _pdf,
    "rtf": lambda file: expect(file.lstrip()[:5] == b"{\\rtf"),
    "svg": _svg,
    "html": _html,
    "xml": _xml,
    "json": _json,
    "srt": _srt,
    "vtt": _vtt,
    "ass": _ass,
    **dict.fromkeys(("md", "rst", "txt", "csv", "tsv", "yaml", "toml"), _text),
}
