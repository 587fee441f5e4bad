"""Files that other converters get wrong, each with what is right, as somebody who opens the result would see it."""

import base64
import datetime
import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pypdfium2
import pytest
from file_conversion.sandbox import ConversionFailed
from PIL import Image, ImageChops
from pypdfium2.raw import FPDF_PAGEOBJ_IMAGE  # type: ignore[import-untyped,unused-ignore]

from l402_middleware import Refusal

from . import looking as see

pytestmark = pytest.mark.slow

REPORTS = Path(__file__).with_name("corpus") / "reports"
CHECKS: list[Any] = []


def right(path: str, *targets: str) -> Callable[[see.Check], see.Check]:
    """Add a check for a report's file, for each of the targets."""

    def add(check: see.Check) -> see.Check:
        CHECKS.extend(pytest.param(path, target, check, id=f"{path} to {target}") for target in targets)
        return check

    return add


def text(made: bytes) -> str:
    """A text with its blanks folded."""
    return " ".join(made.decode().split())


# Drawings


@right("svg-units/label-mm.svg", "png")
def label(made: bytes) -> None:
    """90 by 50 mm are 340 by 189 pixels."""
    picture = see.image(made)
    assert abs(picture.width - 340) <= 1
    assert abs(picture.height - 189) <= 1
    assert see.is_near(picture, (170, 90), (51, 153, 204), 2)


@right("svg-units/label-mm.svg", "pdf")
def label_in_points(made: bytes) -> None:
    """The page has the size that the drawing says."""
    assert see.page_size(made) == pytest.approx((255.1, 141.7), abs=1)


@right("svg-units/ruler-inner.svg", "png", "jpg")
def ruler(made: bytes) -> None:
    """Lines and letters whose sizes have units are drawn."""
    picture = see.image(made)
    assert (
        see.near(picture, (204, 0, 0)) >= 600 if picture.format == "JPEG" else see.near(picture, (204, 0, 0), 60) >= 800
    )
    assert see.dark(picture, (0, 0, 220, 50)) >= 300


@right("svg-text-css/sign-arial.svg", "png")
def sign(made: bytes) -> None:
    """Common families are set in their twins."""
    picture = see.image(made)
    assert 231 <= see.width_of_ink(picture, (0, 0, 420, 60)) <= 243
    assert 303 <= see.width_of_ink(picture, (0, 60, 420, 120)) <= 315


@right("svg-text-css/palette-var.svg", "png", "jpg")
def palette(made: bytes) -> None:
    """Custom properties and light-dark() have colours."""
    picture = see.image(made)
    assert see.is_near(picture, (30, 30), (239, 68, 35), 4)
    assert see.is_near(picture, (90, 30), (26, 127, 55), 4)


@right("svg-text-css/box-html.svg", "png")
def box(made: bytes) -> None:
    """HTML inside a drawing is written out."""
    assert see.dark(see.image(made)) >= 300


@right("svg-text-css/stamp-nested.svg", "png")
def stamp(made: bytes) -> None:
    """A drawing inside a drawing is drawn."""
    assert see.is_near(see.image(made), (20, 20), (176, 0, 94), 2)


# PDF


@right("pdf-form-values/booking.pdf", "png")
@right("pdf-form-values/booking-noap.pdf", "png")
def filled_in(made: bytes) -> None:
    """What was filled in is drawn."""
    picture = see.image(made)
    assert see.dark(picture, (87, 158, 495, 204)) >= 300
    assert see.dark(picture, (87, 284, 325, 328)) >= 120


@right("pdf-form-values/booking.pdf", "txt")
def filled_in_text(made: bytes) -> None:
    """What was filled in is text."""
    assert "Seeadler 3" in text(made)


@right("pdf-form-values/booking-noap.pdf", "txt")
def filled_in_without_appearance(made: bytes) -> None:
    """So it is where a viewer has to make its appearance."""
    assert "Möwe 11" in text(made)


@right("pdf-font-cjk/slip-ja.pdf", "png")
def slip(made: bytes) -> None:
    """Text in a font that the file does not hold is drawn."""
    assert see.dark(see.image(made)) >= 1800


@right("pdf-epub-header/crlf.pdf", "png", "txt")
@right("pdf-epub-header/zipped.epub", "pdf")
def anything(made: bytes) -> None:
    """There is a result."""
    assert made


@right("pdf-epub-header/zipped.epub", "txt")
def zipped(made: bytes) -> None:
    """A book whose media type is compressed is read."""
    assert "Walk on the mud." in text(made)


@right("pdf-columns/leaflet.pdf", "txt")
def leaflet(made: bytes) -> None:
    """Columns are read one after the other."""
    wanted = ["closes when the last crate", "mostly some time before noon.", "Bring a cart", "carried to the cars"]
    places = [text(made).find(words) for words in wanted]
    assert -1 not in places
    assert places == sorted(places)


# Tables


def rows_are(*wanted: list[Any]) -> see.Check:
    """A check for the first rows of a workbook."""

    def check(made: bytes) -> None:
        rows = see.sheet_rows(made)
        assert len(rows) >= len(wanted)
        for row, expected in zip(rows, wanted, strict=False):
            assert [value.strip() if isinstance(value, str) else value for value in row] == expected

    return check


right("csv-sniffer/lists.csv", "xlsx")(rows_are(["art", "colours", "weight"], ["T1", "['red', 'blue']", 1.5]))
right("csv-sniffer/tab-beside-quotes.csv", "xlsx")(rows_are(["ref", "place", "n"], ["dock; north", "D1", 4]))
right("csv-sniffer/decimal-comma.csv", "xlsx")(rows_are(["4,50", "1,75", "9,20"], ["2,25", "0,80", "3,10"]))
right("csv-sniffer/sep.csv", "xlsx")(rows_are(["berth", "ship"], ["A1", "Luna"], ["A2", "Stella"]))
right("csv-to-xlsx-loss/digits.csv", "xlsx")(rows_are(["v"], ["9999999999999.98765"], ["123456789.123456789"]))


@right("csv-sniffer/late-quote.csv", "xlsx")
def late_quote(made: bytes) -> None:
    """Quotes are doubled from the first line to the last."""
    assert see.sheet_rows(made)[-1] == [7777, 'said "yes, now" and left', "n"]


@right("csv-to-xlsx-loss/escape.csv", "xlsx")
def escaped(made: bytes) -> None:
    """What looks like an escape is text."""
    sheet = see.member(made, "xl/(sharedStrings|worksheets/sheet1).xml")
    assert "_x005F_x0009_ tab" in sheet
    assert "x_x005F_x0043_y" in sheet


@right("csv-to-xlsx-loss/zeros.csv", "xlsx")
def noughts(made: bytes) -> None:
    """2.10 is shown as that."""
    sheet = openpyxl.load_workbook(io.BytesIO(made)).active
    assert sheet is not None
    assert [(sheet[cell].value, sheet[cell].number_format) for cell in ("A2", "B2")] == [(2.1, "0.00"), (7, "0.00")]


def lines_are(*wanted: list[str]) -> see.Check:
    """A check for all rows of a CSV."""
    return lambda made: _same(see.csv_rows(made), list(wanted))


def _same(found: object, wanted: object) -> None:
    assert found == wanted


right("xlsx-to-csv/hours.xlsx", "csv")(lines_are(["job", "time"], ["paint", "26:40:05"], ["fee", "#N/A"]))
right("xlsx-to-csv/hours.ods", "csv")(lines_are(["paint", "26:40:05"]))
right("xlsx-to-csv/texts.xlsx", "csv")(lines_are(["@dock"], ["- planks"], ["+49 431 55 ext. 2"]))
right("xlsx-to-csv/nocache.xlsx", "csv")(lines_are(["a", "b", "a+b"], ["4", "5", "=A2+B2"]))
right("xlsx-to-csv/chart-first.xlsx", "csv")(lines_are(["day", "tons"], ["Mon", "8"]))
right("xlsx-to-csv/ghost.xlsx", "csv")(lines_are(["a", "b"], ["1", "2"]))
right("xlsx-to-csv/backslash.xlsx", "csv")(lines_are(["net", "mesh"], ["trawl", "40"]))

# Texts and documents


def says(*wanted: str) -> see.Check:
    """A check for words in a text, a page or a PDF."""

    def check(made: bytes) -> None:
        found = see.pdf_text(made) if made.startswith(b"%PDF") else text(made)
        for words in wanted:
            assert words in found

    return check


right("rtf-codepage/russian.rtf", "txt", "html", "md", "pdf")(says("Причал открыт"))
right("rtf-codepage/japanese.rtf", "txt", "html")(says("出港時刻"))
right("rtf-codepage/fallback-space.rtf", "txt", "html", "pdf")(says("20 € per day, 3 ½ hours"))
right("rtf-surrogates/milk.rtf", "txt", "md")(says("boat 🥛 here"))


@right("txt-layout/prices.txt", "pdf")
def laid_out(made: bytes) -> None:
    """Columns of a text end below each other, and code is indented."""
    ends = [see.word_box(made, word, 720)[2] for word in ("120.00", "15.50")]
    assert ends[0] == pytest.approx(ends[1], abs=15)
    assert see.word_box(made, "sell")[0] - see.word_box(made, "for")[0] >= 15


@right("txt-layout/prices.txt", "docx")
def laid_out_in_word(made: bytes) -> None:
    """Blanks are kept in a document."""
    assert 'xml:space="preserve">Gill         8    15.50<' in see.member(made, "word/document.xml")


@right("txt-layout/prices.txt", "html", "md")
def laid_out_as_text(made: bytes) -> None:
    """Blanks are kept in markup."""
    assert "Gill         8    15.50" in made.decode()


@right("markdown-dialect/readme.md", "html")
def readme(made: bytes) -> None:
    """A list is one, code stays, and what is no formula is none."""
    page = made.decode()
    assert "<li>a rope" in page
    assert 'href="https://example.org/knots"' in page
    assert "<sub>" not in page
    body = page[page.index("<body>") :]
    for words in ("knot --all --dry-run", "PATH=$HOME/knots:$PATH", "~/in:~/out", "⚓"):
        assert words in body
    assert "[!NOTE]" not in body


@right("markdown-dialect/readme.md", "pdf")
def readme_printed(made: bytes) -> None:
    """The same holds on paper."""
    says("knot --all --dry-run", "PATH=$HOME/knots:$PATH", "~/in:~/out", "⚓")(made)
    assert "[!NOTE]" not in see.pdf_text(made)


@right("html-pdf/order.html", "pdf")
def order(made: bytes) -> None:
    """A page is printed with its colours, drawings and form values, and without what it hides."""
    says("Hemp 12 mm", "Deliver on Friday")(made)
    assert "INTERNALNOTE" not in see.pdf_text(made)
    drawn = see.pages(made)
    assert len(drawn) == 2
    assert see.near(drawn[0], (224, 0, 122)) >= 1800
    assert see.near(drawn[0], (10, 88, 202)) >= 150


@right("html-pdf/order.html", "txt", "md", "docx")
def order_as_text(made: bytes) -> None:
    """What the page hides is in no other target either."""
    found = see.member(made, "word/document.xml") if made.startswith(b"PK") else made.decode()
    assert "Hemp 12 mm" in found
    assert "INTERNALNOTE" not in found


@right("epub-out/memo.md", "epub")
@right("epub-out/memo2.md", "epub")
def book(made: bytes) -> None:
    """A book has a title, a date and its media type first."""
    package = see.member(made, r".*\.opf")
    assert re.search(r"<dc:title[^>]*>(Pier|Second) memo</dc:title>", package)
    assert f"{datetime.datetime.now(datetime.UTC):%Y-%m}" in package
    assert "1970" not in package
    assert zipfile.ZipFile(io.BytesIO(made)).infolist()[0].filename == "mimetype"


@right("docx-glyphs/symbols.docx", "pdf")
@right("docx-glyphs/languages.docx", "pdf")
def glyphs(made: bytes) -> None:
    """Each sign has a shape of its own."""
    shapes = []
    (page,) = see.pages(made, 150)
    for mark in ("AA", "BB", "CC", "DD") if "CC1" in see.pdf_text(made) else ("AA", "BB"):
        left, right_ = see.word_box(made, f"{mark}1", 150), see.word_box(made, f"{mark}2", 150)
        between = (left[2] + 2, left[1] - 25, right_[0] - 2, left[3] + 25)
        assert see.dark(page, between) >= 60
        shapes.append(page.crop(between).convert("1").tobytes())
    assert len(set(shapes)) == len(shapes)


@right("docx-marks/struck.docx", "pdf")
def struck(made: bytes) -> None:
    """A line runs through the word, and capitals are capitals."""
    says("NORTH GATE")(made)
    left, top, right_, bottom = see.word_box(made, "abolished", 200)
    (page,) = see.pages(made, 200)
    height = bottom - top
    rows = [
        see.dark(page, (left, row, right_, row + 1)) / (right_ - left)
        for row in range(top + height // 4, bottom - height // 8)
    ]
    assert max(rows) >= 0.95


@right("docx-marks/turned-90.docx", "pdf")
def turned(made: bytes) -> None:
    """The picture is turned by a quarter."""
    (page,) = see.pages(made)
    assert _middle(page, (221, 34, 34)) > _middle(page, (34, 34, 221)) + 20


def _middle(page: Image.Image, colour: see.Colour) -> float:
    columns = [
        across
        for across in range(page.width)
        if see.near(page.crop((across, 0, across + 1, page.height)), colour, 40) > 3
    ]
    return sum(columns) / len(columns)


@right("docx-marks/equation-a4.docx", "pdf")
def equation(made: bytes) -> None:
    """A document with an equation keeps page, header and colour."""
    assert see.page_size(made) == pytest.approx((595, 842), abs=2)
    says("Survey 14-B")(made)
    assert see.near(see.pages(made)[0], (0, 102, 204), 60) >= 250


@right("docx-to-md-images/shed.docx", "md")
def shed(made: bytes) -> None:
    """The picture comes along, and the sentence is one line."""
    assert (
        "The chandler keeps lamps, ropes, blocks and tar in the long shed behind the slipway and sells them on"
        in made.decode()
    )
    found = re.search(r"data:image/png;base64,([A-Za-z0-9+/=]+)", made.decode())
    assert found
    assert see.near(see.image(base64.b64decode(found[1])), (17, 136, 102), 12) > 100


@right("docx-to-md-images/shed.docx", "txt")
def shed_as_text(made: bytes) -> None:
    """The sentence is one line."""
    assert any(
        line.startswith("The chandler") and line.endswith("eight to four.") for line in made.decode().splitlines()
    )


@right("docx-to-md-images/styled.html", "md")
def styled(made: bytes) -> None:
    """Markdown has no frames and classes."""
    assert not re.search(r":::|\{\.|<div|<span", made.decode())
    assert "[map](https://example.org/l)" in made.decode()


right("pptx-groups/season.pptx", "txt", "md", "html")(
    says("Grouped remark", "Thank the crew", "June", "Guests", "44.25")
)


@right("pptx-groups/season.pptx", "txt", "md")
def no_schemas(made: bytes) -> None:
    """No name of a namespace is text."""
    assert "schemas.openxmlformats.org" not in made.decode()


@right("odt-page/letter-a5.odt", "pdf")
def letter(made: bytes) -> None:
    """Page, header and footer are the document's own."""
    assert see.page_size(made) == pytest.approx((420, 595), abs=2)
    assert len(see.pages(made)) == 1
    says("Harbour desk", "Copy 2", "Boats due")(made)


right("odt-page/letter-a5.odt", "txt", "md")(says("Harbour desk", "Boats due", "Copy 2"))


@right("odt-page/letterhead.docx", "txt", "md")
def letterhead(made: bytes) -> None:
    """The header stands above the text."""
    assert text(made).startswith("File 77/A")


# Pictures


@right("image-pdf-size/scan150.png", "pdf")
def scan(made: bytes) -> None:
    """The page is A4, as the scan says."""
    assert see.page_size(made) == pytest.approx((595, 842), abs=2)


@right("image-pdf-size/fax.tiff", "pdf")
def fax(made: bytes) -> None:
    """Resolutions may differ by axis, and black and white stays that."""
    assert see.page_size(made) == pytest.approx((610, 808), abs=2)
    assert b"/BitsPerComponent 1" in made
    assert len(made) <= 3 * (REPORTS / "image-pdf-size" / "fax.tiff").stat().st_size


@right("image-pdf-size/fax.tiff", "png", "jpg")
@right("image-pdf-size/scan150.png", "jpg", "tiff")
def dots(made: bytes) -> None:
    """The resolution goes along."""
    said = tuple(round(float(value)) for value in see.image(made).info["dpi"])
    assert said in ((204, 98), (150, 150))


@right("webp-screenshot/screen.png", "webp")
def screenshot(made: bytes) -> None:
    """A screenshot becomes no larger and keeps its colours."""
    given = REPORTS / "webp-screenshot" / "screen.png"
    assert len(made) <= given.stat().st_size
    difference = ImageChops.difference(see.image(made).convert("RGB"), Image.open(given).convert("RGB"))
    assert max(high for _, high in difference.getextrema()) <= 60  # type: ignore[misc]


@right("icc-dropped/swapped.png", "gif", "bmp", "ico", "pdf")
def swapped(made: bytes) -> None:
    """Where no profile goes along, the colours are what it means."""
    picture = see.pages(made)[0] if made.startswith(b"%PDF") else see.image(made)
    assert see.is_near(picture, (picture.width // 2, picture.height // 2), (30, 230, 10), 14)


@right("icc-dropped/swapped.png", "jpg", "webp", "tiff")
def profile_kept(made: bytes) -> None:
    """Elsewhere the profile goes along."""
    assert see.image(made).info["icc_profile"]


@right("apng-16bit-ico/blink.png", "webp", "gif", "avif")
def blink(made: bytes) -> None:
    """Three frames, red, green and blue, each for 250 ms."""
    found = list(see.frames(made))
    assert [frame.info["duration"] for frame in found] == [250, 250, 250]
    assert [max(range(3), key=lambda at: frame.convert("RGB").getpixel((2, 2))[at]) for frame in found] == [0, 1, 2]  # type: ignore[index]


@right("apng-16bit-ico/clear16.png", "webp", "tiff")
def clear(made: bytes) -> None:
    """A clear colour of sixteen bits is clear."""
    picture = see.image(made).convert("RGBA")
    assert picture.getpixel((0, 4))[3] == 0  # type: ignore[index]
    assert picture.getpixel((31, 4)) == (241, 241, 241, 255)


@right("apng-16bit-ico/logo.png", "ico")
def logo(made: bytes) -> None:
    """An icon has the sizes that systems look for, all square."""
    sizes = see.image(made).info["sizes"]
    assert {(16, 16), (32, 32), (48, 48)} <= sizes
    assert all(width == height for width, height in sizes)


@right("apng-16bit-ico/big.tiff", "png")
def big(made: bytes) -> None:
    """BigTIFF is read."""
    assert see.is_near(see.image(made), (5, 5), (221, 34, 34), 2)


@right("apng-16bit-ico/stray.jpg", "png")
def stray(made: bytes) -> None:
    """Bytes between segments are passed over."""
    assert see.is_near(see.image(made), (10, 10), (221, 34, 34), 8)


@right("tiff-pages/two-pages.tiff", "png", "webp")
def two_pages(made: bytes) -> None:
    """Pages stand below each other."""
    picture = see.image(made).convert("RGB")
    red, blue = (picture.crop((0, top, picture.width, top + picture.height // 2)) for top in (0, picture.height // 2))
    assert see.near(red, (255, 0, 0), 100) > see.near(red, (0, 0, 255), 100) == 0
    assert see.near(blue, (0, 0, 255), 100) > see.near(blue, (255, 0, 0), 100) == 0


@right("tiff-pages/reduced-copy.tiff", "pdf")
def one_page(made: bytes) -> None:
    """A smaller copy is no page."""
    assert len(see.pages(made)) == 1


@right("webp-gif-ghosts/dot.webp", "gif", "avif")
def dot(made: bytes) -> None:
    """No frame shows through another."""
    found = [sum(frame.convert("RGBA").getchannel("A").histogram()[128:]) for frame in see.frames(made)]
    assert len(found) == 4
    assert all(abs(count - 349) <= 15 for count in found)


@right("image-exif/dated.jpg", "webp", "png", "avif")
def dated(made: bytes) -> None:
    """Copyright and date go along, the orientation does not."""
    about = see.image(made).getexif()
    assert about.get(33432)
    assert about.get(306)
    assert about.get(274, 1) == 1


# Sound and film


@right("audio-tags/shanty.flac", "mp3", "m4a")
def shanty(made: bytes) -> None:
    """Title, artist, number and cover go along."""
    told = see.tracks(made)
    for name, value in (("title", "Vor Anker"), ("artist", "Der Kai"), ("track", "2")):
        assert re.search(rf"{name}\s+: {value}", told)
    assert see.is_near(see.cover(made), (20, 20), (208, 112, 16), 12)


def sounds_like(frequency: int) -> see.Check:
    """A check for the pitch of a tone."""
    return lambda made: _about(see.hertz(made), frequency)


def _about(found: float, wanted: float) -> None:
    assert found == pytest.approx(wanted, rel=0.02)


right("audio-track-codec/commentary-first.mp4", "mp3", "webm", "avi")(sounds_like(410))
right("audio-track-codec/ima-adpcm.wav", "mp3", "flac")(sounds_like(440))
right("audio-track-codec/rf64.wav", "mp3", "flac")(sounds_like(440))
right("audio-track-codec/zeros-first.mp3", "wav", "ogg")(sounds_like(440))
right("audio-track-codec/note.opus", "mp3", "m4a")(sounds_like(440))


@right("audio-track-codec/deep.flac", "wav", "aiff")
def deep(made: bytes) -> None:
    """24 bits stay 24."""
    assert re.search(r"pcm_s24|24 bit", see.tracks(made))


@right("sound-side-channels/dolby.mkv", "webm")
def dolby(made: bytes) -> None:
    """Both front tones are there."""
    assert "Audio: opus" in see.tracks(made)
    assert see.holds_pitch(made, 450)
    assert see.holds_pitch(made, 650)


@right("video-colour/screen-rgb.mkv", "mp4", "mov", "webm", "avi")
def screen_colours(made: bytes) -> None:
    """The colour is what it was."""
    picture = see.first_picture(made, "-vf", "scale=in_color_matrix=bt709,format=rgb24")
    assert see.is_near(picture, (640, 360), (32, 144, 208), 12)


@right("video-colour/hdr-pq.mp4", "avi", "webm")
def high_range(made: bytes) -> None:
    """White is bright."""
    picture = see.first_picture(made).convert("L")
    assert picture.getextrema()[1] >= 185  # type: ignore[operator]


@right("video-colour/hdr-pq.mp4", "mov", "mkv")
def high_range_kept(made: bytes) -> None:
    """The transfer is said."""
    assert "smpte2084" in see.tracks(made)


@right("video-tracks/subtitled.mkv", "mp4", "mov")
def subtitled(made: bytes) -> None:
    """Both sound tracks and the subtitles are there."""
    assert see.tracks(made).count("Audio:") == 2
    assert "Slow down" in see.subtitle_text(made)


@pytest.mark.parametrize(("path", "target", "check"), CHECKS)
def test_report(path: str, target: str, check: see.Check, convert: Callable[[bytes, str, str], bytes]) -> None:
    """What comes out is right, as the report says how to see it."""
    check(convert((REPORTS / path).read_bytes(), path.rpartition(".")[2], target))


@pytest.mark.parametrize(
    ("path", "target", "code"),
    [
        ("csv-to-xlsx-loss/long-cell.csv", "xlsx", "cell-too-long"),
        ("csv-to-xlsx-loss/wide.csv", "xlsx", "too-many-columns"),
    ],
)
def test_report_that_cannot_be_done(
    path: str, target: str, code: str, convert: Callable[[bytes, str, str], bytes]
) -> None:
    """What a format cannot hold fails with a reason that says so."""
    with pytest.raises((ConversionFailed, Refusal)) as caught:
        convert((REPORTS / path).read_bytes(), path.rpartition(".")[2], target)
    assert isinstance(caught.value, ConversionFailed | Refusal)
    assert caught.value.code == code


def test_every_report_has_a_check() -> None:
    """No file of the folder is left unlooked at."""
    files = {str(path.relative_to(REPORTS)) for path in REPORTS.rglob("*") if path.is_file()}
    looked_at = {parameters.values[0] for parameters in CHECKS}
    assert files - looked_at == {"csv-to-xlsx-loss/long-cell.csv", "csv-to-xlsx-loss/wide.csv"}


def test_two_books_are_two(convert: Callable[[bytes, str, str], bytes]) -> None:
    """Each book sold has an identifier of its own."""
    made = [convert((REPORTS / "epub-out" / name).read_bytes(), "md", "epub") for name in ("memo.md", "memo2.md")]
    identities = {re.search(r"<dc:identifier[^>]*>([^<]*)<", see.member(book, r".*\.opf"))[1] for book in made}  # type: ignore[index]
    assert len(identities) == 2


def test_pictures_are_in_a_pdf_as_pictures(convert: Callable[[bytes, str, str], bytes]) -> None:
    """A scan of several pages in different resolutions has each page in its size."""
    file = io.BytesIO()
    one, other = Image.new("L", (300, 300), 200), Image.new("L", (300, 300), 100)
    one.save(file, "TIFF", dpi=(150, 150), save_all=True, append_images=[other])
    made = convert(file.getvalue(), "tiff", "pdf")
    document = pypdfium2.PdfDocument(made)
    assert len(document) == 2
    assert all(thing.type == FPDF_PAGEOBJ_IMAGE for page in document for thing in page.get_objects())
    assert see.page_size(made) == pytest.approx((144, 144), abs=1)
