"""Servers to buy from, on loopback: our own paywall, one of the Payment drafts, and ones that mean no good."""

import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from functools import cache
from hashlib import sha256
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from l402_middleware import Paywall
from l402_middleware.client import FunctionWallet
from l402_middleware.core.accept_payment import acceptable
from l402_middleware.core.binding import endpoint_digest
from l402_middleware.core.caveats import Terms
from l402_middleware.core.charge import ChargeIssuer
from l402_middleware.core.errors import BadCredential
from l402_middleware.core.invoice import decode
from l402_middleware.core.keys import KeyRing, generate_key
from l402_middleware.core.money import Msat, sats
from l402_middleware.core.payment import PaymentReceipt, parse_payment_authorization
from l402_middleware.core.payment_problems import STATUS, problem_type
from l402_middleware.flow import drive
from l402_middleware.providers import DevNode, InvoiceRequest
from l402_middleware.starlette import L402Middleware, l402_required
from tests.real.lab import serving


class Bank:
    """A development node and a wallet that pays from it, and counts."""

    def __init__(self) -> None:
        self.node = DevNode()
        self.node.use_keys(KeyRing([generate_key()]))
        self.paid: list[str] = []
        self.wallet = FunctionWallet(self.pay, network="regtest")

    def pay(self, bolt11: str) -> bytes:
        """Pay an invoice, once."""
        preimage = self.node.pay(bolt11)
        self.paid.append(sha256(preimage).hexdigest())
        return preimage

    def invoice(self, amount: Msat = sats(21), expiry: int = 600) -> str:  # noqa: B008 - it does not change
        """A new invoice."""
        return drive(self.node.create_invoice(InvoiceRequest(amount, "test", expiry))).bolt11


@l402_required(price=21)
async def forecast(request: Request) -> Response:
    """What was asked, so that it can be compared."""
    body = (await request.body()).decode()
    return JSONResponse({"method": request.method, "query": request.url.query, "body": body})


@l402_required(price=5, uses=3)
async def bundle(request: Request) -> Response:
    """Three for five."""
    return JSONResponse({"uses_left": request.state.l402.uses_left})


@l402_required(price=lambda request: int(request.query.get("pages", "1")))
async def pages(request: Request) -> Response:
    """Bound to its request, because the price is computed."""
    return JSONResponse({"query": request.url.query})


@l402_required(price=21)
async def stream(request: Request) -> Response:
    """In pieces."""

    async def pieces() -> AsyncIterator[bytes]:
        for number in range(5):
            yield b"%d" % number

    return StreamingResponse(pieces(), media_type="text/plain")


@l402_required(price=21)
async def failing(request: Request) -> Response:
    """Fails the first time."""
    if not (tries := request.app.state.tries):
        tries.append(1)
        return Response(status_code=500)
    return JSONResponse({"tries": 2})


async def bearer(request: Request) -> Response:
    """What the application sees in Authorization."""
    return JSONResponse({"authorization": request.headers.getlist("authorization")})


async def moved(request: Request) -> Response:
    """Elsewhere on this server, or at an address of the caller's choice."""
    return RedirectResponse(request.query_params.get("to", "/forecast"))


def our_shop(bank: Bank) -> Starlette:
    """Our own paywall."""
    app = Starlette(
        routes=[
            Route("/forecast", forecast, methods=["GET", "POST"]),
            Route("/bundle", bundle),
            Route("/pages", pages),
            Route("/stream", stream),
            Route("/failing", failing),
            Route("/bearer", l402_required(price=21)(bearer)),
            Route("/moved", moved),
        ],
        middleware=[Middleware(L402Middleware, paywall=Paywall(bank.node))],
    )
    app.state.tries = []
    return app


def drafts_shop(bank: Bank) -> Starlette:
    """A server of the Payment scheme that does what the drafts say, with each challenge good once."""
    issuer = ChargeIssuer("l402", "shop.example", KeyRing([generate_key()]))
    used: set[bytes] = set()

    async def goods(request: Request) -> Response:
        code = None
        fields = [value for name, value in request.headers.raw if name == b"authorization"]
        try:
            credentials = parse_payment_authorization(fields)
            if len(credentials) > 1:
                raise BadCredential("several-credentials")
            if credentials:
                verified = issuer.verify(credentials[0], time.time())
                if verified.payment_hash in used:
                    raise BadCredential("already-used")
                used.add(verified.payment_hash)
                receipt = PaymentReceipt(credentials[0].challenge.id, verified.payment_hash.hex(), int(time.time()))
                headers = {"Payment-Receipt": receipt.header(), "Cache-Control": "private"}
                return JSONResponse({"query": request.url.query}, headers=headers)
        except BadCredential as error:
            code = error.code
        if code is not None and code in STATUS:
            return JSONResponse({"type": problem_type(code)}, STATUS[code])
        accepted = [value for name, value in request.headers.raw if name == b"accept-payment"]
        assert acceptable([("lightning", "charge")], accepted) == [("lightning", "charge")]
        invoice = decode(bank.invoice())
        terms = Terms(endpoint_digest("GET /goods"), sats(21), 1, None, invoice.expires_at + 3600)
        challenge = issuer.issue(invoice, secrets.token_bytes(32), terms, description="The goods")
        problem = {"type": problem_type(code) if code else "about:blank", "status": 402}
        headers = {"WWW-Authenticate": challenge.header(), "Cache-Control": "no-store"}
        return JSONResponse(problem, 402, headers)

    return Starlette(routes=[Route("/goods", goods, methods=["GET", "POST"])])


def hostile_shop(bank: Bank, stranger: Bank) -> Starlette:
    """Servers that mean no good: each path another one."""

    @cache
    def once() -> str:
        return bank.invoice()

    def asks(bolt11: str, body: Any = None) -> Response:
        return JSONResponse(body or {}, 402, {"WWW-Authenticate": f'L402 macaroon="AAAA", invoice="{bolt11}"'})

    async def endless(request: Request) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            while True:
                yield b"x" * 16384
                await anyio.sleep(0.001)

        headers = {"WWW-Authenticate": f'L402 macaroon="AAAA", invoice="{bank.invoice()}"'}
        unpaid = "authorization" not in request.headers
        return StreamingResponse(pieces(), 402, headers) if unpaid else Response(b"goods")

    async def packed(request: Request) -> Response:
        headers = {"WWW-Authenticate": f'L402 macaroon="AAAA", invoice="{bank.invoice()}"', "Content-Encoding": "gzip"}
        unpaid = "authorization" not in request.headers
        return Response(b"no gzip at all", 402, headers) if unpaid else Response(b"goods")

    answers: dict[str, Callable[[], Response]] = {
        "dear": lambda: asks(bank.invoice(sats(51))),
        "other-amount": lambda: asks(bank.invoice(), {"amount_sats": 1}),
        "other-network": lambda: asks(bank.invoice().replace("lnbcrt", "lnbc")),
        "expired": lambda: asks(bank.invoice(expiry=1)),
        "huge": lambda: asks("lnbcrt1" + "q" * 20_000),
        "for-ever": lambda: asks(bank.invoice()),
        "seen-before": lambda: asks(once()),
        "strangers-invoice": lambda: asks(stranger.invoice()),
        "nothing": lambda: JSONResponse({"error": "pay by post"}, 402),
    }

    async def answer(request: Request) -> Response:
        return answers[request.path_params["name"]]()

    return Starlette(
        routes=[Route("/endless", endless), Route("/packed", packed), Route("/moved", moved), Route("/{name}", answer)]
    )


@contextmanager
def serving_shops(bank: Bank) -> Iterator[dict[str, str]]:
    """Each of them on a real server, by name."""
    apps = {"ours": our_shop(bank), "drafts": drafts_shop(bank), "hostile": hostile_shop(bank, Bank())}
    with serving(apps["ours"]) as ours, serving(apps["drafts"]) as drafts, serving(apps["hostile"]) as hostile:
        yield {"ours": ours, "drafts": drafts, "hostile": hostile}
