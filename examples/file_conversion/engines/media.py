"""Sound and moving pictures, with ffmpeg: demuxer, protocols and codecs are ours to name, not the file's."""

import signal
import subprocess
from pathlib import Path

from file_conversion.engines import Unconvertible, bundled_program

_DEMUXERS = {
    "mp4": "mov",
    "mov": "mov",
    "m4a": "mov",
    "mkv": "matroska",
    "webm": "matroska",
    "avi": "avi",
    "mp3": "mp3",
    "wav": "wav",
    "ogg": "ogg",
    "flac": "flac",
}
_CODECS = (
    "h264,hevc,mpeg4,msmpeg4,mpeg1video,mpeg2video,mjpeg,prores,vp8,vp9,libvpx,libvpx-vp9,libdav1d,theora,"
    "aac,mp3,mp3float,mp2,mp2float,ac3,eac3,opus,libopus,vorbis,libvorbis,flac,alac,"
    "pcm_u8,pcm_s16le,pcm_s16be,pcm_s24le,pcm_s24be,pcm_s32le,pcm_s32be,pcm_f32le,pcm_f32be,pcm_alaw,pcm_mulaw"
)
_MAX_PIXELS = 4096 * 2304

_EVEN = ["-vf", "scale=trunc(iw/2)*2:trunc(ih/2)*2", "-pix_fmt", "yuv420p"]  # what H.264 players expect
_H264 = [*_EVEN, "-c:v", "libx264", "-preset", "veryfast", "-crf", "23"]
_VP8 = [*_EVEN, "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-crf", "20", "-b:v", "2M"]
_AAC = ["-c:a", "aac", "-b:a", "160k"]

_MOVIES = {
    "mp4": [*_H264, *_AAC, "-movflags", "+faststart", "-f", "mp4"],
    "mov": [*_H264, *_AAC, "-f", "mov"],
    "mkv": [*_H264, *_AAC, "-f", "matroska"],
    "avi": [*_EVEN, "-c:v", "mpeg4", "-q:v", "4", "-c:a", "libmp3lame", "-b:a", "160k", "-f", "avi"],
    "webm": [*_VP8, "-c:a", "libopus", "-b:a", "128k", "-f", "webm"],
}
_SOUNDS = {
    "mp3": ["-c:a", "libmp3lame", "-q:a", "2", "-f", "mp3"],
    "wav": ["-c:a", "pcm_s16le", "-f", "wav"],
    "ogg": ["-c:a", "libvorbis", "-q:a", "5", "-f", "ogg"],
    "flac": ["-c:a", "flac", "-f", "flac"],
    "m4a": [*_AAC, "-movflags", "+faststart", "-f", "ipod"],
}
_NO_SUCH_TRACK = b"matches no streams"
_TOO_LARGE = b"File too large"


def convert(given: Path, source: str, made: Path, target: str) -> None:
    """Re-encode the first picture track and the first sound track, or the sound alone for a sound format."""
    movie = target in _MOVIES
    tracks = ["-map", "0:V:0", "-map", "0:a:0?"] if movie else ["-map", "0:a:0", "-vn"]
    with open(given, "rb") as file:
        run = subprocess.run(  # noqa: S603 - nothing in the command comes from the customer
            [
                bundled_program("imageio_ffmpeg", "binaries/ffmpeg-*"),
                *("-nostdin", "-hide_banner", "-loglevel", "error", "-threads", "2"),
                *("-protocol_whitelist", "fd", "-format_whitelist", _DEMUXERS[source], "-codec_whitelist", _CODECS),
                *("-max_pixels", str(_MAX_PIXELS), "-f", _DEMUXERS[source], "-fd", "0", "-i", "fd:"),
                *tracks,
                *("-sn", "-dn", "-map_metadata", "-1", "-threads", "2"),
                *(_MOVIES[target] if movie else _SOUNDS[target]),
                *("-protocol_whitelist", "file", f"file:{made.name}"),
            ],
            stdin=file,
            capture_output=True,
            cwd=made.parent,
            check=False,
        )
    if run.returncode == -signal.SIGXFSZ or _TOO_LARGE in run.stderr:
        raise Unconvertible("result-too-large")
    if _NO_SUCH_TRACK in run.stderr:
        raise Unconvertible("no-picture" if movie else "no-sound")
    if run.returncode:
        raise Unconvertible(said=run.stderr)
