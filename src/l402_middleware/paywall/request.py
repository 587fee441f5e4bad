"""What the paywall, and an operator's price function, see of a request."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from math import inf
from tempfile import SpooledTemporaryFile
from typing import Any, Protocol
from urllib.parse import parse_qsl

from ..core.errors import ConfigurationError, Refusal
from ..flow import Step
from .body_budget import BodyBudget

# How everything that no decorator priced is counted: under its paths, which strangers choose, it would have no end.
WHOLE_APPLICATION = "(default)"

SPOOL_BYTES = 1024 * 1024
CHUNK_BYTES = 64 * 1024
JSON_BYTES = 1024 * 1024

# RFC 9110, sections 13.1 and 14.2.
_SELECTING = frozenset(
    {b"if-match", b"if-modified-since", b"if-none-match", b"if-range", b"if-unmodified-since", b"range"}
)


class Body:
    """A request body: hashed while it arrives, in memory up to 1 MiB and in an unnamed file beyond.

    It takes its room in `budget`, if there is one, until it is closed; `payer` is the payment that it came with, if
    any. Raises `Refusal` where there is no room.
    """

    def __init__(self, limit: int, budget: BodyBudget | None = None, payer: bytes = b"") -> None:
        self._limit = limit
        self._room = None if budget is None else budget.enter(payer)
        self._file = SpooledTemporaryFile(max_size=SPOOL_BYTES)  # noqa: SIM115 - closed by close()
        self._sha256 = sha256()
        self.size = 0

    def write(self, chunk: bytes) -> None:
        """Take the next piece. Raises `Refusal` as `count` does."""
        self.count(len(chunk))
        self.store([chunk])

    def count(self, size: int) -> None:
        """Note `size` bytes more. Raises `Refusal`: 413 for a body that is too long, 408 or 503 without room for it."""
        self.expect(self.size + size)
        if self._room is not None:
            self._room.grow(size)
        self.size += size

    def store(self, chunks: Iterable[bytes]) -> None:
        """Hash and keep the next pieces, which were counted."""
        for chunk in chunks:
            self._sha256.update(chunk)
            self._file.write(chunk)

    def expect(self, size: int) -> None:
        """Raise `Refusal` (413) where the body is going to be longer than the limit."""
        if size > self._limit:
            raise Refusal(413, "body-too-large", f"The request's body is larger than {self._limit} bytes.")

    def seconds_left(self) -> float:
        """How long the client has from now to send more."""
        return inf if self._room is None else self._room.seconds_left()

    @property
    def digest(self) -> bytes:
        """SHA-256 over the whole body."""
        return self._sha256.digest()

    def chunks(self, size: int = CHUNK_BYTES) -> Iterator[bytes]:
        """The body from its beginning, in pieces of up to `size` bytes; none for an empty body."""
        self._file.seek(0)
        while chunk := self._file.read(size):
            yield chunk

    def read(self) -> bytes:
        """The whole body."""
        self._file.seek(0)
        return self._file.read()

    def json(self, max_bytes: int = JSON_BYTES) -> Any:
        """The body as JSON. Raises `Refusal`: 400, `not-json`, where it is not, and 413 where it is over `max_bytes`.

        A stranger's 16 MiB of it take 400 MiB, and hold every thread for two seconds.
        """
        if self.size > max_bytes:
            raise Refusal(413, "body-too-large", f"The request's body is larger than {max_bytes} bytes of JSON.")
        try:
            return json.loads(self.read())
        except (ValueError, RecursionError):
            raise Refusal(400, "not-json", "The request's body is not JSON.") from None

    def rewind(self) -> SpooledTemporaryFile[bytes]:
        """The body as a file at its beginning."""
        self._file.seek(0)
        return self._file

    def close(self) -> None:
        """Give up the memory or the file, and the room."""
        self._file.close()
        if self._room is not None:
            self._room.free()


def announced_length(value: str) -> int | None:
    """The length that a Content-Length says; None where that is no number, as some servers pass it on.

    18 digits are an exabyte; 5,000 of them int() would refuse.
    """
    return int(value) if value.isascii() and value.isdigit() and len(value) <= 18 else None


class ReadBody(Protocol):
    """Gives the step that reads the whole body into `body`, which is empty, and keeps it for the handler."""

    def __call__(self, body: Body) -> Step[Body]: ...


class ReadCertificate(Protocol):
    """Gives the TLS client certificate (DER) that the request came with; None where it came with none."""

    def __call__(self) -> bytes | None: ...


def no_certificate() -> None:
    """The certificate of a connection that had none."""


@dataclass(slots=True)
class RequestView:
    """One request, the same under every framework.

    `endpoint` is "METHOD /full/route/template" as the router chose it (HEAD counts as GET); `path` and
    `query_string` are as sent, the path decoded; `headers` are raw, their names in lower case; `peer` is the
    address of the client: of the other end of the connection, or behind the paywall's trusted proxies; None where that
    is not known; `scheme` is "http" or "https", as the server says. A price function finds the body, already read, in
    `body`, and GET in `method` where it was HEAD: what it says of the one buys the other.
    """

    method: str
    endpoint: str
    path: str
    query_string: bytes
    headers: Iterable[tuple[bytes, bytes]] = field(repr=False)
    peer: str | None
    read_body: ReadBody = field(repr=False)
    body_if_read: Body | None = field(default=None, repr=False)
    read_certificate: ReadCertificate = field(default=no_certificate, repr=False)
    scheme: str = "https"

    @property
    def body(self) -> Body:
        """The request's body. Raises `ConfigurationError` where it was not read: where nothing asked for its digest."""
        if self.body_if_read is None:
            raise ConfigurationError(
                f"the body of {self.endpoint_name} was not read: only a price function, or a sale that is bound to the "
                "request, has it"
            )
        return self.body_if_read

    @property
    def endpoint_name(self) -> str:
        """The endpoint as it can stand in any ledger and log; where a path stands for it, it is anybody's text."""
        return WHOLE_APPLICATION if self.endpoint.startswith(WHOLE_APPLICATION) else _recordable(self.endpoint[:200])

    def header(self, name: str) -> str | None:
        """The values of a header, joined by commas as RFC 9110, section 5.3 has it; None where it is absent."""
        values = self.raw_header(name)
        return b", ".join(values).decode("latin-1") if values else None

    def raw_header(self, name: str) -> list[bytes]:
        """The values of every field line of that name, in order."""
        wanted = name.lower().encode("latin-1")
        return [value for key, value in self.headers if key.lower() == wanted]

    @property
    def selection(self) -> str:
        """A digest of the fields that ask for a part of the answer, or for a newer one; empty where there are none."""
        fields = sorted((name.lower(), value) for name, value in self.headers if name.lower() in _SELECTING)
        return sha256(repr(fields).encode()).hexdigest() if fields else ""

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters. Raises `Refusal` (400): `repeated-parameter` where one is there twice,
        `malformed-query` where the query is not percent-encoded UTF-8.

        Starlette gives a handler the last of two and Flask the first, and they read other bytes differently too: a
        price for one would buy the other.
        """
        try:
            parameters = parse_qsl(self.query_string.decode("ascii"), keep_blank_values=True, errors="strict")
        except UnicodeDecodeError:
            raise Refusal(400, "malformed-query", "The query is not percent-encoded UTF-8.") from None
        query = dict(parameters)
        if len(query) < len(parameters):
            raise Refusal(400, "repeated-parameter", "A parameter of the query is there twice; send each once.")
        return query


@lru_cache(maxsize=256)
def _recordable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
