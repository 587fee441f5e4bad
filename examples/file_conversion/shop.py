"""What both applications share: the price of an order, its result as a link, and the settings."""

import logging
import os
import re
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from l402_middleware import ConfigurationError, Paywall, Refusal, RequestView, paywall_from_settings
from l402_middleware.ledgers import SQLiteLedger

from .catalogue import description, quote
from .links import LinkStore
from .order import Order, price
from .sandbox import ConversionFailed, Converted, Sandbox

PATH = "/api/l402/file-conversion"
PATHS = (PATH, "/api/l402/convert-file")
"""The endpoint, and the name that newer clients know it by; what one sold, the other does not redeem."""
PROBLEMS = (Refusal, ConversionFailed)
"""What a handler may raise, for `problem` to describe."""
PROBLEM_TYPE = "application/problem+json"

_LOOPBACK_HOST = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?", re.ASCII | re.IGNORECASE)
_PUBLIC_URL = re.compile(r"https?://[!-~]+", re.ASCII)
_SWEEP_SECONDS = 60

log = logging.getLogger(__name__)


class Shop:
    """The sandbox that converts, the store of results, and the address in their links.

    `public_url` is this service as its customers reach it. Without one, links are made for callers on this
    machine only: a Host header is anybody's to write, and a link must not lead to wherever it says.
    """

    def __init__(self, folder: Path, public_url: str = "") -> None:
        if public_url and not _is_address(public_url):
            raise ConfigurationError(
                "PUBLIC_URL must be the address at which customers reach this service, such as https://convert.example"
            )
        self.sandbox = Sandbox()
        self.links = LinkStore(folder / "results")
        self._public_url = public_url

    @classmethod
    def from_environment(cls) -> "Shop":
        """Results below `DATA_FOLDER` (default `.demo`), swept by a thread of its own; links to `PUBLIC_URL`."""
        shop = cls(_data_folder(), os.environ.get("PUBLIC_URL", ""))
        threading.Thread(target=shop.keep_swept, name="sweep", daemon=True).start()
        return shop

    def price(self, request: RequestView) -> int:
        """The price of a request in whole sats; raises `Refusal` for one that cannot succeed."""
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
        raise Refusal(503, "no-public-url", "This service cannot make links yet: its operator has to set PUBLIC_URL.")

    def result(self, order: Order, converted: Converted, address: str) -> dict[str, Any]:
        """Store a result; the answer that hands it over, as a link below `address`, and names what it cannot hold."""
        link = {"url": self.links.put(converted.content, order.file_name, converted.extension, address)}
        return link | {"notes": list(converted.notes)} if converted.notes else link

    def keep_swept(self) -> None:
        """Delete what has expired, now and every minute. Does not return."""
        while True:
            try:
                self.links.sweep()
                self.sandbox.sweep()
            except OSError as error:  # a full or failing disk may recover; without sweeping it never would
                log.warning("expired files could not be deleted, trying again: %s", error)
            time.sleep(_SWEEP_SECONDS)


def offers(query: Mapping[str, str]) -> dict[str, Any]:
    """The answer to `GET`: all that is on offer; with a pair and `bytes`, what that would cost."""
    if query.keys() & {"extensionFrom", "extensionTo", "bytes"}:
        return quote(query.get("extensionFrom", ""), query.get("extensionTo", ""), query.get("bytes", ""))
    return description()


def problem(error: Exception) -> dict[str, Any]:
    """One of `PROBLEMS` as an RFC 9457 body, like the paywall's own; its `status` is the response's."""
    assert isinstance(error, PROBLEMS)
    status = error.status if isinstance(error, Refusal) else 422
    return {"type": f"urn:l402:problem:{error.code}", "title": error.title, "status": status, "code": error.code}


def paywall_from_environment() -> Paywall:
    """The paywall as `L402_...` settings describe it; its ledger beside the results where none is named."""
    folder = _data_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    ledger = os.environ.get("L402_LEDGER") or SQLiteLedger(folder / "l402.db")
    return paywall_from_settings({**os.environ, "L402_LEDGER": ledger})


def _data_folder() -> Path:
    return Path(os.environ.get("DATA_FOLDER") or ".demo")


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(_PUBLIC_URL.fullmatch(url) and parts.hostname) and not (parts.query or parts.fragment)
    except ValueError:
        return False
