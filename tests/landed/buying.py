"""How the shop is asked in process, the same before and now."""

from typing import Any

import httpx2
from starlette.testclient import TestClient

from l402_middleware import Paywall

from .shop import CONDITIONS, SHOPS

BASE = "http://127.0.0.1"


def client_of(shop: str, paywall: Paywall, peer: str = "127.0.0.1") -> Any:
    """A client of that shop, from the address `peer`."""
    app = SHOPS[shop](paywall)
    if shop in ("flask", "wsgi"):
        return httpx2.Client(transport=httpx2.WSGITransport(app, remote_addr=peer), base_url=BASE)
    return TestClient(app, BASE, client=(peer, 1))


def requests(shop: str) -> dict[str, tuple[str, str, bytes]]:
    """What is bought in that shop: method, path with query, and body, by name."""
    if shop in ("asgi", "wsgi"):
        return {"single": ("GET", "/anything?at=all", b"")}
    sold = {name: ("GET", f"/sold/{name}/oslo", b"") for name in CONDITIONS}
    return sold | {"bound": ("POST", "/sold/bound/oslo?text=four", b'{"exactly": "this"}')}


def pay(client: Any, method: str, path: str, body: bytes) -> str:
    """The Authorization value that paying for a request gives."""
    asked = client.request(method, path, content=body)
    assert asked.status_code == 402, asked.text
    told = asked.json()
    paid = client.get("/dev/wallet/pay", params={"invoice": told["invoice"]})
    return f"L402 {told['macaroon']}:{paid.json()['preimage']}"
