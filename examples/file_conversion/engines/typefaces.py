"""The fonts at hand: ours, those of installed packages, the operator's; which can draw what, and twins of common ones.

The web process asks too, before the sale, whether a text can be drawn at all.
"""

import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache, cached_property
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path

from fontTools.ttLib import TTFont, TTLibError

from file_conversion.engines import FONTS

_PACKAGES = ("manimgx_fonts", "noto_cjk_sans_jp_regular")
"""Noto fonts from PyPI, where they are installed."""
OPERATORS = (Path("/usr/share/fonts"), Path("/usr/local/share/fonts"))
"""Where systems put the fonts that their operators install."""

_NO_FONT = (TTLibError, OSError, KeyError, ValueError, AssertionError)

SANS, SERIF, MONO = "Liberation Sans", "Liberation Serif", "Liberation Mono"
TWINS = {
    **dict.fromkeys(
        (
            *("arial", "helvetica", "helvetica neue", "verdana", "tahoma", "trebuchet ms", "calibri", "aptos"),
            *("segoe ui", "roboto", "open sans", "noto sans", "inter", "lato", "ubuntu", "cantarell", "dejavu sans"),
            *("system-ui", "-apple-system", "blinkmacsystemfont", "ui-sans-serif", "sans-serif", "sans"),
        ),
        SANS,
    ),
    **dict.fromkeys(
        (
            *("times", "times new roman", "georgia", "cambria", "garamond", "palatino", "book antiqua"),
            *("noto serif", "dejavu serif", "ui-serif", "serif"),
        ),
        SERIF,
    ),
    **dict.fromkeys(
        (
            *("courier", "courier new", "consolas", "menlo", "monaco", "sf mono", "lucida console", "andale mono"),
            *(
                "fira code",
                "source code pro",
                "jetbrains mono",
                "dejavu sans mono",
                "ui-monospace",
                "monospace",
                "mono",
            ),
        ),
        MONO,
    ),
}
"""Names of families, in lower case, and which of ours has the same widths or the same look."""
ALIKE = {"\N{BALLOT BOX}": "\N{WHITE SQUARE}", "\N{BALLOT BOX WITH X}": "\N{SQUARED TIMES}"}
"""Signs that few fonts have, and signs of the same shape."""


def folders() -> list[Path]:
    """Where fonts are: ours first, so that they win."""
    specs = [find_spec(package) for package in _PACKAGES]
    packages = [Path(place) for spec in specs if spec for place in spec.submodule_search_locations or ()]
    return [folder for folder in (FONTS, *packages, *OPERATORS) if folder.is_dir()]


class Face:
    """One font file, or the first font of a collection; read when it is first asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def family(self) -> str:
        """The name by which a document can ask for it."""
        with suppress(*_NO_FONT), open(self.path, "rb") as file, TTFont(file, fontNumber=0, lazy=True) as font:
            return font["name"].getDebugName(16) or font["name"].getDebugName(1) or ""
        return ""

    @cached_property
    def characters(self) -> frozenset[int]:
        """What it can draw; nothing, if the file is no font."""
        with suppress(*_NO_FONT), open(self.path, "rb") as file, TTFont(file, fontNumber=0, lazy=True) as font:
            return frozenset(font.getBestCmap() or ())
        return frozenset()


@cache
def faces() -> tuple[Face, ...]:
    """All of them, in the order in which they are tried; a large one, which takes long to read, comes late."""
    found = [
        path for folder in folders() for path in sorted(folder.rglob("*")) if path.suffix in (".ttf", ".otf", ".ttc")
    ]
    ours = [path for path in found if FONTS in path.parents]
    regular = [path for path in ours if path.stem == "LiberationSans-Regular"]
    others = sorted((path for path in found if path not in ours), key=lambda path: path.stat().st_size > 8_000_000)
    return tuple(Face(path) for path in (*regular, *ours, *others))


def face_for(character: str) -> Face | None:
    """The first font that can draw a character."""
    return next((face for face in faces() if ord(character) in face.characters), None)


def undrawable(text: Iterable[str]) -> set[str]:
    """The characters of a text for which there is no glyph anywhere. What is not seen needs none."""
    left = {character for character in set(text) if _seen(character) and character not in ALIKE}
    for face in faces():
        if not left:
            break
        left = {character for character in left if ord(character) not in face.characters}
    return left


def _seen(character: str) -> bool:
    return unicodedata.category(character)[0] not in "CZ" and not "\ufe00" <= character <= "\ufe0f"


def runs(text: str) -> Iterator[tuple[str, str]]:
    """The text in pieces, each with the family that has its letters: empty where the usual ones do."""
    usual = faces()[0].characters
    text = "".join(ALIKE.get(character, character) for character in text)

    def family(character: str) -> str:
        if ord(character) in usual or not _seen(character):
            return ""
        face = face_for(character)
        return face.family if face else ""

    if text.isascii():
        yield text, ""
        return
    for name, piece in groupby(text, family):
        yield "".join(piece), name


def stand_in(families: str) -> str:
    """A CSS list of families with the names that are known here, ending with the one for all others."""
    known = []
    for name in families.split(","):
        plain = name.strip().strip("\"'").strip()
        if twin := TWINS.get(plain.lower(), plain if plain in _families() else ""):
            known.append(f"'{twin}'")
    return ", ".join(dict.fromkeys((*known, f"'{SANS}'")))


@cache
def _families() -> frozenset[str]:
    return frozenset({SANS, SERIF, MONO, *(face.family for face in faces() if face.path.stat().st_size < 8_000_000)})
