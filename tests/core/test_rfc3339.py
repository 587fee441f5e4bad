"""Times as RFC 3339 has them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l402_middleware.core.rfc3339 import MAX_SECONDS, read, write


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-03-15T12:05:00Z", 1773576300),
        ("2026-03-15t12:05:00z", 1773576300),
        ("2026-03-15 12:05:00.999999999Z", 1773576300),
        ("2026-03-15T14:05:00+02:00", 1773576300),
        ("2024-02-29T00:00:00-00:00", 1709164800),
        ("9999-12-31T23:59:59Z", MAX_SECONDS),
    ],
)
def test_each_spelling_is_read(text: str, seconds: int) -> None:
    """Letters of either case, a fraction, an offset."""
    assert read(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "", "2026-03-15", "2026-03-15T12:05Z", "2026-03-15T12:05:00", "2026-02-30T12:05:00Z", "2026-03-15T24:00:00Z",
        "2026-03-15T12:05:60Z", "2026-03-15T12:05:00Z\n", "\uff12026-03-15T12:05:00Z", "20260315T120500Z",
        "2026-03-15T12:05:00+25:00", "0000-01-01T00:00:00Z",
    ],
)  # fmt: skip
def test_what_is_no_time_is_refused(text: str) -> None:
    """A value error, and nothing else."""
    with pytest.raises(ValueError, match=r".*"):
        read(text)


@given(st.integers(0, MAX_SECONDS))
def test_what_is_written_is_read_again(seconds: int) -> None:
    """Every second of the calendar goes there and back."""
    assert read(write(seconds)) == seconds


def test_beyond_the_calendar_is_its_end() -> None:
    """An invoice that never ends still has a time that can be written."""
    assert write(10**15) == "9999-12-31T23:59:59Z"
