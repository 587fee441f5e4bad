"""What the shops compute prices from."""

from l402_middleware import Refusal, RequestView

MAX_BODY = 4 * 1024 * 1024


def by_size(request: RequestView) -> int:
    """A sat for each kilobyte that is sent."""
    return 1 + request.body.size // 1000


def peer_of(request: RequestView) -> int:
    """No price: a 404 that says whom the paywall takes for the peer."""
    raise Refusal(404, "peer", str(request.peer))
