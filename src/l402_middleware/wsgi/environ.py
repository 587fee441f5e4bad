"""What a WSGI environ (PEP 3333) says of its request."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

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
