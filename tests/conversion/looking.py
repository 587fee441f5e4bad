"""How tests look at results: pixels, words, tables and tracks, with software that had little part in making them."""

import cmath
import csv
import io
import itertools
import re
import struct
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import openpyxl
import pypdfium2
from imageio_ffmpeg import get_ffmpeg_exe
from PIL import Image

Colour = tuple[int, ...]


def image(made: bytes, frame: int = 0) -> Image.Image:
    """One frame of a picture, decoded."""
    opened = Image.open(io.BytesIO(made))
    opened.seek(frame)
    opened.load()
    return opened


def pages(made: bytes, dpi: float = 72) -> list[Image.Image]:
    """The pages of a PDF, drawn."""
    document = pypdfium2.PdfDocument(made)
    return [page.render(scale=dpi / 72).to_pil().convert("RGB") for page in document]


def page_size(made: bytes, number: int = 0) -> tuple[float, float]:
    """Points, across and down."""
    width, height = pypdfium2.PdfDocument(made)[number].get_size()
    return float(width), float(height)


def pdf_text(made: bytes) -> str:
    """All text of a PDF, blanks folded."""
    document = pypdfium2.PdfDocument(made)
    text = " ".join(page.get_textpage().get_text_range() for page in document)
    return " ".join(text.replace("\ufffe", "-").split())


def word_box(made: bytes, word: str, dpi: float = 72) -> tuple[int, int, int, int]:
    """Where a word stands on the first page, in pixels of that page drawn at `dpi`."""
    page = pypdfium2.PdfDocument(made)[0]
    text = page.get_textpage()
    found = text.search(word)
    first, count = found.get_next()
    boxes = [text.get_charbox(at) for at in range(first, first + count)]
    height = page.get_height()
    left, right = min(box[0] for box in boxes), max(box[2] for box in boxes)
    bottom, top = min(box[1] for box in boxes), max(box[3] for box in boxes)
    scale = dpi / 72
    return int(left * scale), int((height - top) * scale), int(right * scale), int((height - bottom) * scale)


def dark(picture: Image.Image, box: tuple[int, int, int, int] | None = None) -> int:
    """Pixels with a luminance below 128, on white."""
    white = Image.new("RGBA", picture.size, "white")
    white.alpha_composite(picture.convert("RGBA"))
    grey = white.convert("L")
    if box:
        grey = grey.crop(box)
    return sum(grey.histogram()[:128])


def near(picture: Image.Image, colour: Colour, within: int = 40) -> int:
    """Pixels near a colour."""
    counted = picture.convert("RGB").getcolors(picture.width * picture.height)
    assert counted is not None
    return sum(number for number, found in counted if _within(found, colour, within))


def is_near(picture: Image.Image, at: tuple[int, int], colour: Colour, within: int) -> bool:
    """Whether one pixel has a colour."""
    return _within(picture.convert("RGB").getpixel(at), colour, within)


def _within(found: Any, colour: Colour, most: int) -> bool:
    return all(abs(one - other) <= most for one, other in zip(found, colour, strict=True))


def width_of_ink(picture: Image.Image, box: tuple[int, int, int, int]) -> int:
    """How far what is dark reaches, from its left end to its right one."""
    ink = picture.convert("L").crop(box).point(lambda value: 255 if value < 128 else 0).getbbox()
    return ink[2] - ink[0] if ink else 0


def sheet_rows(made: bytes) -> list[list[Any]]:
    """The values of an XLSX's first sheet."""
    sheet = openpyxl.load_workbook(io.BytesIO(made)).active
    assert sheet is not None
    return [[cell.value for cell in row] for row in sheet.iter_rows()]


def csv_rows(made: bytes) -> list[list[str]]:
    """The rows of a CSV."""
    return list(csv.reader(io.StringIO(made.decode(), newline="")))


def member(made: bytes, pattern: str) -> str:
    """The first member of an archive whose name matches."""
    with zipfile.ZipFile(io.BytesIO(made)) as archive:
        name = next(name for name in archive.namelist() if re.fullmatch(pattern, name))
        return archive.read(name).decode()


def _ffmpeg(made: bytes, *options: str, log: str = "error") -> subprocess.CompletedProcess[bytes]:
    # MP4 has to be seekable: its index may stand at the end.
    with tempfile.NamedTemporaryFile() as file:
        file.write(made)
        file.flush()
        command = [get_ffmpeg_exe(), "-hide_banner", "-loglevel", log, "-i", file.name, *options]
        return subprocess.run(command, capture_output=True, check=False)


def tracks(made: bytes) -> str:
    """What ffmpeg tells about a sound or film."""
    return _ffmpeg(made, log="info").stderr.decode()


def hertz(made: bytes) -> float:
    """The pitch of a tone, by how often its wave rises through zero."""
    raw = _ffmpeg(made, "-map", "0:a:0", "-ac", "1", "-ar", "16000", "-f", "s16le", "-").stdout
    samples = struct.unpack(f"<{len(raw) // 2}h", raw)
    middle = samples[len(samples) // 4 : len(samples) * 3 // 4]
    rises = [at for at, (one, other) in enumerate(itertools.pairwise(middle)) if one < 0 <= other]
    return (len(rises) - 1) / (rises[-1] - rises[0]) * 16_000


def holds_pitch(made: bytes, frequency: int) -> bool:
    """Whether a frequency is in the first sound: far stronger there than 50 Hz beside it."""
    raw = _ffmpeg(made, "-map", "0:a:0", "-ac", "1", "-ar", "4000", "-f", "s16le", "-").stdout
    samples = struct.unpack(f"<{len(raw) // 2}h", raw)[400:2400]

    def strength(pitch: int) -> float:
        turn = cmath.exp(-2j * cmath.pi * pitch / 4000)
        return float(abs(sum(sample * turn**at for at, sample in enumerate(samples))))

    return strength(frequency) > 5 * max(strength(frequency - 50), strength(frequency + 50))


def first_picture(made: bytes, *filters: str) -> Image.Image:
    """The first picture of a film."""
    raw = _ffmpeg(made, *filters, "-frames:v", "1", "-c:v", "png", "-f", "image2pipe", "-").stdout
    return image(raw)


def subtitle_text(made: bytes) -> str:
    """The first subtitles of a film as SRT."""
    return _ffmpeg(made, "-map", "0:s:0", "-f", "srt", "-").stdout.decode()


def cover(made: bytes) -> Image.Image:
    """The picture that belongs to a sound."""
    return image(_ffmpeg(made, "-map", "0:v", "-c:v", "png", "-frames:v", "1", "-f", "image2pipe", "-").stdout)


Check = Callable[[bytes], None]


def frames(made: bytes) -> Iterator[Image.Image]:
    """The frames of an animation."""
    opened = Image.open(io.BytesIO(made))
    for number in range(getattr(opened, "n_frames", 1)):
        opened.seek(number)
        opened.load()
        yield opened.copy()
