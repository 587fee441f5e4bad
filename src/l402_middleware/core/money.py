"""Money: whole millisatoshi, and nothing else.

`Msat` is not a number: a bare number in a price means sats, so arithmetic on millisatoshi must never
quietly yield one.
"""

from dataclasses import dataclass

from .errors import ConfigurationError

MAX_MSAT = 21_000_000 * 100_000_000 * 1000


@dataclass(frozen=True, slots=True, order=True)
class Msat:
    """An amount of millisatoshi, from 1 to 21 million bitcoin. Raises `ConfigurationError` outside that."""

    msat: int

    def __post_init__(self) -> None:
        if type(self.msat) is not int:
            raise ConfigurationError(f"an amount must be a whole number, not {self.msat!r}")
        if not 1 <= self.msat <= MAX_MSAT:
            raise ConfigurationError(f"an amount must be from 1 msat to 21 million bitcoin, not {self.msat} msat")

    @property
    def sats(self) -> int:
        """The amount in sats, rounded up."""
        return -(-self.msat // 1000)

    def __add__(self, other: "Msat") -> "Msat":
        if not isinstance(other, Msat):
            return NotImplemented
        return Msat(self.msat + other.msat)

    def __mul__(self, factor: int) -> "Msat":
        return Msat(self.msat * factor)

    __rmul__ = __mul__

    def rounded_up(self, granularity_msat: int) -> "Msat":
        """The smallest multiple of `granularity_msat` that is not less than this amount."""
        return Msat(-(-self.msat // granularity_msat) * granularity_msat)

    def __str__(self) -> str:
        return f"{self.msat // 1000} sat" if self.msat % 1000 == 0 else f"{self.msat} msat"


def sats(amount: int) -> Msat:
    """`amount` whole satoshi. Raises `ConfigurationError` for anything but an int in range."""
    if type(amount) is not int:
        raise ConfigurationError(f"sats() takes a whole number, not {amount!r}; use msats() for fractions of a sat")
    return Msat(amount * 1000)


def msats(amount: int) -> Msat:
    """`amount` whole millisatoshi (1 sat = 1000 msat). Raises `ConfigurationError` as `sats` does."""
    return Msat(amount)
