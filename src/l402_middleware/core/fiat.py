"""Fiat prices: an exact amount of some currency, which a rate turns into millisatoshi.

`Fiat` is neither a number nor an `Msat`: without a rate it cannot be compared with either, or added to it.
"""

import re
from dataclasses import dataclass
from decimal import Decimal

from .errors import ConfigurationError
from .money import Msat

_MSAT_PER_BITCOIN = 100_000_000_000

# Far beyond any price and any rate, and short enough that exact arithmetic stays quick.
_SMALLEST, _LARGEST = Decimal("1e-12"), Decimal("1e18")
_MAX_DECIMALS = 40


@dataclass(frozen=True, slots=True)
class Fiat:
    """An amount of a currency that is not bitcoin, such as 0.02 USD.

    `currency` is three capital letters, as in ISO 4217. Raises `ConfigurationError` for any other, and for an amount
    that is not above zero or has more than 40 decimals.
    """

    amount: Decimal
    currency: str

    def __post_init__(self) -> None:
        if not isinstance(self.amount, Decimal) or exact(self.amount) is None:
            raise ConfigurationError(f"a price must be a decimal number above zero, not {self.amount!r}")
        if not isinstance(self.currency, str) or not re.fullmatch("[A-Z]{3}", self.currency):
            raise ConfigurationError(f'a currency must be three capital letters such as "USD", not {self.currency!r}')

    def to_msat(self, rate: Decimal) -> Msat:
        """The amount at `rate` (units of the currency for one bitcoin), rounded up to whole msat.

        Exact: never less than the price, and less than 1 msat more. Raises `ConfigurationError` where `rate` is not
        above zero, and where that would be more than 21 million bitcoin.
        """
        if exact(rate) is None:
            raise ConfigurationError(f"a rate must be a decimal number above zero, not {rate!r}")
        price, per_price = self.amount.as_integer_ratio()
        bitcoin, per_bitcoin = rate.as_integer_ratio()
        return Msat(-(-price * per_bitcoin * _MSAT_PER_BITCOIN // (per_price * bitcoin)))

    def __str__(self) -> str:
        return f"{self.amount:f} {self.currency}"


def fiat(amount: str | int | Decimal, currency: str) -> Fiat:
    """`amount` units of `currency`: `fiat("0.02", "CHF")`.

    Raises `ConfigurationError` as `Fiat` does, and for a float, which cannot hold 0.02: give the number as text.
    """
    number = exact(amount)
    if number is None:
        raise ConfigurationError(
            f'a fiat price must be a decimal number above zero, as a text such as "0.02", not {amount!r}'
        )
    return Fiat(number, currency)


def usd(amount: str | int | Decimal) -> Fiat:
    """`amount` US dollars: `usd("0.02")` is two cents. Raises `ConfigurationError` as `fiat` does."""
    return fiat(amount, "USD")


def exact(number: object) -> Decimal | None:
    """The decimal number that a text (digits, and a point), an int or a `Decimal` is.

    None for any other type, and for a number below 10**-12, from 10**18 up, or with more than 40 decimals.
    """
    if isinstance(number, str) and len(number) <= 64 and re.fullmatch(r"[0-9]+(\.[0-9]+)?", number):
        found = Decimal(number)
    elif isinstance(number, Decimal):
        found = number
    elif type(number) is int and 0 < number < _LARGEST:
        found = Decimal(number)
    else:
        return None
    exponent = found.as_tuple().exponent
    is_short = isinstance(exponent, int) and exponent >= -_MAX_DECIMALS
    return found if is_short and _SMALLEST <= found < _LARGEST else None
