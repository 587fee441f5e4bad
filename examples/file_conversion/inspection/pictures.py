"""Pictures: their size, from the header alone."""

import re
import struct
from collections.abc import Callable

from l402_middleware import Refusal

from .refusing import Check, Mismatch, expect

MAX_PIXELS = 50_000_000
MAX_JPEG_SEGMENTS = 2_000
MAX_TIFF_ENTRIES = 1_000


def _image(size: Callable[[bytes], tuple[int, int]]) -> Check:
    def check(file: bytes) -> None:
        width, height = size(file)
        expect(width > 0 and height > 0)
        if width * height > MAX_PIXELS:
            raise Refusal(413, "too-many-pixels", f"The image has more than {MAX_PIXELS // 1_000_000} million pixels.")

    return check


def _png(file: bytes) -> tuple[int, int]:
    expect(file.startswith(b"\x89PNG\r\n\x1a\n") and file[12:16] == b"IHDR")
    width, height = struct.unpack_from(">II", file, 16)
    return width, height


def _gif(file: bytes) -> tuple[int, int]:
    expect(file.startswith((b"GIF87a", b"GIF89a")))
    width, height = struct.unpack_from("<HH", file, 6)
    return width, height


def _found(file: bytes, what: bytes, at: int) -> int:
    found = file.find(what, at)
    expect(found >= 0)
    return found


def _jpg(file: bytes) -> tuple[int, int]:
    expect(file.startswith(b"\xff\xd8\xff"))
    at = 2
    for _ in range(MAX_JPEG_SEGMENTS):
        at = _found(file, b"\xff", at)  # decoders pass over what stands between segments
        marker = file[at + 1]
        if marker in (0xFF, 0x01) or 0xD0 <= marker <= 0xD7:  # fill bytes and markers without a length
            at += 1 if marker == 0xFF else 2
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", file, at + 5)
            return width, height
        else:
            expect(marker not in (0xD8, 0xD9, 0xDA))
            (length,) = struct.unpack_from(">H", file, at + 2)
            expect(length >= 2)
            at += 2 + length
    raise Mismatch


def _webp(file: bytes) -> tuple[int, int]:
    expect(file.startswith(b"RIFF") and file[8:12] == b"WEBP")
    match file[12:16]:
        case b"VP8X":
            return 1 + int.from_bytes(file[24:27], "little"), 1 + int.from_bytes(file[27:30], "little")
        case b"VP8L":
            expect(file[20] == 0x2F)
            (bits,) = struct.unpack_from("<I", file, 21)
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        case b"VP8 ":
            width, height = struct.unpack_from("<HH", file, 26)
            return width & 0x3FFF, height & 0x3FFF
        case _:
            raise Mismatch


def _bmp(file: bytes) -> tuple[int, int]:
    expect(file.startswith(b"BM"))
    (header,) = struct.unpack_from("<I", file, 14)
    width, height = struct.unpack_from("<HH" if header == 12 else "<ii", file, 18)
    return width, abs(height)  # a negative height means rows from the top


def _tiff(file: bytes) -> tuple[int, int]:
    order = "<" if file.startswith(b"II") else ">"
    if file.startswith((b"II+\0\x08\0\0\0", b"MM\0+\0\x08\0\0")):  # BigTIFF: offsets of 8 bytes
        (directory,) = struct.unpack_from(order + "Q", file, 8)
        (count,) = struct.unpack_from(order + "Q", file, directory)
        first, entry, value = directory + 8, 20, 12
    else:
        expect(file.startswith((b"II*\0", b"MM\0*")))
        (directory,) = struct.unpack_from(order + "I", file, 4)
        (count,) = struct.unpack_from(order + "H", file, directory)
        first, entry, value = directory + 2, 12, 8
    size = {}
    for at in range(first, first + entry * min(count, MAX_TIFF_ENTRIES), entry):
        tag, kind = struct.unpack_from(order + "HH", file, at)
        if tag in (256, 257):
            (size[tag],) = struct.unpack_from(order + {3: "H", 4: "I"}.get(kind, "Q"), file, at + value)
    return size.get(256, 0), size.get(257, 0)


def _avif(file: bytes) -> tuple[int, int]:
    expect(file[4:8] == b"ftyp" and file[8:12] in (b"avif", b"avis", b"mif1", b"msf1") and b"avi" in file[8:64])
    return _extent(file)


def _heic(file: bytes) -> tuple[int, int]:
    expect(file[4:8] == b"ftyp" and file[8:12] in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"))
    expect(b"hei" in file[8:64] or b"hev" in file[8:64])
    return _extent(file)


def _extent(file: bytes) -> tuple[int, int]:
    sizes = [struct.unpack_from(">II", file, found.end() + 4) for found in re.finditer(b"ispe", file[: 64 * 1024])]
    expect(bool(sizes))
    return max(width for width, _ in sizes), max(height for _, height in sizes)


def _ico(file: bytes) -> tuple[int, int]:
    expect(file.startswith(b"\0\0\x01\0"))
    (count,) = struct.unpack_from("<H", file, 4)
    expect(0 < count <= 64)
    return file[6] or 256, file[7] or 256


CHECKS: dict[str, Check] = {
    name: _image(size)
    for name, size in {
        "png": _png,
        "jpg": _jpg,
        "gif": _gif,
        "webp": _webp,
        "bmp": _bmp,
        "tiff": _tiff,
        "avif": _avif,
        "heic": _heic,
        "ico": _ico,
    }.items()
}
