"""base64url (RFC 4648, section 5): written without padding, read with or without."""

from base64 import urlsafe_b64encode

from .authorization import decode_base64


def encode(octets: bytes) -> str:
    """`octets` in base64url, without padding."""
    return urlsafe_b64encode(octets).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """The bytes behind `text`. Raises `ValueError` for anything but the one canonical spelling, padded or not."""
    if "+" in text or "/" in text:
        raise ValueError("base64 in the standard alphabet, and not the one for URLs")
    return decode_base64(text) if text else b""
