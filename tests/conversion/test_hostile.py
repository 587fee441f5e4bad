"""Strangers' files: refused or harmless, with a listener that would notice a fetch, in a sandbox and without one."""

import dataclasses
import socket
import struct
import threading
import time
import zipfile
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pypdfium2
import pytest
from file_conversion import sandbox
from file_conversion.catalogue import PAIRS
from file_conversion.order import Order
from file_conversion.sandbox import ConversionFailed
from PIL import Image

from l402_middleware import Refusal

Convert = Callable[[bytes, str, str], bytes]

pytestmark = pytest.mark.slow


SECRET_COLOUR = (1, 250, 3)

BARE_WORKER = """
import sys
sys.path.insert(0, {examples!r})
from file_conversion import confinement, worker
confinement.missing = lambda: ["Landlock", "seccomp"]
worker.main()
"""


@pytest.fixture(autouse=True, params=["confined", "bare"])
def kernel(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all walls, and on a kernel that offers none: then the engines alone must keep a file from doing harm."""
    if request.param == "bare":
        bare = tmp_path / "bare.py"
        bare.write_text(BARE_WORKER.format(examples=str(sandbox._WORKER.parents[1])))
        monkeypatch.setattr(sandbox, "_WORKER", bare)


def attempt(convert: Convert, file: bytes, source: str, target: str) -> bytes:
    """What a conversion gives, empty where it is refused or fails."""
    try:
        return convert(file, source, target)
    except (Refusal, ConversionFailed):
        return b""


def shows_secret(image: Image.Image) -> bool:
    """Whether the secret picture's colour is anywhere in an image."""
    colours = image.convert("RGB").getcolors(image.width * image.height)
    assert colours is not None
    return any(colour == SECRET_COLOUR for _, colour in colours)


class Bait:
    """What hostile files name: a loopback address that counts connections, and a file, text and picture at once."""

    def __init__(self, secret: Path) -> None:
        Image.new("RGB", (64, 64), SECRET_COLOUR).save(secret)
        secret.write_bytes(secret.read_bytes() + b"root:secret-content:0")
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(0.05)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()
        self.connections = 0
        self.secret = secret
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                self._listening.accept()[0].close()
            except TimeoutError:
                continue
            self.connections += 1

    def stop(self) -> None:
        """Stop listening."""
        self._stopping.set()
        self._thread.join()
        self._listening.close()

    def taken(self, made: bytes) -> bool:
        """Whether anything was fetched, or the secret's words, bytes or colour are in the result."""
        if self.connections:
            return True
        if made.startswith(b"%PDF"):
            document = pypdfium2.PdfDocument(made)
            return any(
                "secret-content" in page.get_textpage().get_text_range() or shows_secret(page.render().to_pil())
                for page in document
            )
        if made.startswith(b"\x89PNG"):
            return shows_secret(Image.open(BytesIO(made)))
        if made.startswith(b"PK"):
            with zipfile.ZipFile(BytesIO(made)) as members:
                made = b"".join(members.read(name) for name in members.namelist())
        content = self.secret.read_bytes()
        return b"secret-content" in made or b64encode(content)[:60] in made or content[:60].hex().encode() in made


@pytest.fixture
def bait(tmp_path: Path) -> Iterator[Bait]:
    """An address and a file that no conversion may touch."""
    laid = Bait(tmp_path / "secret.png")
    yield laid
    laid.stop()


def page_that_names(secret: Path, address: str) -> str:
    """HTML that includes a file and an address in every way it knows."""
    return f"""<html><head><base href="file:///"><link rel="stylesheet" href="http://{address}/a.css">
    <link rel="stylesheet" href="{secret}"><style>@import url(http://{address}/b.css);</style>
    <script src="http://{address}/c.js"></script><meta http-equiv="refresh" content="0;url=file://{secret}"></head>
    <body><p>kept</p><img src="{secret}"><img src="file://{secret}"><img src="http://{address}/d.png">
    <img src="//{address}/e.png"><iframe src="{secret}"></iframe><iframe src="http://{address}/f"></iframe>
    <object data="{secret}"></object><embed src="{secret}">
    <video src="http://{address}/g" poster="{secret}"></video>
    </body></html>"""


@pytest.mark.parametrize("target", ["pdf", "docx", "odt", "epub", "rtf", "md", "txt"])
@pytest.mark.parametrize("source", ["html", "epub"])
def test_html_that_names_other_files(
    source: str, target: str, convert: Convert, bait: Bait, archive: Callable[..., bytes]
) -> None:
    """Nothing that a page names is read or fetched, also not as a chapter of a book; its text is there."""
    file = page = page_that_names(bait.secret, bait.address).encode()
    if source == "epub":
        file = archive(
            {
                "mimetype": "application/epub+zip",
                "META-INF/container.xml": '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container">'
                "<rootfiles>"
                '<rootfile full-path="book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>',
                "book.opf": '<package xmlns="http://www.idpf.org/2007/opf" version="3.0"><metadata/><manifest>'
                '<item id="a" href="a.xhtml" media-type="application/xhtml+xml"/>'
                f'<item id="b" href="../../../../../../../..{bait.secret}" media-type="image/png"/>'
                '</manifest><spine><itemref idref="a"/></spine></package>',
                "a.xhtml": page,
            }
        )
    if (source, target) in PAIRS:
        made = convert(file, source, target)
        assert made
        assert not bait.taken(made)


def test_markdown_with_such_html(convert: Convert, bait: Bait) -> None:
    """HTML inside Markdown stays what it was: nothing is embedded in its place."""
    page = page_that_names(bait.secret, bait.address)
    made = convert(page.encode(), "md", "html")
    assert b"kept" in made
    assert not bait.taken(made)


def test_svg_inside_a_document(convert: Convert, bait: Bait) -> None:
    """A drawing in a document's picture opens no file either."""
    drawing = f"""<svg xmlns="http://www.w3.org/2000/svg" width="99" height="99"><rect width="9" height="9" fill="red"/>
    <image href="{bait.secret}" width="64" height="64"/><image href="http://{bait.address}/a.png" width="9" height="9"/>
    </svg>"""
    uri = "data:image/svg+xml;base64," + b64encode(drawing.encode()).decode()
    for target in ("pdf", "docx", "html"):
        assert not bait.taken(convert(f"![kept]({uri})\n".encode(), "md", target))


@pytest.mark.parametrize("target", ["pdf", "html", "docx"])
@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("md", "![a]({secret})\n\n![b](http://{address}/b.png)\n\n```{{=typst}}\n#read(\"{secret}\")\n```\n"),
        ("md", "---\nheader-includes: |\n  ```{{=typst}}\n  #read(\"{secret}\")\n  ```\ntitle: kept\n---\n\ntext\n"),
        ("md", "---\nmainfont: '\"); #read(\"{secret}\"); #let y = (\"'\nlang: 'e\", #read(\"{secret}\")'\n---\n\nt\n"),
        ("md", "---\nbibliography: {secret}\ncss: http://{address}/a.css\ntemplate: {secret}\n---\n\n[@key]\n"),
        ("md", "#import \"@preview/example:0.1.0\": add\n\n`#read(\"{secret}\")`{{=typst}}\n"),
        ("rst", ".. include:: {secret}\n\n.. raw:: typst\n   :file: {secret}\n\n.. literalinclude:: {secret}\n"),
        ("rst", ".. raw:: typst\n\n   #read(\"{secret}\")\n   #import \"@preview/example:0.1.0\": add\n"),
        ("rst", ".. image:: http://{address}/a.png\n\n.. figure:: {secret}\n"),
    ],
    ids=["raw typst", "header", "template code", "metadata", "packages", "includes", "raw rst", "addresses"],
)  # fmt: skip
def test_documents_that_name_other_files(source: str, text: str, target: str, convert: Convert, bait: Bait) -> None:
    """Includes, metadata and raw code of the text formats read nothing and fetch nothing."""
    file = text.format(secret=bait.secret, address=bait.address).encode()
    made = convert(file, source, target)
    assert made
    assert not bait.taken(made)


@pytest.mark.parametrize("option", ["url: http://{address}/t.csv", "file: {secret}"])
def test_tables_from_elsewhere(option: str, convert: Convert, bait: Bait) -> None:
    """A table that reStructuredText wants to fetch is not fetched, even if that means an error."""
    text = f".. csv-table::\n   :{option}\n".format(secret=bait.secret, address=bait.address)
    assert not bait.taken(attempt(convert, text.encode(), "rst", "html"))


def test_typst_in_markdown_does_not_run(convert: Convert) -> None:
    """Raw code in a document is left out, not run; text that only looks like code is text."""
    made = convert(b"before #(1+41)\n\n```{=typst}\n#(1+41)\n```\n\nafter\n", "md", "pdf")
    text = pypdfium2.PdfDocument(made)[0].get_textpage().get_text_range()
    assert "before #(1+41)" in text
    assert "after" in text
    assert "42" not in text


def test_svg_that_names_other_files(convert: Convert, bait: Bait) -> None:
    """Pictures, styles, fonts and entities from elsewhere are not drawn; the rest of the drawing is."""
    secret, address = bait.secret, bait.address
    svg = f"""<?xml version="1.0"?><?xml-stylesheet href="http://{address}/a.css"?>
    <!DOCTYPE svg [<!ENTITY known "known">]>
    <svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="200" height="64">
    <style>@import url(http://{address}/b.css);
    @font-face {{ font-family: f; src: url(http://{address}/c) }} rect {{ fill: url(http://{address}/d#e) }}</style>
    <rect width="10" height="10" fill="blue" style="fill:blue"/>
    <image href="{secret}" width="64" height="64"/><image xlink:href="file://{secret}" width="64" height="64"/>
    <image href="http://{address}/f.png" width="64" height="64"/>
    <use href="file://{secret}#x"/><use xlink:href="http://{address}/g.svg#x"/>
    <filter id="i"><feImage href="{secret}"/></filter><rect x="100" width="64" height="64" filter="url(#i)"/>
    <image width="64" height="64" href="data:image/svg+xml,&lt;svg xmlns='http://www.w3.org/2000/svg'&gt;&lt;image
    href='{secret}' width='64' height='64'/&gt;&lt;/svg&gt;"/><text y="60">&known;</text></svg>"""
    made = convert(svg.encode(), "svg", "png")
    assert not bait.taken(made)


@pytest.mark.parametrize(
    "drawing",
    [
        b'<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg xmlns="http://www.w3.org/2000/svg"><text>&x;</text></svg>',
        b"<!DOCTYPE svg ["
        + b"".join(b'<!ENTITY l%d "%s">' % (n, b"&l%d;" % (n - 1) * 10 if n else b"lol" * 100) for n in range(9))
        + b']><svg xmlns="http://www.w3.org/2000/svg"><text>&l8;</text></svg>',
        b'<svg xmlns="http://www.w3.org/2000/svg">' + b"<g>" * 100_000,
        b'<svg xmlns="http://www.w3.org/2000/svg">' + b"<g>" * 100_000 + b"</g>" * 100_000 + b"</svg>",
        b'<svg xmlns="http://www.w3.org/2000/svg" width="100000000" height="100000000"/>',
        b'<svg xmlns="http://www.w3.org/2000/svg" width="-1" height="0"/>',
        b"<svg>not in its namespace</svg>",
    ],
    ids=["external entity", "entity bomb", "unclosed", "nested", "huge", "negative", "no namespace"],
)
def test_bad_svg(drawing: bytes, convert: Convert) -> None:
    """Each fails with a sentence, in seconds."""
    with pytest.raises(ConversionFailed):
        convert(drawing, "svg", "png")


def nested_tables(depth: int) -> str:
    """Tables in tables, as WordprocessingML."""
    return "<w:tbl><w:tr><w:tc>" * depth + "<w:p/>" + "</w:tc></w:tr></w:tbl>" * depth


def test_docx_of_nested_tables(convert: Convert, docx: Callable[[str], bytes]) -> None:
    """3,000 nested tables, which make a converter crash, cost the customer nothing but an error."""
    with pytest.raises((ConversionFailed, Refusal)):
        convert(docx(nested_tables(3_000)), "docx", "pdf")


@pytest.mark.parametrize("equation", ["", "<m:oMath/>"], ids=["dxpdf", "typst"])
@pytest.mark.parametrize("target", ["http://{address}/a.png", "file://{secret}", "{secret}"])
def test_docx_that_names_other_files(
    target: str, equation: str, convert: Convert, docx: Callable[..., bytes], bait: Bait
) -> None:
    """Linked pictures and templates of a Word file are not fetched, by either engine; its text is there."""
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    named = target.format(secret=bait.secret, address=bait.address)
    relationships = (
        f'<Relationship Id="r1" Type="{office}/image" Target="{named}" TargetMode="External"/>'
        f'<Relationship Id="r2" Type="{office}/attachedTemplate" Target="{named}" TargetMode="External"/>'
    )
    picture = (
        '<w:r><w:drawing><wp:inline><wp:extent cx="999999" cy="999999"/><wp:docPr id="1" name="p"/><a:graphic>'
        '<a:graphicData uri="http://schemas.openxmlformats.org/drawingml/2006/picture"><pic:pic><pic:nvPicPr>'
        '<pic:cNvPr id="1" name="p"/><pic:cNvPicPr/></pic:nvPicPr><pic:blipFill><a:blip r:link="r1"/></pic:blipFill>'
        '<pic:spPr><a:xfrm><a:off x="0" y="0"/><a:ext cx="999999" cy="999999"/></a:xfrm></pic:spPr>'
        "</pic:pic></a:graphicData></a:graphic></wp:inline></w:drawing></w:r>"
    )
    made = convert(docx(f"<w:p><w:r><w:t>kept</w:t></w:r>{equation}{picture}</w:p>", relationships), "docx", "pdf")
    document = pypdfium2.PdfDocument(made)
    assert "kept" in document[0].get_textpage().get_text_range()
    assert bool(document.get_metadata_value("Producer")) == (not equation), "laid out by the engine in question"
    assert not bait.taken(made)


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://{address}/a.ts\n#EXTINF:1,\nfile://{secret}\n",
    "concat": "ffconcat version 1.0\nfile {secret}\nfile http://{address}/b.mp4\n",
    "dash": '<?xml version="1.0"?><MPD><Period><BaseURL>http://{address}/</BaseURL></Period></MPD>',
    "sdp": "v=0\nc=IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\n",
}


@pytest.mark.parametrize("playlist", PLAYLISTS)
@pytest.mark.parametrize(
    ("source", "disguise"),
    [
        ("mp4", b"\0\0\0\x18ftypisom\0\0\0\0isommp41"),
        ("mov", b"\0\0\0\x08wide"),
        ("mkv", b"\x1aE\xdf\xa3\x8bB\x82\x88matroska"),
        ("avi", b"RIFF\xff\xff\0\0AVI "),
        ("wav", b"RIFF\xff\xff\0\0WAVE"),
        ("ogg", b"OggS"),
        ("flac", b"fLaC"),
        ("mp3", b"ID3\x03\0\0\0\0\0\0"),
    ],
)
def test_playlists_in_disguise(playlist: str, source: str, disguise: bytes, convert: Convert, bait: Bait) -> None:
    """A playlist is refused as any medium; in disguise, or let through to the engine, it opens nothing."""
    text = PLAYLISTS[playlist].format(secret=bait.secret, address=bait.address).encode()
    target = "mp3" if source != "mp3" else "wav"
    with pytest.raises(Refusal):
        convert(text, source, target)
    assert not bait.taken(attempt(convert, disguise + text, source, target))
    with pytest.raises(ConversionFailed):
        sandbox.Sandbox().convert_blocking(Order(text, "unchecked", source, target))
    assert not bait.taken(b"")


def test_mov_that_refers_to_another_file(convert: Convert, movie: bytes, bait: Bait) -> None:
    """QuickTime's data references (dref, alis, url) are not followed."""
    url = f"http://{bait.address}/x\0".encode()
    reference = struct.pack(">I4sI", 12 + len(url), b"url ", 0) + url
    old = struct.pack(">I4sI", 12, b"url ", 1)
    assert old in movie
    assert not bait.taken(attempt(convert, movie.replace(old, reference), "mov", "mp3"))


def test_png_whose_data_is_a_bomb(convert: Convert) -> None:
    """A text chunk of 100 MB packed into 100 KB, and image data beyond the header's size, stay harmless."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    bomb = zlib.compress(bytes(100_000_000))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0))
    for inner in (chunk(b"zTXt", b"Comment\0\0" + bomb), chunk(b"iCCP", b"profile\0\0" + bomb)):
        file = b"\x89PNG\r\n\x1a\n" + header + inner + chunk(b"IDAT", bomb) + chunk(b"IEND", b"")
        started = time.monotonic()
        assert len(attempt(convert, file, "png", "webp")) < 10_000
        assert time.monotonic() - started < 5


def test_tiff_whose_later_page_is_huge(convert: Convert, encoded: Callable[..., bytes]) -> None:
    """The pixel limit holds for each frame, not for the first alone."""
    small, large = Image.new("1", (8, 8)), Image.new("1", (8_000, 8_000))
    file = encoded(small, "TIFF", save_all=True, append_images=[large], compression="group4")
    with pytest.raises(ConversionFailed) as caught:
        convert(file, "tiff", "pdf")
    assert caught.value.code == "too-many-pixels"


def test_workbook_that_claims_a_huge_sheet(
    convert: Convert, archive: Callable[..., bytes], samples: dict[str, bytes]
) -> None:
    """One value in the last cell of a sheet does not become seventeen thousand million commas."""
    book = zipfile.ZipFile(BytesIO(samples["xlsx"]))
    members = {name: book.read(name) for name in book.namelist()}
    sheet = next(name for name in members if name.startswith("xl/worksheets/sheet1"))
    members[sheet] = (
        b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
        b'<row r="1"><c r="A1"><v>1</v></c></row>'
        b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData></worksheet>'
    )
    with pytest.raises(ConversionFailed):
        convert(archive(members), "xlsx", "csv")


def test_pdf_with_actions(convert: Convert, bait: Bait) -> None:
    """Actions and scripts of a PDF do not run while it is drawn."""
    url = f"http://{bait.address}/"
    script = f"<</S/JavaScript/JS(app.launchURL('{url}'))>>"
    objects = (
        f"<</Type/Catalog/Pages 2 0 R/OpenAction<</S/URI/URI({url})>>/AA<</WC {script}>>>>",
        "<</Type/Pages/Kids[3 0 R]/Count 1>>",
        f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]/AA<</O<</S/SubmitForm/F({url})>>>>>>",
    )
    pdf = "%PDF-1.7\n" + "".join(f"{number} 0 obj\n{content}\nendobj\n" for number, content in enumerate(objects, 1))
    assert not bait.taken(attempt(convert, (pdf + "trailer<</Root 1 0 R>>\n").encode(), "pdf", "png"))


def test_recursive_and_enormous_pdf(convert: Convert) -> None:
    """Pages that contain themselves, and a page the size of a country, end with an image or an error."""
    for pages in ("<</Type/Pages/Kids[2 0 R]/Count 9>>", "<</Type/Pages/Kids[3 0 R]/Count 1>>"):
        pdf = (
            f"%PDF-1.7\n1 0 obj\n<</Type/Catalog/Pages 2 0 R>>\nendobj\n2 0 obj\n{pages}\nendobj\n"
            "3 0 obj\n<</Type/Page/Parent 2 0 R/MediaBox[0 0 9e9 9e9]>>\nendobj\ntrailer<</Root 1 0 R>>\n"
        )
        attempt(convert, pdf.encode(), "pdf", "png")


def test_a_result_that_grows_too_large(convert: Convert, movie: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A truncated result is never delivered: beyond the limit there is an error instead."""
    monkeypatch.setattr("file_conversion.sandbox.MAX_RESULT_BYTES", 20_000)
    with pytest.raises(ConversionFailed) as caught:
        convert(movie, "mp4", "wav")
    assert caught.value.code == "result-too-large"


def test_a_job_that_needs_too_much_memory(
    convert: Convert, encoded: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image that does not fit the job's memory is an error that says so."""
    monkeypatch.setitem(PAIRS, ("png", "bmp"), dataclasses.replace(PAIRS["png", "bmp"], memory_mib=150))
    with pytest.raises(ConversionFailed) as caught:
        convert(encoded(Image.new("RGB", (7_000, 7_000)), "PNG"), "png", "bmp")
    assert caught.value.code == "too-much-memory"


# Engines that came later


@pytest.mark.parametrize("target", ["png", "jpg", "pdf"])
def test_drawings_in_drawings(target: str, convert: Convert, bait: Bait) -> None:
    """A drawing in a drawing's picture, in either encoding, reads and reaches nothing, however deep it stands."""
    inner = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"><image href="{bait.secret}" width="64" '
        f'height="64"/><image href="http://{bait.address}/a.png" width="64" height="64"/></svg>'
    )
    for depth in range(5):
        uri = f"data:image/svg+xml;base64,{b64encode(inner.encode()).decode()}"
        if depth % 2:
            uri = "data:image/svg+xml," + "".join(f"%{byte:02x}" for byte in inner.encode())
        inner = (
            '<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64">'
            f'<image href="{uri}" width="64" height="64"/></svg>'
        )
        assert not bait.taken(convert(inner.encode(), "svg", target))


def test_page_that_names_other_files(convert: Convert, bait: Bait) -> None:
    """Styles, pictures, fonts and frames of a page are read and fetched by neither of its engines."""
    page = page_that_names(bait.secret, bait.address) + (
        f"<style>p {{ background: url({bait.secret}) }} @font-face {{ font-family: f; src: url({bait.secret}) }}"
        f"</style><div style=\"background-image:url('file://{bait.secret}');width:64px;height:64px\"></div>"
        f'<svg width="64" height="64"><image href="{bait.secret}" width="64" height="64"/></svg>'
        f'<img srcset="http://{bait.address}/h 2x, {bait.secret} 1x"><input type="image" src="{bait.secret}">'
    )
    made = convert(page.encode(), "html", "pdf")
    assert not bait.taken(made)
    assert "kept" in pypdfium2.PdfDocument(made)[0].get_textpage().get_text_range()


def with_links(file: bytes, part: str, bait: Bait) -> bytes:
    """An Office file whose pictures, and some more of its relationships, lead to a file and to an address."""
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    made = BytesIO()
    with zipfile.ZipFile(BytesIO(file)) as given, zipfile.ZipFile(made, "w") as fresh:
        for name in given.namelist():
            content = given.read(name)
            if name.startswith(part) and name.endswith(".rels"):
                links = "".join(
                    f'<Relationship Id="x{number}" Type="{office}/{kind}" Target="{target}" TargetMode="External"/>'
                    for number, (kind, target) in enumerate(
                        (kind, target)
                        for kind in ("image", "oleObject", "externalLink", "audio", "hyperlink")
                        for target in (f"file://{bait.secret}", f"http://{bait.address}/a", str(bait.secret))
                    )
                ).encode()
                content = content.replace(b"</Relationships>", links + b"</Relationships>")
            elif name.startswith(part):
                content = content.replace(b'r:embed="rId', b'r:link="x0" r:embed="x')
            fresh.writestr(name, content)
    return made.getvalue()


@pytest.mark.parametrize(
    ("source", "part", "target"),
    [
        ("pptx", "ppt/slides/", "pdf"),
        ("pptx", "ppt/slides/", "html"),
        ("xlsx", "xl/worksheets/", "pdf"),
        ("xlsx", "xl/", "csv"),
    ],
)
def test_office_files_that_name_others(
    source: str, part: str, target: str, convert: Convert, samples: dict[str, bytes], bait: Bait
) -> None:
    """Linked pictures, objects and workbooks are neither read nor fetched."""
    assert not bait.taken(attempt(convert, with_links(samples[source], part, bait), source, target))


ENTITIES = (
    '<?xml version="1.0"?><!DOCTYPE r [<!ENTITY x SYSTEM "file://{secret}"><!ENTITY y SYSTEM "http://{address}/e">'
    '<!ENTITY % z SYSTEM "http://{address}/d.dtd"> %z;]>'
)


@pytest.mark.parametrize("target", ["json", "yaml", "csv"])
def test_data_that_names_other_files(target: str, convert: Convert, bait: Bait) -> None:
    """Entities of XML are not fetched, and tags of YAML make no objects."""
    entities = ENTITIES.format(secret=bait.secret, address=bait.address)
    assert not bait.taken(attempt(convert, f"{entities}<r>&x;&y;</r>".encode(), "xml", target))
    tag = f"!!python/object/apply:builtins.open ['{bait.secret}']\n"
    with pytest.raises((ConversionFailed, Refusal)):
        convert(f"a: {tag}".encode(), "yaml", "json" if target == "yaml" else target)


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{f'*a{n - 1},' * 10}]\n" for n in range(1, 12)), "yaml"),
        ("a: &a [*a]\n", "yaml"),
        ("[" * 100_000, "json"),
        ("[" * 500 + "]" * 500, "json"),
        ("<a>" * 50_000, "xml"),
        ("<a>" * 5_000 + "</a>" * 5_000, "xml"),
        ('<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;">]><r>&b;</r>', "xml"),
        ("{" * 5_000, "yaml"),
        ("a = " + "[" * 5_000, "toml"),
        ('{"a": NaN}', "json"),
        ('{"a": 1' + "0" * 5_000 + "}", "json"),
    ],
    ids=["aliases", "circle", "open", "deep", "open tags", "deep tags", "entities", "flow", "toml", "NaN", "digits"],
)  # fmt: skip
def test_bad_data(file: str, source: str, convert: Convert) -> None:
    """What is deep, grows, or breaks the format's rules fails with a sentence, in seconds."""
    with pytest.raises((ConversionFailed, Refusal)):
        convert(file.encode(), source, "yaml" if source == "json" else "json")


@pytest.mark.parametrize("part", ["xl/worksheets/sheet1.xml", "xl/sharedStrings.xml", "xl/workbook.xml"])
def test_workbook_with_entities(
    part: str, convert: Convert, samples: dict[str, bytes], archive: Callable[..., bytes], bait: Bait
) -> None:
    """A workbook's parts are XML, whose entities are not fetched and do not grow."""
    book = zipfile.ZipFile(BytesIO(samples["xlsx"]))
    members = {name: book.read(name) for name in book.namelist()}
    growing = "".join(f'<!ENTITY g{n} "{f"&g{n - 1};" * 10 if n else "g" * 100}">' for n in range(9))
    head = ENTITIES.format(secret=bait.secret, address=bait.address).replace("%z;]", f"%z; {growing}]").encode()
    body = members[part].partition(b"?>")[2] if members[part].startswith(b"<?xml") else members[part]
    members[part] = head + body.replace(b"</", b"&x;&g8;</", 1)
    assert not bait.taken(attempt(convert, archive(members), "xlsx", "csv"))


@pytest.mark.parametrize("target", ["mp4", "mp3", "gif", "webp"])
@pytest.mark.parametrize("source", ["flv", "wmv", "3gp", "mpg", "ts", "gif", "webp", "aiff", "wma", "amr", "opus"])
def test_playlists_as_later_formats(source: str, target: str, convert: Convert, bait: Bait) -> None:
    """A playlist that got past the checks opens nothing as any of the later formats."""
    if (source, target) in PAIRS:
        text = PLAYLISTS["concat"].format(secret=bait.secret, address=bait.address).encode()
        with pytest.raises(Refusal):
            convert(text, source, target)
        with pytest.raises(ConversionFailed):
            sandbox.Sandbox().convert_blocking(Order(text, "unchecked", source, target))
        assert not bait.taken(b"")


def test_subtitles_that_name_other_files(convert: Convert, bait: Bait) -> None:
    """Fonts and pictures that ASS names stay names."""
    script = (
        f"[Script Info]\nVideo File: {bait.secret}\nAudio URI: http://{bait.address}/a\n"
        f"[Fonts]\nfontname: {bait.secret}\n"
        "[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
        f"Dialogue: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,{{\\1img({bait.secret})}}kept\n"
    )
    for target in ("srt", "vtt", "txt"):
        made = convert(script.encode(), "ass", target)
        assert b"kept" in made
        assert not bait.taken(made)


@pytest.mark.parametrize("target", ["txt", "pdf", "docx"])
def test_rtf_that_names_other_files(target: str, convert: Convert, bait: Bait) -> None:
    """Fields and linked pictures of RTF are not followed, and groups without an end do no harm."""
    field = f'{{\\field{{\\*\\fldinst INCLUDEPICTURE "{bait.secret}" \\\\d}}{{\\fldrslt kept}}}}'
    field += f'{{\\field{{\\*\\fldinst INCLUDETEXT "http://{bait.address}/a"}}}}'
    assert not bait.taken(convert(f"{{\\rtf1\\ansi {field} end\\par}}".encode(), "rtf", target))
    attempt(convert, b"{\\rtf1" + b"{" * 20_000, "rtf", target)
    attempt(convert, b"{\\rtf1 \\bin99999999 \\u-999999999? \\'", "rtf", target)


def test_heic_that_is_something_else(convert: Convert, bait: Bait) -> None:
    """What says that it is HEIC and is a playlist or half a file fails."""
    head = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40) + b"ispe" + bytes(4) + struct.pack(">II", 64, 64)
    for rest in (b"", PLAYLISTS["hls"].format(secret=bait.secret, address=bait.address).encode(), bytes(5_000)):
        assert not bait.taken(attempt(convert, head + rest, "heic", "png"))
