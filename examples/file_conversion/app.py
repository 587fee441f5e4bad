"""The conversion service in Starlette."""

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse
from starlette.routing import Route

from l402_middleware import Paywall
from l402_middleware.starlette import L402Middleware, l402_required

from .catalogue import MAX_BODY_BYTES
from .openapi import OPENAPI_PATH, document
from .order import Order
from .shop import PATHS, PROBLEM_TYPE, PROBLEMS, Shop, offers, paywall_from_environment, problem


def create_app(shop: Shop | None = None, paywall: Paywall | None = None) -> Starlette:
    """The application; shop and paywall from the environment where not given."""
    return _application(shop or Shop.from_environment(), paywall or paywall_from_environment())


def _application(shop: Shop, paywall: Paywall) -> Starlette:
    async def openapi(request: Request) -> JSONResponse:
        return JSONResponse(document())

    class Conversion(HTTPEndpoint):
        """One route for both methods: of two, only the first would say in a 405 what is allowed."""

        async def get(self, request: Request) -> JSONResponse:
            return JSONResponse(offers(request.query_params))

        @l402_required(price=shop.price, max_body=MAX_BODY_BYTES, memo="file conversion")
        async def post(self, request: Request) -> JSONResponse:
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
            Route(OPENAPI_PATH, openapi),
            *(Route(path, Conversion) for path in PATHS),
            Route("/files/{identity}/{name}", download),
        ],
        middleware=[Middleware(L402Middleware, paywall=paywall)],
        exception_handlers=dict.fromkeys(PROBLEMS, failed),
    )
