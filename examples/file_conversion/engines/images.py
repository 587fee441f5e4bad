"""Raster images, to each other and to PDF, with Pillow."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image, ImageCms, ImageOps, ImageSequence

from file_conversion.engines import Unconvertible

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
    "gif": {},
    "bmp": {},
    "tiff": {"compression": "tiff_adobe_deflate"},
    "avif": {"quality": 80, "speed": 8},
    "ico": {},
    "pdf": {"quality": 90},
}
_ANIMATED = {"gif", "webp", "avif"}
_PAGED = {"tiff", "pdf"}
_WITHOUT_ALPHA = {"jpg", "bmp", "pdf"}
_LONGEST = {"webp": 16_383, "jpg": 65_500, "gif": 65_535, "avif": 65_536}
_ICON = 256

MAX_PIXELS = 50_000_000
MAX_PIXELS_OF_ALL_FRAMES = 200_000_000

Image.MAX_IMAGE_PIXELS = None  # its own limit only errors at twice its value; `_within_limits` is ours


def convert(given: Path, source: str, made: Path, target: str) -> None:
    """All frames where both formats have them (animations, pages), otherwise the first one."""
    with Image.open(given, formats=[_FORMATS[source]]) as image:
        frames = _frames(image, source, target)
        first = next(frames)
        options = dict(_SAVING[target])
        if profile := first.info.get("icc_profile"):
            options["icc_profile"] = profile
        if getattr(image, "n_frames", 1) > 1 and _keeps_frames(source, target):
            options |= {"save_all": True, "append_images": frames}
            if target in _ANIMATED:
                options |= {"duration": _durations(image), "loop": image.info.get("loop", 1)}
        if target == "ico":
            options["sizes"] = [first.size]
        first.save(made, _FORMATS[target], **options)


def _keeps_frames(source: str, target: str) -> bool:
    return {source, target} <= _ANIMATED or {source, target} <= _PAGED


def _frames(image: Image.Image, source: str, target: str) -> Iterator[Image.Image]:
    pixels = 0
    for frame in ImageSequence.Iterator(image):
        pixels += frame.width * frame.height
        if frame.width * frame.height > MAX_PIXELS or pixels > MAX_PIXELS_OF_ALL_FRAMES:
            raise Unconvertible("too-many-pixels")
        if max(frame.size) > _LONGEST.get(target, 10**9):
            raise Unconvertible("too-wide")
        yield _ready(frame, target)


def _durations(image: Image.Image) -> list[int]:
    """Milliseconds that each frame stays; Pillow tells only once it has decoded the frame."""
    durations = []
    for frame in ImageSequence.Iterator(image):
        frame.load()
        durations.append(int(frame.info.get("duration") or 100))
    image.seek(0)
    return durations


def _ready(frame: Image.Image, target: str) -> Image.Image:
    """The frame upright, in colours and in a size that the target can hold."""
    profile = frame.info.get("icc_profile")
    upright = ImageOps.exif_transpose(frame)
    colours = _rgb(upright, profile)
    if target in _WITHOUT_ALPHA and colours.mode == "RGBA":
        white = Image.new("RGB", colours.size, "white")
        white.paste(colours, mask=colours.getchannel("A"))
        colours = white
    if target == "ico":
        colours.thumbnail((_ICON, _ICON))
    colours.info = {"icc_profile": profile} if profile and profile[16:20] == b"RGB " else {}
    return colours


def _rgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """L, RGB or RGBA. Plain `convert` would clip deep greys to white and ignore a CMYK profile."""
    if image.mode in ("L", "RGB", "RGBA"):
        return image.convert("RGBA") if "transparency" in image.info else image
    if image.mode == "CMYK" and profile:
        return _from_cmyk(image, profile)
    if image.mode.startswith(("I", "F")):
        return _from_deep_grey(image)
    has_alpha = "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info
    return image.convert("RGBA" if has_alpha else "L" if image.mode == "1" else "RGB")


def _from_cmyk(image: Image.Image, profile: bytes) -> Image.Image:
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        made = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except ImageCms.PyCMSError:
        made = None
    return made or image.convert("RGB")


def _from_deep_grey(image: Image.Image) -> Image.Image:
    deep = image.convert("F")
    low, high = deep.getextrema()
    assert isinstance(low, float)
    assert isinstance(high, float)
    if image.mode.startswith("I;16") or (image.mode == "I" and low >= 0 and high <= 65_535):
        low, high = 0.0, 65_535.0  # whole 16-bit range, so that dark stays dark
    scale = 255 / (high - low) if high > low else 0.0
    return deep.point(lambda value: value * scale - low * scale).convert("L")
