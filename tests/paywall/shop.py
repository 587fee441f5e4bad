"""A paywall with a clock of its own and a development node, and the requests that come to it."""

import json
from dataclasses import dataclass, field
from typing import Any

from l402_middleware import Offer, Paywall, Refusal, RequestView
from l402_middleware.flow import Step, adrive, drive
from l402_middleware.paywall.delivery import Delivery
from l402_middleware.paywall.paywall import Decision
from l402_middleware.paywall.quoting import Quoting
from l402_middleware.paywall.redemption import Redemption
from l402_middleware.paywall.request import Body
from l402_middleware.paywall.response import Headers, Response
from l402_middleware.providers.devnode import DevNode

KEY = "0123456789abcdef" * 4
NOW = 1_700_000_000.0


@dataclass
class Clock:
    """A clock that only moves when it is told to."""

    now: float = NOW

    def __call__(self) -> float:
        return self.now


@dataclass
class GivenBody(Step[Body]):
    """A body that lies ready; `reads` counts how often it was asked for."""

    content: bytes
    body: Body | None = None
    reads: int = 0

    def block(self) -> Body:
        assert self.body is not None
        self.reads += 1
        try:
            self.body.write(self.content)
        except Refusal:
            self.body.close()
            raise
        return self.body

    async def wait(self) -> Body:
        return self.block()


def ask(
    endpoint: str = "GET /thing",
    *credentials: bytes,
    method: str | None = None,
    path: str | None = None,
    query: bytes = b"",
    headers: Headers | None = None,
    body: bytes = b"",
    peer: str | None = "127.0.0.1",
    certificate: bytes | None = None,
    scheme: str = "http",
) -> RequestView:
    """A request to `endpoint` with these Authorization field values."""
    content = GivenBody(body)

    def read_body(body: Body) -> Step[Body]:
        content.body = body
        return content

    return RequestView(
        method=method or endpoint.split(maxsplit=1)[0],
        endpoint=endpoint,
        path=path or endpoint.split()[1],
        query_string=query,
        headers=[*(headers or []), *((b"authorization", value) for value in credentials)],
        peer=peer,
        read_body=read_body,
        read_certificate=lambda: certificate,
        scheme=scheme,
    )


def members(decision: Decision) -> dict[str, Any]:
    """The JSON body of a response."""
    assert isinstance(decision, Response), decision
    answer: dict[str, Any] = json.loads(decision.body)
    return answer


def code(decision: Decision) -> tuple[int, str]:
    """The status and the `code` of a refusal, whole as RFC 9457 has it; seconds to wait, if any, are a number."""
    assert isinstance(decision, Response), decision
    problem = members(decision)
    assert problem["status"] == decision.status
    assert problem["type"] == f"urn:l402:problem:{problem['code']}"
    assert isinstance(problem["title"], str)
    assert problem["title"]
    assert all(seconds.isdigit() for seconds in field_of(decision, b"retry-after"))
    assert field_of(decision, b"content-type") == [b"application/problem+json"]
    assert field_of(decision, b"content-length") == [str(len(decision.body)).encode()]
    assert field_of(decision, b"cache-control") == [b"no-store"]
    assert field_of(decision, b"vary") == [b"Accept, Authorization"]
    return decision.status, problem["code"]


def deliver(decision: Decision, body: bytes = b"goods", status: int = 200, headers: Headers | None = None) -> bool:
    """Run the handler that was admitted: it answers with this."""
    assert isinstance(decision, Delivery), decision
    decision.start(status, headers or [])
    decision.take(body)
    return drive(decision.finish())


def field_of(response: Decision, name: bytes) -> list[bytes]:
    """The values of a response's header."""
    assert isinstance(response, Response)
    return [value for key, value in response.headers if key == name]


def _close(request: RequestView) -> None:
    if request.body_if_read is not None:
        request.body_if_read.close()
        request.body_if_read = None


@dataclass
class Shop:
    """A paywall under test."""

    options: dict[str, Any] = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.node = DevNode(clock=self.clock)
        self.paywall = Paywall(self.node, **{"secret_keys": [KEY], "clock": self.clock, **self.options})

    def decide(self, offer: Offer, request: RequestView) -> Decision:
        """What the paywall decides about a request, asked by a blocking server."""
        try:
            return drive(self.paywall.admit(request, offer))
        finally:
            _close(request)

    async def adecide(self, offer: Offer, request: RequestView) -> Decision:
        """What the paywall decides about a request, asked by an awaiting server."""
        try:
            return await adrive(self.paywall.admit(request, offer))
        finally:
            _close(request)

    def pay(self, challenge: Decision, scheme: str = "L402") -> bytes:
        """The Authorization value that paying a challenge yields."""
        quoted = members(challenge)
        return f"{scheme} {quoted['macaroon']}:{self.node.pay(quoted['invoice']).hex()}".encode()

    def buy(self, offer: Offer, request: RequestView | None = None) -> bytes:
        """The Authorization value for `request`, quoted and paid."""
        return self.pay(self.decide(offer, request or ask()))


def quoting_of(shop: Shop) -> Quoting:
    """What asks for payment in a shop."""
    return shop.paywall._admission._quoting


def redemption_of(shop: Shop) -> Redemption:
    """What honours credentials in a shop."""
    return shop.paywall._admission._redemption
