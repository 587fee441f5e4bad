"""PostgresLedger: the contract, several processes and machines, forks, and every way in which a server can fail."""

from collections.abc import Callable, Iterator
from typing import NoReturn

import pytest

pytest.importorskip("psycopg")

from l402_middleware.ledgers import PostgresLedger
from l402_middleware.testing.ledger_contract import LedgerContract

from .postgres_server import PostgresServer, programs

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def started() -> Iterator[PostgresServer | None]:
    """A server for all tests of this module, where PostgreSQL is installed."""
    folder = programs()
    if folder is None:
        yield None
        return
    server = PostgresServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def server(started: PostgresServer | None, skip_or_fail: Callable[[str], NoReturn]) -> PostgresServer:
    """The running server."""
    if started is None:
        skip_or_fail("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    return started


@pytest.fixture
def url(server: PostgresServer) -> str:
    """An empty database."""
    return server.database()


@pytest.fixture(scope="module")
def shared_url(started: PostgresServer | None) -> str:
    """One database for the whole contract: its tests do not get into each other's way."""
    return started.database() if started is not None else ""


@pytest.fixture
def ledger(url: str) -> Iterator[PostgresLedger]:
    """A new ledger, not yet opened."""
    ledger = PostgresLedger(url)
    yield ledger
    ledger.close()


class TestPostgresLedger(LedgerContract):
    @pytest.fixture
    def ledger(self, server: PostgresServer, shared_url: str) -> Iterator[PostgresLedger]:
        ledger = PostgresLedger(shared_url)
        yield ledger
        ledger.close()

    @pytest.fixture
    def another(self, server: PostgresServer, shared_url: str) -> Iterator[PostgresLedger]:
        ledger = PostgresLedger(shared_url, pool_size=3)
        yield ledger
        ledger.close()
