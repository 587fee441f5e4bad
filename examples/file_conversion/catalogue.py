"""What is sold: the pairs of formats, the engine behind each pair, its limits, and its price in sats.

Every pair in here is run by the test suite. A format is known by one extension; `ALIASES` folds the others into it.
"""

from dataclasses import dataclass
from typing import Any

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
    runs_programs: bool = False
    """Whether the engine starts a program of its own; every other job may not."""

    def price(self, size: int) -> int:
        """What converting `size` bytes costs, in whole sats: each begun MiB counts."""
        return self.base_sats + self.sats_per_mib * -(-size // MIB)


IMAGES = Engine("images", base_sats=4, sats_per_mib=1, seconds=30, memory_mib=1536)
HEIC = Engine("heic", base_sats=5, sats_per_mib=1, seconds=30, memory_mib=2048, runs_programs=True)
SVG = Engine("svg", base_sats=4, sats_per_mib=1, seconds=15, memory_mib=1024)
SHEETS = Engine("sheets", base_sats=6, sats_per_mib=2, seconds=60, memory_mib=1024)
PDF = Engine("pdf", base_sats=8, sats_per_mib=2, seconds=30, memory_mib=1024)
DOCUMENTS = Engine("documents", base_sats=15, sats_per_mib=2, seconds=60, memory_mib=2048, runs_programs=True)
OFFICE = Engine("office", base_sats=19, sats_per_mib=2, seconds=60, memory_mib=3072)
PAGES = Engine("pages", base_sats=15, sats_per_mib=2, seconds=60, memory_mib=2048)
WORD = Engine("word", base_sats=19, sats_per_mib=2, seconds=60, memory_mib=2048, runs_programs=True)
AUDIO = Engine("media", base_sats=15, sats_per_mib=3, seconds=60, memory_mib=2048, runs_programs=True)
VIDEO = Engine("media", base_sats=40, sats_per_mib=10, seconds=120, memory_mib=3072, runs_programs=True)

RASTER = ("png", "jpg", "webp", "gif", "bmp", "tiff", "avif", "ico")
SOUND = ("mp3", "wav", "ogg", "flac", "m4a", "opus", "weba", "aac", "aiff", "wma")
MOVIE = ("mp4", "mov", "mkv", "webm", "avi", "wmv", "flv", "3gp", "ts")
TABLE = ("csv", "tsv", "xlsx", "xlsm", "ods", "xls", "xlsb")
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
}

MEDIA_TYPES = {
    "3gp": "video/3gpp",
    "aac": "audio/aac",
    "aiff": "audio/aiff",
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
    "tex": "application/x-tex; charset=utf-8",
    "tiff": "image/tiff",
    "ts": "video/mp2t",
    "txt": "text/plain; charset=utf-8",
    "wav": "audio/wav",
    "weba": "audio/webm",
    "webm": "video/webm",
    "webp": "image/webp",
    "ods": "application/vnd.oasis.opendocument.spreadsheet",
    "tsv": "text/tab-separated-values; charset=utf-8",
    "wma": "audio/x-ms-wma",
    "wmv": "video/x-ms-wmv",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


def _pairs(engine: Engine, sources: tuple[str, ...], targets: tuple[str, ...]) -> dict[tuple[str, str], Engine]:
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
    **_pairs(OFFICE, ("pptx", "xlsx", "xlsm"), ("pdf",)),
    **_pairs(PAGES, ("html",), ("pdf",)),
    **_pairs(WORD, ("docx", "docm"), ("pdf",)),
    **_pairs(PDF, ("pdf",), ("png", "jpg", "txt")),
    **_pairs(SHEETS, TABLE, ("csv", "tsv", "xlsx", "ods")),
}
"""(source, target) -> engine. A later line overrides an earlier one: docx to pdf has an engine of its own."""


def canonical(extension: str) -> str:
    """The one name of a format: `.JPEG` and `jpeg` are `jpg`. Unknown extensions come back in lower case."""
    plain = extension.strip().removeprefix(".").lower()
    return ALIASES.get(plain, plain)


def description() -> dict[str, Any]:
    """What `GET` answers, ready for JSON: limits, aliases, and for each source what it becomes at which price."""
    offers: dict[str, dict[str, dict[str, int]]] = {}
    for (source, target), engine in sorted(PAIRS.items()):
        offers.setdefault(source, {})[target] = {
            "base_sats": engine.base_sats,
            "sats_per_mib": engine.sats_per_mib,
        }
    return {
        "max_file_bytes": MAX_FILE_BYTES,
        "price": "base_sats + sats_per_mib for each begun MiB of the file",
        "aliases": ALIASES,
        "conversions": offers,
    }
