"""What the benched applications sell, and the credentials for it, made without asking them."""

import os
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import repeat
from time import time
from typing import Any

from l402_middleware import Paywall, paywall_from_settings, sats
from l402_middleware.core.binding import endpoint_digest, request_digest
from l402_middleware.core.caveats import Terms
from l402_middleware.core.credential import Issuer
from l402_middleware.core.keys import KeyRing

KEY = "0123456789abcdef" * 4

MANY = 1_000_000_000

ROOM = 16_000_000_000
"""Bytes, for the bodies that are sent at the same time with one credential, which may have an eighth of it."""

OFFERS: dict[str, dict[str, Any]] = {
    "/pass": {"price": 21, "uses": None},
    "/bundle": {"price": 21, "uses": MANY},
    "/single": {"price": 21},
    "/bound": {"price": 21, "uses": None, "bind": "request", "max_body": 64 * 1024 * 1024},
}
"""The priced routes and their offers; `/bound` is a POST, and a pass, so that a body costs only its hashing."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request, before it is written as some interface wants it."""

    method: str
    path: str
    authorization: bytes | None = None
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Load:
    """A kind of request: its name, its route, the size of its body in bytes, and whether it is paid for."""

    name: str
    path: str
    body_bytes: int = 0
    is_paid: bool = True
    takes: float = 1.0
    """About how many plain requests one of these is worth: the heavier, the fewer are sent."""

    @property
    def is_free(self) -> bool:
        return self.path == "/free"

    @property
    def needs_ledger(self) -> bool:
        """Whether the ledger that is used makes a difference."""
        return self.path in ("/single", "/bundle") and self.is_paid

    @property
    def status(self) -> int:
        """The answer of an application that charges."""
        return 200 if self.is_paid or self.is_free else 402

    def calls(self, key: str = KEY) -> Iterator[Call]:
        """The requests, without an end; a single use gets a fresh credential for each of them."""
        method = "POST" if self.path == "/bound" else "GET"
        body = bytes(self.body_bytes)
        if self.is_free or not self.is_paid:
            yield from repeat(Call(method, self.path, None, body))
        seller = Seller(key)
        request = request_digest(method, self.path, b"", sha256(body).digest()) if self.path == "/bound" else None
        uses = OFFERS[self.path].get("uses", 1)
        if uses != 1:
            yield from repeat(Call(method, self.path, seller.sell(f"{method} {self.path}", uses, request), body))
        while True:
            yield Call(method, self.path, seller.sell(f"{method} {self.path}", uses, request), body)


FREE = Load("route that is not priced", "/free")
PASS = Load("reusable credential (pass)", "/pass")
BUNDLE = Load("bundle", "/bundle", takes=3)
SINGLE = Load("single use", "/single", takes=5)
UNPAID = Load("402 with an in-process invoice", "/single", is_paid=False, takes=10)
BOUND = [
    Load("bound body of 1 KB", "/bound", 1000, takes=3),
    Load("bound body of 1 MB", "/bound", 1_000_000, takes=50),
    Load("bound body of 50 MB", "/bound", 50_000_000, takes=2500),
]


class Seller:
    """Makes paid credentials as a paywall with that key would, with preimages of its own."""

    def __init__(self, key: str = KEY) -> None:
        self._issuer = Issuer("l402", KeyRing([key]))

    def sell(
        self, endpoint: str, uses: int | None, request: str | None = None, *, at: float | None = None, lasts: int = 4200
    ) -> bytes:
        """The Authorization value for a use of `endpoint`, bought at unix time `at` (now) and good for some seconds."""
        preimage = os.urandom(32)
        until = int(time() if at is None else at) + lasts
        terms = Terms(endpoint_digest(endpoint), sats(21), uses, request, until)
        token = self._issuer.issue(sha256(preimage).digest(), os.urandom(32), terms)
        return f"L402 {token}:{preimage.hex()}".encode()


def hostile(size: int = 16 * 1024) -> bytes:
    """An Authorization value of `size` bytes that costs the most to refuse: as many macaroons as fit, none of ours."""
    one = urlsafe_b64encode(b"\x02\x01\x04l402\x02\x42" + bytes(66) + b"\x00\x00\x06\x20" + bytes(32)).rstrip(b"=")
    rest = size - len(b"L402 :") - 64
    return b"L402 " + b",".join([one] * (rest // (len(one) + 1))) + b":" + b"0" * 64


def paywall_from_environment() -> Paywall | None:
    """The paywall that the `L402_...` settings describe; None where they name no ledger."""
    return paywall_from_settings() if os.environ.get("L402_LEDGER") else None
