"""Whole answers: those that the paywall gives itself, and those it gives again."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

Headers: TypeAlias = list[tuple[bytes, bytes]]

VARIES: Final[Sequence[bytes]] = (b"Authorization",)
"""The request fields that what is sold depends on, under L402."""


@dataclass(frozen=True, slots=True)
class Response:
    """A status, header fields and a body; `is_again` where it is an answer that was delivered before."""

    status: int
    headers: Headers = field(repr=False)
    body: bytes = field(repr=False)
    is_again: bool = False


def json_response(
    status: int, members: Mapping[str, str | int], extra: Headers | None = None, varies_with: Sequence[bytes] = VARIES
) -> Response:
    """A JSON answer that no cache keeps; `extra` are further header fields."""
    body = json.dumps(members).encode()
    headers = [
        (b"content-type", b"application/problem+json" if status >= 400 else b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"vary", b", ".join((b"Accept", *varies_with))),
    ]
    return Response(status, headers + (extra or []), body)


# What an application says of its own answers: the session that it opened is nothing for a refusal, nor is a version.
_OF_ITS_OWN = frozenset({b"set-cookie", b"etag", b"last-modified", b"expires", b"cache-control"})

# What some shared caches obey before Cache-Control: nginx, those that speak Edge Architecture, Akamai. Beside these,
# every field whose name ends in -Cache-Control is for one kind of cache (RFC 9213, section 3.1).
_FOR_SOME_CACHES = frozenset({b"x-accel-expires", b"surrogate-control", b"edge-control"})


def body_length(method: str, status: int, headers: Headers) -> int | None:
    """How many bytes of body the client waits for; None where only the end of the stream tells."""
    if method == "HEAD" or status in (204, 304):
        return 0
    lengths = (int(value) for name, value in headers if name.lower() == b"content-length" and value.isdigit())
    return next(lengths, None)


def personal(headers: Iterable[tuple[bytes, bytes]], varies_with: Sequence[bytes] = VARIES) -> Headers:
    """The headers of a paid answer: no shared cache may keep it, nor give it to a caller with another credential.

    `varies_with` are the request fields in which a credential, or the wish for a scheme, may stand.
    """
    others: Headers = []
    cache_control: Headers = []
    vary: Headers = []
    for pair in headers:
        name = pair[0].lower()
        if name == b"vary":
            vary.append(pair)
        elif name == b"cache-control":
            cache_control.append(pair)
        elif name not in _FOR_SOME_CACHES and not name.endswith(b"-cache-control"):
            others.append(pair)
    return [*others, _private(cache_control), _varying(vary, varies_with)]


def refused(headers: Headers, refusal: Response) -> Headers:
    """The headers of a refusal that the application has worked over: no cache may keep that either."""
    not_taken = _OF_ITS_OWN
    if all(name != b"content-length" for name, _ in refusal.headers):
        # A framework counts the body: of an answer to HEAD that is not the length which GET would have.
        not_taken = not_taken | {b"content-length"}
    added = [pair for pair in headers if pair[0].lower() not in not_taken and not _is_for_some_caches(pair[0].lower())]
    return added + [pair for pair in refusal.headers if pair[0].lower() in _OF_ITS_OWN]


def _is_for_some_caches(name: bytes) -> bool:
    return name in _FOR_SOME_CACHES or name.endswith(b"-cache-control")


def _private(fields: Headers) -> tuple[bytes, bytes]:
    if not fields:
        return b"cache-control", b"private"
    directives = [part.strip() for part in b",".join(value for _, value in fields).split(b",") if part.strip()]
    kept = [part for part in directives if part.split(b"=")[0].lower() not in (b"public", b"s-maxage")]
    # Only a bare `private` keeps the whole answer out of shared caches (RFC 9111, section 5.2.2.7).
    if not {part.lower() for part in directives} & {b"private", b"no-store"}:
        kept.insert(0, b"private")
    return b"cache-control", b", ".join(kept)


def _varying(fields: Headers, varies_with: Sequence[bytes]) -> tuple[bytes, bytes]:
    if not fields:
        return b"vary", b", ".join(varies_with)
    vary = b", ".join(value for _, value in fields if value)
    if vary.strip() == b"*":
        return b"vary", vary
    named = {part.strip().lower() for part in vary.split(b",")}
    missing = [name for name in varies_with if name.lower() not in named]
    return b"vary", b", ".join([vary, *missing] if vary else missing)


@dataclass(frozen=True, slots=True)
class AnswerTo:
    """Of what a finished answer depends on in its request, that which a claim does not have.

    `body_digest` is None where not known; `selection` (see `RequestView.selection`) where it makes no difference.
    """

    body_digest: bytes | None = None
    selection: str | None = None


REPLAYED: Final = b"l402-replayed"
"""The field that says `true` in an answer which is given again."""


def pack(response: Response, to: AnswerTo, now: float) -> bytes:
    """A finished answer as a ledger keeps it, with the time in unix seconds."""
    headers = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in response.headers]
    head = json.dumps([response.status, headers, to.body_digest.hex() if to.body_digest else None, to.selection, now])
    return head.encode() + b"\n" + response.body


def unpack(packed: bytes, now: float) -> tuple[Response, AnswerTo]:
    """What `pack` packed, as it is given again: with `L402-Replayed: true`, and its `Age` (RFC 9111, section 5.1).

    Answers that were kept before their time was have no `Age`.
    """
    head, _, body = packed.partition(b"\n")
    status, headers, body_digest, selection, *kept_at = json.loads(head)
    fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    if kept_at:
        # What it had spent in caches behind the application counts too (RFC 9111, section 4.2.3).
        ages = [int(value) for name, value in fields if name.lower() == b"age" and value.isdigit()]
        fields = [(name, value) for name, value in fields if name.lower() != b"age"]
        fields.append((b"age", str(max(ages, default=0) + max(int(now - kept_at[0]), 0)).encode()))
    fields.append((REPLAYED, b"true"))
    to = AnswerTo(bytes.fromhex(body_digest) if body_digest else None, selection)
    return Response(status, fields, body, is_again=True), to
