"""RedisLedger."""

import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from l402_middleware.ledgers import RedisLedger
from l402_middleware.testing.ledger_contract import LedgerContract

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server():
    with tempfile.TemporaryDirectory() as d:
        p = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", d + "/s", "--dir", d, "--appendonly", "yes", "--save", ""],
            stdout=subprocess.DEVNULL,
        )
        time.sleep(0.5)
        yield "unix://" + d + "/s"
        p.kill()
        p.wait()


class TestRedisLedger(LedgerContract):
    @pytest.fixture
    def ledger(self, server):
        ledger = RedisLedger(server)
        yield ledger
        ledger.close()

    @pytest.fixture
    def another(self, server):
        ledger = RedisLedger(server)
        yield ledger
        ledger.close()
