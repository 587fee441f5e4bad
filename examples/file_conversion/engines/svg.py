"""SVG to PNG with resvg."""

from pathlib import Path
from xml.etree import ElementTree

from resvg_py import svg_to_bytes

from file_conversion.engines import FONTS, Unconvertible

_SVG = "http://www.w3.org/2000/svg"
_XLINK = "http://www.w3.org/1999/xlink"
_EMBEDDED = tuple(f"data:image/{kind};" for kind in ("png", "jpeg", "jpg", "gif", "webp"))


def convert(given: Path, source: str, made: Path, target: str) -> None:
    """The drawing at its own size; text in the fonts of this application, references to other files left out."""
    drawing = _self_contained(given)
    made.write_bytes(
        svg_to_bytes(
            svg_string=drawing,
            skip_system_fonts=True,
            font_dirs=[str(FONTS)],
            font_family="Liberation Sans",
            sans_serif_family="Liberation Sans",
            serif_family="Liberation Serif",
            monospace_family="Liberation Mono",
        )
    )


def _self_contained(given: Path) -> str:
    """The drawing without references to files, which resvg would open. Written anew, so without a DTD's entities."""
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    try:
        root = ElementTree.parse(given).getroot()  # noqa: S314 - expat bounds what entities grow to, the sandbox the rest
    except ElementTree.ParseError:
        raise Unconvertible from None
    if root.tag != f"{{{_SVG}}}svg":
        raise Unconvertible
    for element in root.iter():
        for name in ("href", f"{{{_XLINK}}}href"):
            reference = element.get(name, "").strip()
            if reference and not reference.startswith(("#", *_EMBEDDED)):
                del element.attrib[name]
    return ElementTree.tostring(root, encoding="unicode")
