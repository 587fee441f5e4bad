"""l402kit's endpoint in FastAPI and Flask, with its own provider for development."""

from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse
from flask import Flask
from l402kit import DevProvider, l402_required


def fastapi() -> FastAPI:
    """In FastAPI."""
    app = FastAPI()

    @app.get("/single")
    @l402_required(price_sats=21, lightning=DevProvider())
    async def priced(request: Request) -> PlainTextResponse:
        return PlainTextResponse("goods")

    return app


def flask() -> Flask:
    """In Flask."""
    app = Flask(__name__)

    @app.get("/single")
    @l402_required(price_sats=21, lightning=DevProvider())
    def priced() -> str:
        return "goods"

    return app
