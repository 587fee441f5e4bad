"""Credentials that the first version sold open today what they were sold for, and nothing else."""

import json
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from l402_middleware import Paywall
from l402_middleware.ledgers import MemoryLedger, SQLiteLedger
from l402_middleware.providers import DevNode

from .buying import client_of, requests
from .sell import KEY, NOW, SOLD, STORE
from .shop import SHOPS

GOLDEN: dict[str, Any] = json.loads(SOLD.read_text("utf-8"))
NEWER_KEY = "a secret key that was added years after it"

Use = Callable[..., tuple[int, Any]]


def a_minute_later() -> float:
    """The clock of today's shop."""
    return NOW + 60


@pytest.fixture(name="kept")
def _kept(tmp_path: Path) -> Path:
    return Path(shutil.copy(STORE, tmp_path / "sold.sqlite"))


def paywalls(kept: Path) -> dict[str, Callable[[], Paywall]]:
    """Today's paywalls that have to know the keys of the first version, by how they know them."""

    def paywall(ledger: Any, keys: list[str] | None) -> Paywall:
        return Paywall(DevNode(clock=a_minute_later), ledger, secret_keys=keys, clock=a_minute_later)

    return {
        "listed": lambda: paywall(MemoryLedger(), [KEY]),
        "listed, rotated": lambda: paywall(MemoryLedger(), [KEY, NEWER_KEY]),
        "kept": lambda: paywall(SQLiteLedger(kept), None),
        "kept, others listed since": lambda: paywall(SQLiteLedger(kept), [NEWER_KEY]),
    }


@pytest.fixture(name="use_of", params=["listed", "listed, rotated", "kept", "kept, others listed since"])
def _use_of(request: pytest.FixtureRequest, kept: Path) -> Iterator[Callable[[str, str], Use]]:
    """For a shop and what it sold: a function that shows the credential, and gives status and body."""
    paywall = paywalls(kept)[request.param]()
    sold = GOLDEN[request.param.partition(",")[0]]
    client_at = cache(lambda shop, peer: client_of(shop, paywall, peer))

    def use_of(shop: str, name: str) -> Use:
        def use(*, query: str = "", body: bytes | None = None, peer: str = "127.0.0.1") -> tuple[int, Any]:
            method, path, quoted = requests(shop)[name]
            answer = client_at(shop, peer).request(
                method,
                path + query,
                content=quoted if body is None else body,
                headers={"Authorization": sold[shop][name]},
            )
            told = answer.json()
            return answer.status_code, told["code"] if answer.status_code != 200 else told

        return use

    yield use_of
    paywall.close()


FRAMEWORKS = ["starlette", "fastapi", "flask"]


@pytest.mark.parametrize("shop", [shop for shop in SHOPS if shop != "starlette"])
def test_a_single_use(use_of: Callable[[str, str], Use], shop: str) -> None:
    """It opens once; then the same answer again for the same request, and a new challenge for any other."""
    use = use_of(shop, "single")
    first = use()
    assert first[0] == 200
    assert use() == first
    assert use(query="&more=1" if shop in ("asgi", "wsgi") else "?more=1") == (402, "already-used")


@pytest.mark.parametrize("shop", FRAMEWORKS)
def test_a_bundle(use_of: Callable[[str, str], Use], shop: str, request: pytest.FixtureRequest) -> None:
    """It is good for its three uses together, those that the first version delivered among them."""
    use = use_of(shop, "bundle")
    was_used = "kept" in request.node.callspec.params["use_of"]
    for left in [1, 0] if was_used else [2, 1, 0]:
        assert use() == (200, {"city": "oslo", "msat": 60_000, "left": left})
    assert use() == (402, "already-used")


@pytest.mark.parametrize("shop", FRAMEWORKS)
def test_a_pass(use_of: Callable[[str, str], Use], shop: str) -> None:
    """It opens any number of times."""
    use = use_of(shop, "pass")
    assert [use(query=f"?n={n}") for n in range(4)] == [(200, {"city": "oslo", "msat": 500_000, "left": None})] * 4


@pytest.mark.parametrize("shop", FRAMEWORKS)
def test_a_sale_that_is_bound_to_its_request(use_of: Callable[[str, str], Use], shop: str) -> None:
    """Another body, or another query, is another request; neither takes the use."""
    use = use_of(shop, "bound")
    assert use(body=b"anything else") == (402, "wrong-request")
    assert use(query="!") == (402, "wrong-request")
    assert use() == (200, {"city": "oslo", "msat": 4_000, "left": 0})


@pytest.mark.parametrize("shop", FRAMEWORKS)
def test_a_sale_that_is_bound_to_its_caller(use_of: Callable[[str, str], Use], shop: str) -> None:
    """From another address it opens nothing, and keeps its use."""
    use = use_of(shop, "caller")
    assert use(peer="192.0.2.7") == (402, "wrong-caller")
    assert use()[0] == 200


def test_an_answer_that_the_first_version_kept(kept: Path) -> None:
    """A client that lost it gets it from today's code, within the ten minutes that it was promised."""
    method, path, body = requests("starlette")["single"]
    paywall = paywalls(kept)["kept"]()
    client = client_of("starlette", paywall)
    headers = {"Authorization": GOLDEN["kept"]["starlette"]["single"]}
    again = client.request(method, path, content=body, headers=headers)
    assert (again.status_code, again.json()) == (200, GOLDEN["used"]["starlette single"])
    assert again.headers["l402-replayed"] == "true"
    assert client.request(method, path + "?more=1", headers=headers).json()["code"] == "already-used"
    paywall.close()
