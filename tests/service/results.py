"""Whether a result is what was paid for, as judged by software that had no part in making it where there is any."""

import subprocess
from io import BytesIO

import pypdfium2
import pytest
from imageio_ffmpeg import get_ffmpeg_exe
from PIL import Image


def check_pdf(file: bytes) -> None:
    """A PDF with the text of word-made.docx."""
    document = pypdfium2.PdfDocument(file)
    text = " ".join(page.get_textpage().get_text_range() for page in document)
    document.close()
    folded = " ".join(text.replace("\ufffe", "-").split())  # pdfium's sign for a hyphen at a line's end
    assert "AutoGen: Enabling Next-Gen LLM Applications via Multi-Agent Conversation" in folded


def check_webp(file: bytes) -> None:
    """A WebP of 96 by 64 pixels, whole."""
    with Image.open(BytesIO(file), formats=["WEBP"]) as image:
        image.load()
        assert image.size == (96, 64)


def check_mp3(file: bytes) -> None:
    """An mp3 of about two seconds; an encoder adds some hundredths."""
    samples = subprocess.run(
        [get_ffmpeg_exe(), "-loglevel", "error", "-f", "mp3", "-i", "-", "-f", "s16le", "-ac", "1", "-ar", "8000", "-"],
        input=file,
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    assert len(samples) / 2 / 8000 == pytest.approx(2, abs=0.1)
