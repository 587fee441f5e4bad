"""What the paywall sees of a request: its headers, its query, and its body as it arrives."""

from contextlib import closing
from functools import partial
from hashlib import sha256

import pytest

from l402_middleware import Refusal
from l402_middleware.paywall.request import CHUNK_BYTES, JSON_BYTES, SPOOL_BYTES, WHOLE_APPLICATION, Body

from .shop import ask


def body_of(content: bytes, limit: int = 10 * SPOOL_BYTES) -> Body:
    """A body that arrived in pieces of different lengths."""
    body = Body(limit)
    for start in range(0, len(content), 99_991):
        body.write(content[start : start + 99_991])
    return body


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, SPOOL_BYTES, SPOOL_BYTES + 1])
def test_a_body_comes_back_whole(size: int) -> None:
    """Case 75: the same bytes, at once or in pieces of 64 KiB, as often as they are asked for; and their digest."""
    content = bytes(range(251)) * (size // 251) + bytes(size % 251)
    body = body_of(content)
    for _ in range(2):
        pieces = list(body.chunks())
        assert b"".join(pieces) == content
        assert [len(piece) for piece in pieces[:-1]] == [CHUNK_BYTES] * (len(pieces) - 1)
        assert all(0 < len(piece) <= CHUNK_BYTES for piece in pieces)
        assert body.read() == body.rewind().read() == content
    assert (body.size, body.digest) == (size, sha256(content).digest())
    body.close()


@pytest.mark.parametrize(("size", "in_a_file"), [(SPOOL_BYTES, False), (SPOOL_BYTES + 1, True)])
def test_a_large_body_is_kept_in_a_file(size: int, in_a_file: bool) -> None:
    """Beyond a MiB it takes no more memory: strangers send these, before anybody has paid."""
    body = body_of(bytes(size))
    assert bool(getattr(body.rewind(), "_rolled")) == in_a_file  # noqa: B009 - no public name says it
    body.close()


def test_the_limit() -> None:
    """Case 75: a byte more than allowed is a 413 that says how much is."""
    with closing(Body(100)) as body:
        body.write(bytes(60))
        body.expect(100)
        for too_much in (partial(body.expect, 101), partial(body.write, bytes(41))):
            with pytest.raises(Refusal, match="larger than 100 bytes") as caught:
                too_much()
            assert (caught.value.status, caught.value.code) == (413, "body-too-large")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000], ids=["nothing", "half", "no text", "deep"])
def test_what_is_not_json(content: bytes) -> None:
    """It is the caller's mistake, said in a sentence."""
    with closing(body_of(content)) as body, pytest.raises(Refusal, match="not JSON") as caught:
        body.json()
    assert (caught.value.status, caught.value.code) == (400, "not-json")
    with closing(body_of(b'{"a": [1]}')) as body:
        assert body.json() == {"a": [1]}


def test_json_that_is_too_long() -> None:
    """More than a MiB of JSON is refused before it is parsed, unless the price function allows it."""
    with closing(body_of(b"[" + b"[]," * (JSON_BYTES // 3) + b"0]")) as body:
        with pytest.raises(Refusal, match="larger than") as caught:
            body.json()
        assert len(body.json(2 * JSON_BYTES)) == JSON_BYTES // 3 + 1
    assert (caught.value.status, caught.value.code) == (413, "body-too-large")
    with closing(body_of(b" " * (JSON_BYTES - 2) + b"{}")) as body:
        assert body.json() == {}


@pytest.mark.parametrize("query", ["größe=9".encode(), "größe=9".encode("latin-1"), b"gr%F6%DFe=9", b"a=%ED%A0%80"])
def test_a_query_that_frameworks_read_differently(query: bytes) -> None:
    """Case 43: it is refused before it has a price: the handler would see another parameter than was paid for."""
    with pytest.raises(Refusal, match="UTF-8") as caught:
        assert ask(query=query).query
    assert (caught.value.status, caught.value.code) == (400, "malformed-query")
    assert ask(query=b"gr%C3%B6%C3%9Fe=9&b=").query == {"größe": "9", "b": ""}


@pytest.mark.parametrize(
    ("endpoint", "name"),
    [
        ("GET /thing", "GET /thing"),
        (f"GET /{'x' * 300}", f"GET /{'x' * 195}"),
        (f"{WHOLE_APPLICATION} GET /whatever/a/stranger/asks", WHOLE_APPLICATION),
        ("GET /a\0b\udc80", "GET /a\\x00b\\udc80"),
    ],
)
def test_an_endpoint_in_the_record(endpoint: str, name: str) -> None:
    """Text that every ledger can hold, and that strangers cannot make longer or many."""
    assert ask(endpoint).endpoint_name == name


def test_which_part_is_asked_for() -> None:
    """Case 91: each field that asks for a part makes another selection, in any order and case; others make none."""
    fields = [
        *((b"if-match", b"1"), (b"if-modified-since", b"1"), (b"if-none-match", b"1")),
        *((b"if-range", b"1"), (b"if-unmodified-since", b"1"), (b"range", b"1")),
    ]
    selections = {ask(headers=[field]).selection for field in fields}
    assert (len(selections), "" in selections) == (6, False)
    assert ask(headers=fields).selection == ask(headers=[(b"If-Match", b"1"), *reversed(fields[1:])]).selection
    assert ask(headers=[(b"accept", b"*/*")]).selection == ""


def test_a_header_that_is_absent_or_empty() -> None:
    """The first is None, the second a text; several lines are one, joined as RFC 9110, section 5.3 has it."""
    request = ask(headers=[(b"x-empty", b""), (b"x-two", b"a"), (b"X-Two", b"b")])
    assert request.header("X-Absent") is None
    assert request.header("X-Empty") == ""
    assert request.header("x-tWO") == "a, b"
    assert request.raw_header("x-two") == [b"a", b"b"]
