"""Secret keys: what makes no ring, sub-keys by purpose, and that none of it is shown."""

import copy
import hmac
import pickle
import traceback
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l402_middleware.core.errors import ConfigurationError
from l402_middleware.core.keys import KeyRing, generate_key

A, B = sha256(b"a").hexdigest(), sha256(b"b").hexdigest()

REFUSED: dict[str, tuple[Any, str]] = {
    "a single text": (A, "must be a list"),
    "a single octet string": (A.encode(), "must be a list"),
    "none": ([], "is empty; `l402 keygen`"),
    "an empty secret": ([""], "secret key 1 has 0 bytes, at least 32"),
    "31 bytes": ([A[:31]], "secret key 1 has 31 bytes"),
    "a short one in the second place": ([A, B[:16]], "secret key 2 has 16 bytes"),
    "one character": (["a" * 64], "secret key 1 repeats a few characters"),
    "a placeholder": (["changeme" * 8], "secret key 1 repeats"),
    "zero bytes": ([bytes(32)], "secret key 1 repeats"),
    "the same twice": ([A, B, A], "the same secret twice"),
    "the same as text and as bytes": ([A, A.encode()], "the same secret twice"),
    "an environment variable that is not set": ([None], "secret key 1 must be text or bytes, not NoneType"),
    "a number": ([A, 10**40], "secret key 2 must be text or bytes, not int"),
    "a mutable one": ([bytearray(A.encode())], "secret key 1 must be text or bytes, not bytearray"),
    "not Unicode": ([A + "\udcff"], "secret key 1 is not valid Unicode"),
}


@pytest.mark.parametrize(("given_keys", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_refuses_what_is_no_ring(given_keys: Any, message: str) -> None:
    """Case 114: the message says which secret, what is wrong and what to do, and shows nothing of any secret."""
    with pytest.raises(ConfigurationError, match=message) as caught:
        KeyRing(given_keys)
    shown = "".join(traceback.format_exception(caught.value))
    assert A[:12] not in str(caught.value)
    assert "changeme" not in str(caught.value)
    assert A not in shown
    assert caught.value.__context__ is None


def test_text_counts_by_its_utf8_bytes() -> None:
    """32 bytes suffice, whether as bytes or as fewer characters of more bytes each."""
    assert len(KeyRing([bytes(range(32))])) == 1
    assert len(KeyRing(["\u00e0\u00e1\u00e2\u00e3\u00e4\u00e5\u00e6\u00e7" * 2])) == 1


def test_eight_distinct_bytes_suffice() -> None:
    """Case 114: fewer are a pattern that somebody typed."""
    assert len(KeyRing([bytes(range(8)) * 4])) == 1
    with pytest.raises(ConfigurationError, match="repeats a few characters"):
        KeyRing([bytes(range(7)) * 5])


def test_the_newest_secret_comes_first() -> None:
    """The newest signs, so its sub-key leads; the older ones follow."""
    (newest, oldest) = KeyRing([A, B]).subkeys("macaroon")
    assert (newest,) == KeyRing([B]).subkeys("macaroon")
    assert (oldest,) == KeyRing([A]).subkeys("macaroon")


@given(st.text(max_size=20), st.text(max_size=20))
def test_sub_keys_differ_by_purpose(one: str, other: str) -> None:
    """Case 114: two purposes never share a key, and no sub-key is a secret itself."""
    ring = KeyRing([A, B])
    assert (ring.subkeys(one) == ring.subkeys(other)) == (one == other)
    keys = {*ring.subkeys(one), *ring.subkeys(other)}
    assert len(keys) == (2 if one == other else 4)
    assert not keys & {A.encode(), B.encode()}
    assert {len(key) for key in keys} == {32}


def test_a_sub_key_is_one_hmac() -> None:
    """HMAC-SHA256 of the purpose under the secret: whoever has the secret can derive it with any library."""
    assert KeyRing([A]).subkeys("x") == (hmac.digest(A.encode(), b"l402_middleware x", "sha256"),)


def test_generated_keys_are_good_and_fresh() -> None:
    """64 hex digits, accepted by a ring, and never the same twice."""
    made = {generate_key() for _ in range(100)}
    assert len(made) == 100
    assert all(len(bytes.fromhex(key)) == 32 for key in made)
    assert len(KeyRing(made)) == 100


@pytest.mark.parametrize("representation", [repr, str, "{}".format, "{!r}".format, lambda ring: repr([ring])])
def test_a_ring_shows_no_secret(representation: Callable[[object], str]) -> None:
    """Case 113: its text says how many secrets there are."""
    assert representation(KeyRing([A, B])).strip("[]") == "KeyRing(2 secrets)"


@pytest.mark.parametrize("leave", [pickle.dumps, copy.copy, copy.deepcopy, vars], ids=lambda leave: leave.__name__)
def test_a_ring_does_not_leave_the_process(leave: Callable[[object], object]) -> None:
    """Case 113: pickled, copied or taken apart into a dictionary: `TypeError`, without the secret."""
    with pytest.raises(TypeError) as caught:
        leave(KeyRing([A]))
    assert A not in str(caught.value)
