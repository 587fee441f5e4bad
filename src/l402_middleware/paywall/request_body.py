"""The body of a request, where what is sold depends on it: read once, and digested with the rest of the request."""

from ..core.binding import request_digest
from ..flow import Flow, do
from .body_budget import BodyBudget
from .request import Body, RequestView


def body_digest(request: RequestView, limit: int, budget: BodyBudget, payer: bytes = b"") -> Flow[bytes]:
    """SHA-256 over the body, of at most `limit` bytes, which is read if it was not yet.

    Raises `Refusal` where it cannot be.
    """
    if request.body_if_read is None:
        request.body_if_read = yield from do(request.read_body(Body(limit, budget, payer)))
    return request.body_if_read.digest


def whole_digest(request: RequestView, limit: int, budget: BodyBudget, payer: bytes = b"") -> Flow[str]:
    """The digest of the whole request, as a credential is bound to it."""
    return digest_of(request, (yield from body_digest(request, limit, budget, payer)))


def digest_of(request: RequestView, body: bytes) -> str:
    """The digest of a request whose body has the digest `body`.

    HEAD counts as GET: who asks the price with HEAD may buy with GET.
    """
    method = "GET" if request.method == "HEAD" else request.method
    return request_digest(method, request.path, request.query_string, body)
