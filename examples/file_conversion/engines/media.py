"""Sound and moving pictures, re-encoded with ffmpeg into what players of each format expect."""

from dataclasses import dataclass
from pathlib import Path

from file_conversion.engines import Notes, Unconvertible, ffmpeg
from file_conversion.engines.colour_filters import colour_options
from file_conversion.engines.ffmpeg import Track

_DEMUXERS = {
    **dict.fromkeys(("mp4", "mov", "m4a", "3gp"), "mov"),
    **dict.fromkeys(("mkv", "webm", "weba"), "matroska"),
    **dict.fromkeys(("wmv", "wma"), "asf"),
    **dict.fromkeys(("ogg", "opus"), "ogg"),
    "avi": "avi",
    "flv": "flv",
    "mpg": "mpeg",
    "ts": "mpegts",
    "gif": "gif",
    "mp3": "mp3",
    "wav": "wav",
    "flac": "flac",
    "aiff": "aiff",
    "aac": "aac",
    "amr": "amr",
}
_LAYOUTS = "7.1|6.1|5.1|5.0|quad|3.0|stereo|mono"
"""Those that every one of these encoders takes; Dolby's 5.1(side) is none of them."""
_SURROUND = ["-af", f"aformat=channel_layouts={_LAYOUTS}"]
_MONO_OR_STEREO = ["-af", "aformat=channel_layouts=stereo|mono"]

_AAC = ["-c:a", "aac", "-b:a", "160k", *_SURROUND]
_OPUS = ["-c:a", "libopus", "-b:a", "128k", *_SURROUND]
_MP3 = ["-c:a", "libmp3lame", "-q:a", "2", *_MONO_OR_STEREO]
_H264 = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "23"]
_VP8 = ["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-crf", "20", "-b:v", "2M"]


@dataclass(frozen=True, slots=True)
class _Format:
    """What one target is made of: the options of its codecs and its muxer, and what it can hold beside them."""

    options: tuple[str, ...]
    picture: tuple[str, ...] = ()
    sound: tuple[str, ...] = ()
    sounds: int = 99
    subtitles: str = ""
    covers: bool = False
    tags: bool = True
    has_matrix: bool = True
    """Whether a player can read from the file which matrix its colours have."""
    has_transfer: bool = False
    """Whether it can say PQ or HLG."""


_MOVIES = {
    "mp4": _Format(
        ("-movflags", "+faststart", "-f", "mp4"), (*_H264,), (*_AAC,), subtitles="mov_text", has_transfer=True
    ),
    "mov": _Format(("-f", "mov"), (*_H264,), (*_AAC,), subtitles="mov_text", has_transfer=True),
    "mkv": _Format(("-f", "matroska"), (*_H264,), (*_AAC,), subtitles="srt", has_transfer=True),
    "webm": _Format(("-f", "webm"), (*_VP8,), (*_OPUS,), subtitles="webvtt"),
    "avi": _Format(("-f", "avi"), ("-c:v", "mpeg4", "-q:v", "4"), (*_MP3,), has_matrix=False),
    "flv": _Format(("-f", "flv"), (*_H264,), ("-ar", "44100", *_AAC), sounds=1),
    "wmv": _Format(
        ("-f", "asf"),
        ("-c:v", "wmv2", "-q:v", "4"),
        ("-c:a", "wmav2", "-b:a", "160k", *_MONO_OR_STEREO),
        has_matrix=False,
    ),
    "3gp": _Format(("-f", "3gp"), (*_H264,), (*_AAC,), sounds=1),
    "ts": _Format(("-f", "mpegts"), (*_H264,), (*_AAC,), tags=False),
}
_SOUNDS = {
    "mp3": _Format(("-id3v2_version", "3", "-f", "mp3"), sound=(*_MP3,), covers=True),
    "ogg": _Format(("-f", "ogg"), sound=("-c:a", "libvorbis", "-q:a", "5", *_SURROUND)),
    "opus": _Format(("-f", "opus"), sound=(*_OPUS,)),
    "weba": _Format(("-f", "webm"), sound=(*_OPUS,)),
    "flac": _Format(("-f", "flac"), sound=("-c:a", "flac", *_SURROUND), covers=True),
    "m4a": _Format(("-movflags", "+faststart", "-f", "ipod"), sound=(*_AAC,), covers=True),
    "aac": _Format(("-f", "adts"), sound=(*_AAC,), tags=False),
    "wma": _Format(("-f", "asf"), sound=("-c:a", "wmav2", "-b:a", "160k", *_MONO_OR_STEREO)),
    "wav": _Format(("-f", "wav"), sound=("-c:a", "pcm_s16le")),
    "aiff": _Format(("-write_id3v2", "1", "-f", "aiff"), sound=("-c:a", "pcm_s16be")),
}
_DEEP = {"wav": ("-c:a", "pcm_s24le"), "aiff": ("-c:a", "pcm_s24be")}
_SILENT = {
    "gif": "fps=12,scale='min(480,iw)':-2:flags=lanczos,split[a][b];[a]palettegen[p];[b][p]paletteuse",
    "webp": "fps=15,scale='min(640,iw)':-2:flags=lanczos",
}
_TEXT_SUBTITLES = {"subrip", "srt", "mov_text", "webvtt", "ass", "ssa", "text"}
_COVERS = {"mjpeg", "png"}
_TAGS_IN_THE_STREAM = {"ogg", "opus"}


def convert(given: Path, source: str, made: Path, target: str) -> Notes:
    """All pictures and sounds that the target can hold, the one that players begin with first."""
    demuxer = _demuxer(given, source)
    found = ffmpeg.tracks(given, demuxer)
    if not found:
        raise Unconvertible
    picture = next((track for track in found if track.kind == "Video" and not track.is_cover), None)
    sounds = sorted((track for track in found if track.kind == "Audio"), key=lambda track: track.rank)
    if target in _SOUNDS:
        if not sounds:
            raise Unconvertible("no-sound")
        options, notes = _sound(found, sounds, source, target)
    elif picture is None:
        raise Unconvertible("no-picture")
    elif target in _SILENT:
        options, notes = _silent(picture, target), ["sound-left-out"] if sounds else []
    else:
        options, notes = _movie(found, picture, sounds, target)
    ffmpeg.run(given, demuxer, options, made)
    return notes


def _demuxer(given: Path, source: str) -> str:
    if source == "webp":
        with open(given, "rb") as file:
            return "webp_anim" if b"ANIM" in file.read(64) else "webp_pipe"
    return _DEMUXERS[source]


def _movie(found: list[Track], picture: Track, sounds: list[Track], target: str) -> tuple[list[str], list[str]]:
    made, notes = _MOVIES[target], []
    options = ["-map", f"0:{picture.number}"]
    for track in sounds[: made.sounds]:
        options += ["-map", f"0:{track.number}"]
    if len(sounds) > made.sounds:
        notes.append("tracks-left-out")
    for number in range(min(len(sounds), made.sounds)):
        options += [f"-disposition:a:{number}", "0" if number else "default"]
    subtitles = [track for track in found if track.kind == "Subtitle"]
    kept = [track for track in subtitles if made.subtitles and track.codec in _TEXT_SUBTITLES]
    for track in kept:
        options += ["-map", f"0:{track.number}"]
    if len(kept) < len(subtitles):
        notes.append("subtitles-left-out")
    if kept:
        options += ["-c:s", made.subtitles]
    options += colour_options(picture, has_matrix=made.has_matrix, has_transfer=made.has_transfer)
    if picture.transfer and not made.has_transfer:
        notes.append("hdr-mapped")
    options += [*made.picture, *(made.sound if sounds else ()), "-map_metadata", "0" if made.tags else "-1"]
    return [*options, "-dn", "-threads", "2", *made.options], notes


def _sound(found: list[Track], sounds: list[Track], source: str, target: str) -> tuple[list[str], list[str]]:
    made, notes = _SOUNDS[target], []
    options = ["-map", f"0:{sounds[0].number}"]
    cover = next((track for track in found if track.is_cover), None)
    if cover and made.covers and cover.codec in _COVERS:
        options += ["-map", f"0:{cover.number}", "-c:v", "copy", "-disposition:v", "attached_pic"]
    elif cover:
        notes.append("cover-left-out")
    if len(sounds) > 1:
        notes.append("tracks-left-out")
    options += made.sound
    if target in _DEEP and sounds[0].is_deep:
        options += _DEEP[target]
    elif target == "flac" and not sounds[0].is_deep:
        options += ["-sample_fmt", "s16"]
    if not made.tags:
        options += ["-map_metadata", "-1"]
    else:
        options += ["-map_metadata", f"0:s:{sounds[0].number}" if source in _TAGS_IN_THE_STREAM else "0"]
    return [*options, "-sn", "-dn", "-threads", "2", *made.options], notes


def _silent(picture: Track, target: str) -> list[str]:
    options = ["-filter_complex", f"[0:{picture.number}]{_SILENT[target]}", "-an", "-sn", "-dn", "-map_metadata", "-1"]
    if target == "webp":
        return [*options, "-c:v", "libwebp_anim", "-quality", "75", "-loop", "0", "-f", "webp"]
    return [*options, "-loop", "0", "-f", "gif"]
