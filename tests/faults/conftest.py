"""The stores that the shops share, each a server of the tests' own."""

import shutil
from collections.abc import Callable, Iterator
from typing import NoReturn

import pytest

from tests.ledgers.postgres_server import PostgresServer, programs
from tests.ledgers.redis_server import RedisServer


@pytest.fixture
def redis_server(skip_or_fail: Callable[[str], NoReturn]) -> Iterator[RedisServer]:
    """A running Redis."""
    if shutil.which("redis-server") is None:
        skip_or_fail("there is no redis-server on PATH (Debian: apt-get install redis-server)")
    server = RedisServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


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
