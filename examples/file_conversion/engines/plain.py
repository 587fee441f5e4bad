"""Plain text as pandoc's own JSON: as Markdown, its stars and hashes would disappear."""

import re
from typing import Any

_LAID_OUT = re.compile(r"^[ \t]+\S|\S(?:  +|\t)\S", re.MULTILINE)


def as_pandoc_json(text: str) -> dict[str, Any]:
    """Line by line; paragraphs whose blanks are more than one between words keep them, in letters of one width."""
    blocks: list[dict[str, Any]] = []
    paragraphs = [paragraph for paragraph in re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n")) if paragraph.strip()]
    for paragraph in paragraphs:
        if _LAID_OUT.search(paragraph):
            lines = [line.expandtabs(8).rstrip() for line in paragraph.strip("\n").split("\n")]
            if blocks and blocks[-1]["t"] == "CodeBlock":
                blocks[-1]["c"][1] += "\n\n" + "\n".join(lines)
            else:
                blocks.append({"t": "CodeBlock", "c": [["", [], []], "\n".join(lines)]})
        else:
            blocks.append({"t": "LineBlock", "c": [_words(line) for line in paragraph.splitlines()]})
    return {"pandoc-api-version": [1, 23], "meta": {}, "blocks": blocks}


def _words(line: str) -> list[dict[str, str]]:
    inlines = []
    for word in line.split():
        inlines += [{"t": "Str", "c": word}, {"t": "Space"}]
    return inlines[:-1]
