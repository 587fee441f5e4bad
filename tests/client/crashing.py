"""A client that is killed at a point that it is told: `python -m tests.client.crashing FOLDER URL LIBRARY POINT`.

Its wallet is a file of payment hashes, in which a payment of the development node's is written down once; its store
is a SQLite file. Without a point it runs to its end, and prints the answer's body.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from l402_middleware.client import Budget, FunctionWallet, Outgoing, SQLiteStore
from l402_middleware.client.wallet import UNKNOWN
from l402_middleware.core.invoice import decode
from l402_middleware.core.keys import KeyRing
from l402_middleware.providers import DevNode

from .libraries import LIBRARIES

# In the order in which a purchase comes by.
POINTS = (
    "before it is written down",
    "when it is written down",
    "before the wallet has it",
    "when the wallet has paid",
    "before the preimage is written down",
    "when the preimage is written down",
    "when the answer has begun",
    "when that is written down",
    "when all of the answer is there",
    "when that is written down too",
)


class Crashing:
    """A store and a wallet that die at one point."""

    def __init__(self, folder: Path, point: str) -> None:
        self._point = point
        self._node = DevNode()
        self._node.use_keys(KeyRing([os.environ["L402_SECRET_KEYS"]]))
        self._payments = folder / "payments"
        self.store = _Store(folder / "purchases.db", self)
        self.wallet = FunctionWallet(self._pay, self._look_up, network="regtest")

    def at(self, point: str) -> None:
        """Die here, if it is here."""
        assert point in POINTS
        if point == self._point:
            os.kill(os.getpid(), signal.SIGKILL)

    def _pay(self, bolt11: str) -> bytes:
        self.at("before the wallet has it")
        preimage = self._node.pay(bolt11)
        if not self._has(bolt11):
            with self._payments.open("a") as file:
                file.write(f"{decode(bolt11).payment_hash.hex()}\n")
        self.at("when the wallet has paid")
        return preimage

    def _look_up(self, bolt11: str) -> Outgoing:
        return Outgoing("paid", self._node.pay(bolt11)) if self._has(bolt11) else UNKNOWN

    def _has(self, bolt11: str) -> bool:
        self._payments.touch()
        return decode(bolt11).payment_hash.hex() in self._payments.read_text().split()


class _Store(SQLiteStore):
    def __init__(self, path: Path, crashing: Crashing) -> None:
        super().__init__(path)
        self._crashing = crashing

    def begin(self, *arguments: Any) -> Any:
        self._crashing.at("before it is written down")
        found = super().begin(*arguments)
        self._crashing.at("when it is written down")
        return found

    def paid(self, *arguments: Any) -> None:
        self._crashing.at("before the preimage is written down")
        super().paid(*arguments)
        self._crashing.at("when the preimage is written down")

    def answered(self, *arguments: Any) -> None:
        self._crashing.at("when the answer has begun")
        super().answered(*arguments)
        self._crashing.at("when that is written down")

    def delivered(self, *arguments: Any) -> None:
        self._crashing.at("when all of the answer is there")
        super().delivered(*arguments)
        self._crashing.at("when that is written down too")


def main() -> None:
    """One request."""
    folder, url, name, point = sys.argv[1:]
    crashing = Crashing(Path(folder), point)
    (library,) = (library for library in LIBRARIES if library.name == name)
    got = library.get(library.auth(crashing.wallet, Budget(50), crashing.store), url)
    crashing.store.close()
    sys.stdout.write(f"{got.status} {got.body.decode()}")


if __name__ == "__main__":
    main()
