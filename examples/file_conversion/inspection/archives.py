"""Archives: what they hold and what they weigh, from the central directory alone, since nothing is unpacked here."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable

from l402_middleware import Refusal

from ..catalogue import MIB
from .refusing import Check, Mismatch, expect

MAX_ARCHIVE_ENTRIES = 4_000
MAX_DIRECTORY_BYTES = MIB
MAX_UNPACKED_BYTES = 200 * MIB
MAX_RATIO = 200
"""Packed XML rarely exceeds 1:100; a bomb exceeds 1:1000."""


def _archive(belongs: Callable[[zipfile.ZipFile], bool]) -> Check:
    def check(file: bytes) -> None:
        expect(file.startswith(b"PK\x03\x04"))
        end = file.rfind(b"PK\x05\x06", -65_557)
        expect(end >= 0)
        entries, directory = struct.unpack_from("<HI", file, end + 10)
        # zipfile spends 10 us on each entry the directory has room for, whatever the count says
        if entries > MAX_ARCHIVE_ENTRIES or directory > MAX_DIRECTORY_BYTES:
            raise _bomb()
        try:
            with zipfile.ZipFile(io.BytesIO(file)) as archive:
                _weigh(archive.infolist())
                expect(belongs(archive))
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError):
            raise Mismatch from None

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


def _names(archive: zipfile.ZipFile) -> list[str]:
    return [name.replace("\\", "/") for name in archive.namelist()]  # some programs write backslashes


def _office(folder: str) -> Check:
    """Office Open XML (ECMA-376): a content type list, and the parts in a folder named for the application."""

    def belongs(archive: zipfile.ZipFile) -> bool:
        names = _names(archive)
        return "[Content_Types].xml" in names and any(name.startswith(folder) for name in names)

    return _archive(belongs)


def _with_mimetype(part: str, mimetype: bytes) -> Check:
    """OpenDocument (part 2, 3.3) and EPUB (OCF 3.3, 4.3): a part that each has, and what the media type says.

    It should be the first entry and stored plainly; programs read those where it is not, and so is this.
    """

    def belongs(archive: zipfile.ZipFile) -> bool:
        names = archive.namelist()
        if part not in _names(archive):
            return False
        if "mimetype" not in names:
            return mimetype == EPUB
        with archive.open("mimetype") as said:
            return said.read(200).strip() == mimetype

    return _archive(belongs)


EPUB = b"application/epub+zip"


def _compound(file: bytes) -> None:
    """Office files before 2007 ([MS-CFB], 2.2)."""
    expect(file.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"))


CHECKS: dict[str, Check] = {
    "xls": _compound,
    "docx": _office("word/"),
    "pptx": _office("ppt/"),
    "xlsx": _office("xl/"),
    "xlsm": _office("xl/"),
    "xlsb": _office("xl/"),
    "docm": _office("word/"),
    "odt": _with_mimetype("content.xml", b"application/vnd.oasis.opendocument.text"),
    "ods": _with_mimetype("content.xml", b"application/vnd.oasis.opendocument.spreadsheet"),
    "odp": _with_mimetype("content.xml", b"application/vnd.oasis.opendocument.presentation"),
    "epub": _with_mimetype("META-INF/container.xml", EPUB),
}
