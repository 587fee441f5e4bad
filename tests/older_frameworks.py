"""Tests with the lowest versions of the frameworks: what their own tools lack, and which tests are of later features.

`make test-lowest` loads this as a plugin.
"""

from collections.abc import Sequence
from inspect import signature
from typing import Any, Final

import pytest
import starlette.testclient
from starlette.types import ASGIApp, Receive, Scope, Send

_TestClient = starlette.testclient.TestClient


class _From:
    """An application, each request to which comes from one address."""

    def __init__(self, app: ASGIApp, client: tuple[str, int]) -> None:
        self.app = app
        self._client = client

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope if scope["type"] == "lifespan" else {**scope, "client": self._client}, receive, send)


class _ClientFrom(_TestClient):
    """`TestClient(client=...)`, which a later Starlette has."""

    def __init__(self, app: ASGIApp, *args: Any, client: tuple[str, int] = ("testclient", 50000), **options: Any):
        super().__init__(_From(app, client), *args, **options)
        self.app = app


if "client" not in signature(_TestClient.__init__).parameters:
    starlette.testclient.TestClient = _ClientFrom  # type: ignore[misc]


# Parts of the names of tests, and what they are about that the lowest version does not have.
LATER: Final = {
    "[late": "routes that FastAPI's router gets after it was included",
    "-late]": "the same",
    "test_late_routes_are_documented": "the same",
    "test_hosts_in_an_included_router": "a Host in a router that is included",
    "Starlette's routes in a router": "a Mount in a router that is included",
    "test_endpoints_that_yield": "FastAPI's endpoints that yield",
    "frontend": "app.frontend",
    "test_a_file_whose_path_is_spelled_as_a_template": "app.frontend",
    "test_prices_by_dependencies_are_seen": "app.frontend",
    "TestFastAPI::test_bound_to_the_request": "a body of bytes as FastAPI's parameter",
    "TestFastAPI::test_chunked": "the same",
    "TestFastAPIPaidByPayment::test_bound_to_the_request": "the same",
    "TestFastAPIPaidByPayment::test_chunked": "the same",
    "[FastAPI-/exact]": "the same",
    "DEAR.test": "Starlette's hosts in any case",
    "test_the_running_application_says_the_same[in Starlette's list]": "Starlette's Middleware(kind, *arguments)",
    "test_a_default_beside_prices_of_their_own[starlette_default": "the same",
    "test_a_price_beside_a_bearer_token": "HTTPBearer that looks at the first of two lines",
    "[litestar": "Litestar, which needs later packages beside it",
    "[quart": "Quart, which needs a later Flask",
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what the lowest versions cannot do."""
    left_out: Sequence[pytest.Item] = [item for item in items if any(part in item.nodeid for part in LATER)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
