"""The engines: every pair on offer is run, and what comes out is opened and looked at."""

import base64
import re
import struct
import subprocess
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import openpyxl
import pypdfium2
import pytest
from file_conversion.catalogue import PAIRS
from file_conversion.inspection import CHECKS, inspect
from file_conversion.sandbox import ConversionFailed
from imageio_ffmpeg import get_ffmpeg_exe
from PIL import Image, ImageChops, ImageStat
from pypdfium2.raw import FPDF_PAGEOBJ_IMAGE  # type: ignore[import-untyped,unused-ignore]

Convert = Callable[[bytes, str, str], bytes]

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("pair", sorted(PAIRS), ids=" to ".join)
def test_every_pair(pair: tuple[str, str], convert: Convert, samples: dict[str, bytes]) -> None:
    """Each conversion on offer gives a file of the type it promises."""
    source, target = pair
    made = convert(samples[source], source, target)
    if target in CHECKS:
        inspect(made, target)
    assert made


def pdf_text(file: bytes) -> str:
    """The text of a PDF, white space folded."""
    pages = pypdfium2.PdfDocument(file)
    text = " ".join(page.get_textpage().get_text_range() for page in pages)
    return " ".join(text.replace("\ufffe", "-").split())


def pictures(file: bytes) -> int:
    """How many pictures the pages of a PDF hold."""
    return sum(thing.type == FPDF_PAGEOBJ_IMAGE for page in pypdfium2.PdfDocument(file) for thing in page.get_objects())


def duration(file: bytes, folder: Path) -> float:
    """Seconds that a sound or a film plays."""
    (folder / "media").write_bytes(file)
    run = subprocess.run(
        [get_ffmpeg_exe(), "-i", folder / "media", "-f", "null", "-"], capture_output=True, text=True, check=True
    )
    hours, minutes, seconds = re.findall(r"time=(\d+):(\d+):([\d.]+)", run.stderr)[-1]
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def difference(one: Image.Image, other: Image.Image) -> float:
    """The mean difference of two images' pixels, of 255."""
    return max(ImageStat.Stat(ImageChops.difference(one.convert("RGB"), other.convert("RGB"))).mean)


# Documents


def test_word_made_docx_to_pdf(convert: Convert, corpus: Callable[[str], bytes]) -> None:
    """A document made by Word keeps its text and its picture."""
    made = convert(corpus("word-made.docx"), "docx", "pdf")
    text = pdf_text(made)
    assert "AutoGen: Enabling Next-Gen LLM Applications via Multi-Agent Conversation" in text
    assert "d666f1f7-46cb-42bd-9a39-9a39cf2a509f" in text
    assert "Skia" in pypdfium2.PdfDocument(made).get_metadata_value("Producer"), "laid out by dxpdf, not by Typst"
    assert pictures(made) == 1


def test_docx_with_equations_to_pdf(convert: Convert, corpus: Callable[[str], bytes]) -> None:
    """Equations keep their brackets, which is why they go by way of Typst."""
    made = convert(corpus("word-equations.docx"), "docx", "pdf")
    assert "Typst" in pypdfium2.PdfDocument(made).get_metadata_value("Creator")
    text = pdf_text(made)
    assert "The angle is" in text
    assert "(2.2 \N{MULTIPLICATION SIGN} 10" in text


def test_docx_that_names_unknown_fonts(convert: Convert, docx: Callable[..., bytes]) -> None:
    """Text in a font that is not here is set in one that is, with every letter."""
    run = '<w:p><w:r><w:rPr><w:rFonts w:ascii="{0}" w:hAnsi="{0}"/></w:rPr><w:t>In {0}: Grüße</w:t></w:r></w:p>'
    made = convert(docx("".join(run.format(font) for font in ("Calibri", "Aptos", "Nonesuch"))), "docx", "pdf")
    assert "Skia" in pypdfium2.PdfDocument(made).get_metadata_value("Producer")
    text = pdf_text(made)
    for font in ("Calibri", "Aptos", "Nonesuch"):
        assert f"In {font}: Grüße" in text


def test_markdown_to_docx_and_back(convert: Convert, samples: dict[str, bytes]) -> None:
    """Structure survives a round trip."""
    back = convert(convert(samples["md"], "md", "docx"), "docx", "md").decode()
    assert "# Title" in back
    assert "*small*" in back
    assert "umlaut: ä" in back


def test_plain_text_stays_plain(convert: Convert, samples: dict[str, bytes]) -> None:
    """Stars and hashes of a text are no markup, in any target."""
    assert "# not a heading" in pdf_text(convert(samples["txt"], "txt", "pdf"))
    assert "<h1" not in convert(samples["txt"], "txt", "html").decode()
    assert "*plain* text" in convert(samples["txt"], "txt", "html").decode()


def test_pictures_of_a_document_come_along(convert: Convert, corpus: Callable[[str], bytes]) -> None:
    """HTML and EPUB hold the pictures of the document that they were made from."""
    assert b"data:image/png;base64," in convert(corpus("word-made.docx"), "docx", "html")
    with zipfile.ZipFile(BytesIO(convert(corpus("word-made.docx"), "docx", "epub"))) as book:
        assert any(name.endswith(".png") for name in book.namelist())


def test_front_matter_and_a_data_picture_to_pdf(
    convert: Convert, picture: Image.Image, encoded: Callable[..., bytes]
) -> None:
    """A title from Markdown's front matter is set, a picture in a data URI is drawn, and a missing one is its text."""
    uri = "data:image/png;base64," + base64.b64encode(encoded(picture, "PNG")).decode()
    made = convert(f"---\ntitle: My title\n---\n\n![]({uri})\n\n![alternative](missing.png)\n".encode(), "md", "pdf")
    assert "My title" in pdf_text(made)
    assert "alternative" in pdf_text(made)
    assert pictures(made) == 1


def test_mentions_and_links_to_pdf(convert: Convert) -> None:
    """A mention is no citation, and a link to a place that is missing or there twice does no harm."""
    text = (
        b"# One\n\nAsk @alice [@bob, p. 3]: [here](#one), [gone](#gone), [twice](#a).\n\n[x]{#a} [y]{#a} #tag $a_1$\n"
    )
    made = convert(text, "md", "pdf")
    for words in ("Ask @alice", "[@bob, p. 3]", "here, gone, twice", "#tag"):
        assert words in pdf_text(made)


def test_docx_that_dxpdf_refuses(convert: Convert, docx: Callable[..., bytes]) -> None:
    """A document that dxpdf raises on goes by way of Typst instead."""
    made = convert(docx("<w:p><w:r><w:t>Plain words</w:t></w:r></w:p>", styles=False), "docx", "pdf")
    assert "Plain words" in pdf_text(made)
    assert "Typst" in pypdfium2.PdfDocument(made).get_metadata_value("Creator")


# PDF


def test_pdf_to_text_and_image(convert: Convert, corpus: Callable[[str], bytes]) -> None:
    """Text comes out as text; pages come out below each other."""
    pdf = convert(corpus("word-made.docx"), "docx", "pdf")
    assert "Applications via Multi-Agent\nConversation\n" in convert(pdf, "pdf", "txt").decode()
    pages = len(pypdfium2.PdfDocument(pdf))
    image = Image.open(BytesIO(convert(pdf, "pdf", "png")))
    width, height = pypdfium2.PdfDocument(pdf).get_page_size(0)
    assert image.width == pytest.approx(width * 150 / 72, abs=2)
    assert image.height == pytest.approx(pages * height * 150 / 72, abs=2 * pages)
    assert image.convert("L").getextrema()[0] < 50  # type: ignore[operator]


def test_pdf_without_text(convert: Convert, picture: Image.Image, encoded: Callable[..., bytes]) -> None:
    """A scan has no text, and the error says so."""
    with pytest.raises(ConversionFailed) as caught:
        convert(encoded(picture, "PDF"), "pdf", "txt")
    assert caught.value.code == "no-text"


def test_pdf_of_many_pages_does_not_become_one_image(
    convert: Convert, picture: Image.Image, encoded: Callable[..., bytes]
) -> None:
    """Pages are never left out silently."""
    with pytest.raises(ConversionFailed) as caught:
        convert(encoded(picture, "PDF", save_all=True, append_images=[picture] * 20), "pdf", "png")
    assert caught.value.code == "too-many-pages"


# Images


@pytest.mark.parametrize("target", ["jpg", "webp", "gif", "bmp", "tiff", "avif", "ico"])
def test_images_keep_size_and_pixels(
    target: str, convert: Convert, picture: Image.Image, samples: dict[str, bytes]
) -> None:
    """The same picture comes out, within what the format loses."""
    made: Image.Image = Image.open(BytesIO(convert(samples["png"], "png", target)))
    if target == "ico":  # which is square, with the picture in the middle
        made = made.crop((0, 16, 96, 80))
    assert made.size == picture.size
    assert difference(made, picture) < (10 if target == "gif" else 3)


@pytest.mark.parametrize("target", ["jpg", "bmp", "pdf"])
def test_transparency_becomes_white(target: str, convert: Convert, encoded: Callable[..., bytes]) -> None:
    """Where the target has no transparency, a clear pixel is white, whatever colour hides in it."""
    made = convert(encoded(Image.new("RGBA", (40, 40), (0, 0, 0, 0)), "PNG"), "png", target)
    image = pypdfium2.PdfDocument(made)[0].render().to_pil() if target == "pdf" else Image.open(BytesIO(made))
    assert min(low for low, _ in image.convert("RGB").getextrema()) >= 250  # type: ignore[misc]


def test_transparency_is_kept(convert: Convert, encoded: Callable[..., bytes]) -> None:
    """PNG to WebP keeps clear pixels clear, also those of a palette."""
    clear = Image.new("RGBA", (40, 40), (255, 0, 0, 0))
    clear.paste((0, 0, 255, 255), (0, 0, 20, 40))
    for file in (encoded(clear, "PNG"), encoded(clear.quantize(), "PNG")):
        made = Image.open(BytesIO(convert(file, "png", "webp"))).convert("RGBA")
        assert made.getpixel((35, 20))[3] == 0  # type: ignore[index]
        assert made.getpixel((5, 20))[3] == 255  # type: ignore[index]


def test_exif_orientation_is_applied(convert: Convert, encoded: Callable[..., bytes]) -> None:
    """A photo that says "turn me" comes out upright, and says so no longer."""
    wide = Image.new("RGB", (60, 30), "red")
    wide.paste("blue", (0, 0, 30, 30))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter clockwise
    made = Image.open(BytesIO(convert(encoded(wide, "JPEG", exif=exif, quality=95), "jpg", "png"))).convert("RGB")
    assert made.size == (30, 60)
    assert made.getpixel((15, 5))[2] > 200  # type: ignore[index]
    assert made.getexif().get(0x0112, 1) == 1


def test_cmyk_to_png(convert: Convert, encoded: Callable[..., bytes]) -> None:
    """A print JPEG becomes an RGB picture of the same colour."""
    cmyk = Image.new("CMYK", (40, 40), (0, 255, 255, 0))
    made = Image.open(BytesIO(convert(encoded(cmyk, "JPEG", quality=95), "jpg", "png"))).convert("RGB")
    red, green, blue = made.getpixel((20, 20))  # type: ignore[misc]
    assert red > 200
    assert max(green, blue) < 60


def test_sixteen_bit_grey(convert: Convert, encoded: Callable[..., bytes]) -> None:
    """Deep greys keep their brightness instead of being clipped to white."""
    deep = Image.frombytes("I;16", (40, 20), struct.pack("<800H", *([0x4000] * 400 + [0xC000] * 400)))
    for kind in ("PNG", "TIFF"):
        made = Image.open(BytesIO(convert(encoded(deep, kind), kind.lower(), "jpg"))).convert("L")
        assert made.getpixel((20, 4)) == pytest.approx(0x40, abs=3)
        assert made.getpixel((20, 16)) == pytest.approx(0xC0, abs=3)


@pytest.mark.parametrize("target", ["gif", "webp", "avif"])
@pytest.mark.parametrize("source", ["gif", "webp", "avif"])
def test_animation_is_kept(source: str, target: str, convert: Convert, encoded: Callable[..., bytes]) -> None:
    """An animation stays one, frame by frame and as fast."""
    if source == target:
        return
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "green", "blue")]
    file = encoded(frames[0], source, save_all=True, append_images=frames[1:], duration=[80, 120, 200], loop=0)
    made = Image.open(BytesIO(convert(file, source, target)))
    assert made.n_frames == 3  # type: ignore[attr-defined]
    durations, colours = [], []
    for number in range(3):
        made.seek(number)
        made.load()
        durations.append(made.info["duration"])
        colours.append(made.convert("RGB").getpixel((16, 16)))
    assert durations == [80, 120, 200]
    assert difference(Image.new("RGB", (1, 1), colours[2]), Image.new("RGB", (1, 1), "blue")) < 20
    assert convert(file, source, "png").count(b"fcTL") == 0, "a PNG is the first frame"


def test_pages_are_kept(convert: Convert, picture: Image.Image, encoded: Callable[..., bytes]) -> None:
    """A TIFF of three pages becomes a PDF of three pages."""
    tiff = encoded(picture, "TIFF", save_all=True, append_images=[picture, picture])
    assert len(pypdfium2.PdfDocument(convert(tiff, "tiff", "pdf"))) == 3


def test_svg_to_png(convert: Convert) -> None:
    """Shapes, embedded pictures and text are drawn, text in our fonts."""
    svg = b"""<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY word "Hello">]>
    <s:svg xmlns:s="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="100" height="50">
    <s:defs><s:rect id="r" width="20" height="20" fill="red"/></s:defs><s:use xlink:href="#r"/>
    <s:text x="30" y="40">&word;</s:text></s:svg>"""
    made = Image.open(BytesIO(convert(svg, "svg", "png")))
    assert made.size == (100, 50)
    assert made.getpixel((10, 10)) == (255, 0, 0, 255)
    assert made.crop((30, 20, 100, 50)).getbbox() is not None


# Tables


def test_workbook_to_csv(convert: Convert, samples: dict[str, bytes]) -> None:
    """Rows and columns come out in order, whole numbers without a fraction."""
    lines = convert(samples["xlsx"], "xlsx", "csv").decode().splitlines()
    assert lines[:2] == ["Alpha,Beta,Gamma,Delta", "89,82,100,12"]
    assert convert(samples["ods"], "ods", "csv").decode().splitlines() == ["name,count", "pears,3"]


def test_csv_to_workbook_makes_no_formula(convert: Convert) -> None:
    """Text that looks like a formula stays text, names that look like numbers keep their zeros, numbers are numbers."""
    file = b'=1+1;007;12.5;-3;1e5\n"@SUM(A1)";+49 30;12345678901234567890;\n'
    sheet = openpyxl.load_workbook(BytesIO(convert(file, "csv", "xlsx"))).active
    assert sheet is not None
    rows = [[(cell.value, cell.data_type) for cell in row] for row in sheet.iter_rows()]
    assert rows == [
        [("=1+1", "s"), ("007", "s"), (12.5, "n"), (-3, "n"), ("1e5", "s")],
        [("@SUM(A1)", "s"), ("+49 30", "s"), ("12345678901234567890", "s"), (None, "n"), (None, "n")],
    ]


def test_workbook_to_csv_changes_no_text(convert: Convert) -> None:
    """Text cells are data: nothing is put in front of what a spreadsheet would run."""
    book = openpyxl.Workbook()
    for row, text in enumerate(["=cmd|' /C calc'!A0", "@SUM(1)", "+49 30 1234", "-5", "plain"], start=1):
        book.active.cell(row, 1).value = text  # type: ignore[union-attr]
        book.active.cell(row, 1).data_type = "s"  # type: ignore[union-attr]
    file = BytesIO()
    book.save(file)
    lines = convert(file.getvalue(), "xlsx", "csv").decode().splitlines()
    assert lines == ["=cmd|' /C calc'!A0", "@SUM(1)", "+49 30 1234", "-5", "plain"]


# Sound and film


@pytest.mark.parametrize("target", ["mp3", "wav", "ogg", "flac"])
def test_speech_keeps_its_duration(
    target: str, convert: Convert, corpus: Callable[[str], bytes], tmp_path: Path
) -> None:
    """A recording is as long afterwards as before."""
    speech = corpus("speech.m4a")
    assert duration(convert(speech, "m4a", target), tmp_path) == pytest.approx(duration(speech, tmp_path), abs=0.15)


def test_film_keeps_picture_and_sound(convert: Convert, movie: bytes, tmp_path: Path) -> None:
    """mp4 to webm: one second of picture and sound in the size it had; mp4 to mp3: one second of sound."""
    (tmp_path / "film").write_bytes(convert(movie, "mp4", "webm"))
    told = subprocess.run(
        [get_ffmpeg_exe(), "-i", tmp_path / "film"], capture_output=True, text=True, check=False
    ).stderr
    assert re.search(r"Video: vp8.* 96x64", told)
    assert "Audio: opus" in told
    assert duration((tmp_path / "film").read_bytes(), tmp_path) == pytest.approx(1, abs=0.15)
    assert duration(convert(movie, "mp4", "mp3"), tmp_path) == pytest.approx(1, abs=0.15)


def test_film_without_sound_to_mp3(convert: Convert, tmp_path: Path) -> None:
    """The error names what is missing; a silent film still becomes another film."""
    command = [get_ffmpeg_exe(), "-loglevel", "error", "-f", "lavfi", "-i", "testsrc=size=33x21:duration=0.3"]
    subprocess.run([*command, tmp_path / "silent.mkv"], check=True)
    silent = (tmp_path / "silent.mkv").read_bytes()
    with pytest.raises(ConversionFailed) as caught:
        convert(silent, "mkv", "mp3")
    assert caught.value.code == "no-sound"
    inspect(convert(silent, "mkv", "mp4"), "mp4")
