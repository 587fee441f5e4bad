"""A free and a priced endpoint in FastAPI, bare and charged for: what the other packages are put beside."""

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

from bench.sales import OFFERS, paywall_from_environment
from l402_middleware.starlette import L402Middleware, l402_required


async def goods() -> PlainTextResponse:
    """The endpoint that does nothing."""
    return PlainTextResponse("goods")


def served() -> FastAPI:
    """The application for a server: charged for where the environment has a ledger."""
    app = FastAPI()
    paywall = paywall_from_environment()
    for path in ("/pass", "/single"):
        app.get(path)(goods if paywall is None else l402_required(**OFFERS[path])(goods))
    if paywall is not None:
        app.add_middleware(L402Middleware, paywall=paywall)
    return app
