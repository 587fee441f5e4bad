"""Whether every letter of a text can be drawn: asked before the sale, of the text itself."""

import html
import io
import re
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Iterator

from l402_middleware import Refusal

from ..engines import rtf, typefaces, word_parts
from ..engines.encodings import decoded

DRAWN = {"pdf", "png", "jpg"}
"""Targets in which letters are shapes."""
_MOST_BYTES = 30 * 1024 * 1024
"""Unpacked text that is looked at; more takes longer than a request should."""
_PARTS = {
    **dict.fromkeys(("odt", "ods", "odp"), r"(content|styles)\.xml"),
    "pptx": r"ppt/slides/slide\d+\.xml",
    **dict.fromkeys(("xlsx", "xlsm"), r"xl/(sharedStrings|worksheets/sheet\d+)\.xml"),
    **dict.fromkeys(("docx", "docm"), r"word/(document|header\d*|footer\d*|footnotes|endnotes)\.xml"),
    "epub": r".*\.x?html?",
}
_MOST_RTF = 128 * 1024
"""Bytes of RTF that are read letter by letter; escapes by number are found in all of it."""
_ESCAPED = re.compile(rb"\\u(-?\d{1,5})(?!\d)")
_MARKUP = {"html", "md", "svg"}
_UNSEEN = re.compile(r"<!--.*?-->|<(script|style|template)\b.*?</\1>", re.DOTALL | re.IGNORECASE)
_TAG = re.compile(r"<[^>]*>")
_SHOWN = 5


def require_drawable(file: bytes, source: str) -> None:
    """Raise `Refusal` (422, `no-font`) if the text holds letters that no font at hand has."""
    text: set[str] = set()
    for piece in _pieces(file, source):
        text.update(piece)
    if missing := sorted(typefaces.undrawable(text)):
        shown = " ".join(missing[:_SHOWN])
        scripts = ", ".join(
            dict.fromkeys(unicodedata.name(letter, "a sign").split()[0].title() for letter in missing[:_SHOWN])
        )
        raise Refusal(
            422,
            "no-font",
            f"No font of this service can draw {shown} ({scripts}); its operator can install one that does.",
        )


def _pieces(file: bytes, source: str) -> Iterable[Iterable[str]]:
    if source in _PARTS:
        return _parts(file, source)
    if source == "rtf":
        escaped = (chr(int(code) % 65_536) for code in _ESCAPED.findall(file))
        return [re.sub(r"\\[a-z]+-?\d* ?", " ", rtf.plain(file.lstrip()[:_MOST_RTF])), escaped]
    if source in ("txt", "rst", "csv", *_MARKUP):
        text = decoded(file, source)
        return [html.unescape(_TAG.sub(" ", _UNSEEN.sub(" ", text)))] if source in _MARKUP else [text]
    return []


def _parts(file: bytes, source: str) -> Iterator[str]:
    wanted = re.compile(_PARTS[source])
    left = _MOST_BYTES
    try:
        with zipfile.ZipFile(io.BytesIO(file)) as archive:
            for entry in archive.infolist():
                left -= entry.file_size if wanted.fullmatch(entry.filename.replace("\\", "/")) else 0
                if left < 0:
                    return
                if wanted.fullmatch(entry.filename.replace("\\", "/")):
                    text = archive.read(entry).decode("utf-8", "replace")
                    if source in ("docx", "docm"):
                        yield from word_parts.characters(text)
                    else:
                        yield html.unescape(_TAG.sub(" ", text))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError):
        return  # damaged: the conversion says so, and is not charged
