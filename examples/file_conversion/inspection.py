"""What a file's bytes give away without decoding it: its type, an image's size, an archive's weight.

Runs in the web process on strangers' bytes, so it reads headers only and leaves the decoders to the sandbox.
"""

import io
import re
import struct
import zipfile
from collections.abc import Callable

from l402_middleware import Refusal

from .catalogue import MIB

MAX_PIXELS = 50_000_000
MAX_JPEG_SEGMENTS = 2_000
MAX_ARCHIVE_ENTRIES = 4_000
MAX_DIRECTORY_BYTES = MIB
MAX_UNPACKED_BYTES = 200 * MIB
MAX_RATIO = 200
"""Packed XML rarely exceeds 1:100; a bomb exceeds 1:1000."""

_NAMES = {"jpg": "JPEG", "tiff": "TIFF", "html": "HTML", "md": "Markdown", "rst": "reStructuredText"}


def inspect(file: bytes, extension: str) -> None:
    """Raise `Refusal` unless `file` starts and weighs like a file of the type `extension` (canonical)."""
    try:
        CHECKS[extension](file)
    except (_Mismatch, struct.error, IndexError):
        name = _NAMES.get(extension, extension.upper())
        raise Refusal(
            422, "type-mismatch", f"The file is not {name}; extensionFrom has to name what the file really is."
        ) from None


class _Mismatch(Exception):
    pass


def _expect(condition: bool) -> None:
    if not condition:
        raise _Mismatch


# Images: (width, height) from the header.


def _image(size: Callable[[bytes], tuple[int, int]]) -> Callable[[bytes], None]:
    def check(file: bytes) -> None:
        width, height = size(file)
        _expect(width > 0 and height > 0)
        if width * height > MAX_PIXELS:
            raise Refusal(413, "too-many-pixels", f"The image has more than {MAX_PIXELS // 1_000_000} million pixels.")

    return check


def _png(file: bytes) -> tuple[int, int]:
    _expect(file.startswith(b"\x89PNG\r\n\x1a\n") and file[12:16] == b"IHDR")
    width, height = struct.unpack_from(">II", file, 16)
    return width, height


def _gif(file: bytes) -> tuple[int, int]:
    _expect(file.startswith((b"GIF87a", b"GIF89a")))
    width, height = struct.unpack_from("<HH", file, 6)
    return width, height


def _jpg(file: bytes) -> tuple[int, int]:
    _expect(file.startswith(b"\xff\xd8\xff"))
    at = 2
    for _ in range(MAX_JPEG_SEGMENTS):
        _expect(file[at] == 0xFF)
        marker = file[at + 1]
        if marker in (0xFF, 0x01) or 0xD0 <= marker <= 0xD7:  # fill bytes and markers without a length
            at += 1 if marker == 0xFF else 2
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", file, at + 5)
            return width, height
        else:
            _expect(marker not in (0xD8, 0xD9, 0xDA))
            (length,) = struct.unpack_from(">H", file, at + 2)
            _expect(length >= 2)
            at += 2 + length
    raise _Mismatch


def _webp(file: bytes) -> tuple[int, int]:
    _expect(file.startswith(b"RIFF") and file[8:12] == b"WEBP")
    match file[12:16]:
        case b"VP8X":
            return 1 + int.from_bytes(file[24:27], "little"), 1 + int.from_bytes(file[27:30], "little")
        case b"VP8L":
            _expect(file[20] == 0x2F)
            (bits,) = struct.unpack_from("<I", file, 21)
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        case b"VP8 ":
            width, height = struct.unpack_from("<HH", file, 26)
            return width & 0x3FFF, height & 0x3FFF
        case _:
            raise _Mismatch


def _bmp(file: bytes) -> tuple[int, int]:
    _expect(file.startswith(b"BM"))
    (header,) = struct.unpack_from("<I", file, 14)
    width, height = struct.unpack_from("<HH" if header == 12 else "<ii", file, 18)
    return width, abs(height)  # a negative height means rows from the top


def _tiff(file: bytes) -> tuple[int, int]:
    _expect(file.startswith((b"II*\0", b"MM\0*")))
    order = "<" if file.startswith(b"II") else ">"
    (directory,) = struct.unpack_from(order + "I", file, 4)
    (count,) = struct.unpack_from(order + "H", file, directory)
    size = {}
    for at in range(directory + 2, directory + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from(order + "HH", file, at)
        if tag in (256, 257):
            (size[tag],) = struct.unpack_from(order + ("H" if kind == 3 else "I"), file, at + 8)
    return size.get(256, 0), size.get(257, 0)


def _avif(file: bytes) -> tuple[int, int]:
    _expect(file[4:8] == b"ftyp" and file[8:12] in (b"avif", b"avis", b"mif1", b"msf1") and b"avi" in file[8:64])
    sizes = [struct.unpack_from(">II", file, found.end() + 4) for found in re.finditer(b"ispe", file[: 64 * 1024])]
    _expect(bool(sizes))
    return max(width for width, _ in sizes), max(height for _, height in sizes)


def _ico(file: bytes) -> tuple[int, int]:
    _expect(file.startswith(b"\0\0\x01\0"))
    (count,) = struct.unpack_from("<H", file, 4)
    _expect(0 < count <= 64)
    return file[6] or 256, file[7] or 256


# Archives: the central directory alone, since nothing is unpacked here.


def _archive(belongs: Callable[[zipfile.ZipFile], bool]) -> Callable[[bytes], None]:
    def check(file: bytes) -> None:
        _expect(file.startswith(b"PK\x03\x04"))
        end = file.rfind(b"PK\x05\x06", -65_557)
        _expect(end >= 0)
        entries, directory = struct.unpack_from("<HI", file, end + 10)
        # zipfile spends 10 us on each entry the directory has room for, whatever the count says
        if entries > MAX_ARCHIVE_ENTRIES or directory > MAX_DIRECTORY_BYTES:
            raise _bomb()
        try:
            with zipfile.ZipFile(io.BytesIO(file)) as archive:
                _weigh(archive.infolist())
                _expect(belongs(archive))
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError):
            raise _Mismatch from None

    return check


def _weigh(entries: list[zipfile.ZipInfo]) -> None:
    if any(entry.flag_bits & 1 for entry in entries):
        raise Refusal(422, "encrypted", "The file is protected by a password; remove it and try again.")
    if len(entries) > MAX_ARCHIVE_ENTRIES or sum(entry.file_size for entry in entries) > MAX_UNPACKED_BYTES:
        raise _bomb()
    if any(entry.file_size > MIB and entry.file_size > MAX_RATIO * entry.compress_size for entry in entries):
        raise _bomb()


def _bomb() -> Refusal:
    return Refusal(413, "archive-too-large", "The file unpacks to more than this service accepts.")


def _office(folder: str) -> Callable[[bytes], None]:
    """Office Open XML (ECMA-376): a content type list, and the parts in a folder named for the application."""

    def belongs(archive: zipfile.ZipFile) -> bool:
        names = archive.namelist()
        return "[Content_Types].xml" in names and any(name.startswith(folder) for name in names)

    return _archive(belongs)


def _with_mimetype(mimetype: bytes) -> Callable[[bytes], None]:
    """OpenDocument (part 2, 3.3) and EPUB (OCF 3.3, 4.3): the first entry, stored plainly, is the media type."""

    def check(file: bytes) -> None:
        name, extra = struct.unpack_from("<HH", file, 26)
        _expect(file[30 : 30 + name] == b"mimetype")
        _expect(file[30 + name + extra :].startswith(mimetype + b"PK"))
        _archive(lambda archive: True)(file)

    return check


# Everything else: the first bytes.


def _starts(*prefixes: bytes) -> Callable[[bytes], None]:
    return lambda file: _expect(file.startswith(prefixes))


def _riff(form: bytes) -> Callable[[bytes], None]:
    return lambda file: _expect(file.startswith(b"RIFF") and file[8:12] == form)


def _boxes(*kinds: bytes) -> Callable[[bytes], None]:
    """ISO base media (ISO/IEC 14496-12): a size, then the kind of the first box."""
    return lambda file: _expect(file[4:8] in kinds and file[8:12] not in (b"avif", b"avis"))


def _ebml(kind: bytes) -> Callable[[bytes], None]:
    return lambda file: _expect(file.startswith(b"\x1aE\xdf\xa3") and kind in file[:64])


def _mp3(file: bytes) -> None:
    frame = file[0] == 0xFF and file[1] & 0xE0 == 0xE0 and file[1] & 0x06 != 0
    _expect(frame or file.startswith(b"ID3"))


def _text(file: bytes) -> None:
    try:
        _expect("\0" not in file.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise Refusal(422, "not-utf-8", "The text is not UTF-8; save it as UTF-8 and try again.") from None


def _svg(file: bytes) -> None:
    _text(file)
    _expect(re.search(rb"<(?:\w+:)?svg[\s>]", file[: 64 * 1024]) is not None)


CHECKS: dict[str, Callable[[bytes], None]] = {
    "png": _image(_png),
    "jpg": _image(_jpg),
    "gif": _image(_gif),
    "webp": _image(_webp),
    "bmp": _image(_bmp),
    "tiff": _image(_tiff),
    "avif": _image(_avif),
    "ico": _image(_ico),
    "svg": _svg,
    "mp4": _boxes(b"ftyp"),
    "m4a": _boxes(b"ftyp"),
    "mov": _boxes(b"ftyp", b"moov", b"wide", b"mdat", b"free", b"skip"),
    "mkv": _ebml(b"matroska"),
    "webm": _ebml(b"webm"),
    "avi": _riff(b"AVI "),
    "wav": _riff(b"WAVE"),
    "mp3": _mp3,
    "ogg": _starts(b"OggS"),
    "flac": _starts(b"fLaC"),
    "docx": _office("word/"),
    "pptx": _office("ppt/"),
    "xlsx": _office("xl/"),
    "odt": _with_mimetype(b"application/vnd.oasis.opendocument.text"),
    "ods": _with_mimetype(b"application/vnd.oasis.opendocument.spreadsheet"),
    "epub": _with_mimetype(b"application/epub+zip"),
    "rtf": _starts(b"{\\rtf"),
    "pdf": _starts(b"%PDF-"),
    **dict.fromkeys(("html", "md", "rst", "txt", "csv"), _text),
}
