"""Header fields and whole answers as WSGI (PEP 3333) has them: text in which every character is a byte."""

from http import HTTPStatus
from typing import TYPE_CHECKING

from ..paywall.response import Headers, Response

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def raw_headers(headers: list[tuple[str, str]]) -> Headers:
    """Header fields as bytes, from the text that WSGI has."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]


def text_headers(headers: Headers) -> list[tuple[str, str]]:
    """Header fields as WSGI has them."""
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]


def status_line(response: Response) -> str:
    """A response's status as `start_response` takes it."""
    return f"{response.status} {HTTPStatus(response.status).phrase}"


def respond(response: Response, environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
    """Give a whole response; HEAD gets its headers only."""
    start_response(status_line(response), text_headers(response.headers))
    return [b""] if environ["REQUEST_METHOD"] == "HEAD" else [response.body]
