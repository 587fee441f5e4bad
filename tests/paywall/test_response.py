"""Answers: which of a paid one's headers caches may act on, and how one is kept to be given again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l402_middleware.paywall.response import (
    AnswerTo,
    Headers,
    Response,
    body_length,
    pack,
    personal,
    unpack,
)


@pytest.mark.parametrize(
    ("given", "cache_control", "vary"),
    [
        ([], "private", "Authorization"),
        ([("Cache-Control", "public, max-age=60")], "private, max-age=60", "Authorization"),
        ([("cache-control", "max-age=60, s-maxage=600")], "private, max-age=60", "Authorization"),
        ([("cache-control", "PUBLIC"), ("cache-control", "S-MaxAge=9")], "private", "Authorization"),
        ([("cache-control", "no-store")], "no-store", "Authorization"),
        ([("cache-control", "Private, max-age=1")], "Private, max-age=1", "Authorization"),
        ([("cache-control", "private=set-cookie, max-age=1")], "private, private=set-cookie, max-age=1", None),
        ([("cache-control", "must-revalidate, no-cache")], "private, must-revalidate, no-cache", None),
        ([("cache-control", " , ,")], "private", "Authorization"),
        ([("vary", "Accept")], "private", "Accept, Authorization"),
        ([("Vary", "accept"), ("vary", "cookie")], "private", "accept, cookie, Authorization"),
        ([("vary", "AUTHORIZATION, Cookie")], "private", "AUTHORIZATION, Cookie"),
        ([("vary", "*")], "private", "*"),
        ([("vary", "")], "private", "Authorization"),
    ],
)
def test_personal(given: list[tuple[str, str]], cache_control: str, vary: str | None) -> None:
    """Cases 80 and 90: no shared cache keeps a paid answer, and what the application said that is stricter stays."""
    other = (b"x-app", b"1")
    headers = personal([(name.encode(), value.encode()) for name, value in given] + [other])
    assert headers == [
        other,
        (b"cache-control", cache_control.encode()),
        (b"vary", (vary or "Authorization").encode()),
    ]


@pytest.mark.parametrize(
    ("method", "status", "headers", "length"),
    [
        ("GET", 200, [], None),
        ("GET", 200, [("x-number", "7"), ("Content-Length", "5")], 5),
        ("GET", 200, [("content-length", "0")], 0),
        ("GET", 200, [("content-length", "many"), ("age", "60")], None),
        ("POST", 500, [("content-length", "5")], 5),
        ("HEAD", 200, [("content-length", "5")], 0),
        ("GET", 204, [], 0),
        ("GET", 304, [("content-length", "5")], 0),
        ("GET", 205, [], None),
        ("GET", 305, [], None),
    ],
)
def test_what_the_client_waits_for(
    method: str, status: int, headers: list[tuple[str, str]], length: int | None
) -> None:
    """As many bytes as Content-Length says, where there is a body at all; otherwise until the stream ends."""
    assert body_length(method, status, [(name.encode(), value.encode()) for name, value in headers]) == length


@pytest.mark.parametrize(
    ("given", "vary"),
    [
        ([], b"Authorization, Payment-Authorization"),
        ([(b"vary", b"accept")], b"accept, Authorization, Payment-Authorization"),
        ([(b"vary", b"payment-authorization")], b"payment-authorization, Authorization"),
        ([(b"vary", b"*")], b"*"),
    ],
)
def test_an_answer_varies_with_all_that_is_looked_at(given: Headers, vary: bytes) -> None:
    """Wherever a credential may stand, a cache has to tell answers apart by it."""
    headers = personal(given, (b"Authorization", b"Payment-Authorization"))
    assert [value for name, value in headers if name == b"vary"] == [vary]


names = st.binary(min_size=1, max_size=20)
headers = st.lists(st.tuples(names, st.binary(max_size=50)), max_size=5)


answers_to = st.builds(AnswerTo, st.none() | st.binary(min_size=32, max_size=32), st.none() | st.text(max_size=64))


AGAIN = (b"l402-replayed", b"true")


@given(st.integers(100, 599), headers, st.binary(max_size=200), answers_to, st.floats(0, 1e6))
def test_pack(status: int, headers: Headers, body: bytes, to: AnswerTo, seconds: float) -> None:
    """A kept answer comes back byte for byte, and says that it is one, and how old."""
    packed = pack(Response(status, headers, body), to, 1e9)
    age = (b"age", str(int(1e9 + seconds - 1e9)).encode())
    fields = [*((name, value) for name, value in headers if name.lower() != b"age"), age, AGAIN]
    assert unpack(packed, 1e9 + seconds) == (Response(status, fields, body, is_again=True), to)


@pytest.mark.parametrize(
    ("fields", "later", "age"),
    [([], 0, b"0"), ([], -5, b"0"), ([], 61.9, b"61"), ([(b"Age", b"40")], 2, b"42"), ([(b"age", b"x")], 2, b"2")],
)
def test_age(fields: Headers, later: float, age: bytes) -> None:
    """RFC 9111, sections 4.2.3 and 5.1: what the answer had spent in other caches, and what it spent here."""
    response, _ = unpack(pack(Response(200, fields, b""), AnswerTo(), 1000), 1000 + later)
    assert response.headers == [(b"age", age), AGAIN]


def test_answers_that_were_kept_without_their_time() -> None:
    """What an earlier release kept is given again, without an `Age`."""
    kept = b'[200, [["content-type", "text/plain"]], null, null]\nbody'
    response, to = unpack(kept, 1000)
    assert response == Response(200, [(b"content-type", b"text/plain"), AGAIN], b"body", is_again=True)
    assert to == AnswerTo()


TARGETED = [
    b"x-accel-expires",
    b"surrogate-control",
    b"edge-control",
    b"cdn-cache-control",
    b"x-litespeed-cache-control",
]


@given(st.lists(st.tuples(names | st.sampled_from([b"Cache-Control", b"Vary", *TARGETED]), st.binary(max_size=50))))
def test_personal_is_private_whatever_the_application_says(headers: Headers) -> None:
    """Any headers: exactly one Cache-Control that is private or no-store, exactly one Vary, and nothing else lost but
    what speaks to some caches only.
    """
    answer = personal(headers)
    [cache_control] = [value for name, value in answer if name.lower() == b"cache-control"]
    directives = {part.strip().lower() for part in cache_control.split(b",")}
    assert directives & {b"private", b"no-store"}
    assert not directives & {b"public"}
    assert len([name for name, _ in answer if name.lower() == b"vary"]) == 1
    others = [pair for pair in headers if pair[0].lower() not in {b"cache-control", b"vary", *TARGETED}]
    assert [pair for pair in answer if pair[0].lower() not in {b"cache-control", b"vary"}] == others
