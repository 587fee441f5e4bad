"""Subtitles: SRT, WebVTT and ASS, among each other and to plain text."""

from pathlib import Path

import pysubs2

from file_conversion.engines import Notes, Unconvertible


def convert(given: Path, source: str, made: Path, target: str) -> Notes:
    """Every line with its times; to `txt`, the words alone, in their order."""
    try:
        lines = pysubs2.SSAFile.from_string(given.read_text(encoding="utf-8"), format_=source)
    except (pysubs2.exceptions.Pysubs2Error, ValueError, IndexError):
        raise Unconvertible from None
    spoken = [line for line in lines if not line.is_comment]
    if not spoken:
        raise Unconvertible("empty-result")
    if target == "txt":
        made.write_text("\n".join(line.plaintext for line in sorted(spoken)) + "\n", encoding="utf-8")
        return None
    lines.save(str(made), encoding="utf-8", format_=target)
    return ["styles-left-out"] if source == "ass" else None
