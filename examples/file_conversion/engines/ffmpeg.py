"""Run ffmpeg: demuxer, protocols and codecs are ours to name, not the file's. And ask it what is in a file."""

import re
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from file_conversion.engines import Unconvertible, bundled_program

CODECS = (
    "h264,hevc,mpeg4,msmpeg4v1,msmpeg4v2,msmpeg4,mpeg1video,mpeg2video,mpegvideo,mjpeg,prores,vp6,vp6f,vp8,vp9,libvpx,"
    "libvpx-vp9,libdav1d,av1,theora,flv,h263,wmv1,wmv2,wmv3,vc1,dvvideo,ffv1,huffyuv,ffvhuff,utvideo,qtrle,rawvideo,png,"
    "apng,gif,webp,webp_anim,cinepak,svq1,svq3,"
    "aac,aac_latm,mp3,mp3float,mp2,mp2float,mp1,mp1float,ac3,eac3,dca,truehd,mlp,opus,libopus,vorbis,libvorbis,flac,alac,"
    "wavpack,wmav1,wmav2,wmapro,wmalossless,wmavoice,amrnb,amrwb,libopencore_amrnb,libopencore_amrwb,gsm,gsm_ms,g722,"
    "g726,g726le,adpcm_ima_wav,adpcm_ima_qt,adpcm_ms,adpcm_g722,adpcm_g726,adpcm_swf,adpcm_yamaha,nellymoser,speex,"
    "libspeex,qdm2,mace3,mace6,ape,tta,"
    "pcm_u8,pcm_s8,pcm_s16le,pcm_s16be,pcm_u16le,pcm_s24le,pcm_s24be,pcm_s32le,pcm_s32be,pcm_f32le,pcm_f32be,pcm_f64le,"
    "pcm_f64be,pcm_alaw,pcm_mulaw,pcm_bluray,pcm_dvd,"
    "subrip,srt,mov_text,webvtt,ass,ssa,text"
)
_MAX_PIXELS = 4096 * 2304
_TOO_LARGE = b"File too large"
_STREAM = re.compile(r"^  Stream #0:(\d+)\S*: (Audio|Video|Subtitle): (\w+)(.*)$", re.MULTILINE)
_SIZE = re.compile(r", (\d{1,5})x(\d{1,5})")
_COLOUR = re.compile(r"\((?:tv|pc)?,? ?([\w-]+)/([\w-]+)/([\w-]+)")
_NOT_FIRST = ("(comment)", "(visual impaired)", "(hearing impaired)", "(descriptions)", "(karaoke)")


@dataclass(frozen=True, slots=True)
class Track:
    """One stream of a file, as ffmpeg describes it."""

    number: int
    kind: str
    codec: str
    told: str

    @property
    def is_cover(self) -> bool:
        """Whether it is a still picture that belongs to the sound."""
        return "(attached pic)" in self.told

    @property
    def rank(self) -> tuple[bool, bool, int]:
        """Sorts what a player begins with to the front: the default track, and no commentary."""
        return any(mark in self.told for mark in _NOT_FIRST), "(default)" not in self.told, self.number

    @property
    def height(self) -> int:
        """Lines of a picture."""
        size = _SIZE.search(self.told)
        return int(size[2]) if size else 0

    @property
    def is_rgb(self) -> bool:
        """Whether its pixels are red, green and blue, and so belong to no matrix yet."""
        return re.search(r", (gbr|rgb|bgr|argb|abgr|0rgb|pal8)", self.told) is not None

    @property
    def has_alpha(self) -> bool:
        """Whether parts of it may be clear."""
        return re.search(r", (rgba|bgra|argb|abgr|gbrap|yuva|pal8|ya8)", self.told) is not None

    @property
    def transfer(self) -> str:
        """How its values become light: smpte2084 is PQ, arib-std-b67 is HLG."""
        return next((name for name in ("smpte2084", "arib-std-b67") if name in self.told), "")

    @property
    def is_tagged(self) -> bool:
        """Whether it says which matrix its colours have."""
        colour = _COLOUR.search(self.told)
        return bool(colour and colour[1] not in ("unknown", "progressive"))

    @property
    def is_deep(self) -> bool:
        """Whether a sample has more than 16 bits that mean something."""
        return "(24 bit)" in self.told or re.search(r"pcm_[sf](24|32|64)", self.codec) is not None or "s32" in self.told


def tracks(given: Path, demuxer: str) -> list[Track]:
    """What is in the file; empty for one that cannot be read."""
    with open(given, "rb") as file:
        asked = subprocess.run(  # noqa: S603 - nothing in the command comes from the customer
            [_program(), "-nostdin", "-hide_banner", *_reading(demuxer, CODECS)],
            stdin=file,
            capture_output=True,
            cwd=given.parent,
            check=False,
        )
    told = asked.stderr.decode("utf-8", "replace")
    return [Track(int(number), kind, codec, rest) for number, kind, codec, rest in _STREAM.findall(told)]


def run(given: Path, demuxer: str, options: list[str], made: Path, codecs: str = CODECS) -> None:
    """Convert with these options. Raises `Unconvertible`."""
    with open(given, "rb") as file:
        run = subprocess.run(  # noqa: S603 - nothing in the command comes from the customer
            [
                _program(),
                *("-nostdin", "-hide_banner", "-loglevel", "error", "-threads", "2"),
                *_reading(demuxer, codecs),
                *options,
                *("-protocol_whitelist", "file", f"file:{made.name}"),
            ],
            stdin=file,
            capture_output=True,
            cwd=made.parent,
            check=False,
        )
    if run.returncode == -signal.SIGXFSZ or _TOO_LARGE in run.stderr:
        raise Unconvertible("result-too-large")
    if run.returncode:
        raise Unconvertible(said=run.stderr)


def _program() -> Path:
    return bundled_program("imageio_ffmpeg", "binaries/ffmpeg-*")


def _reading(demuxer: str, codecs: str) -> list[str]:
    return [
        *("-protocol_whitelist", "fd", "-format_whitelist", demuxer, "-codec_whitelist", codecs),
        *("-max_pixels", str(_MAX_PIXELS), "-f", demuxer, "-fd", "0", "-i", "fd:"),
    ]
