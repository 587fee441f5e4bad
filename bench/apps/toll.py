"""lightning-toll's endpoint, with a wallet in this process whose every invoice has the same known preimage."""

from dataclasses import dataclass
from hashlib import sha256

from fastapi import Depends, FastAPI, Request
from fastapi.responses import PlainTextResponse
from lightning_toll import create_toll

PREIMAGE = bytes(32)


@dataclass
class Made:
    """An invoice as lightning-toll wants it from its wallet."""

    invoice: str
    payment_hash: str


class Wallet:
    """Makes an invoice without asking anybody."""

    async def create_invoice(self, **wanted: object) -> Made:
        return Made("lnbcrt1", sha256(PREIMAGE).hexdigest())


async def goods() -> PlainTextResponse:
    """The endpoint that does nothing."""
    return PlainTextResponse("goods")


def published() -> FastAPI:
    """As its README has it: a dependency."""
    app = FastAPI()
    toll = create_toll(wallet=Wallet(), secret="0123456789abcdef" * 4)
    app.get("/pass", dependencies=[Depends(toll(sats=21))])(goods)
    return app


def served() -> FastAPI:
    """As it runs: its decorator, on an endpoint that asks for its request."""
    app = FastAPI()
    toll = create_toll(wallet=Wallet(), secret="0123456789abcdef" * 4)

    @app.get("/pass")
    @toll.require(sats=21)
    async def priced(request: Request) -> PlainTextResponse:
        return await goods()

    return app
