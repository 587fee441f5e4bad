"""What both applications share: the price of an order, and its result as a link."""

import os
import re
import threading
import time
from pathlib import Path
from typing import Any

from l402_middleware import Paywall, Refusal, RequestView, paywall_from_settings

from .links import LinkStore
from .order import Order, price
from .sandbox import Converted, Sandbox

PATH = "/api/l402/file-conversion"

_LOOPBACK_HOST = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?", re.ASCII)


class Shop:
    """The sandbox that converts, the store of results, and the address in their links.

    `public_url` is this service as its customers reach it. Without one, links are made for callers on this
    machine only: a Host header is anybody's to write, and a link must not lead to wherever it says.
    """

    def __init__(self, folder: Path, public_url: str = "") -> None:
        self.sandbox = Sandbox()
        self.links = LinkStore(folder / "results")
        self._public_url = public_url.rstrip("/")
        threading.Thread(target=self._sweep, name="sweep", daemon=True).start()

    @classmethod
    def from_environment(cls) -> "Shop":
        """Results below `DATA_FOLDER` (default `.demo`), links to `PUBLIC_URL`."""
        return cls(Path(os.environ.get("DATA_FOLDER", ".demo")), os.environ.get("PUBLIC_URL", ""))

    def price(self, request: RequestView) -> int:
        """The price of a request in whole sats; raises `Refusal` for one that can not succeed."""
        if request.header("content-encoding"):
            raise Refusal(415, "content-encoding", "Send the JSON as it is, without a Content-Encoding.")
        self.address(request.header("host"))
        self.links.require_room()
        assert request.body is not None
        return price(Order.from_json(request.body.read()))

    def address(self, host: str | None) -> str:
        """The address that links begin with. Raises `Refusal` (503) where there is none to trust."""
        if self._public_url:
            return self._public_url
        if host is not None and _LOOPBACK_HOST.fullmatch(host):
            return f"http://{host}"
        raise Refusal(503, "no-public-url", "This service can not make links yet: its operator has to set PUBLIC_URL.")

    def result(self, order: Order, converted: Converted, host: str | None) -> dict[str, str]:
        """Store a result; the answer that hands it over."""
        return {"url": self.links.put(converted.content, order.file_name, converted.extension, self.address(host))}

    def _sweep(self) -> None:
        while True:
            self.links.sweep()
            time.sleep(60)


def problem(status: int, code: str, title: str) -> dict[str, Any]:
    """An RFC 9457 body, as the paywall's own are."""
    return {"type": "about:blank", "title": title, "status": status, "code": code}


def paywall_from_environment() -> Paywall:
    """The paywall as `L402_...` settings describe it; its ledger beside the results where none is named."""
    folder = Path(os.environ.get("DATA_FOLDER", ".demo"))
    folder.mkdir(parents=True, exist_ok=True)
    return paywall_from_settings({"L402_LEDGER": f"sqlite:///{folder / 'l402.db'}", **os.environ})
