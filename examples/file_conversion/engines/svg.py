"""SVG to PNG and JPEG with resvg, to PDF with Typst, which has the same drawing code."""

from io import BytesIO
from pathlib import Path

from PIL import Image
from resvg_py import svg_to_bytes

from file_conversion.engines import Notes, Unconvertible, typefaces
from file_conversion.engines.drawings import Drawing

DOTS_PER_INCH = 96  # of CSS: so many px are an inch
MAX_PIXELS = 50_000_000


def convert(given: Path, source: str, made: Path, target: str) -> Notes:
    """The drawing at its own size; text in the fonts of this machine, references to other files left out."""
    drawing = Drawing.read(given.read_bytes())
    if target == "pdf":
        _pdf(drawing, made)
    else:
        pixels = draw(drawing)
        if target == "jpg":
            on_white(pixels).save(made, "JPEG", quality=90)
        else:
            made.write_bytes(pixels)
    return drawing.notes


def draw(drawing: Drawing) -> bytes:
    """The drawing as a PNG."""
    return svg_to_bytes(
        svg_string=drawing.text,
        skip_system_fonts=True,
        dpi=DOTS_PER_INCH,
        font_dirs=[str(folder) for folder in typefaces.folders()],
        font_family=typefaces.SANS,
        sans_serif_family=typefaces.SANS,
        serif_family=typefaces.SERIF,
        monospace_family=typefaces.MONO,
    )


def on_white(png: bytes) -> Image.Image:
    """A PNG without its transparency."""
    with Image.open(BytesIO(png), formats=["PNG"]) as image:
        if image.width * image.height > MAX_PIXELS:
            raise Unconvertible("too-many-pixels")
        clear = image.convert("RGBA")
    white = Image.new("RGB", clear.size, "white")
    white.paste(clear, mask=clear.getchannel("A"))
    return white


def _pdf(drawing: Drawing, made: Path) -> None:
    import typst  # noqa: PLC0415 - large, and most jobs draw pixels

    made.with_name("drawing.svg").write_text(drawing.text, encoding="utf-8")
    width, height = drawing.size_in_points
    page = made.with_name("page.typ")
    page.write_text(
        f"#set page(width: {width:.3f}pt, height: {height:.3f}pt, margin: 0pt)\n"
        f'#image("drawing.svg", width: {width:.3f}pt, height: {height:.3f}pt, fit: "stretch")\n'
    )
    typst.compile(page, made, root=made.parent, font_paths=typefaces.folders(), ignore_system_fonts=True)
