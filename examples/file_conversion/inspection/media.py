"""Sound and film: the first bytes of each container."""

from .refusing import Check, expect

_MOST_ZEROS = 64 * 1024
"""Some recorders leave room before the first frame."""
_TS_PACKET = 188


def _starts(*prefixes: bytes) -> Check:
    return lambda file: expect(file.startswith(prefixes))


def _riff(form: bytes) -> Check:
    """RIFF, or RF64 for what may be larger than 4 GiB (EBU Tech 3306)."""
    return lambda file: expect(file.startswith((b"RIFF", b"RF64")) and file[8:12] == form)


def _boxes(*kinds: bytes) -> Check:
    """ISO base media (ISO/IEC 14496-12): a size, then the kind of the first box."""
    return lambda file: expect(file[4:8] in kinds and file[8:12] not in (b"avif", b"avis", b"heic", b"heix"))


def _ebml(kind: bytes) -> Check:
    return lambda file: expect(file.startswith(b"\x1aE\xdf\xa3") and kind in file[:64])


def _frames(layers: tuple[int, ...]) -> Check:
    """MPEG audio: an ID3 tag, or a frame of one of these layers (bits 17 and 18; 0 is AAC in ADTS)."""

    def check(file: bytes) -> None:
        start = len(file[:_MOST_ZEROS]) - len(file[:_MOST_ZEROS].lstrip(b"\0"))
        frame = file[start] == 0xFF and file[start + 1] & 0xE0 == 0xE0 and file[start + 1] >> 1 & 3 in layers
        expect(frame or file[start : start + 3] == b"ID3")

    return check


def _aiff(file: bytes) -> None:
    expect(file.startswith(b"FORM") and file[8:12] in (b"AIFF", b"AIFC"))


def _ts(file: bytes) -> None:
    expect(file[0] == 0x47 and (len(file) <= _TS_PACKET or file[_TS_PACKET] == 0x47))


_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")

CHECKS: dict[str, Check] = {
    "mp4": _boxes(b"ftyp"),
    "m4a": _boxes(b"ftyp"),
    "3gp": _boxes(b"ftyp"),
    "mov": _boxes(b"ftyp", b"moov", b"wide", b"mdat", b"free", b"skip"),
    "mkv": _ebml(b"matroska"),
    "webm": _ebml(b"webm"),
    "weba": _ebml(b"webm"),
    "avi": _riff(b"AVI "),
    "wav": _riff(b"WAVE"),
    "aiff": _aiff,
    "mp3": _frames((1, 2, 3)),
    "aac": _frames((0,)),
    "ogg": _starts(b"OggS"),
    "opus": _starts(b"OggS"),
    "flac": _starts(b"fLaC", b"ID3"),
    "amr": _starts(b"#!AMR"),
    "wma": _starts(_ASF),
    "wmv": _starts(_ASF),
    "flv": _starts(b"FLV\x01"),
    "mpg": _starts(b"\0\0\x01\xba", b"\0\0\x01\xb3"),
    "ts": _ts,
}
