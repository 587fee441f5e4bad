"""Documents, to each other with pandoc and to PDF with pandoc and Typst."""

import base64
import json
import subprocess
import time
import uuid
import zipfile
from pathlib import Path

from file_conversion.engines import (
    Notes,
    Unconvertible,
    bundled_program,
    rtf,
    slides,
    text_parts,
    typefaces,
    word_parts,
)
from file_conversion.engines.html import Page
from file_conversion.engines.plain import as_pandoc_json

_READERS = {
    "docx": "docx",
    "docm": "docx",
    "odt": "odt",
    "rtf": "rtf",
    "html": "html",
    "epub": "epub",
    "md": "gfm+alerts+emoji+yaml_metadata_block+tex_math_gfm-tex_math_dollars",
    "rst": "rst",
    "txt": "json",
    "pptx": "html",
}
_WRITERS = {
    "docx": "docx",
    "odt": "odt",
    "rtf": "rtf",
    "html": "html",
    "epub": "epub",
    "md": "gfm",
    "rst": "rst",
    "txt": "plain",
    "tex": "latex",
}
_HERE = Path(__file__).parent
_HEAP = "-M700m"
_MEDIA = "l402-media"
_TITLE_BLOCK = "\n  block(below: 1em, width: 100%)["
_IMAGE_TYPES = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".gif": "gif", ".webp": "webp", ".svg": "svg+xml"}


def convert(given: Path, source: str, made: Path, target: str) -> Notes:
    """Text, structure, tables, equations and the pictures that came along; not the look of the original."""
    pages = text_parts.Pages.of(given) if source == "odt" and target == "pdf" else None
    given = _prepared(given, source, target)
    if target == "pdf":
        return _pdf(given, _READERS[source], made, pages)
    options = ["--wrap=none", f"--lua-filter={_HERE / 'titled.lua'}", "--embed-resources"]
    if target == "epub":
        # The confined pandoc has neither a clock nor chance.
        options += [f"--metadata=identifier:urn:uuid:{uuid.uuid4()}", f"--metadata=date:{time.strftime('%Y-%m-%d')}"]
    if target in ("md", "rst", "txt", "tex"):
        options += [f"--extract-media={_MEDIA}"]
    if target == "md":
        options += [f"--lua-filter={_HERE / 'unattributed.lua'}"]
    _pandoc(given, _READERS[source], made, _WRITERS[target], *options)
    if target == "epub":
        _date(made)
    elif target in ("md", "rst"):
        _embed_pictures(made)
    elif target in ("txt", "tex") and (made.parent / _MEDIA).is_dir():
        return ["pictures-left-out"]
    return None


def _prepared(given: Path, source: str, target: str) -> Path:
    """The file as pandoc can read all of it."""
    match source:
        case "txt":
            ready = given.with_suffix(".json")
            ready.write_text(json.dumps(as_pandoc_json(given.read_text(encoding="utf-8"))))
        case "rtf":
            ready = given.with_name("plain.rtf")
            ready.write_text(rtf.plain(given.read_bytes()), encoding="utf-8")
        case "html":
            page = Page(given.read_text(encoding="utf-8"))
            page.settle()
            ready = given.with_name("settled.html")
            ready.write_text(page.html(), encoding="utf-8")
        case "pptx":
            ready = given.with_name("slides.html")
            ready.write_text(slides.page(given), encoding="utf-8")
        case "docx" | "docm":
            ready = given.with_name("headed.docx")
            word_parts.rewrite(given, ready, headers_in_body=True)
        case "odt" if target != "pdf":
            ready = given.with_name("headed.odt")
            text_parts.with_headers(given, ready)
        case _:
            ready = given
    return ready


def _pdf(given: Path, reader: str, made: Path, pages: text_parts.Pages | None) -> Notes:
    import typst  # noqa: PLC0415 - large, and most jobs need none

    written = made.with_suffix(".typ")
    _pandoc(given, reader, written, "typst", f"--lua-filter={_HERE / 'safe.lua'}", "--extract-media=media")
    text = written.read_text(encoding="utf-8")
    for character, alike in typefaces.ALIKE.items():
        if typefaces.face_for(character) is None:
            text = text.replace(character, alike)
    written.write_text(_page_set_up(text, pages) if pages else text, encoding="utf-8")
    typst.compile(written, made, root=made.parent, font_paths=typefaces.folders(), ignore_system_fonts=True)
    return None


def _page_set_up(text: str, pages: text_parts.Pages) -> str:
    """The Typst code with the document's own page; its header and footer are strings there, and so no code."""
    settings = [f"margin: {pages.margin:.2f}pt"]
    if pages.width and pages.height:
        settings += [f"width: {pages.width:.2f}pt", f"height: {pages.height:.2f}pt"]
    for kind, content in (("header", pages.header), ("footer", pages.footer)):
        if lines := [line for line in text_parts.plain(content) if line]:
            settings.append(f"{kind}: text({json.dumps(chr(10).join(lines), ensure_ascii=False)})")
    rule = f"set page({', '.join(settings)})"
    if _TITLE_BLOCK in text:  # in the template's function, after its own rule and before it begins the page
        return text.replace(_TITLE_BLOCK, f"\n  {rule}{_TITLE_BLOCK}", 1)
    return f"#{rule}\n{text}"


def _pandoc(given: Path, reader: str, made: Path, writer: str, *options: str) -> None:
    run = subprocess.run(  # noqa: S603 - nothing in the command comes from the customer
        [
            bundled_program("pypandoc", "files/pandoc*"),
            *("+RTS", _HEAP, "-RTS"),
            "--sandbox",  # without it, documents name files of this machine to be put into the output
            *("--standalone", *options),
            *(f"--from={reader}", f"--to={writer}", f"--output={made.name}", given.name),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        cwd=made.parent,
        check=False,
    )
    if run.returncode == 251:  # the heap limit of GHC's runtime system
        raise Unconvertible("too-much-memory")
    if run.returncode or not made.exists():
        raise Unconvertible(said=run.stderr)


def _date(made: Path) -> None:
    """Say when the book was made: pandoc, confined, says 1970."""
    dated = made.with_name("dated.epub")
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()).encode()
    with zipfile.ZipFile(made) as book, zipfile.ZipFile(dated, "w") as fresh:
        for entry in book.infolist():
            content = book.read(entry)
            if entry.filename.endswith(".opf"):
                content = content.replace(b"1970-01-01T00:00:00Z", now)
            fresh.writestr(entry.filename, content, entry.compress_type)
    dated.replace(made)


def _embed_pictures(made: Path) -> None:
    """Put the pictures that pandoc wrote beside the text into it, since the text alone is delivered."""
    text = made.read_text(encoding="utf-8")
    for picture in sorted((made.parent / _MEDIA).rglob("*"), key=lambda path: -len(str(path))):
        if kind := _IMAGE_TYPES.get(picture.suffix.lower()):
            content = base64.b64encode(picture.read_bytes()).decode()
            text = text.replace(str(picture.relative_to(made.parent)), f"data:image/{kind};base64,{content}")
    made.write_text(text, encoding="utf-8")
