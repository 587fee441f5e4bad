"""What these tests run against: a real LNbits, applications on a real server, and third-party clients."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from starlette.types import ASGIApp

from .lab import LNbitsServer, lnbits_server, serving


@pytest.fixture(scope="session")
def lnbits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LNbitsServer]:
    """A running LNbits; under pytest-xdist each worker that needs one has its own."""
    with lnbits_server(tmp_path_factory.mktemp("lnbits")) as server:
        yield server


@pytest.fixture
def serve() -> Iterator[Callable[[ASGIApp], str]]:
    """Put an application on a real uvicorn on loopback, until the test ends; gives its URL."""
    with ExitStack() as running:
        yield lambda app: running.enter_context(serving(app))
