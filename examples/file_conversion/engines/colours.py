"""A picture's pixels in colours that targets can hold: profiles, deep greys, CMYK, and transparency of all kinds."""

from io import BytesIO
from pathlib import Path

from PIL import Image, ImageChops, ImageCms, ImageOps

_GREY, _RED_GREEN_BLUE = b"GRAY", b"RGB "
_DEEP = 16


class Colours:
    """How the colours of one file are to be read."""

    def __init__(self, given: Path, kind: str) -> None:
        with open(given, "rb") as file:
            head = file.read(32)
        self._deep_png = kind == "PNG" and len(head) > 24 and head[24] == _DEEP
        self._deep = self._deep_png
        self._reduced = False

    def notes(self, target: str) -> list[str]:
        """What has been lost of the first frame."""
        return ["eight-bits"] if self._reduced else []

    def ready(self, frame: Image.Image, *, deep: bool, profile: bool) -> Image.Image:
        """The frame upright, as 1, L, I;16, RGB or RGBA; in sRGB, unless its profile can go along.

        I;16 only where `deep` says that the target holds it.
        """
        icc = frame.info.get("icc_profile") or b""
        upright = ImageOps.exif_transpose(frame)
        if "transparency" in frame.info:
            upright.info["transparency"] = frame.info["transparency"]
        made = self._plain(upright, icc, deep)
        kept = b""
        if icc and upright.mode != "CMYK":
            if profile and icc[16:20] == _RED_GREEN_BLUE:
                kept = icc
                made = made.convert("RGB") if made.mode in ("1", "L", "I;16") else made
            else:
                made = _as_srgb(made, icc)
        made.info = {"icc_profile": kept} if kept else {}
        return made

    def _plain(self, image: Image.Image, icc: bytes, deep: bool) -> Image.Image:  # noqa: PLR0911 - one for each kind
        clear = image.info.get("transparency")
        if image.mode.startswith("I;16") or (self._deep_png and image.mode == "I"):
            if clear is not None:
                self._reduced = True
                return _with_clear(_eight_bits(image), image.convert("I").point(lambda value: value), clear)
            if deep and not icc and image.mode == "I;16":
                return image
            self._reduced = True
            return _eight_bits(image)
        if self._deep_png:
            self._reduced = True
            if isinstance(clear, tuple):  # Pillow keeps the upper eight of the sixteen bits, but not of these
                image.info["transparency"] = tuple(value >> 8 for value in clear)
        if image.mode in ("1", "L", "RGB", "RGBA"):
            if "transparency" in image.info:
                return image.convert("RGBA")
            return image
        if image.mode == "CMYK" and icc:
            return _from_cmyk(image, icc)
        if image.mode.startswith(("I", "F")):
            self._reduced = True
            return _eight_bits(image)
        has_alpha = "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info
        return image.convert("RGBA" if has_alpha else "RGB")


def on_white(image: Image.Image) -> Image.Image:
    """Without transparency."""
    if image.mode != "RGBA":
        return image
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    white.info = dict(image.info)
    return white


def _as_srgb(image: Image.Image, icc: bytes) -> Image.Image:
    """The colours that the profile means; as they are where it is broken or for others than these."""
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    space = icc[16:20]
    given = image.convert("L" if space == _GREY else "RGB")
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(icc))
        made = ImageCms.profileToProfile(given, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image
    if made is None:
        return image
    if space == _GREY and alpha is None:
        made = made.convert("L")
    if alpha is not None:
        made.putalpha(alpha)
    return made


def _from_cmyk(image: Image.Image, icc: bytes) -> Image.Image:
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(icc))
        made = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        made = None
    return made or image.convert("RGB")


def _with_clear(grey: Image.Image, deep: Image.Image, clear: int | tuple[int, ...] | bytes) -> Image.Image:
    """The grey picture with one of its sixteen-bit values clear."""
    value = clear[0] if isinstance(clear, tuple) else clear if isinstance(clear, int) else 0
    upper = deep.point(lambda pixel: pixel - (value - 1)).convert("L")  # clipped: 1 at the value, 0 below, more above
    same = upper.point([255 if step == 1 else 0 for step in range(256)])
    made = grey.convert("RGBA")
    made.putalpha(ImageChops.invert(same))
    return made


def _eight_bits(image: Image.Image) -> Image.Image:
    """Deep greys without clipping them to white."""
    deep = image.convert("F")
    low, high = deep.getextrema()
    assert isinstance(low, float)
    assert isinstance(high, float)
    if image.mode.startswith("I;16") or (image.mode == "I" and low >= 0 and high <= 65_535):
        low, high = 0.0, 65_535.0  # the whole 16-bit range, so that dark stays dark
    scale = 255 / (high - low) if high > low else 0.0
    return deep.point(lambda value: value * scale - low * scale).convert("L")
