"""Secret keys: a ring with overlap, and a sub-key per purpose.

A ring is a list of secrets, oldest first. The newest one signs; all of them verify. To rotate, add a
secret at the end, and drop the first one when everything that it signed has expired.
"""

import hmac
import secrets
from collections.abc import Iterable

from .errors import ConfigurationError

MIN_KEY_BYTES = 32
MIN_DISTINCT_BYTES = 8


def generate_key() -> str:
    """A fresh secret: 64 hex digits from the operating system's random source."""
    return secrets.token_hex(32)


class KeyRing:
    """One or more secrets, oldest first; each at least 32 bytes (text counts as its UTF-8 bytes).

    Raises `ConfigurationError` for an empty ring, a short or repetitive secret, or the same secret twice.
    """

    __slots__ = ("_secrets",)

    def __init__(self, secret_keys: Iterable[str | bytes]) -> None:
        if isinstance(secret_keys, str | bytes) or not isinstance(secret_keys, Iterable):
            raise ConfigurationError("secret_keys must be a list of secrets, oldest first, not a single one")
        ring = tuple(_octets(key, position) for position, key in enumerate(secret_keys, 1))
        if not ring:
            raise ConfigurationError("secret_keys is empty; `l402 keygen` makes a key")
        for position, key in enumerate(ring, 1):
            if len(key) < MIN_KEY_BYTES:
                raise ConfigurationError(
                    f"secret key {position} has {len(key)} bytes, at least {MIN_KEY_BYTES} are needed; "
                    "`l402 keygen` makes one"
                )
            if len(set(key)) < MIN_DISTINCT_BYTES:
                raise ConfigurationError(
                    f"secret key {position} repeats a few characters and can be guessed; `l402 keygen` makes one"
                )
        if len(set(ring)) != len(ring):
            raise ConfigurationError("secret_keys holds the same secret twice")
        self._secrets = ring

    def subkeys(self, purpose: str) -> tuple[bytes, ...]:
        """A 32-byte key for `purpose` from every secret, newest first. Two purposes never share one."""
        label = b"l402_middleware " + purpose.encode()
        return tuple(hmac.digest(secret, label, "sha256") for secret in reversed(self._secrets))

    def __len__(self) -> int:
        return len(self._secrets)

    def __repr__(self) -> str:
        return f"KeyRing({len(self._secrets)} secrets)"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a KeyRing is not pickled: its secrets would leave the process")


def _octets(key: object, position: int) -> bytes:
    if isinstance(key, bytes):
        return key
    if not isinstance(key, str):
        raise ConfigurationError(f"secret key {position} must be text or bytes, not {type(key).__name__}")
    try:
        return key.encode()
    except UnicodeEncodeError:
        # Not chained: the codec's error carries the whole secret.
        message = f"secret key {position} is not valid Unicode text; `l402 keygen` makes one"
    raise ConfigurationError(message)
