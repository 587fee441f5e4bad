"""Orders: what a body may say, and what its bytes alone give away."""

import base64
import json
import re
import struct
import time
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO

import pytest
from file_conversion.catalogue import MAX_BODY_BYTES, MAX_FILE_BYTES, PAIRS
from file_conversion.inspection import CHECKS, inspect
from file_conversion.order import Order
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from l402_middleware import Refusal

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
MEMBERS = {
    "file": base64.b64encode(PNG).decode(),
    "file_name": "dot.png",
    "extensionFrom": "png",
    "extensionTo": "webp",
}


def refused(body: bytes) -> tuple[int, str]:
    """Status and code of the refusal that `body` meets."""
    with pytest.raises(Refusal) as caught:
        Order.from_json(body)
    assert caught.value.title.endswith(".")
    return caught.value.status, caught.value.code


def changed(**members: object) -> bytes:
    """A good body with other members."""
    return json.dumps(MEMBERS | members).encode()


@pytest.mark.parametrize(
    "body",
    [
        changed(),
        changed(extensionFrom=".PNG", extensionTo=" .WebP"),
        changed(file="data:image/png;base64," + MEMBERS["file"]),
        changed(file="data:;charset=utf-8;BASE64," + MEMBERS["file"]),
        changed(another=["member"]),
        changed(file="\r\n".join(re.findall(".{1,76}", MEMBERS["file"])) + "\n"),
    ],
    ids=["plain", "case and dots", "data URI", "data URI with parameters", "unknown member", "line breaks"],
)
def test_good_bodies(body: bytes) -> None:
    """All of these order the same thing."""
    assert Order.from_json(body) == Order(PNG, "dot.png", "png", "webp")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "not-json"),
        (b"{", 400, "not-json"),
        (b"\xff\xfe\xfa", 400, "not-json"),
        (b"[" * 100_000, 400, "not-json"),
        (b'{"file": ' + b"9" * 5_000 + b"}", 400, "not-json"),
        (b"[]", 400, "not-an-object"),
        (b"[" + b"[]," * 4_000_000 + b"[]]", 400, "too-many-members"),
        (b"null", 400, "not-an-object"),
        (b"{}", 400, "missing-member"),
        (json.dumps({k: v for k, v in MEMBERS.items() if k != "file_name"}).encode(), 400, "missing-member"),
        (changed(file=7), 400, "wrong-type"),
        (changed(file_name=None), 400, "wrong-type"),
        (changed(extensionTo=["webp"]), 400, "wrong-type"),
        (changed(extensionTo="exe"), 422, "unknown-pair"),
        (changed(extensionTo="png"), 422, "unknown-pair"),
        (changed(extensionFrom="\ud800"), 422, "unknown-pair"),
        (changed(file="å"), 400, "not-base64"),
        (changed(file="\ud800"), 400, "not-base64"),
        (changed(file=MEMBERS["file"].rstrip("=")), 400, "not-base64"),
        (changed(file=MEMBERS["file"] + "===="), 400, "not-base64"),
        (changed(file="_-_-"), 400, "not-base64"),
        (changed(file="data:image/png," + MEMBERS["file"]), 400, "not-base64"),
        (changed(file=""), 400, "empty-file"),
        (changed(file="data:image/png;base64,"), 400, "empty-file"),
        (changed(file="A" * (MAX_FILE_BYTES // 3 * 4 + 8)), 413, "file-too-large"),
        (changed(file=base64.b64encode(b"\0" * (MAX_FILE_BYTES + 1)).decode()), 413, "file-too-large"),
        (changed(extensionFrom="jpg", extensionTo="png"), 422, "type-mismatch"),
        (changed(extensionFrom="docx", extensionTo="pdf"), 422, "type-mismatch"),
        (changed(extensionFrom="txt", extensionTo="pdf"), 422, "not-utf-8"),
    ],
)
def test_bad_bodies_are_refused(body: bytes, status: int, code: str) -> None:
    """Each mistake has its own code, and none gives a traceback."""
    assert refused(body) == (status, code)


@settings(deadline=None)
@given(st.binary())
def test_any_bytes_as_a_body(body: bytes) -> None:
    """Whatever is sent, the only error is a refusal."""
    with pytest.raises(Refusal):
        Order.from_json(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@settings(deadline=None)
@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys(MEMBERS, JSON | st.sampled_from(["png", "webp", "data:;base64,"])))
)
def test_any_json_as_a_body(members: dict[str, object]) -> None:
    """Members of any type and content give an order or a refusal."""
    with suppress(Refusal):
        Order.from_json(json.dumps(members).encode())


HEADS = [
    PNG[:26], b"\xff\xd8\xff", b"GIF89a", b"RIFF\0\0\0\0WEBPVP8X", b"RIFF\0\0\0\0WEBPVP8L", b"RIFF\0\0\0\0WEBPVP8 ",
    b"BM", b"II*\0", b"MM\0*", b"\0\0\0\x20ftypavif", b"\0\0\x01\0", b"PK\x03\x04", b"\xff", b"\x1aE\xdf\xa3", b"<svg ",
]  # fmt: skip


@settings(deadline=None)
@given(st.sampled_from(sorted(CHECKS)), st.sampled_from(HEADS), st.binary(max_size=300), st.booleans())
def test_any_bytes_as_a_file(extension: str, head: bytes, rest: bytes, directory: bool) -> None:
    """Whatever follows a format's first bytes, looking at it gives nothing or a refusal."""
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(rest), len(head), 0) if directory else b""
    with suppress(Refusal):
        inspect(head + rest + end, extension)


@settings(deadline=None)
@given(st.data())
def test_damaged_archives(archive: Callable[..., bytes], data: st.DataObject) -> None:
    """A real archive with any few bytes changed gives nothing or a refusal."""
    file = bytearray(
        archive({"mimetype": "application/epub+zip", "[Content_Types].xml": "x", "word/document.xml": "y"})
    )
    for _ in range(data.draw(st.integers(1, 6))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    for extension in ("docx", "epub"):
        with suppress(Refusal):
            inspect(bytes(file), extension)


def sized_png(width: int, height: int) -> bytes:
    """A PNG whose header claims this size."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return PNG[:8] + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


@pytest.mark.parametrize(
    ("extension", "file"),
    [
        ("png", sized_png(100_000, 100_000)),
        ("gif", b"GIF89a\xff\xff\xff\xff"),
        ("jpg", b"\xff\xd8\xff\xe0\0\x04ab\xff\xc0\0\x11\x08\xff\xff\xff\xff"),
        ("bmp", b"BM" + bytes(12) + struct.pack("<Iii", 40, 60_000, -60_000)),
        ("webp", b"RIFF\0\0\0\0WEBPVP8X" + bytes(8) + b"\xff\xff\0\xff\xff\0"),
        ("webp", b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f\xff\xff\xff\x0f"),
        ("tiff", b"II*\0\x08\0\0\0\x02\0" + struct.pack("<HHIIHHII", 256, 4, 1, 60_000, 257, 4, 1, 60_000)),
        ("avif", b"\0\0\0\x20ftypavif" + bytes(20) + b"ispe\0\0\0\0" + struct.pack(">II", 60_000, 60_000)),
    ],
)
def test_decompression_bombs_in_image_headers(extension: str, file: bytes) -> None:
    """An image that claims more pixels than fit is refused by its header alone."""
    with pytest.raises(Refusal) as caught:
        inspect(file, extension)
    assert (caught.value.status, caught.value.code) == (413, "too-many-pixels")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "ICO"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_image_headers_are_read_as_pillow_reads_them(
    kind: str, mode: str, encoded: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The size found in a real header is the size of the image: at the limit it passes, one pixel above it does not."""
    image = Image.new("RGBA", (62, 35)).convert(mode if (kind, mode) != ("JPEG", "RGBA") else "RGB")
    file, extension = (
        encoded(image, kind, **({"sizes": [(62, 35)]} if kind == "ICO" else {})),
        kind.lower().replace("jpeg", "jpg"),
    )
    monkeypatch.setattr("file_conversion.inspection.pictures.MAX_PIXELS", 62 * 35)
    inspect(file, extension)
    monkeypatch.setattr("file_conversion.inspection.pictures.MAX_PIXELS", 62 * 35 - 1)
    with pytest.raises(Refusal):
        inspect(file, extension)


OFFICE = {"[Content_Types].xml": b"<Types/>"}


@pytest.mark.parametrize(
    ("members", "code"),
    [
        (OFFICE | {"word/document.xml": bytes(50 * 1024 * 1024)}, "archive-too-large"),
        (OFFICE | {f"word/{number}": b"" for number in range(5_000)}, "archive-too-large"),
        (OFFICE | {f"word/{'long' * 5_000}{number}": b"" for number in range(60)}, "archive-too-large"),
        (OFFICE | {"xl/workbook.xml": b"<workbook/>"}, "type-mismatch"),
        ({"word/document.xml": b"<document/>"}, "type-mismatch"),
    ],
    ids=["ratio", "entries", "directory", "another office", "no types"],
)
def test_bad_archives(members: dict[str, bytes], code: str, archive: Callable[..., bytes]) -> None:
    """A docx that unpacks to too much, or is another office format, is refused by its directory alone."""
    with pytest.raises(Refusal) as caught:
        inspect(archive(members), "docx")
    assert caught.value.code == code


def test_archive_whose_members_overlap(archive: Callable[..., bytes]) -> None:
    """A bomb whose many entries share one packed body weighs what its entries claim together."""
    file = BytesIO(archive(OFFICE | {"word/body": bytes(1_000_000)}))
    with zipfile.ZipFile(file, "a") as bomb:
        body = bomb.getinfo("word/body")
        for number in range(400):
            shared = zipfile.ZipInfo(f"word/{number}")
            for name in ("header_offset", "compress_size", "file_size", "CRC", "compress_type"):
                setattr(shared, name, getattr(body, name))
            bomb.filelist.append(shared)
            bomb.NameToInfo[shared.filename] = shared
        bomb._didModify = True  # type: ignore[attr-defined]
    with pytest.raises(Refusal) as caught:
        inspect(file.getvalue(), "docx")
    assert caught.value.code == "archive-too-large"


def test_archive_with_a_password(archive: Callable[..., bytes]) -> None:
    """An encrypted member is refused with a sentence that says what to do."""
    file = archive(OFFICE | {"word/document.xml": b"text"})
    entry = file.index(b"PK\x01\x02")
    with pytest.raises(Refusal) as caught:
        inspect(file[: entry + 8] + b"\x01" + file[entry + 9 :], "docx")
    assert caught.value.code == "encrypted"


@pytest.mark.parametrize(
    ("file", "claimed"),
    [
        (b"GIF89a" + b"\x01\0\x01\0" + PNG, "png"),
        (b"%PDF-1.7\n<html><script>alert(1)</script>", "docx"),
        (b"\0\0\0\x20ftypavif", "mp4"),
        (b"#!/bin/sh\nPK\x03\x04", "docx"),
        (b"#EXTM3U\nhttp://127.0.0.1/x.ts\n", "mp4"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "mkv"),
        (b"RIFF\0\0\0\0WAVE", "avi"),
        (b"\x1aE\xdf\xa3\x42\x82\x84webm", "mkv"),
        (b"<html></html>", "svg"),
        (b"\xff\xd8" + b"\xff\xe0\0\x02" * 2_000_000, "jpg"),
    ],
)
def test_polyglots_and_other_types(file: bytes, claimed: str) -> None:
    """What begins as another type than it claims is refused, whatever follows."""
    with pytest.raises(Refusal) as caught:
        inspect(file, claimed)
    assert caught.value.code == "type-mismatch"


def test_a_file_of_the_largest_size_is_read_quickly(json_body: Callable[..., bytes]) -> None:
    """10 MiB take well under a second, and fit the body limit that the application announces."""
    body = json_body(PNG + bytes(MAX_FILE_BYTES - len(PNG)), "png", "webp", "n" * 200)
    started = time.perf_counter()
    Order.from_json(body)
    assert time.perf_counter() - started < 1
    assert len(body) < MAX_BODY_BYTES


def test_every_source_has_a_check_that_refuses_noise() -> None:
    """No format is taken on trust."""
    for source in {source for source, _ in PAIRS}:
        with pytest.raises(Refusal):
            inspect(b"\0\xff\0\xff" * 20, source)
