"""pymacaroons, as the second opinion on signatures."""

from pymacaroons import Macaroon, Verifier
from pymacaroons.serializers import BinarySerializer

_ANY_CAVEAT = Verifier()
_ANY_CAVEAT.satisfy_general(lambda _: True)


def read(raw: bytes) -> Macaroon | None:
    """What pymacaroons reads, or None; it raises whatever its parts raise."""
    try:
        return BinarySerializer().deserialize_raw(raw)
    except Exception:
        return None


def is_signed_with(root_key: bytes, raw: bytes) -> bool:
    """Whether pymacaroons verifies the signature, with every first-party caveat held to be satisfied."""
    try:
        return bool(_ANY_CAVEAT.verify(read(raw), root_key))
    except Exception:
        return False


def is_text(*parts: bytes) -> bool:
    """Whether these bytes are UTF-8: pymacaroons knows no other caveats and locations."""
    try:
        return all(part.decode() is not None for part in parts)
    except UnicodeDecodeError:
        return False
