"""Which filters keep the colours of a film what they are, whatever the target can say about them."""

from file_conversion.engines.ffmpeg import Track

_HIGH = 720
"""Lines from which players take untagged colours for BT.709, and below for BT.601."""
_EVEN = "scale=trunc(iw/2)*2:trunc(ih/2)*2"  # what H.264 players expect
_TO_SDR = (
    "zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=bt709,tonemap=mobius:desat=0,zscale=t=bt709:m={matrix}:r=tv"
)
_ON_WHITE = (
    "format=rgba,split[front][behind];[behind]lutrgb=r=255:g=255:b=255:a=255[white];[white][front]overlay=format=gbrp"
)


def colour_options(picture: Track, *, has_matrix: bool, has_transfer: bool) -> list[str]:
    """The options for this picture: 8 bits, 4:2:0, even sides, and the matrix that a player will assume or read."""
    high = has_matrix or picture.height >= _HIGH
    matrix, name = ("709", "bt709") if high else ("170m", "smpte170m")
    scaled = f"{_EVEN}:out_color_matrix={'bt709' if high else 'bt601'}:out_range=tv"
    tags = ["-colorspace", name, "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv"]
    if picture.transfer and not has_transfer:
        chain = f"{_TO_SDR.format(matrix=matrix)},{_EVEN}"
    elif picture.is_rgb:
        chain = f"{_ON_WHITE},{scaled}" if picture.has_alpha else scaled
    elif not has_matrix and picture.is_tagged:
        chain, tags = scaled, []
    else:
        chain, tags = _EVEN, []
    return ["-vf", chain, "-pix_fmt", "yuv420p", *tags]
