"""Documents, to each other with pandoc and to PDF with pandoc and Typst."""

import json
import subprocess
from pathlib import Path

import typst

from file_conversion.engines import FONTS, Unconvertible, bundled_program

_READERS = {
    "docx": "docx",
    "odt": "odt",
    "rtf": "rtf",
    "html": "html",
    "epub": "epub",
    "md": "markdown",
    "rst": "rst",
    "txt": "json",
    "pptx": "pptx",
}
_WRITERS = {
    "docx": "docx",
    "odt": "odt",
    "rtf": "rtf",
    "html": "html",
    "epub": "epub",
    "md": "markdown",
    "rst": "rst",
    "txt": "plain",
    "tex": "latex",
}
_SAFE = Path(__file__).with_name("safe.lua")
_HEAP = "-M700m"


def convert(given: Path, source: str, made: Path, target: str) -> None:
    """Text, structure, tables, equations and the pictures that came along; not the look of the original."""
    if source == "txt":
        given = _paragraphs(given)
    if target != "pdf":
        title = ["--metadata=pagetitle:Document"] if target in ("html", "epub") else []  # both require one
        _pandoc(given, _READERS[source], made, _WRITERS[target], "--embed-resources", *title)
        return
    written = made.with_suffix(".typ")
    _pandoc(given, _READERS[source], written, "typst", f"--lua-filter={_SAFE}", "--extract-media=media")
    typst.compile(written, made, root=made.parent, font_paths=[FONTS], ignore_system_fonts=True)


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


def _paragraphs(given: Path) -> Path:
    """Plain text as pandoc's own JSON, line by line: as Markdown, its stars and hashes would disappear."""
    text = given.read_text(encoding="utf-8-sig")
    blocks = [
        {"t": "LineBlock", "c": [_words(line) for line in paragraph.splitlines()]}
        for paragraph in text.split("\n\n")
        if paragraph.strip()
    ]
    made = given.with_suffix(".json")
    made.write_text(json.dumps({"pandoc-api-version": [1, 23], "meta": {}, "blocks": blocks}))
    return made


def _words(line: str) -> list[dict[str, str]]:
    inlines = []
    for word in line.split():
        inlines += [{"t": "Str", "c": word}, {"t": "Space"}]
    return inlines[:-1]
