"""The contract in process, paid by each scheme: Starlette and FastAPI on both event loops, Flask over WSGI."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import httpx2
import pytest
from starlette.testclient import TestClient

from l402_middleware import Paywall

from . import fastapi_app, flask_app, starlette_app
from .contract import AdapterContract, Site


class TestStarlette(AdapterContract):
    create = staticmethod(starlette_app.create)

    @pytest.fixture(params=["asyncio", "trio"])
    def site(self, request: pytest.FixtureRequest, paywall: Paywall, runs_file: Path) -> Iterator[Site]:
        backend: Literal["asyncio", "trio"] = request.param
        app = self.create(paywall)
        with TestClient(
            app, client=("127.0.0.1", 1), backend=backend, raise_server_exceptions=False, follow_redirects=False
        ) as client:
            yield Site(client, runs_file)


class TestFastAPI(TestStarlette):
    create = staticmethod(fastapi_app.create)


class TestFlask(AdapterContract):
    # httpx2's WSGI transport has no chunks; the real servers do.
    test_chunked = None  # type: ignore[assignment]

    @pytest.fixture
    def site(self, paywall: Paywall, runs_file: Path) -> Iterator[Site]:
        app = flask_app.create(paywall)
        with httpx2.Client(transport=httpx2.WSGITransport(app), base_url="http://test") as client:
            yield Site(client, runs_file)


class TestStarlettePaidByPayment(TestStarlette):
    scheme = "payment"


class TestFastAPIPaidByPayment(TestFastAPI):
    scheme = "payment"


class TestFlaskPaidByPayment(TestFlask):
    scheme = "payment"
