"""Money: whole millisatoshi from 1 to 21 million bitcoin, and nothing else."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l402_middleware.core.errors import ConfigurationError
from l402_middleware.core.money import MAX_MSAT, Msat, msats, sats

NOT_MONEY: list[Any] = [True, False, 1.0, 0.5, float("nan"), "1", b"1", None, Decimal(1), Fraction(1), [1], msats(1)]


@pytest.mark.parametrize("amount", NOT_MONEY, ids=repr)
@pytest.mark.parametrize("make", [Msat, msats, sats])
def test_refuses_what_is_no_whole_number(make: Any, amount: Any) -> None:
    """Case 57: a bool, a float, a text or an amount of another type is a `ConfigurationError` that shows it."""
    with pytest.raises(ConfigurationError, match="whole number") as caught:
        make(amount)
    assert repr(amount) in str(caught.value)


@pytest.mark.parametrize("amount", [0, -1, -1000, MAX_MSAT + 1, 10**30])
@pytest.mark.parametrize("make", [Msat, msats, sats])
def test_refuses_what_is_out_of_range(make: Any, amount: int) -> None:
    """Case 57: nothing, less than nothing, or more than there will ever be."""
    with pytest.raises(ConfigurationError, match="from 1 msat to 21 million bitcoin"):
        make(amount)


def test_the_limits_are_in_range() -> None:
    """Case 57: 1 msat is valid, and so are all 21 million bitcoin."""
    assert msats(1).msat == 1
    assert msats(MAX_MSAT) == sats(21_000_000 * 100_000_000)
    with pytest.raises(ConfigurationError):
        sats(21_000_000 * 100_000_000 + 1)


amounts = st.integers(1, MAX_MSAT)


@given(st.integers())
def test_any_integer_is_an_amount_or_refused(number: int) -> None:
    """Case 57: in range it is kept exactly; out of range it is refused."""
    if 1 <= number <= MAX_MSAT:
        assert Msat(number).msat == number
    else:
        with pytest.raises(ConfigurationError):
            Msat(number)


@given(amounts, st.integers(1, 10**6))
def test_rounds_up_and_no_further(msat: int, granularity: int) -> None:
    """Case 57: never less than was asked for, less than one unit more, and whole units."""
    if msat > MAX_MSAT - granularity:
        msat -= granularity
    rounded = Msat(msat).rounded_up(granularity).msat
    assert rounded % granularity == 0
    assert msat <= rounded < msat + granularity


@given(amounts)
def test_sats_are_rounded_up(msat: int) -> None:
    """A wallet that counts sats is never told less than the price."""
    amount = Msat(msat)
    assert (amount.sats - 1) * 1000 < msat <= amount.sats * 1000
    assert amount.rounded_up(1000) == sats(amount.sats)
    assert amount.rounded_up(1) == amount


@given(amounts, amounts)
def test_adds_and_compares_as_its_number(one: int, other: int) -> None:
    """Sums, products and order are those of whole millisatoshi, and stay within the range."""
    assert (Msat(one) < Msat(other)) == (one < other)
    if one + other <= MAX_MSAT:
        assert Msat(one) + Msat(other) == Msat(one + other)
    else:
        with pytest.raises(ConfigurationError):
            Msat(one) + Msat(other)
    assert 1 * Msat(one) == Msat(one) * 1 == Msat(one)


@pytest.mark.parametrize("factor", [0, -1, 0.5, 1.0, MAX_MSAT * 2], ids=repr)
def test_a_product_is_held_to_the_same_rules(factor: Any) -> None:
    """Case 57: times nothing, a fraction or too much is refused rather than rounded."""
    with pytest.raises(ConfigurationError):
        msats(1000) * factor
    with pytest.raises(ConfigurationError):
        factor * msats(1000)


@pytest.mark.parametrize("operation", [lambda m: m + 1, lambda m: 1 + m, lambda m: m < 5, lambda m: m - m, int, float])
def test_is_no_number(operation: Any) -> None:
    """A bare number means sats elsewhere, so an amount of millisatoshi mixes with none, and becomes none."""
    with pytest.raises((TypeError, AttributeError)):
        operation(msats(1000))
    assert msats(1000) != 1000  # type: ignore[comparison-overlap]


@pytest.mark.parametrize(
    ("amount", "text"), [(sats(21), "21 sat"), (msats(1), "1 msat"), (msats(1500), "1500 msat"), (msats(2000), "2 sat")]
)
def test_its_text_has_a_unit(amount: Msat, text: str) -> None:
    """Whole sats as sats, anything else as msat."""
    assert str(amount) == text


def test_it_does_not_change() -> None:
    """An amount is a value: it can be a key, and cannot be altered."""
    with pytest.raises(AttributeError):
        msats(1).msat = 2  # type: ignore[misc]
    assert {msats(1): "a"}[Msat(1)] == "a"
