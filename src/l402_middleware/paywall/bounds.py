"""What values a paywall's settings may have."""

from typing import Final

from ..core.errors import ConfigurationError
from ..rates import Rates
from .invoicing import MAX_EXPIRY

# The largest number that a setting may have: ten years in seconds, or a third of a gigabyte.
MAX_SETTING: Final = 10 * 365 * 24 * 3600

# What lies on a disk may be more: a terabyte.
MAX_SPOOL_BYTES: Final = 10**12

MAX_THREADS: Final = 10_000

# A day less than `Invoicing` accepts, for a node whose clock is fast.
MAX_INVOICE_EXPIRY: Final = MAX_EXPIRY - 24 * 3600

_SECONDS: Final = int | float

_NUMBERS: Final = {
    "invoice_expiry": (int, 1, MAX_INVOICE_EXPIRY),
    "replay_for": (_SECONDS, 0, MAX_SETTING),
    "replay_max_bytes": (int, 0, MAX_SETTING),
    "lease": (_SECONDS, 1, MAX_SETTING),
    "spool_bodies": (int, 1, MAX_SETTING),
    "spool_bytes": (int, 1, MAX_SPOOL_BYTES),
    "body_seconds": (_SECONDS, 1, MAX_SETTING),
    "price_threads": (int, 1, MAX_THREADS),
}


def check_numbers(**numbers: float) -> None:
    """Raise `ConfigurationError` for a setting that is no number, or out of its bounds."""
    for name, value in numbers.items():
        kind, least, most = _NUMBERS[name]
        if isinstance(value, bool) or not isinstance(value, kind) or not least <= value <= most:
            raise ConfigurationError(f"{name} must be a number from {least} to {most}, not {value!r}")


def check_texts(**texts: str | None) -> None:
    """Raise `ConfigurationError` for a setting that is neither text nor None."""
    for name, value in texts.items():
        if not (value is None or isinstance(value, str)):
            raise ConfigurationError(f"{name} must be a text, not {value!r}")


def check_kinds(rates: object, clock: object, invalid_credential_status: object) -> None:
    """Raise `ConfigurationError` for a setting that is none of the things it may be."""
    if not (rates is None or isinstance(rates, Rates)):
        raise ConfigurationError(f"rates must be Rates([...]), not {rates!r}")
    if not callable(clock):
        raise ConfigurationError(f"clock must be a function that gives unix seconds, not {clock!r}")
    if invalid_credential_status not in (401, 402):
        raise ConfigurationError(f"invalid_credential_status must be 401 or 402, not {invalid_credential_status!r}")
