"""Both applications in this process, with a look behind the counter."""

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio.to_thread
import httpx2
from file_conversion import app, flask_app
from file_conversion.order import Order
from file_conversion.sandbox import ConversionFailed, Converted, Sandbox
from file_conversion.shop import Shop
from starlette.testclient import TestClient

from l402_middleware import Msat, Paywall
from l402_middleware.flow import Flow
from l402_middleware.invoicing.provider import CreatedInvoice, InvoiceRequest
from l402_middleware.providers import DevNode

from .customer import Customer

LOOPBACK = "http://127.0.0.1"


class WatchedSandbox(Sandbox):
    """Counts its conversions, lets them wait at `gate`, and fails as many of them as it is told."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder=folder)
        self.runs = 0
        self.failures_to_come = 0
        self.gate = threading.Event()
        self.gate.set()

    async def convert(self, order: Order) -> Converted:
        await anyio.to_thread.run_sync(self._begin)
        return await super().convert(order)

    def convert_blocking(self, order: Order) -> Converted:
        self._begin()
        return super().convert_blocking(order)

    def _begin(self) -> None:
        self.runs += 1
        assert self.gate.wait(timeout=10)
        if self.failures_to_come:
            self.failures_to_come -= 1
            raise ConversionFailed("crashed")


class CountingNode(DevNode):
    """Keeps the amounts of the invoices it made."""

    def __init__(self) -> None:
        super().__init__()
        self.invoiced: list[Msat] = []

    def create_invoice(self, request: InvoiceRequest) -> Flow[CreatedInvoice]:
        self.invoiced.append(request.amount)
        return (yield from super().create_invoice(request))


@dataclass(frozen=True, slots=True)
class Service:
    """One of the two applications in this process, with a look behind its counter."""

    customer: Customer
    shop: Shop
    sandbox: WatchedSandbox
    node: CountingNode
    ledger: Path


def starlette_client(shop: Shop, paywall: Paywall) -> httpx2.Client:
    """A client of the Starlette application; used as a context, it runs the application's lifespan too."""
    client = TestClient(app.create_app(shop, paywall), LOOPBACK, client=("127.0.0.1", 50000))
    assert isinstance(client, httpx2.Client)
    return client


def flask_client(shop: Shop, paywall: Paywall) -> httpx2.Client:
    """A client of the Flask application."""
    flask = flask_app.create_app(shop, paywall)

    def as_a_server_calls_it(environ: dict[str, Any], start_response: Any) -> Any:
        # What gunicorn and waitress say of a body: it ends where it ends, even without a Content-Length.
        return flask.wsgi_app(environ | {"wsgi.input_terminated": True}, start_response)

    return httpx2.Client(transport=httpx2.WSGITransport(as_a_server_calls_it), base_url=LOOPBACK)
