"""The conversion service in Starlette."""

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse
from starlette.routing import Route

from l402_middleware import Paywall
from l402_middleware.starlette import L402Middleware, l402_required

from .catalogue import MAX_BODY_BYTES, description
from .order import Order
from .shop import PATH, PROBLEM_TYPE, PROBLEMS, Shop, paywall_from_environment, problem


def create_app(shop: Shop | None = None, paywall: Paywall | None = None) -> Starlette:
    """The application; shop and paywall from the environment where not given."""
    shop = shop or Shop.from_environment()

    async def offers(request: Request) -> JSONResponse:
        return JSONResponse(description())

    @l402_required(price=shop.price, max_body=MAX_BODY_BYTES, memo="file conversion")
    async def convert(request: Request) -> JSONResponse:
        address = shop.address(request.headers.get("host"))
        order = await run_in_threadpool(Order.from_json, await request.body())
        converted = await shop.sandbox.convert(order)
        return JSONResponse(await run_in_threadpool(shop.result, order, converted, address))

    async def download(request: Request) -> FileResponse:
        query = request.query_params
        file = shop.links.get(**request.path_params, expires=query.get("exp", ""), signature=query.get("sig", ""))
        return FileResponse(file.path, headers=file.headers)

    async def failed(request: Request, error: Exception) -> JSONResponse:
        members = problem(error)
        return JSONResponse(members, members["status"], media_type=PROBLEM_TYPE)

    return Starlette(
        routes=[
            Route(PATH, offers),
            Route(PATH, convert, methods=["POST"]),
            Route("/files/{identity}/{name}", download),
        ],
        middleware=[Middleware(L402Middleware, paywall=paywall or paywall_from_environment())],
        exception_handlers=dict.fromkeys(PROBLEMS, failed),
    )
