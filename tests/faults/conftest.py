"""The database that the shops share, a server of the tests' own."""

from collections.abc import Callable, Iterator
from typing import NoReturn

import pytest

from tests.ledgers.postgres_server import PostgresServer, programs


@pytest.fixture
def postgres_server(skip_or_fail: Callable[[str], NoReturn]) -> Iterator[PostgresServer]:
    """A running PostgreSQL."""
    folder = programs()
    if folder is None:
        skip_or_fail("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    server = PostgresServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.remove()
