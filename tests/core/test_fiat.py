"""Fiat prices: exact decimals of a currency, and what they are in millisatoshi at a rate."""

from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from l402_middleware.core.errors import ConfigurationError
from l402_middleware.core.fiat import Fiat, exact, fiat, usd
from l402_middleware.core.money import MAX_MSAT, Msat, msats, sats

NO_AMOUNTS: list[Any] = [
    0.02, 1.0, float("nan"), True, None, b"1", Fraction(1, 50), [1], sats(1), usd("1"),
    0, -1, 10**18, 10**400, "0", "0.00", "-1", "+1", "", " 1", "1 ", "1\n", "1_000", "1,5", ".5", "5.", "1e3", "$1",
    "٣", "NaN", "Infinity", "9" * 65, "0." + "0" * 12 + "1", Decimal(0), Decimal(-1), Decimal("NaN"), Decimal("sNaN"),
    Decimal("Infinity"), Decimal("1e18"), Decimal("1e999999"), Decimal("1e-999999"), Decimal("0." + "3" * 41),
]  # fmt: skip


# A test with a backslash in its name cannot be named on pytest's command line.
@pytest.mark.parametrize("amount", NO_AMOUNTS, ids=lambda amount: ascii(amount)[:30].replace("\\", "/"))
def test_refuses_what_is_no_exact_amount(amount: Any) -> None:
    """A float has lost digits already; anything but a decimal number above zero is a `ConfigurationError`."""
    with pytest.raises(ConfigurationError, match="decimal number above zero"):
        usd(amount)
    with pytest.raises(ConfigurationError, match="decimal number above zero"):
        Fiat(amount, "USD")


@pytest.mark.parametrize("currency", ["usd", "US", "USDT", "", "US1", "USD\n", "ÄÖÜ", None, 840, b"USD"])
def test_refuses_what_is_no_currency(currency: Any) -> None:
    """Three capital letters, as in ISO 4217; what comes after goes into a URL."""
    with pytest.raises(ConfigurationError, match="three capital letters"):
        fiat("1", currency)


@pytest.mark.parametrize(
    ("price", "text"),
    [
        (usd("0.02"), "0.02 USD"),
        (usd(3), "3 USD"),
        (fiat(Decimal("1E+3"), "JPY"), "1000 JPY"),
        (fiat("0.000000000001", "KWD"), "0.000000000001 KWD"),
    ],
)
def test_its_text_has_a_currency(price: Fiat, text: str) -> None:
    """All digits, and the unit."""
    assert str(price) == text


@pytest.mark.parametrize(
    ("price", "rate", "msat"),
    [
        (usd("0.02"), "100000", 20_000),
        (usd("0.02"), "64123.37999999999", 31_190),
        (usd("1"), "100000", 1_000_000),
        (usd("0.000001"), "100000", 1),
        (usd("0.000000000001"), "100000", 1),
        (usd("0.0000010000000001"), "100000", 2),
        (fiat("21000000", "XBT"), "1", MAX_MSAT),
        (fiat("150", "JPY"), "15000000", 1_000_000),
    ],
)
def test_at_a_rate(price: Fiat, rate: str, msat: int) -> None:
    """The exact price rounded up to whole millisatoshi, and at least one."""
    assert price.to_msat(Decimal(rate)) == Msat(msat)


@pytest.mark.parametrize("rate", [Decimal(0), Decimal(-1), Decimal("NaN"), Decimal("Infinity"), 1.5, None], ids=repr)
def test_refuses_what_is_no_rate(rate: Any) -> None:
    """Nothing is converted at a rate of zero, or by a float."""
    with pytest.raises(ConfigurationError, match="a rate must be"):
        usd("1").to_msat(rate)


def test_refuses_more_than_there_is() -> None:
    """No price is above 21 million bitcoin."""
    with pytest.raises(ConfigurationError, match="21 million bitcoin"):
        fiat("21000000.00000000001", "XBT").to_msat(Decimal(1))


numbers = st.decimals("1e-12", "999999999999999999", allow_nan=False, allow_infinity=False).filter(
    lambda number: exact(number) is not None
)


@given(numbers, numbers, st.integers(1, 10**6))
def test_never_less_than_the_price_and_less_than_a_unit_more(
    amount: Decimal, rate: Decimal, granularity_msat: int
) -> None:
    """Rounded up, once to whole millisatoshi, and once more to what a backend can express."""
    price = Fraction(amount) / Fraction(rate) * 100_000_000_000
    assume(price <= MAX_MSAT - granularity_msat)
    exactly = fiat(amount, "USD").to_msat(rate)
    assert price <= exactly.msat < price + 1
    assert price <= exactly.rounded_up(granularity_msat).msat < price + granularity_msat


@given(numbers)
def test_the_callers_decimal_context_changes_nothing(amount: Decimal) -> None:
    """An application may compute with three digits; its prices keep all of theirs."""
    with localcontext() as context:
        context.prec = 3
        assert fiat(amount, "USD").amount == amount
        few = fiat(amount, "USD").to_msat(Decimal("999999999999.999"))
    assert few == fiat(amount, "USD").to_msat(Decimal("999999999999.999"))


@pytest.mark.parametrize(
    "operation",
    [
        lambda p: p < sats(1),
        lambda p: p > usd("1"),
        lambda p: p + sats(1),
        lambda p: p + 1,
        lambda p: 2 * p,
        float,
        int,
    ],
)
def test_is_no_number_and_no_bitcoin(operation: Any) -> None:
    """Without a rate it cannot be compared or added."""
    with pytest.raises(TypeError):
        operation(usd("0.02"))
    assert usd("1") != msats(1)  # type: ignore[comparison-overlap]
    assert usd("1") == usd("1.00") == usd(1) == fiat(Decimal(1), "USD") != fiat(1, "EUR")
