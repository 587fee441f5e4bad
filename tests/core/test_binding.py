"""What a credential is bound to: two endpoints, or two requests, never have one digest."""

import re
from hashlib import sha256
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l402_middleware.core.binding import endpoint_digest, request_digest

EMPTY = sha256(b"").digest()
SUBJECT = ("POST", "/convert", b"to=pdf", EMPTY)

OTHERS: dict[str, tuple[str, str, bytes, bytes]] = {
    "method": ("PUT", "/convert", b"to=pdf", EMPTY),
    "method in another case": ("post", "/convert", b"to=pdf", EMPTY),
    "path": ("POST", "/convert/", b"to=pdf", EMPTY),
    "path in another case": ("POST", "/Convert", b"to=pdf", EMPTY),
    "path with a newline": ("POST", "/convert\n", b"to=pdf", EMPTY),
    "query": ("POST", "/convert", b"to=png", EMPTY),
    "query in another order": ("POST", "/convert", b"to=pdf&a=", EMPTY),
    "no query": ("POST", "/convert", b"", EMPTY),
    "query with another spelling": ("POST", "/convert", b"to=%70df", EMPTY),
    "body": ("POST", "/convert", b"to=pdf", sha256(b"\0").digest()),
    "no body digest": ("POST", "/convert", b"to=pdf", b""),
    "query run into the path": ("POST", "/convertto=pdf", b"", EMPTY),
    "path run into the method": ("POST/convert", "", b"to=pdf", EMPTY),
    "a character moved": ("POST/", "convert", b"to=pdf", EMPTY),
    "body digest run into the query": ("POST", "/convert", b"to=pdf" + EMPTY, b""),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS.keys())
def test_any_difference_makes_another_request(other: tuple[str, str, bytes, bytes]) -> None:
    """Method, path, raw query and body all count, and none runs into its neighbour."""
    assert request_digest(*SUBJECT) == request_digest(*SUBJECT)
    assert request_digest(*other) != request_digest(*SUBJECT)


def test_a_method_beyond_latin_1_has_a_digest() -> None:
    """A server hands on what it was sent: a method that no header could hold is no error here."""
    assert request_digest("G\u0160T", *SUBJECT[1:]) != request_digest(*SUBJECT)


# As a server decodes a path: octets that are no UTF-8 become lone surrogates.
texts = st.binary(max_size=8).map(lambda octets: octets.decode("utf-8", "surrogateescape"))
Request: TypeAlias = tuple[str, str, bytes, bytes]
requests = st.tuples(
    st.text(st.characters(codec="latin-1"), max_size=4), texts, st.binary(max_size=6), st.binary(max_size=6)
)


@given(requests, requests)
def test_digests_are_equal_for_equal_requests_only(one: Request, other: Request) -> None:
    """Any two requests, whatever is in their parts, octets that are no UTF-8 included."""
    assert (request_digest(*one) == request_digest(*other)) == (one == other)


@given(texts, texts)
def test_endpoints_do_not_collide(one: str, other: str) -> None:
    """Any two endpoints, whatever is in their names."""
    assert (endpoint_digest(one) == endpoint_digest(other)) == (one == other)


@pytest.mark.parametrize("endpoint", ["GET /", "GET /caf\u00e9/\udcff", "POST /" + "x" * 65536])
def test_digests_fit_into_a_caveat(endpoint: str) -> None:
    """128 and 256 bits in url-safe base64 without padding: no dot, comma or equals sign, which mean something there."""
    assert re.fullmatch("[A-Za-z0-9_-]{22}", endpoint_digest(endpoint))
    assert re.fullmatch("[A-Za-z0-9_-]{43}", request_digest("GET", endpoint, b"", EMPTY))


def test_few_digests_are_kept() -> None:
    """An attacker who chooses paths of 64 KiB makes the process keep 16 MiB of them at most."""
    assert (endpoint_digest.cache_info().maxsize or 0) * 65536 <= 16 * 1024 * 1024
