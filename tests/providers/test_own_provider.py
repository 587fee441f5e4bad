"""What docs/own-provider.md shows passes the contract that it sends its reader to."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from l402_middleware.core.keys import generate_key
from l402_middleware.providers import Provider
from l402_middleware.testing.provider_contract import CreatedAnswer, HTTPProviderContract, ProviderAt
from tests.docs.markdown import DOCS, fenced

from .emulators import Emulator, Node, running

SHOWN: dict[str, Any] = {}
(CLASS,) = (snippet for snippet in fenced(DOCS / "own-provider.md", "python") if "class MyNode" in snippet)
exec(CLASS, SHOWN)


class MyNodeEmulator(Emulator):
    """The wallet that the page makes up."""

    def respond(self, body: str) -> None:
        if self.headers.get("Authorization") != self.node.secret:
            self.answer(401, {})
        elif self.command == "POST":
            asked = json.loads(body)
            kept = self.node.add(asked["sats"] * 1000, asked["memo"], asked["expiry"])
            self.answer(201, {"invoice": kept.bolt11, "hash": kept.payment_hash.hex()})
        else:
            found = self.node.invoices.get(bytes.fromhex(self.path.rpartition("/")[2]))
            self.answer(404 if found is None else 200, {"paid": found is not None and found.paid})


@pytest.mark.slow
class TestTheClassOnThePage(HTTPProviderContract):
    @pytest.fixture(scope="class")
    @classmethod
    def node(cls) -> Iterator[Node]:
        with running(MyNodeEmulator, Node(secret=generate_key())) as node:
            yield node

    @pytest.fixture
    def provider(self, node: Node) -> Provider:
        made: Provider = SHOWN["MyNode"](node.url, key=node.secret, network="regtest")
        return made

    @pytest.fixture
    def pay(self, node: Node) -> Any:
        return node.pay

    @pytest.fixture
    def provider_at(self, node: Node) -> ProviderAt:
        return lambda url, timeout: SHOWN["MyNode"](url, key=node.secret, network="regtest", timeout=timeout)

    @pytest.fixture
    def created_answer(self) -> CreatedAnswer:
        return lambda bolt11, payment_hash: (201, {"invoice": bolt11, "hash": payment_hash.hex()})

    @pytest.fixture
    def secrets(self, node: Node) -> list[str]:
        return [node.secret]
