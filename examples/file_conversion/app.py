"""The conversion service in Starlette."""

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse
from starlette.routing import Route

from l402_middleware import Paywall, Refusal
from l402_middleware.starlette import L402Middleware, l402_required

from .catalogue import MAX_BODY_BYTES, description
from .order import Order
from .sandbox import ConversionFailed
from .shop import PATH, Shop, paywall_from_environment, problem


def create_app(shop: Shop | None = None, paywall: Paywall | None = None) -> Starlette:
    """The application; shop and paywall from the environment where not given."""
    shop = shop or Shop.from_environment()

    async def offers(request: Request) -> JSONResponse:
        return JSONResponse(description())

    @l402_required(price=shop.price, max_body=MAX_BODY_BYTES, memo="file conversion")
    async def convert(request: Request) -> JSONResponse:
        order = await run_in_threadpool(Order.from_json, await request.body())
        converted = await shop.sandbox.convert(order)
        return JSONResponse(await run_in_threadpool(shop.result, order, converted, request.headers.get("host")))

    async def download(request: Request) -> FileResponse:
        file = shop.links.get(
            request.path_params["identity"],
            request.path_params["name"],
            request.query_params.get("exp", ""),
            request.query_params.get("sig", ""),
        )
        return FileResponse(file.path, headers=file.headers)

    return Starlette(
        routes=[
            Route(PATH, offers),
            Route(PATH, convert, methods=["POST"]),
            Route("/files/{identity}/{name}", download),
        ],
        middleware=[Middleware(L402Middleware, paywall=paywall or paywall_from_environment())],
        exception_handlers={Refusal: _refused, ConversionFailed: _failed},
    )


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refusal)
    return JSONResponse(problem(error.status, error.code, error.title), error.status)


async def _failed(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ConversionFailed)
    return JSONResponse(problem(422, error.code, error.title), 422)
