"""Raster images, to each other and to PDF, with Pillow."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from PIL import Image, ImageSequence

from file_conversion.engines import Notes, Unconvertible
from file_conversion.engines.colours import Colours, on_white

_FORMATS = {
    "png": "PNG",
    "jpg": "JPEG",
    "webp": "WEBP",
    "gif": "GIF",
    "bmp": "BMP",
    "tiff": "TIFF",
    "avif": "AVIF",
    "ico": "ICO",
    "pdf": "PDF",
}
_SAVING: dict[str, dict[str, Any]] = {
    "png": {},
    "jpg": {"quality": 90},
    "webp": {"quality": 90},
    "gif": {"disposal": 2},  # otherwise a frame shows through the clear parts of the next one
    "bmp": {},
    "tiff": {"compression": "tiff_adobe_deflate"},
    "avif": {"quality": 80, "speed": 8},
    "ico": {},
    "pdf": {"quality": 90},
}
_ANIMATED = {"gif", "webp", "avif", "png"}
_PAGED = {"tiff", "pdf"}
_LOSSLESS = {"png", "gif", "bmp", "tiff", "ico"}
_WITHOUT_ALPHA = {"jpg", "bmp", "pdf"}
_WITH_PROFILE = {"png", "jpg", "webp", "tiff", "avif"}
_WITH_RESOLUTION = {"png", "jpg", "tiff", "bmp"}
_WITH_EXIF = {"png", "jpg", "webp", "tiff", "avif"}
_LONGEST = {"webp": 16_383, "jpg": 65_500, "gif": 65_535, "avif": 65_536}
_ICON_SIDES = (16, 24, 32, 48, 64, 128, 256)
_REDUCED = 254
"""TIFF's NewSubfileType: bit 0 marks a smaller copy of another page."""
_TOLD = (0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298)
"""Exif's description, maker, model, program, date, artist and copyright."""
_ORIENTATION, _EXIF_PART, _PLACE_PART = 0x0112, 0x8769, 0x8825
_PLAUSIBLE_DOTS = (10, 10_000)

MAX_PIXELS = 50_000_000
MAX_PIXELS_OF_ALL_FRAMES = 200_000_000
MAX_PAGES_IN_ONE_IMAGE = 20
_LOSSLESS_TRIED = 8_000_000
"""Pixels up to which a lossless WebP takes a second or two."""

Image.MAX_IMAGE_PIXELS = None  # its own limit only errors at twice its value; `_frames` has ours


def convert(given: Path, source: str, made: Path, target: str) -> Notes:
    """All frames where the target has them; pages below each other where it has none."""
    with Image.open(given, formats=[_FORMATS[source]]) as image:
        colours = Colours(given, image.format or "")
        several = getattr(image, "n_frames", 1) > 1
        frames = _frames(image, colours, source, target)
        first = next(frames)
        notes = colours.notes(target)
        options = dict(_SAVING[target]) | _kept(image, first, source, target)
        if target not in _WITH_EXIF and _about(image, source):
            notes.append("metadata-left-out")
        if target == "pdf":
            _pages(chain([first], frames), made)
        elif target == "ico":
            _icon(first, made)
        elif several and {source, target} <= _PAGED:
            first.save(made, _FORMATS[target], save_all=True, append_images=frames, **options)
        elif several and source == "tiff":
            _write(_stacked(first, frames), made, source, target, options)
        elif several and target in _ANIMATED - {"png"}:
            timing = {"duration": _durations(given, source), "loop": image.info.get("loop", 1)}
            first.save(made, _FORMATS[target], save_all=True, append_images=frames, **options, **timing)
        else:
            if several and source in _ANIMATED:
                notes.append("first-frame-only")
            _write(first, made, source, target, options)
    return notes


def _frames(image: Image.Image, colours: Colours, source: str, target: str) -> Iterator[Image.Image]:
    """The frames or pages, each ready for the target."""
    pixels = 0
    for number, frame in enumerate(ImageSequence.Iterator(image)):
        if source == "png" and number == 0 and image.info.get("default_image") and target in _ANIMATED - {"png"}:
            continue  # what programs show that know no animation
        if source == "tiff" and number and frame.tag_v2.get(_REDUCED, 0) & 1:  # type: ignore[attr-defined]
            continue
        pixels += frame.width * frame.height
        if frame.width * frame.height > MAX_PIXELS or pixels > MAX_PIXELS_OF_ALL_FRAMES:
            raise Unconvertible("too-many-pixels")
        if max(frame.size) > _LONGEST.get(target, 10**9):
            raise Unconvertible("too-wide")
        dots = frame.info.get("dpi")
        ready = colours.ready(frame, deep=target in ("png", "tiff"), profile=target in _WITH_PROFILE)
        if target in _WITHOUT_ALPHA:
            ready = on_white(ready)
        if dots:
            ready.info["dpi"] = dots
        yield ready


def _kept(image: Image.Image, first: Image.Image, source: str, target: str) -> dict[str, Any]:
    """What is known about the picture and what the target can hold of it."""
    kept: dict[str, Any] = {}
    if (profile := first.info.get("icc_profile")) and target in _WITH_PROFILE:
        kept["icc_profile"] = profile
    if (dots := _dots(first)) and target in _WITH_RESOLUTION:
        kept["dpi"] = dots
    if target in _WITH_EXIF and (about := _about(image, source)):
        kept["exif"] = about
    return kept


def _dots(image: Image.Image) -> tuple[float, float] | None:
    """Dots per inch, across and down, where the file says so and means it."""
    said = image.info.get("dpi")
    try:
        across, down = (float(value) for value in said) if said else (0.0, 0.0)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    least, most = _PLAUSIBLE_DOTS
    return (across, down) if least <= across <= most and least <= down <= most else None


def _about(image: Image.Image, source: str) -> Image.Exif | None:
    """Exif that still holds: not the orientation, which is applied, and no thumbnail."""
    given, kept = image.getexif(), Image.Exif()
    for tag in _TOLD:
        if tag in given:
            kept[tag] = given[tag]
    if source != "tiff":
        for part in (_EXIF_PART, _PLACE_PART):
            if inner := given.get_ifd(part):
                kept.get_ifd(part).update(inner)
    return kept if any(True for _ in kept) else None


def _durations(given: Path, source: str) -> list[int]:
    """Milliseconds that each frame stays; Pillow tells only once it has decoded the frame."""
    durations = []
    with Image.open(given, formats=[_FORMATS[source]]) as image:
        for number, frame in enumerate(ImageSequence.Iterator(image)):
            frame.load()
            if not (number == 0 and image.info.get("default_image")):
                durations.append(round(frame.info.get("duration") or 100))
    return durations


def _write(image: Image.Image, made: Path, source: str, target: str, options: dict[str, Any]) -> None:
    image.save(made, _FORMATS[target], **options)
    if target == "webp" and source in _LOSSLESS and image.width * image.height <= _LOSSLESS_TRIED:
        exact = made.with_name("exact.webp")  # for drawings and screenshots, whose edges suffer and whose files grow
        image.save(exact, "WEBP", lossless=True, quality=70, **{k: v for k, v in options.items() if k != "quality"})
        if exact.stat().st_size <= max(made.stat().st_size, 2_000):
            exact.replace(made)


def _stacked(first: Image.Image, rest: Iterator[Image.Image]) -> Image.Image:
    """Pages below each other, for a format that has one."""
    pages = [first, *rest]
    if len(pages) > MAX_PAGES_IN_ONE_IMAGE:
        raise Unconvertible("too-many-pages")
    if len(pages) == 1:
        return first
    size = max(page.width for page in pages), sum(page.height for page in pages)
    if size[0] * size[1] > MAX_PIXELS:
        raise Unconvertible("too-many-pixels")
    mode = "RGBA" if any(page.mode == "RGBA" for page in pages) else "RGB"
    sheet = Image.new(mode, size, (255,) * len(mode))
    top = 0
    for page in pages:
        sheet.paste(page.convert(mode), (0, top))
        top += page.height
    return sheet


def _pages(pages: Iterator[Image.Image], made: Path) -> None:
    """Each page in the size that its own resolution gives it."""
    for number, page in enumerate(pages):
        dots = _dots(page) or (72.0, 72.0)
        quality = {} if page.mode == "1" else {"quality": 90}  # black and white stays that, packed like a fax
        page.save(made, "PDF", dpi=dots, append=bool(number), **quality)


def _icon(image: Image.Image, made: Path) -> None:
    """Squares, as systems want them, with the picture in the middle."""
    side = max(image.size)
    square = Image.new("RGBA", (side, side))
    square.paste(image.convert("RGBA"), ((side - image.width) // 2, (side - image.height) // 2))
    sides = {size for size in _ICON_SIDES if size <= max(side, 48)} | ({side} if side <= _ICON_SIDES[-1] else set())
    copies = [square.resize((size, size), Image.Resampling.LANCZOS) for size in sorted(sides)]
    copies[-1].save(made, "ICO", sizes=[copy.size for copy in copies], append_images=copies[:-1])
