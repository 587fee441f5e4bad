"""What is sold: the pairs of formats, the engine behind each pair, its limits, and its price in sats.

Every pair in here is run by the test suite. A format is known by one extension; `ALIASES` folds the others into it.
"""

import re
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from l402_middleware import Refusal

MIB = 1024 * 1024
MAX_FILE_BYTES = 10 * MIB
MAX_BODY_BYTES = MAX_FILE_BYTES * 4 // 3 * 80 // 76 + 64 * 1024
"""The largest JSON body worth reading: a file of `MAX_FILE_BYTES` in base64, with an escaped line break after each 76
characters, and room for the other members."""


@dataclass(frozen=True, slots=True)
class Engine:
    """One family of conversions: `name` is its module in `engines`, the rest is what a job costs and may use."""

    name: str
    base_sats: int
    sats_per_mib: int
    seconds: int
    """Wall-clock time after which a job is killed."""
    memory_mib: int
    """Address space of each process of a job."""
    needs: tuple[str, ...] = ()
    """The packages that do the work; without them its pairs are not on offer."""
    scratch_mib: int = 0
    """The largest file that a job may write on its way, where that is more than a result may be."""
    runs_programs: bool = False
    """Whether the engine starts a program of its own; every other job may not."""

    @property
    def is_installed(self) -> bool:
        """Whether all that it needs is here."""
        return all(find_spec(package) for package in self.needs)

    def price(self, size: int) -> int:
        """What converting `size` bytes costs, in whole sats: each begun MiB counts."""
        return self.base_sats + self.sats_per_mib * -(-size // MIB)


IMAGES = Engine("images", 4, 1, seconds=30, memory_mib=1536, needs=("PIL",))
HEIC = Engine("heic", 5, 1, seconds=30, memory_mib=2048, needs=("PIL", "imageio_ffmpeg"), runs_programs=True)
SVG = Engine("svg", 4, 1, seconds=15, memory_mib=1024, needs=("resvg_py", "cssselect2", "typst"))
DATA = Engine("data", 3, 1, seconds=30, memory_mib=1024, needs=("yaml", "tomli_w", "xmltodict"))
SUBTITLES = Engine("subtitles", 3, 1, seconds=15, memory_mib=512, needs=("pysubs2",))
SHEETS = Engine("sheets", 6, 2, seconds=90, memory_mib=1024, needs=("xlsxwriter", "python_calamine"), scratch_mib=512)
PDF = Engine("pdf", 8, 2, seconds=30, memory_mib=1024, needs=("pypdfium2",))
DOCUMENTS = Engine("documents", 15, 2, seconds=60, memory_mib=2048, needs=("pypandoc", "typst"), runs_programs=True)
OFFICE = Engine("office", 19, 2, seconds=60, memory_mib=3072, needs=("office2pdf",), scratch_mib=512)
PAGES = Engine("pages", 15, 2, seconds=60, memory_mib=2048, needs=("ironpress", "justhtml"))
WORD = Engine("word", 19, 2, seconds=60, memory_mib=3072, needs=("dxpdf", "office2pdf", "pypandoc"), runs_programs=True)
AUDIO = Engine("media", 15, 3, seconds=60, memory_mib=2048, needs=("imageio_ffmpeg",), runs_programs=True)
VIDEO = Engine("media", 40, 10, seconds=120, memory_mib=3072, needs=("imageio_ffmpeg",), runs_programs=True)

RASTER = ("png", "jpg", "webp", "gif", "bmp", "tiff", "avif", "ico")
SOUND = ("mp3", "wav", "ogg", "flac", "m4a", "opus", "weba", "aac", "aiff", "wma")
MOVIE = ("mp4", "mov", "mkv", "webm", "avi", "wmv", "flv", "3gp", "ts")
TABLE = ("csv", "tsv", "xlsx", "xlsm", "ods", "xls")
RECORDS = ("json", "yaml", "toml", "xml", "csv")
TEXT = ("docx", "odt", "rtf", "html", "epub", "md", "rst", "txt")

ALIASES = {
    "jpeg": "jpg",
    "tif": "tiff",
    "htm": "html",
    "markdown": "md",
    "text": "txt",
    "oga": "ogg",
    "m4v": "mp4",
    "m4b": "m4a",
    "heif": "heic",
    "aif": "aiff",
    "mpeg": "mpg",
    "yml": "yaml",
    "ssa": "ass",
}

MEDIA_TYPES = {
    "3gp": "video/3gpp",
    "aac": "audio/aac",
    "aiff": "audio/aiff",
    "ass": "text/x-ssa; charset=utf-8",
    "avi": "video/x-msvideo",
    "avif": "image/avif",
    "bmp": "image/bmp",
    "csv": "text/csv; charset=utf-8",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "epub": "application/epub+zip",
    "flac": "audio/flac",
    "flv": "video/x-flv",
    "gif": "image/gif",
    "html": "text/html; charset=utf-8",
    "ico": "image/vnd.microsoft.icon",
    "json": "application/json",
    "jpg": "image/jpeg",
    "m4a": "audio/mp4",
    "md": "text/markdown; charset=utf-8",
    "mkv": "video/matroska",
    "mov": "video/quicktime",
    "mp3": "audio/mpeg",
    "mp4": "video/mp4",
    "odt": "application/vnd.oasis.opendocument.text",
    "ogg": "audio/ogg",
    "opus": "audio/ogg",
    "pdf": "application/pdf",
    "png": "image/png",
    "rst": "text/x-rst; charset=utf-8",
    "rtf": "application/rtf",
    "srt": "application/x-subrip; charset=utf-8",
    "tex": "application/x-tex; charset=utf-8",
    "tiff": "image/tiff",
    "toml": "application/toml",
    "ts": "video/mp2t",
    "txt": "text/plain; charset=utf-8",
    "vtt": "text/vtt; charset=utf-8",
    "wav": "audio/wav",
    "weba": "audio/webm",
    "webm": "video/webm",
    "webp": "image/webp",
    "ods": "application/vnd.oasis.opendocument.spreadsheet",
    "tsv": "text/tab-separated-values; charset=utf-8",
    "wma": "audio/x-ms-wma",
    "wmv": "video/x-ms-wmv",
    "xml": "application/xml",
    "yaml": "application/yaml",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


def _pairs(engine: Engine, sources: tuple[str, ...], targets: tuple[str, ...]) -> dict[tuple[str, str], Engine]:
    if not engine.is_installed:
        return {}
    return {(source, target): engine for source in sources for target in targets if source != target}


PAIRS: dict[tuple[str, str], Engine] = {
    **_pairs(IMAGES, RASTER, (*RASTER, "pdf")),
    **_pairs(SVG, ("svg",), ("png", "jpg", "pdf")),
    **_pairs(HEIC, ("heic",), (*RASTER, "pdf")),
    **_pairs(VIDEO, (*MOVIE, "mpg"), (*MOVIE, "gif", "webp")),
    **_pairs(VIDEO, ("gif", "webp"), ("mp4", "webm", "mov", "mkv")),
    **_pairs(AUDIO, (*MOVIE, "mpg", *SOUND, "amr"), SOUND),
    **_pairs(DOCUMENTS, TEXT, (*TEXT, "tex", "pdf")),
    **_pairs(DOCUMENTS, ("docm",), (*TEXT, "tex")),
    **_pairs(DOCUMENTS, ("pptx",), (*TEXT, "tex")),
    **_pairs(OFFICE, ("pptx", "xlsx", "xlsm", "ods", "csv", "xls"), ("pdf",)),
    **_pairs(PAGES, ("html",), ("pdf",)),
    **_pairs(WORD, ("docx", "docm"), ("pdf",)),
    **_pairs(PDF, ("pdf",), ("png", "jpg", "txt")),
    **_pairs(DATA, RECORDS, RECORDS),
    **_pairs(SUBTITLES, ("srt", "vtt", "ass"), ("srt", "vtt", "ass", "txt")),
    **_pairs(SHEETS, TABLE, ("csv", "tsv", "xlsx", "ods")),
}
"""(source, target) -> engine. A later line overrides an earlier one: docx to pdf has an engine of its own."""


def canonical(extension: str) -> str:
    """The one name of a format: `.JPEG` and `jpeg` are `jpg`. Unknown extensions come back in lower case."""
    plain = extension.strip().removeprefix(".").lower()
    return ALIASES.get(plain, plain)


def description() -> dict[str, Any]:
    """What `GET` answers, ready for JSON: limits, aliases, and for each source what it becomes, how, at which price."""
    offers: dict[str, dict[str, dict[str, int | str]]] = {}
    for (source, target), engine in sorted(PAIRS.items()):
        offers.setdefault(source, {})[target] = {
            "base_sats": engine.base_sats,
            "sats_per_mib": engine.sats_per_mib,
            "engine": engine.name,
            "seconds": engine.seconds,
        }
    return {
        "max_file_bytes": MAX_FILE_BYTES,
        "price": "base_sats + sats_per_mib for each begun MiB of the file",
        "seconds": "after so many a conversion ends, and is not charged",
        "aliases": ALIASES,
        "conversions": offers,
    }


def quote(source: str, target: str, size: str) -> dict[str, Any]:
    """What converting `size` bytes would cost, without an invoice. Raises `Refusal` for what is not on offer."""
    if not re.fullmatch("[0-9]{1,12}", size):
        raise Refusal(422, "no-size", 'A quote needs "bytes", the size of the file, as a whole number.')
    if not 0 < int(size) <= MAX_FILE_BYTES:
        raise Refusal(413, "file-too-large", f"The file has to have from 1 byte to {MAX_FILE_BYTES // MIB} MiB.")
    pair = canonical(source), canonical(target)
    engine = engine_for(*pair)
    return {"extensionFrom": pair[0], "extensionTo": pair[1], "bytes": int(size), "sats": engine.price(int(size))}


def engine_for(source: str, target: str) -> Engine:
    """What converts a pair of canonical names. Raises `Refusal` (422) for one that is not on offer."""
    if engine := PAIRS.get((source, target)):
        return engine
    raise Refusal(422, "unknown-pair", "This conversion is not on offer; GET this address to see which ones are.")
