"""What a file's bytes give away without decoding it: its type, an image's size, an archive's weight.

Runs in the web process on strangers' bytes, so it reads headers only and leaves the decoders to the sandbox.
"""

import struct

from l402_middleware import Refusal

from . import archives, media, pictures, texts
from .refusing import Check, Mismatch

_NAMES = {"jpg": "JPEG", "tiff": "TIFF", "html": "HTML", "md": "Markdown", "rst": "reStructuredText"}

CHECKS: dict[str, Check] = {**pictures.CHECKS, **archives.CHECKS, **media.CHECKS, **texts.CHECKS}


def inspect(file: bytes, extension: str) -> None:
    """Raise `Refusal` unless `file` starts and weighs like a file of the type `extension` (canonical)."""
    try:
        CHECKS[extension](file)
    except (Mismatch, struct.error, IndexError):
        name = _NAMES.get(extension, extension.upper())
        raise Refusal(
            422, "type-mismatch", f"The file is not {name}; extensionFrom has to name what the file really is."
        ) from None
