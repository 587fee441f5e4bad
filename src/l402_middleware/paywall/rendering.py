"""Turns a refusal into a response: each scheme's header lines, and a JSON body."""

from collections.abc import Sequence

from ..core.challenge import problem
from .response import VARIES, Headers, Response, json_response
from .verdict import UNDELIVERED, Refused


def render(refused: Refused, accept: str | None = None, varies_with: Sequence[bytes] = VARIES) -> Response:
    """The answer that a refusal is; `accept` is the request's Accept field, `varies_with` the fields it depends on.

    The body is a problem (RFC 9457) whatever is accepted: programs read nothing else, and it is they who pay.
    """
    members = problem(refused.status, refused.code, refused.title, refused.uri)
    headers: Headers = []
    for offer in refused.offers:
        members |= offer.members
        # Each a line of its own: clients look for their scheme at the start of a value.
        headers += [(b"www-authenticate", line.encode("latin-1")) for line in offer.lines]
    if refused.retry_after is not None:
        headers.append((b"retry-after", str(refused.retry_after).encode()))
    return json_response(refused.status, members, headers, varies_with)


def undelivered(accept: str | None = None) -> Response:
    """In place of an answer whose payment could not be settled just before it went out."""
    return render(UNDELIVERED, accept)
