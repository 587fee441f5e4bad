"""What the conversion tests share: real files, and the way to convert them."""

import base64
import json
import subprocess
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from file_conversion.order import Order
from file_conversion.sandbox import Sandbox
from imageio_ffmpeg import get_ffmpeg_exe
from PIL import Image

_CORPUS = Path(__file__).with_name("corpus")


@pytest.fixture(scope="session")
def corpus() -> Callable[[str], bytes]:
    """Read one file of the corpus."""
    return lambda name: (_CORPUS / name).read_bytes()


@pytest.fixture(scope="session")
def json_body() -> Callable[..., bytes]:
    """The JSON that a customer sends."""

    def encode(file: bytes, source: str, target: str, name: str = "a file") -> bytes:
        text = base64.b64encode(file).decode()
        members = {"file": text, "file_name": name, "extensionFrom": source, "extensionTo": target}
        return json.dumps(members).encode()

    return encode


@pytest.fixture(scope="session")
def convert(
    tmp_path_factory: pytest.TempPathFactory, json_body: Callable[..., bytes]
) -> Callable[[bytes, str, str], bytes]:
    """Convert through everything a customer's file goes through: the JSON body, its checks, the sandbox."""
    sandbox = Sandbox(folder=tmp_path_factory.mktemp("jobs"))
    return lambda file, source, target: (
        sandbox.convert_blocking(Order.from_json(json_body(file, source, target))).content
    )


@pytest.fixture(scope="session")
def picture() -> Image.Image:
    """A small picture with smooth colours, so that lossy formats stay near it."""
    across = Image.linear_gradient("L").resize((96, 64))
    return Image.merge("RGB", [across, across.rotate(180), Image.radial_gradient("L").resize((96, 64))])


def _encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.fixture(scope="session")
def encoded() -> Callable[..., bytes]:
    """An image as a file of one of Pillow's formats."""
    return _encode


@pytest.fixture(scope="session")
def archive() -> Callable[..., bytes]:
    """A zip file with these members; the first is stored plainly, as OpenDocument wants its media type."""

    def pack(members: dict[str, bytes | str]) -> bytes:
        file = BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, content in members.items():
                stored = name == "mimetype"
                packed.writestr(name, content, zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED)
        return file.getvalue()

    return pack


@pytest.fixture(scope="session")
def docx(archive: Callable[..., bytes]) -> Callable[..., bytes]:
    """A Word document around the XML of its body; without styles, dxpdf refuses it."""

    def wrap(inner: str, relationships: str = "", styles: bool = True) -> bytes:
        office = "http://schemas.openxmlformats.org"
        kinds = "application/vnd.openxmlformats-officedocument.wordprocessingml"
        package = f"{office}/package/2006"
        parts = f"{office}/officeDocument/2006/relationships"
        word = f'xmlns:w="{office}/wordprocessingml/2006/main"'
        drawing = f"{office}/drawingml/2006"
        members = {
            "[Content_Types].xml": f'<Types xmlns="{package}/content-types">'
            '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            f'<Override PartName="/word/document.xml" ContentType="{kinds}.document.main+xml"/>'
            f'<Override PartName="/word/styles.xml" ContentType="{kinds}.styles+xml"/></Types>',
            "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="d" '
            f'Type="{parts}/officeDocument" Target="word/document.xml"/></Relationships>',
            "word/_rels/document.xml.rels": f'<Relationships xmlns="{package}/relationships">'
            f'<Relationship Id="s" Type="{parts}/styles" Target="styles.xml"/>{relationships}</Relationships>',
            "word/styles.xml": f"<w:styles {word}/>",
            "word/document.xml": f'<w:document {word} xmlns:r="{parts}" xmlns:a="{drawing}/main" '
            f'xmlns:wp="{drawing}/wordprocessingDrawing" xmlns:pic="{drawing}/picture" '
            f'xmlns:m="{office}/officeDocument/2006/math"><w:body>{inner}</w:body></w:document>',
        }
        if not styles:
            del members["word/styles.xml"]
        return archive(members)

    return wrap


@pytest.fixture(scope="session")
def ods(archive: Callable[..., bytes]) -> bytes:
    """A spreadsheet of two rows: name, count; pears, 3."""
    spaces = " ".join(
        f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ("office", "table", "text")
    )
    return archive(
        {
            "mimetype": "application/vnd.oasis.opendocument.spreadsheet",
            "content.xml": f"<office:document-content {spaces}><office:body><office:spreadsheet>"
            '<table:table table:name="fruit">'
            '<table:table-row><table:table-cell office:value-type="string"><text:p>name</text:p></table:table-cell>'
            '<table:table-cell office:value-type="string"><text:p>count</text:p></table:table-cell></table:table-row>'
            '<table:table-row><table:table-cell office:value-type="string"><text:p>pears</text:p></table:table-cell>'
            '<table:table-cell office:value-type="float" office:value="3"><text:p>3</text:p></table:table-cell>'
            "</table:table-row></table:table></office:spreadsheet></office:body></office:document-content>",
            "META-INF/manifest.xml": '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:'
            'manifest:1.0"><manifest:file-entry manifest:full-path="/" manifest:media-type="application/vnd.oasis.'
            'opendocument.spreadsheet"/><manifest:file-entry manifest:full-path="content.xml" '
            'manifest:media-type="text/xml"/></manifest:manifest>',
        }
    )


@pytest.fixture(scope="session")
def movie(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """One second of a test picture with a tone, as mp4."""
    made = tmp_path_factory.mktemp("movie") / "made.mp4"
    picture = ["-f", "lavfi", "-i", "testsrc=size=96x64:rate=10:duration=1"]
    tone = ["-f", "lavfi", "-i", "sine=frequency=440:duration=1"]
    subprocess.run([get_ffmpeg_exe(), "-loglevel", "error", *picture, *tone, "-pix_fmt", "yuv420p", made], check=True)
    return made.read_bytes()


def encoded_by_ffmpeg(movie: bytes, *options: str) -> bytes:
    """A film in a format that the service reads and does not write."""
    command = [get_ffmpeg_exe(), "-loglevel", "error", "-f", "mov", "-i", "pipe:", *options, "pipe:"]
    return subprocess.run(command, input=movie, stdout=subprocess.PIPE, check=True).stdout


@pytest.fixture(scope="session")
def samples(
    picture: Image.Image,
    ods: bytes,
    movie: bytes,
    convert: Callable[[bytes, str, str], bytes],
) -> dict[str, bytes]:
    """A real file of every source format by extension: a few originals, and what they were converted to."""
    files = {
        "png": _encode(picture, "PNG"),
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="80" height="40"><text y="20">Hello</text></svg>',
        "md": "# Title\n\nA *small* text, with an umlaut: ä.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n".encode(),
        "txt": b"# not a heading\n\n*plain* text\n",
        "csv": b"name,count\npears,3\n",
        "tsv": b"name\tcount\npears\t3\n",
        "xls": (_CORPUS / "table.xls").read_bytes(),
        "json": b'[{"name": "pears", "count": 3}]',
        "srt": b"1\n00:00:01,000 --> 00:00:02,500\nHello\n",
        "heic": (_CORPUS / "gradients.heic").read_bytes(),
        "docx": (_CORPUS / "word-made.docx").read_bytes(),
        "docm": (_CORPUS / "word-made.docx").read_bytes(),
        "pptx": (_CORPUS / "powerpoint-made.pptx").read_bytes(),
        "xlsx": (_CORPUS / "excel-made.xlsx").read_bytes(),
        "xlsm": (_CORPUS / "excel-made.xlsx").read_bytes(),
        "ods": ods,
        "mp4": movie,
    }
    grown = {
        "png": ("jpg", "webp", "gif", "bmp", "tiff", "avif", "ico"),
        "md": ("odt", "rtf", "html", "epub", "rst", "pdf"),
        "mp4": ("mov", "mkv", "webm", "avi", "wmv", "flv", "3gp", "ts", "mp3", "wav", "ogg", "flac", "m4a", "opus"),
        "json": ("yaml", "xml"),
        "srt": ("vtt", "ass"),
    }
    files |= {target: convert(files[source], source, target) for source, targets in grown.items() for target in targets}
    return (
        files
        | {target: convert(files["wav"], "wav", target) for target in ("weba", "aac", "aiff", "wma")}
        | {
            "toml": b'name = "pears"\ncount = 3\n',
            "amr": encoded_by_ffmpeg(movie, "-ar", "8000", "-ac", "1", "-f", "amr"),
            "mpg": encoded_by_ffmpeg(movie, "-r", "25", "-f", "mpeg"),
        }
    )
