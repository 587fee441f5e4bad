"""HEIC, what phones take pictures in: decoded with ffmpeg, the rest is that of any picture."""

from pathlib import Path

from file_conversion.engines import Notes, ffmpeg, images


def convert(given: Path, source: str, made: Path, target: str) -> Notes:
    """The main picture, upright."""
    decoded = made.with_name("decoded.png")
    ffmpeg.run(
        given, "mov", ["-frames:v", "1", "-update", "1", "-c:v", "png", "-f", "image2"], decoded, codecs="hevc,png"
    )
    if target == "png":
        decoded.replace(made)
        return None
    return images.convert(decoded, "png", made, target)
