"""Accept-Payment: what is asked for, and in which order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l402_middleware.core.accept_payment import Way, acceptable

CHARGE, SESSION, TEMPO = ("lightning", "charge"), ("lightning", "session"), ("tempo", "charge")
OURS = [SESSION, CHARGE, TEMPO]


@pytest.mark.parametrize(
    ("values", "ways"),
    [
        ([], OURS),
        ([b""], OURS),
        ([b"lightning/charge"], [CHARGE]),
        ([b"lightning/charge, lightning/session;q=0.5"], [CHARGE, SESSION]),
        ([b"lightning/*"], [SESSION, CHARGE]),
        ([b"*/*"], OURS),
        ([b"*/charge;q=0.3, tempo/*"], [TEMPO, CHARGE]),
        ([b"lightning/*, lightning/session;q=0"], [CHARGE]),
        ([b"*/*;q=0.1, lightning/charge;q=0.9"], [CHARGE, SESSION, TEMPO]),
        ([b"tempo/charge;q=1.000", b"lightning/charge ; Q=0.001"], [TEMPO, CHARGE]),
        ([b"stripe/charge"], OURS),
        ([b"*/*;q=0"], OURS),
        ([b"lightning"], OURS),
        ([b"lightning/charge;q=2"], OURS),
        ([b"lightning/charge;q=0.1234"], OURS),
        ([b"Lightning/charge"], OURS),
        ([b"tempo/charge, \xff/charge"], OURS),
        ([b"tempo/charge, " + b"a/b, " * 400], OURS),
    ],
)
def test_the_field_chooses_and_orders(values: list[bytes], ways: list[Way]) -> None:
    """Most specific range first, then weight, then our own order; malformed or unmatched, it is ignored."""
    assert acceptable(OURS, values) == ways


@given(st.lists(st.binary(max_size=40) | st.text("*/;q=0.15, lightning", max_size=40).map(str.encode), max_size=3))
def test_something_is_always_offered(values: list[bytes]) -> None:
    """Whatever the bytes, each way at most once, and never none."""
    ways = acceptable(OURS, values)
    assert ways
    assert len(set(ways)) == len(ways)
    assert set(ways) <= set(OURS)
