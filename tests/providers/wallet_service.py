"""A wallet service that speaks LNURL-pay (LUD-06, 12, 16, 21), on this machine, for as long as a test needs it."""

import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from .emulators import Emulator, Node, running

EXPIRY = 1234


@dataclass
class WalletService(Node):
    """One user, `alice`. What it says of itself can be changed; `asked` keeps the targets of all requests."""

    asked: list[str] = field(default_factory=list)
    pay_request: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    change: Callable[[dict[str, Any]], Any] = lambda answer: answer

    @property
    def address(self) -> str:
        """The Lightning Address."""
        return f"alice@{self.url.partition('://')[2]}"

    def requests(self, path: str) -> list[str]:
        """The targets of the requests for a path."""
        return [target for target in self.asked if urlsplit(target).path == path]


class WalletServiceEmulator(Emulator):
    """Answers as the service; the comment becomes the invoice's description."""

    node: WalletService  # type: ignore[misc]

    def respond(self, body: str) -> None:
        self.node.asked.append(self.path)
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        if path in self.node.answers:
            self.answer(*self.node.answers[path])
        elif path == "/.well-known/lnurlp/alice":
            self.answer(200, pay_request(f"{self.node.url}/callback") | self.node.pay_request)
        elif path == "/callback":
            kept = self.node.add(int(query["amount"][0]), query.get("comment", [""])[0], EXPIRY)
            verify = f"{self.node.url}/verify/{kept.payment_hash.hex()}"
            self.answer(200, self.node.change({"pr": kept.bolt11, "routes": [], "verify": verify}))
        elif path.startswith("/verify/"):
            known = self.node.invoices.get(bytes.fromhex(path.removeprefix("/verify/")))
            if known is None:
                self.answer(200, {"status": "ERROR", "reason": "Not found"})
            else:
                self.answer(200, {"status": "OK", "settled": known.paid, "preimage": None, "pr": known.bolt11})
        else:
            self.answer(200, {"status": "ERROR", "reason": "no such user: hunter2"})


def pay_request(callback: str) -> dict[str, Any]:
    """LUD-06, step 3."""
    return {
        "tag": "payRequest",
        "callback": callback,
        "minSendable": 1_000,
        "maxSendable": 100_000_000_000,
        "metadata": json.dumps([["text/plain", "alice"], ["text/identifier", "alice@wallet.example"]]),
        "commentAllowed": 639,
    }


@contextmanager
def wallet_service(**settings: Any) -> Generator[WalletService]:
    """A running service."""
    service = WalletService(**settings)
    with running(WalletServiceEmulator, service):
        yield service
