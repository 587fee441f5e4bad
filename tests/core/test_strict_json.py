"""JSON from strangers: what Python's own reader lets through, and ours does not; and canonical JSON."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l402_middleware.core.strict_json import MAX_DEPTH, canonical, read_object

# Text that UTF-8 can hold.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | TEXT | st.integers(-(2**53) + 1, 2**53 - 1),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{",
        b'{"a":1}{}',
        b'{"a":1,"a":1}',
        b'{"b":{"a":1,"\\u0061":2}}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":1e999}',
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":0.' + b"9" * 5000 + b"}",
        b'{"a":"\\ud800"}',
        b'{"\\udc00":1}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\xff"}',
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":"\n"}',
        b'{"a":' + b"[" * 20_000,
        b'{"a":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
        b'{"a":' * MAX_DEPTH + b"{}" + b"}" * MAX_DEPTH,
        b"{'a':1}",
        '{"a":\uff11}'.encode(),
    ],
)
def test_what_two_readers_could_differ_about_is_refused(raw: bytes) -> None:
    """Trap 11: duplicates, NaN, half surrogates, thousands of digits or brackets, and what is no object."""
    with pytest.raises(ValueError, match=r".*"):
        read_object(raw)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"{}", {}),
        (b' {"b" : 1 ,\n"a":[true,null,1.5]} ', {"b": 1, "a": [True, None, 1.5]}),
        (b'{"a":"[[[[[[[[[[[[[[[[[[[[[[[[\\"{{{{{{"}', {"a": '[[[[[[[[[[[[[[[[[[[[[[[["{{{{{{'}),
        (b'{"a":"\\ud83d\\ude00"}', {"a": "\U0001f600"}),
        (b'{"a":9223372036854775807}', {"a": 9223372036854775807}),
        (b'{"a":' * (MAX_DEPTH - 1) + b"{}" + b"}" * (MAX_DEPTH - 1), None),
    ],
)
def test_what_is_plain_is_read(raw: bytes, value: Any) -> None:
    """Any order, blanks, brackets inside of text, whole surrogate pairs, 64-bit numbers, and some depth."""
    read = read_object(raw)
    assert value is None or read == value


@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:\\ud80aeNI1.-', max_size=60).map(str.encode))
def test_any_bytes_give_an_object_or_a_value_error(raw: bytes) -> None:
    """Nothing else is raised, and what is read is what Python reads."""
    try:
        read = read_object(raw)
    except ValueError:
        return
    assert read == json.loads(raw)


@given(st.dictionaries(TEXT, VALUES, max_size=4))
def test_what_is_written_is_read_again(value: dict[str, Any]) -> None:
    """Canonical JSON says the same, once only, and has one spelling."""
    written = canonical(value)
    assert read_object(written) == value
    assert canonical(read_object(written)) == written


@pytest.mark.parametrize("value", [1.5, 2**53, -(2**53), b"octets", {"a": "\ud800"}, {"\udc00": 1}, [1.0]])
def test_what_it_has_no_words_for_is_not_written(value: object) -> None:
    """A number that another reader would round, and half a surrogate, never leave."""
    with pytest.raises(ValueError, match=r".*"):
        canonical(value)
