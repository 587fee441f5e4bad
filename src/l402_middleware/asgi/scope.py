"""What an ASGI scope says of its request."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from ..paywall.caller_binding import from_pem
from ..paywall.request import ReadBody, RequestView

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


def method_of(scope: Scope) -> str:
    """The request's method; a WebSocket's handshake, which is sold apart from a GET, has one of its own.

    Upper-case, because some servers pass `post` on, and some frameworks take it for POST: so must a price function.
    """
    return "WEBSOCKET" if scope["type"] == "websocket" else str(scope["method"]).upper()


def is_http_1(scope: Scope) -> bool:
    """Whether the connection carries one request at a time; in HTTP/2 and 3 one that is cut off hurts no other."""
    return str(scope.get("http_version", "1.1")).startswith("1")


def split_path(scope: Scope) -> tuple[str, str]:
    """The mount that a server, a router or a proxy says, and the path below it, which the application routes by."""
    mount, path = scope.get("root_path", ""), scope["path"]
    # The specification has the mount in the path, and some servers leave it out.
    if mount and path.startswith(mount) and path[len(mount) :][:1] in ("", "/"):
        path = path[len(mount) :]
    return mount, path


def view_of(scope: Scope, endpoint: str, read_body: ReadBody) -> RequestView:
    """The request as the paywall sees it."""
    client = scope.get("client")
    return RequestView(
        method=method_of(scope),
        endpoint=endpoint,
        path=scope["path"],
        query_string=scope["query_string"],
        headers=scope["headers"],
        peer=client[0] if client else None,
        read_body=read_body,
        read_certificate=lambda: _certificate(scope),
        scheme=scope.get("scheme", "http"),
    )


def _certificate(scope: Scope) -> bytes | None:
    """What the server says by ASGI's `tls` extension; few servers do."""
    tls = (scope.get("extensions") or {}).get("tls") or {}
    chain = () if tls.get("client_cert_error") else tls.get("client_cert_chain") or ()
    return from_pem(next(iter(chain), ""))
