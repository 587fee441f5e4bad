"""The kinds of fault that the reports stand for, with other units, fonts, languages, dialects, sizes and codecs."""

import datetime
import io
import json
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import openpyxl
import pytest
from file_conversion.engines import FONTS, typefaces
from file_conversion.order import Order
from file_conversion.sandbox import Sandbox
from imageio_ffmpeg import get_ffmpeg_exe
from PIL import Image, ImageCms, TiffImagePlugin

from l402_middleware import Refusal

from . import looking as see

Convert = Callable[[bytes, str, str], bytes]

pytestmark = pytest.mark.slow


def svg(inner: str, size: str = 'width="420" height="60"', head: str = "") -> bytes:
    """A drawing on white."""
    white = '<rect width="100%" height="100%" fill="#fff"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{head}{white}{inner}</svg>'.encode()


@pytest.mark.parametrize(
    ("width", "pixels"),
    [("2in", 192), ("72pt", 96), ("6pc", 96), ("50.8mm", 192), ("5.08cm", 192), ("120", 120), ("120px", 120)],
)
def test_svg_units(width: str, pixels: int, convert: Convert) -> None:
    """An inch is 96 pixels, in every unit."""
    made = see.image(convert(svg("", f'width="{width}" height="{width}"'), "svg", "png"))
    assert made.size == (pixels, pixels)


@pytest.mark.parametrize(
    ("families", "width"),
    [
        ("Helvetica", 237),
        ("'Helvetica Neue', Helvetica, Arial, sans-serif", 237),
        ("Verdana", 237),
        ("Nobody Has This", 237),
        ("", 237),
        ("Courier", 309),
        ("Menlo, Consolas, monospace", 309),
        ("Nobody Has This, monospace", 309),
    ],
)
@pytest.mark.parametrize(
    "form", ['font-family="{}" font-size="40"', 'style="font-size:40px;font-family:{}"', 'style="font:40px/1.2 {}"']
)
def test_svg_fonts(families: str, width: int, form: str, convert: Convert) -> None:
    """Families that are not here are set in one with the same widths; unknown ones without serifs."""
    named = form.format((families or "inherit").replace('"', "'"))
    if "font:" in form and not families:
        pytest.skip("a shorthand needs a family")
    picture = see.image(convert(svg(f'<text x="10" y="45" {named}>Jetty 35 open</text>'), "svg", "png"))
    assert see.width_of_ink(picture, (0, 0, 420, 60)) == pytest.approx(width, abs=7)


@pytest.mark.parametrize(
    ("sheet", "element"),
    [
        ("svg{--a:#ef4423} rect.g{fill:var(--a)}", '<rect class="g" width="60" height="60"/>'),
        ("", '<rect style="fill:var(--none, #ef4423)" width="60" height="60"/>'),
        ("", '<rect fill="var(--none, #ef4423)" width="60" height="60"/>'),
        (":root{--b:#ef4423;--a:var(--b)} .g{fill:var(--a,#000)}", '<rect class="g" width="60" height="60"/>'),
        (":root{--a:#000} g{--a:#ef4423} .g{fill:var(--a)}", '<g><rect class="g" width="60" height="60"/></g>'),
        (".g{fill:light-dark(rgb(239,68,35), black)}", '<rect class="g" width="60" height="60"/>'),
        (":root{--a:1} .g{fill:var(--a)} #x{fill:#ef4423}", '<rect id="x" class="g" width="60" height="60"/>'),
    ],
)
def test_svg_custom_properties(sheet: str, element: str, convert: Convert) -> None:
    """`var()` with fallbacks, through other names and ancestors, and the first of two schemes' colours."""
    picture = see.image(convert(svg(element, head=f"<style>{sheet}</style>"), "svg", "png"))
    assert see.is_near(picture, (30, 30), (239, 68, 35), 3)


def test_svg_values_that_refer_to_themselves(convert: Convert) -> None:
    """Circles and values that multiply end, and leave the rest of the drawing as it is."""
    names = "".join(f"--v{n}:{f'var(--v{n + 1}) ' * 9};" for n in range(30))
    sheet = f"<style>:root{{--a:var(--b);--b:var(--a);{names}}} .x{{fill:var(--a)}} .y{{fill:var(--v0)}}</style>"
    boxes = '<rect class="x" width="9" height="9"/><rect class="y" x="10" width="9" height="9"/>'
    boxes += '<rect x="20" width="40" height="40" fill="#ef4423"/>'
    assert see.is_near(see.image(convert(svg(boxes, head=sheet), "svg", "png")), (40, 20), (239, 68, 35), 3)


def test_svg_in_an_svg_as_text(convert: Convert) -> None:
    """An inner drawing that is percent-encoded is drawn too."""
    inner = quote(
        '<svg xmlns="http://www.w3.org/2000/svg" width="50" height="50">'
        '<rect width="50" height="50" fill="#b0005e"/></svg>'
    )
    picture = see.image(
        convert(svg(f'<image width="50" height="50" href="data:image/svg+xml,{inner}"/>'), "svg", "png")
    )
    assert see.is_near(picture, (20, 20), (176, 0, 94), 2)


LANGUAGES = ["出港時刻", "한국어", "مرحبا", "שלום", "नमस्ते", "ไทย", "Ελλάδα", "Привет", "ქართული", "€ ½ →", "☑", "⚓"]


@pytest.mark.parametrize("words", LANGUAGES)
@pytest.mark.parametrize("kind", ["svg", "html", "md", "txt"])
def test_scripts_are_drawn(kind: str, words: str, convert: Convert) -> None:
    """With the free fonts of the demo, letters of other scripts have shapes: no blank, and no box for each of them."""

    def drawn(text: str) -> bytes:
        file = {
            "svg": svg(f'<text x="10" y="45" font-size="40">{text}</text>'),
            "html": f'<meta charset="utf-8"><p style="font-size:40px">{text}</p>'.encode(),
            "md": f"# {text}\n".encode(),
            "txt": f"{text}\n".encode(),
        }[kind]
        made = convert(file, kind, "png" if kind == "svg" else "pdf")
        page = see.image(made) if kind == "svg" else see.pages(made, 150)[0]
        return (
            page.convert("L")
            .crop((0, 0, page.width, min(page.height, page.height // 2 or 1) if kind != "svg" else page.height))
            .tobytes()
        )

    some = drawn(words)
    assert min(some) < 128
    assert some != drawn(words[::-1] if len(words) > 1 else "☐")


def test_letters_that_nobody_can_draw(json_body: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no font has a letter, the order is refused before the invoice, and the sentence says which it is."""
    monkeypatch.setattr(typefaces, "faces", lambda: tuple(typefaces.Face(path) for path in sorted(FONTS.glob("*.ttf"))))
    for file, source in (
        (b"\xe7\x81\xaf", "txt"),
        (b"&#28783;", "html"),
        (b"{\\rtf1 \\u28783?}", "rtf"),
        (svg("<text>\u706f</text>"), "svg"),
    ):
        with pytest.raises(Refusal) as caught:
            Order.from_json(json_body(file, source, "pdf"))
        assert (caught.value.status, caught.value.code) == (422, "no-font")
        assert "\u706f" in caught.value.title
        assert "Cjk" in caught.value.title
    assert Order.from_json(json_body(b"\xe7\x81\xaf", "txt", "docx")), "a text stays a text without any font"
    assert Order.from_json(json_body("Grüße, Привет, €".encode(), "txt", "pdf"))


def test_fonts_of_the_operator_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A font that an operator puts where systems have them is used."""
    monkeypatch.setattr(typefaces, "_PACKAGES", ())
    monkeypatch.setattr(typefaces, "OPERATORS", (tmp_path,))
    typefaces.faces.cache_clear()
    try:
        assert typefaces.undrawable("\u0645") == {"\u0645"}
        typefaces.faces.cache_clear()
        from importlib.util import find_spec

        spec = find_spec("manimgx_fonts")
        assert spec is not None
        assert spec.submodule_search_locations
        arabic = next(Path(spec.submodule_search_locations[0]).glob("NotoSansArabic*"))
        (tmp_path / "deep").mkdir()
        (tmp_path / "deep" / "Operators.ttf").write_bytes(arabic.read_bytes())
        (tmp_path / "broken.ttf").write_bytes(b"no font")
        assert typefaces.undrawable("\u0645") == set()
    finally:
        typefaces.faces.cache_clear()


# Tables


@pytest.mark.parametrize(
    ("file", "rows"),
    [
        ("a|b\n1|x, y\n", [["a", "b"], [1, "x, y"]]),
        ("a\tb\n1\t'x'\n", [["a", "b"], [1, "'x'"]]),
        ('a,b\n"x\ny",2\n', [["a", "b"], ["x\ny", 2]]),
        ("﻿a;b\n1;2\n", [["a", "b"], [1, 2]]),
        ("just one column\nof text\n", [["just one column"], ["of text"]]),
        ('"a;b";"c"\n"d;e";"f"\n', [["a;b", "c"], ["d;e", "f"]]),
        ("sep=|\na|b,c\n", [["a", "b,c"]]),
        ('"sep=\t"\na\tb\n', [["a", "b"]]),
        ("name;price\nrope;1.234,50\n", [["name", "price"], ["rope", "1.234,50"]]),
        ("a,b\n-0,1.50\n+5,.5\n", [["a", "b"], ["-0", 1.5], ["+5", ".5"]]),
        ("a,b\r\n1,2\r\n", [["a", "b"], [1, 2]]),
        ("id,text\n1,it's\n2,don't; stop\n", [["id", "text"], [1, "it's"], [2, "don't; stop"]]),
        (
            "v\n123456789012345\n1234567890123456\n0.1234567890123456\n",
            [["v"], [123456789012345], ["1234567890123456"], ["0.1234567890123456"]],
        ),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_csv_dialects(file: str, rows: list[list[Any]], encoding: str, convert: Convert) -> None:
    """Delimiters are told apart by where they stand, numbers lose no digit, and Excel's own encoding is read."""
    content = file.removeprefix("\ufeff").encode(encoding) if encoding == "utf-16" else file.encode()
    assert see.sheet_rows(convert(content, "csv", "xlsx")) == rows


def workbook(fill: Callable[[Any], None]) -> bytes:
    """A workbook that openpyxl writes."""
    book = openpyxl.Workbook()
    fill(book)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


@pytest.mark.parametrize(
    ("value", "code", "text"),
    [
        (datetime.timedelta(hours=30, minutes=5), "[h]:mm", "30:05:00"),
        (-0.5, "[h]:mm:ss", "-12:00:00"),
        (1.5, "[mm]:ss", "36:00:00"),
        (datetime.datetime(2024, 2, 29, 13, 5), "yyyy-mm-dd hh:mm", "2024-02-29 13:05:00"),
        (datetime.date(1900, 1, 1), 'dd/mm/yyyy "day"', "1900-01-01"),
        (datetime.time(7, 30), "hh:mm", "07:30:00"),
        (0.1 + 0.2, "General", "0.3"),
        (12.5, '0.0 "days"', "12.5"),
        (1e15, "0", "1000000000000000"),
        (True, "General", "TRUE"),
        ("#DIV/0!", "General", "#DIV/0!"),
    ],
)
@pytest.mark.parametrize("through", ["", "ods", "xlsx"])
def test_values_of_cells(value: Any, code: str, text: str, through: str, convert: Convert) -> None:
    """Durations beyond a day, dates, times and numbers come out as they are shown, also by way of another format."""

    def fill(book: Any) -> None:
        book.active["A1"] = value
        book.active["A1"].number_format = code

    file, source = workbook(fill), "xlsx"
    if through == "ods":
        file, source = convert(file, "xlsx", "ods"), "ods"
    elif through == "xlsx":
        file = convert(convert(file, "xlsx", "ods"), "ods", "xlsx")
    assert see.csv_rows(convert(file, source, "csv")) == [[text]]


def test_several_sheets(tmp_path: Path, json_body: Callable[..., bytes], convert: Convert) -> None:
    """A text format gets the first sheet with cells and says so; hidden sheets stay hidden; XLSX and ODS get all."""

    def fill(book: Any) -> None:
        book.active.title = "Empty"
        for name, state in (("Secret", "hidden"), ("One", "visible"), ("Two", "visible")):
            sheet = book.create_sheet(name)
            sheet.append([name])
            sheet.sheet_state = state

    file = workbook(fill)
    converted = Sandbox(folder=tmp_path).convert_blocking(Order.from_json(json_body(file, "xlsx", "csv")))
    assert see.csv_rows(converted.content) == [["One"]]
    assert any("first sheet" in note for note in converted.notes)
    made = openpyxl.load_workbook(io.BytesIO(convert(convert(file, "xlsx", "ods"), "ods", "xlsx")))
    assert made.sheetnames == ["One", "Two"]


# Texts


@pytest.mark.parametrize(
    ("page", "charset", "words"),
    [
        ("cp1250", 238, "Příliš žluťoučký"),
        ("cp1251", 204, "Причал"),
        ("cp1253", 161, "Καλημέρα"),
        ("cp1254", 162, "İstanbul ğüş"),
        ("cp1255", 177, "שלום"),
        ("cp1256", 178, "مرحبا"),
        ("cp1257", 186, "Šiauliai ąčę"),
        ("cp874", 222, "ไทย"),
        ("cp932", 128, "表示ソフト"),
        ("cp936", 134, "港口时间"),
        ("cp949", 129, "한국어"),
        ("cp950", 136, "港口時間"),
    ],
)
@pytest.mark.parametrize("by", ["page", "charset"])
def test_rtf_code_pages(page: str, charset: int, words: str, by: str, convert: Convert) -> None:
    """Escaped letters are read by the document's code page and by the font's character set."""
    escaped = "".join(f"\\'{byte:02x}" for byte in words.encode("gbk" if page == "cp936" else page))
    number = page.removeprefix("cp") if by == "page" else "1252"
    font = f"\\fcharset{charset if by == 'charset' else 0}"
    font = font if by == "charset" else ""
    head = f"\\rtf1\\ansi\\ansicpg{number}\\deff0{{\\fonttbl{{\\f0\\fnil{font} Some;}}}}"
    file = f"{{{head}\\f0 {escaped} end\\par}}".encode()
    assert convert(file, "rtf", "txt").decode().strip() == f"{words} end"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (r"\uc2 \u916\'44\'45 end", "Δ end"),
        (r"\uc0\u8364  5", "€ 5"),
        (r"{\uc2\u916 ab}\u916?c", "ΔΔc"),
        (r"\u-10179?\u-8704? face", "😀 face"),
        (r"a\u8212- b", "a— b"),
    ],
)
def test_rtf_escapes(body: str, words: str, convert: Convert) -> None:
    r"""`\uc` says how much is skipped, pairs are joined, and what follows is kept."""
    assert convert(f"{{\\rtf1\\ansi {body}\\par}}".encode(), "rtf", "txt").decode().strip() == words


@pytest.mark.parametrize(
    ("given", "wanted", "unwanted"),
    [
        ("~~gone~~", "<del>gone</del>", "~~"),
        ("- [x] done\n- [ ] open", 'checkbox" checked', "[x]"),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "<td>2</td>", "|"),
        ("see https://example.org/a_b_c now", 'href="https://example.org/a_b_c"', "<em>"),
        ("costs $5 and $6", "costs $5 and $6", "math"),
        ("H~2~O and x^2^", "x^2^", "<sup>"),
        ("text\n1. one\n2. two", "<li>one", "1. one"),
        ("> [!WARNING]\n> Hot", "Hot", "[!WARNING]"),
        ("`$HOME`", "<code>$HOME</code>", "math"),
        (":tada: :nosuch:", "🎉", ":tada:"),
        ("note[^1]\n\n[^1]: said", "said", "[^1]"),
    ],
)
def test_markdown_as_on_github(given: str, wanted: str, unwanted: str, convert: Convert) -> None:
    """Markdown means what it means to most of those who write it."""
    page = convert(f"{given}\n".encode(), "md", "html").decode()
    body = page[page.index("<body>") :]
    assert wanted in body
    assert unwanted not in body


@pytest.mark.parametrize(
    "hidden",
    [
        "<p hidden>SECRET</p>",
        '<p style="display: none">SECRET</p>',
        '<p class="a b">SECRET</p>',
        '<div id="i"><p>SECRET</p></div>',
        '<input type="hidden" value="SECRET">',
        "<template>SECRET</template>",
        "<!-- SECRET -->",
        "<script>SECRET</script>",
    ],
)
@pytest.mark.parametrize("target", ["pdf", "txt", "docx", "md"])
def test_what_a_page_hides(hidden: str, target: str, convert: Convert) -> None:
    """What a reader of the page does not see is in no target."""
    sheet = "@media print{x{}} .b{display:none !important} #i{visibility:hidden}"
    page = f"<style>{sheet}</style><p>Shown</p>{hidden}"
    made = convert(page.encode(), "html", target)
    said = (
        see.pdf_text(made)
        if target == "pdf"
        else see.member(made, "word/document.xml")
        if target == "docx"
        else made.decode()
    )
    assert "Shown" in said
    assert "SECRET" not in said


@pytest.mark.parametrize("declared", ["windows-1252", "iso-8859-1", "windows-1251", "koi8-r"])
def test_pages_in_other_encodings(declared: str, convert: Convert) -> None:
    """An HTML page is read in the encoding that it declares."""
    words = "Привет" if declared in ("windows-1251", "koi8-r") else "Grüße"
    page = f'<meta http-equiv="Content-Type" content="text/html; charset={declared}"><p>{words}</p>'.encode(declared)
    assert words in convert(page, "html", "txt").decode()


# Pictures


def tagged(mode: str, colour: Any, dots: tuple[float, float], kind: str) -> bytes:
    """A picture that says its resolution."""
    file = io.BytesIO()
    Image.new(mode, (300, 600), colour).save(file, kind, dpi=dots)
    return file.getvalue()


@pytest.mark.parametrize(
    ("kind", "dots", "points"),
    [
        ("PNG", (300, 300), (72, 144)),
        ("JPEG", (150, 150), (144, 288)),
        ("TIFF", (300, 150), (72, 288)),
        ("BMP", (100, 100), (216, 432)),
        ("PNG", (0, 0), (300, 600)),
    ],
)
def test_page_sizes_of_scans(
    kind: str, dots: tuple[float, float], points: tuple[float, float], convert: Convert
) -> None:
    """A page is as large as its pixels and their resolution make it, along each axis."""
    made = convert(tagged("L", 90, dots, kind), {"JPEG": "jpg"}.get(kind, kind.lower()), "pdf")
    assert see.page_size(made) == pytest.approx(points, abs=1)


def test_resolution_in_centimetres(convert: Convert) -> None:
    """TIFF may count dots in a centimetre."""
    info = TiffImagePlugin.ImageFileDirectory_v2()
    info[296], info[282], info[283] = 3, TiffImagePlugin.IFDRational(100), TiffImagePlugin.IFDRational(100)
    file = io.BytesIO()
    Image.new("L", (300, 600), 9).save(file, "TIFF", tiffinfo=info)
    assert see.page_size(convert(file.getvalue(), "tiff", "pdf")) == pytest.approx((85, 170), abs=1)


@pytest.mark.parametrize("target", ["gif", "bmp", "webp", "jpg", "pdf"])
def test_a_grey_profile(target: str, convert: Convert) -> None:
    """Greys of another gamma look as their profile says, also where no profile can go along."""
    profile = ImageCms.ImageCmsProfile(io.BytesIO(linear_grey()))
    file = io.BytesIO()
    Image.new("L", (40, 40), 55).save(file, "PNG", icc_profile=profile.tobytes())
    made = convert(file.getvalue(), "png", target)
    picture = see.pages(made)[0] if target == "pdf" else see.image(made)
    assert see.is_near(picture, (20, 20), (128, 128, 128), 8)


def linear_grey() -> bytes:
    """A grey profile with a gamma of 1 (ICC.1, 8.4.3)."""
    curve = b"curv" + bytes(4) + (0).to_bytes(4, "big")
    white = b"XYZ " + bytes(4) + b"".join(value.to_bytes(4, "big") for value in (0xF6D6, 0x10000, 0xD32D))
    name = b"desc" + bytes(4) + (5).to_bytes(4, "big") + b"grey\0" + bytes(78)
    copyright_ = b"text" + bytes(4) + b"none\0\0\0\0"
    name += bytes(-len(name) % 4)
    tags, at, table = [(b"kTRC", curve), (b"wtpt", white), (b"desc", name), (b"cprt", copyright_)], 128 + 4 + 48, b""
    for key, value in tags:
        table += key + at.to_bytes(4, "big") + len(value).to_bytes(4, "big")
        at += len(value)
    body = len(tags).to_bytes(4, "big") + table + b"".join(value for _, value in tags)
    head = (128 + len(body)).to_bytes(4, "big") + b"none\x02\x40\0\0mntrGRAYXYZ " + bytes(12) + b"acsp"
    head += bytes(68 - len(head)) + b"\0\0\xf6\xd6\0\x01\0\0\0\0\xd3\x2d"
    return head + bytes(128 - len(head)) + body


def test_deep_greys_stay_deep(convert: Convert) -> None:
    """Sixteen bits of grey survive where both formats hold them."""
    file = io.BytesIO()
    Image.frombytes("I;16", (64, 64), bytes(range(256)) * 32).save(file, "PNG")
    assert see.image(convert(file.getvalue(), "png", "tiff")).tobytes() == bytes(range(256)) * 32


def test_an_animation_whose_first_picture_is_no_frame(convert: Convert) -> None:
    """The picture that an animated PNG shows to old programs is no frame."""
    file = io.BytesIO()
    first, *rest = (Image.new("RGB", (8, 8), colour) for colour in ("white", "red", "blue"))
    first.save(file, "PNG", save_all=True, append_images=rest, default_image=True, duration=[200, 300])
    made = list(see.frames(convert(file.getvalue(), "png", "webp")))
    assert len(made) == 2
    assert made[0].convert("RGB").getpixel((4, 4))[0] > 200  # type: ignore[index]


# Sound and film


def encoded(*options: str) -> bytes:
    """A tone of 440 Hz, or a film with it, in one of ffmpeg's formats."""
    command = [get_ffmpeg_exe(), "-loglevel", "error", "-f", "lavfi", "-i", "sine=frequency=440:duration=0.6"]
    return subprocess.run([*command, *options, "pipe:"], stdout=subprocess.PIPE, check=True).stdout


@pytest.mark.parametrize(
    ("options", "source"),
    [
        (("-c:a", "adpcm_ms", "-f", "wav"), "wav"),
        (("-c:a", "pcm_f64le", "-f", "wav"), "wav"),
        (("-c:a", "pcm_mulaw", "-f", "wav"), "wav"),
        (("-ar", "8000", "-c:a", "g726", "-b:a", "32k", "-f", "wav"), "wav"),
        (("-c:a", "dca", "-strict", "-2", "-ac", "2", "-f", "matroska"), "mkv"),
        (("-c:a", "truehd", "-strict", "-2", "-ac", "2", "-f", "matroska"), "mkv"),
        (("-c:a", "wavpack", "-f", "matroska"), "mkv"),
        (("-c:a", "alac", "-f", "matroska"), "mkv"),
        (("-c:a", "wmav2", "-f", "asf"), "wma"),
        (("-c:a", "eac3", "-f", "matroska"), "mkv"),
        (("-c:a", "libopus", "-f", "webm"), "weba"),
        (("-c:a", "aac", "-f", "adts"), "aac"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[value.index("-c:a") + 1],
)
def test_codecs_are_read(options: tuple[str, ...], source: str, convert: Convert) -> None:
    """What recorders and players write is read."""
    assert see.hertz(convert(encoded(*options), source, "mp3")) == pytest.approx(440, rel=0.03)


@pytest.mark.parametrize("layout", ["5.1(side)", "quad(side)", "2.1", "3.1", "4.0", "5.0(side)", "7.0", "7.1(wide)"])
@pytest.mark.parametrize("target", ["opus", "m4a", "flac", "ogg"])
def test_channel_layouts(layout: str, target: str, convert: Convert) -> None:
    """Layouts that an encoder does not take become the next one that it does."""
    file = encoded("-af", f"aformat=channel_layouts={layout}", "-c:a", "pcm_s16le", "-f", "matroska")
    assert see.hertz(convert(file, "mkv", target)) == pytest.approx(440, rel=0.03)


def test_an_audio_book_and_what_it_cannot_hold(tmp_path: Path, json_body: Callable[..., bytes]) -> None:
    """An alias is the format that it stands for, and what is left out is said."""
    cover = tmp_path / "cover.png"
    Image.new("RGB", (64, 64), (208, 112, 16)).save(cover)
    made = tmp_path / "book.m4a"
    command = [get_ffmpeg_exe(), "-loglevel", "error", "-f", "lavfi", "-i", "sine=duration=0.5", "-i", cover]
    subprocess.run(
        [*command, "-map", "0", "-map", "1", "-c:v", "copy", "-disposition:v", "attached_pic", made], check=True
    )
    sandbox = Sandbox(folder=tmp_path)
    for target, left_out in (("mp3", 0), ("ogg", 1)):
        converted = sandbox.convert_blocking(Order.from_json(json_body(made.read_bytes(), ".M4B", target)))
        assert len(converted.notes) == left_out


# Data


@pytest.mark.parametrize(
    ("file", "source", "target", "wanted"),
    [
        (
            '{"a": null, "b": [1, 2.5, "x"], "c": {"d": true}}',
            "json",
            "yaml",
            "a: null\nb:\n- 1\n- 2.5\n- x\nc:\n  d: true\n",
        ),
        ("a: no\nb: 012\nc: 2024-01-05\nd: ~\n", "yaml", "json", '{"a":"no","b":10,"c":"2024-01-05","d":null}'),
        (
            "x = 1979-05-27T07:32:00Z\n[t]\ny = [1, 2]\n",
            "toml",
            "json",
            '{"x":"1979-05-27T07:32:00+00:00","t":{"y":[1,2]}}',
        ),
        ("<r a='1'><i>x</i><i>y</i></r>", "xml", "json", '{"r":{"@a":"1","i":["x","y"]}}'),
        ("id,v\n007,2.10\n1,3\n", "csv", "json", '[{"id":"007","v":"2.10"},{"id":"1","v":"3"}]'),
        ("id,v\n1,2.5\n2,\n", "csv", "json", '[{"id":1,"v":2.5},{"id":2,"v":null}]'),
        ('[{"a": 1, "b": {"c": "=x"}}, {"a": 2}]', "json", "csv", "a,b.c\r\n1,=x\r\n2,\r\n"),
    ],
)
def test_data(file: str, source: str, target: str, wanted: str, convert: Convert) -> None:
    """Values keep their kinds where the target has them, and are texts where a number would change them."""
    made = convert(file.encode(), source, target).decode()
    if target == "json":
        assert json.loads(made) == json.loads(wanted)
    else:
        assert made == wanted


@pytest.mark.parametrize("target", ["pdf", "xlsx", "ods"])
def test_sheets_to_pages(target: str, convert: Convert) -> None:
    """A table becomes a page, a workbook and an OpenDocument spreadsheet with its words."""
    made = convert(b"berth,ship\nA1,Luna\n", "csv", target)
    if target == "pdf":
        assert "Luna" in see.pdf_text(made)
    else:
        with zipfile.ZipFile(io.BytesIO(made)) as archive:
            assert any(b"Luna" in archive.read(name) for name in archive.namelist())


COLUMNS = [
    (
        "Left column begins here and\nruns over some lines of text\nuntil it has come to its end.",
        "Right column has other words\nthat belong together as well\nand must not be torn apart.",
    ),
    ("10 ropes\n12 nets\n9 posts", "4.50\n1.75\n9.20"),
]


@pytest.mark.parametrize(("columns", "across"), [(COLUMNS[0], False), (COLUMNS[1], True)], ids=["prose", "table"])
def test_columns_of_a_pdf(columns: tuple[str, str], across: bool, convert: Convert) -> None:
    """Prose is read column by column under a heading across, a table of short cells row by row."""
    cells = "".join(
        f'<text x="{x}" y="{60 + 14 * row}" font-size="10">{line}</text>'
        for x, column in zip((10, 220), columns, strict=True)
        for row, line in enumerate(column.split("\n"))
    )
    heading = '<text x="10" y="20" font-size="14">A heading that runs across both of them, wide as the page</text>'
    page = convert(svg(heading + cells, 'width="420" height="200"'), "svg", "pdf")
    said = " ".join(convert(page, "pdf", "txt").decode().split())
    left, right = (column.split("\n") for column in columns)
    order = [line for pair in zip(left, right, strict=True) for line in pair] if across else [*left, *right]
    places = [said.find(line) for line in order]
    assert -1 not in places
    assert places == sorted(places)
    assert said.startswith("A heading that runs across")


def test_a_large_table(convert: Convert) -> None:
    """A table near the largest size that is taken becomes a workbook with every row."""
    rows = 60_000
    file = b"id,text,number,day\n" + b"".join(b"%d,text here,2.5,2024-01-01\n" % number for number in range(rows))
    made = convert(file, "csv", "xlsx")
    book = openpyxl.load_workbook(io.BytesIO(made), read_only=True)
    assert sum(1 for _ in book.worksheets[0].iter_rows()) == rows + 1


@pytest.mark.parametrize(
    ("html_", "words"),
    [
        ('<div xmlns="http://www.w3.org/1999/xhtml"><p>One</p><p>Two</p></div>', 2),
        ('<p xmlns="http://www.w3.org/1999/xhtml" style="color:#c00;text-align:center">Red</p>', 1),
    ],
)
def test_html_in_a_drawing(html_: str, words: int, convert: Convert) -> None:
    """HTML inside a drawing is written line by line, in its colour."""
    picture = see.image(
        convert(svg(f'<foreignObject x="10" y="5" width="300" height="50">{html_}</foreignObject>'), "svg", "png")
    )
    if words == 1:
        assert see.near(picture, (204, 0, 0), 60) > 60
    else:
        assert see.dark(picture, (0, 0, 420, 24)) > 40
        assert see.dark(picture, (0, 26, 420, 60)) > 40
