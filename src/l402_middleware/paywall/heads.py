"""HEAD requests that have paid, and whose answer cannot be kept for the GET that follows."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from .response import Response

KNOWN: Final = 1000


class UnkeptHeads:
    """The latest endpoints whose answers turned out too long to be kept, or were streams; no more than so many.

    Their handlers run no more for a HEAD. Each endpoint is there only once somebody has paid for it, so who would have
    one forgotten pays for as many others.
    """

    def __init__(self, most: int = KNOWN) -> None:
        self._most = most
        self._endpoints: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, endpoint: str) -> bool:
        return endpoint in self._endpoints

    def add(self, endpoint: str) -> None:
        """Run no handler for a HEAD to that endpoint from now on."""
        self._endpoints[endpoint] = None
        if len(self._endpoints) > self._most:
            self._endpoints.popitem(last=False)


def unspent_head(varies_with: Sequence[bytes]) -> Response:
    """The answer to a HEAD whose credential is good, without a run and without a use of it.

    Its fields say nothing of the resource: RFC 9110, section 9.3.2, leaves out what only a run would tell.
    """
    return Response(200, [(b"cache-control", b"no-store"), (b"vary", b", ".join((b"Accept", *varies_with)))], b"")
