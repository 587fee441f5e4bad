"""Writes what stands beside it: sold.json and sold.sqlite, made by the first version.

Run it with the `src` of a copy of commit 38a2dfb in front: `PYTHONPATH=COPY/src python -m tests.landed.sell`.
"""

import json
import os
from pathlib import Path
from typing import Any

from l402_middleware import Paywall
from l402_middleware.ledgers import MemoryLedger, SQLiteLedger
from l402_middleware.providers import DevNode

from .buying import client_of, pay, requests
from .shop import SHOPS

HERE = Path(__file__).parent
SOLD = HERE / "sold.json"
STORE = HERE / "sold.sqlite"

NOW = 4_000_000_000.0
"""When everything was sold."""

KEY = "the secret key that the first version was given"


def at_that_time() -> float:
    """The clock of the shop, and of its node."""
    return NOW


def sell(paywall: Paywall) -> dict[str, dict[str, str]]:
    """A credential for everything in each shop."""
    sold: dict[str, dict[str, str]] = {}
    for shop in SHOPS:
        client = client_of(shop, paywall)
        sold[shop] = {name: pay(client, *request) for name, request in requests(shop).items()}
    return sold


def use(paywall: Paywall, sold: dict[str, dict[str, str]]) -> dict[str, Any]:
    """Spend a part of it: of each bundle one use, and Starlette's single use, whose answer is kept."""
    used: dict[str, Any] = {}
    for shop, name in [("starlette", "bundle"), ("fastapi", "bundle"), ("flask", "bundle"), ("starlette", "single")]:
        method, path, body = requests(shop)[name]
        headers = {"Authorization": sold[shop][name]}
        answer = client_of(shop, paywall).request(method, path, content=body, headers=headers)
        assert answer.status_code == 200, answer.text
        used[f"{shop} {name}"] = answer.json()
    return used


def main() -> None:
    """Sell under a listed key, and under one that the ledger makes and keeps."""
    os.environ["L402_DEV"] = "1"
    os.environ.pop("L402_SECRET_KEYS", None)
    STORE.unlink(missing_ok=True)
    node = DevNode(clock=at_that_time)
    listed = Paywall(node, MemoryLedger(), secret_keys=[KEY], clock=at_that_time)
    kept = Paywall(DevNode(clock=at_that_time), SQLiteLedger(str(STORE)), clock=at_that_time)
    under_kept = sell(kept)
    sold = {"listed": sell(listed), "kept": under_kept, "used": use(kept, under_kept)}
    kept.close()
    SOLD.write_text(json.dumps(sold, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
