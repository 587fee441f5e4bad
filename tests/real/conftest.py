"""What these tests run against: a real LNbits, applications on a real server, and third-party clients."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from starlette.types import ASGIApp

from . import lab


@pytest.fixture(scope="session")
def lnbits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[lab.LNbitsServer]:
    """A running LNbits; under pytest-xdist each worker that needs one has its own."""
    with lab.lnbits_server(tmp_path_factory.mktemp("lnbits")) as server:
        yield server


@pytest.fixture(scope="session")
def python_clients(tmp_path_factory: pytest.TempPathFactory) -> lab.Client:
    """The Python clients, in a virtual environment of their own."""
    return lab.python_clients(tmp_path_factory.mktemp("python-clients"))


@pytest.fixture(scope="session")
def node_clients() -> lab.Client:
    """The JavaScript client, run by node."""
    return lab.node_clients()


@pytest.fixture(scope="session")
def mppx_client() -> lab.Client:
    """The client of the Payment scheme's authors, run by node."""
    return lab.mppx_client()


@pytest.fixture
def serve() -> Iterator[Callable[[ASGIApp], str]]:
    """Put an application on a real uvicorn on loopback, until the test ends; gives its URL."""
    with ExitStack() as running:
        yield lambda app: running.enter_context(lab.serving(app))
