"""A bank, and shops that are open as long as a module's tests run."""

from collections.abc import Iterator

import pytest

from .shops import Bank, serving_shops


@pytest.fixture(scope="module")
def shops_of() -> Iterator[tuple[Bank, dict[str, str]]]:
    """The bank of all shops, and where these are."""
    bank = Bank()
    with serving_shops(bank) as urls:
        yield bank, urls


@pytest.fixture
def bank(shops_of: tuple[Bank, dict[str, str]]) -> Bank:
    """Whose wallet pays, with nothing paid yet."""
    shops_of[0].paid.clear()
    return shops_of[0]


@pytest.fixture
def shops(shops_of: tuple[Bank, dict[str, str]]) -> dict[str, str]:
    """Their URLs."""
    return shops_of[1]
