"""What a WSGI environ (PEP 3333) says of its request."""

from collections.abc import Iterator
from ssl import SSLSocket
from typing import TYPE_CHECKING

from ..paywall.caller_binding import from_pem
from ..paywall.request import ReadBody, RequestView

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


def method_of(environ: "WSGIEnvironment") -> str:
    """The request's method; upper-case, because Werkzeug and Django take `post` for POST: so must a price function."""
    return str(environ["REQUEST_METHOD"]).upper()


def split_path(environ: "WSGIEnvironment") -> tuple[str, str]:
    """The mount, and the path below it, which the application routes by; decoded."""
    mount, path = environ.get("SCRIPT_NAME", ""), environ.get("PATH_INFO", "")
    return mount.encode("latin-1").decode("utf-8", "surrogateescape"), path.encode("latin-1").decode(
        "utf-8", "surrogateescape"
    )


def headers_of(environ: "WSGIEnvironment") -> Iterator[tuple[bytes, bytes]]:
    """The request's header fields, their names in lower case."""
    for key, value in environ.items():
        if key.startswith("HTTP_"):
            yield key[5:].replace("_", "-").lower().encode("latin-1"), value.encode("latin-1")
        elif key in ("CONTENT_TYPE", "CONTENT_LENGTH") and value:
            yield key.replace("_", "-").lower().encode("latin-1"), value.encode("latin-1")


def view_of(environ: "WSGIEnvironment", endpoint: str, path: str, read_body: ReadBody) -> RequestView:
    """The request as the paywall sees it."""
    return RequestView(
        method=method_of(environ),
        endpoint=endpoint,
        path=path,
        query_string=environ.get("QUERY_STRING", "").encode("latin-1"),
        headers=list(headers_of(environ)),
        peer=environ.get("REMOTE_ADDR"),
        read_body=read_body,
        read_certificate=lambda: _certificate(environ),
        scheme=environ["wsgi.url_scheme"],
    )


def _certificate(environ: "WSGIEnvironment") -> bytes | None:
    """What the server says: in the variables of Apache's mod_ssl, or by the connection itself."""
    if "SSL_CLIENT_CERT" in environ:
        is_proved = environ.get("SSL_CLIENT_VERIFY", "SUCCESS") in ("SUCCESS", "GENEROUS")
        return from_pem(environ["SSL_CLIENT_CERT"]) if is_proved else None
    connection = environ.get("gunicorn.socket")
    if not isinstance(connection, SSLSocket):
        return None
    return connection.getpeercert(binary_form=True)
