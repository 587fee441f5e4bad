"""What other programs tolerate in a file and our engines do not, put right before an engine sees it."""

import re
import zipfile
from collections.abc import Callable
from pathlib import Path

from file_conversion.engines.encodings import decoded

_SEGMENTS = 2_000


def mend(given: Path, source: str) -> None:
    """Rewrite the file in place where it needs it."""
    if source in _MENDERS:
        content = given.read_bytes()
        mended = _MENDERS[source](content)
        if mended is not None and mended != content:
            given.write_bytes(mended)
    elif source in _ARCHIVES:
        _with_slashes(given)


def _as_utf8(kind: str) -> Callable[[bytes], bytes | None]:
    def mended(content: bytes) -> bytes:
        text = decoded(content, kind)
        if kind in ("xml", "svg"):  # what it declared holds no longer
            text = re.sub(r"^(\s*<\?xml[^>]*?)\s+encoding\s*=\s*[\"'][\w-]+[\"']", r"\1", text)
        return text.encode()

    return mended


def _from_header(content: bytes) -> bytes:
    return content[max(content.find(b"%PDF-", 0, 1024), 0) :]


def _without_stray_bytes(content: bytes) -> bytes:
    """A JPEG whose segments follow each other without anything between them."""
    at, kept = 2, bytearray(content[:2])
    for _ in range(_SEGMENTS):
        at = content.find(b"\xff", at)
        if at < 0 or at + 4 > len(content):
            break
        marker = content[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD7:
            at += 2
        elif marker == 0xDA:  # the picture itself; what is in there is the decoder's
            return bytes(kept) + content[at:]
        else:
            length = int.from_bytes(content[at + 2 : at + 4], "big")
            kept += content[at : at + 2 + length]
            at += 2 + length
    return content


_MENDERS: dict[str, Callable[[bytes], bytes | None]] = {
    "pdf": _from_header,
    "jpg": _without_stray_bytes,
    "mp3": lambda content: content.lstrip(b"\0"),
    "aac": lambda content: content.lstrip(b"\0"),
    "rtf": lambda content: content.lstrip(),
    **{
        kind: _as_utf8(kind)
        for kind in (
            "svg",
            "html",
            "xml",
            "md",
            "rst",
            "txt",
            "csv",
            "tsv",
            "json",
            "yaml",
            "toml",
            "srt",
            "vtt",
            "ass",
        )
    },
}
_ARCHIVES = {"docx", "docm", "xlsm", "pptx", "xlsx", "odt", "ods", "odp", "epub"}


def _with_slashes(given: Path) -> None:
    """Rewrite an archive whose names have backslashes for folders."""
    with zipfile.ZipFile(given) as archive:
        if not any("\\" in entry.filename for entry in archive.infolist()):
            return
        fresh = given.with_name("mended.zip")
        with zipfile.ZipFile(fresh, "w", zipfile.ZIP_DEFLATED) as mended:
            for entry in archive.infolist():
                mended.writestr(entry.filename.replace("\\", "/"), archive.read(entry))
    fresh.replace(given)
