"""Buying by httpx2, httpx and requests, from real servers, ours and others, honest and not."""

import asyncio
import json
import threading
from typing import Any

import anyio
import httpx
import httpx2
import pytest
import requests

from l402_middleware.client import Budget, FunctionWallet, L402Auth, MemoryStore, NotPaid, PaidInVain, PaymentUncertain
from l402_middleware.client.requests import L402Auth as RequestsAuth
from l402_middleware.core.errors import ConfigurationError

from .libraries import LIBRARIES, Library
from .shops import Bank

pytestmark = pytest.mark.slow

every = pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)


@every
def test_an_answer_is_bought(library: Library, bank: Bank, shops: dict[str, str]) -> None:
    """With its query, method and body; the answer says what was paid."""
    got = library.get(library.auth(bank.wallet), f"{shops['ours']}/forecast?days=2", method="POST", body=b"hello")
    assert (got.status, json.loads(got.body)) == (200, {"method": "POST", "query": "days=2", "body": "hello"})
    assert got.receipt is not None
    assert [got.receipt.payment_hash] == bank.paid
    assert got.history == [402]


@every
def test_a_bundle_is_bought_once(library: Library, bank: Bank, shops: dict[str, str]) -> None:
    """Three for one payment, by one store; the fourth buys another."""
    auth = library.auth(bank.wallet)
    for left in (2, 1, 0, 2):
        assert json.loads(library.get(auth, f"{shops['ours']}/bundle").body) == {"uses_left": left}
    assert len(bank.paid) == 2


@every
def test_a_computed_price_is_paid(library: Library, bank: Bank, shops: dict[str, str]) -> None:
    """What is bound to its request is shown with that one only."""
    auth = library.auth(bank.wallet)
    for query in ("pages=3", "pages=4"):
        assert json.loads(library.get(auth, f"{shops['ours']}/pages?{query}").body) == {"query": query}
    assert len(bank.paid) == 2


@every
def test_a_stream_is_bought(library: Library, bank: Bank, shops: dict[str, str]) -> None:
    """It comes in pieces, and is over when the last one is there."""
    store = MemoryStore()
    assert library.get(library.auth(bank.wallet, store=store), f"{shops['ours']}/stream").body == b"01234"
    assert [purchase.state for purchase in store.purchases()] == ["over"]


@every
def test_the_payment_scheme_is_paid(library: Library, bank: Bank, shops: dict[str, str]) -> None:
    """From a server that follows the drafts; its receipt is there."""
    auth = library.auth(bank.wallet)
    for _ in range(2):
        got = library.get(auth, f"{shops['drafts']}/goods")
        assert got.status == 200
        assert got.receipt is not None
        assert got.receipt.scheme == "payment"
        assert got.receipt.server_receipt is not None
        assert got.receipt.server_receipt["reference"] == got.receipt.payment_hash
    assert len(bank.paid) == 2


@every
@pytest.mark.parametrize("scheme", ["l402", "payment"])
def test_our_own_server_is_paid_by_either_scheme(
    library: Library, bank: Bank, shops: dict[str, str], scheme: str
) -> None:
    """At one price; a receipt of the server's comes with Payment."""
    auth = library.make_auth(bank.wallet, budget=Budget(50), schemes=(scheme,))
    got = library.get(auth, f"{shops['ours']}/pages?pages=3", headers={"Accept": "application/json"})
    assert (got.status, json.loads(got.body)) == (200, {"query": "pages=3"})
    assert got.receipt is not None
    assert (got.receipt.scheme, got.receipt.amount.sats) == (scheme, 3)
    assert (got.receipt.server_receipt is not None) == (scheme == "payment")
    assert [got.receipt.payment_hash] == bank.paid


@every
def test_an_own_authorization_stays(library: Library, bank: Bank, shops: dict[str, str]) -> None:
    """The application's own token goes with each request, beside ours."""
    got = library.get(library.auth(bank.wallet), f"{shops['ours']}/bearer", headers={"Authorization": "Bearer mine"})
    assert got.status == 200
    values = ", ".join(json.loads(got.body)["authorization"]).split(", ")
    assert values[0] == "Bearer mine"
    assert len(values) == 2


@every
def test_a_redirect_within_the_origin_is_paid(library: Library, bank: Bank, shops: dict[str, str]) -> None:
    """Where it leads is the same server."""
    got = library.get(library.auth(bank.wallet), f"{shops['ours']}/moved")
    assert got.status == 200
    assert len(bank.paid) == 1


@every
def test_a_redirect_to_another_origin_is_not_paid(library: Library, bank: Bank, shops: dict[str, str]) -> None:
    """Neither with nor without something bought before, and it is shown nothing."""
    auth = library.auth(bank.wallet)
    with pytest.raises(NotPaid) as caught:
        library.get(auth, f"{shops['ours']}/moved?to={shops['drafts']}/goods")
    assert caught.value.reason == "other-origin"
    assert not bank.paid


@every
@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("dear", "over-budget"),
        ("other-amount", "wrong-amount"),
        ("other-network", "bad-invoice"),
        ("expired", "expired"),
        ("huge", "bad-invoice"),
        ("strangers-invoice", "payment-failed"),
    ],
)
def test_hostile_offers_are_refused(
    library: Library, bank: Bank, shops: dict[str, str], path: str, reason: str
) -> None:
    """Before anything is paid."""

    def pay(bolt11: str) -> bytes:
        try:
            return bank.pay(bolt11)
        except Exception:
            raise NotPaid("payment-failed", "not ours") from None

    with pytest.raises(NotPaid) as caught:
        library.get(library.auth(FunctionWallet(pay, network="regtest")), f"{shops['hostile']}/{path}")
    assert caught.value.reason == reason
    assert not bank.paid


@every
def test_a_402_for_ever_is_paid_once(library: Library, bank: Bank, shops: dict[str, str]) -> None:
    """The server is at fault, and gets nothing more."""
    with pytest.raises(PaidInVain):
        library.get(library.auth(bank.wallet), f"{shops['hostile']}/for-ever")
    assert len(bank.paid) == 1


@every
def test_an_invoice_is_paid_once(library: Library, bank: Bank, shops: dict[str, str]) -> None:
    """Also where a server asks for the same payment of another request."""
    auth = library.auth(bank.wallet)
    with pytest.raises(PaidInVain):
        library.get(auth, f"{shops['hostile']}/seen-before")
    with pytest.raises(NotPaid, match="before"):
        library.get(auth, f"{shops['hostile']}/seen-before?again=1")
    assert len(bank.paid) == 1


@every
def test_a_wrong_preimage_is_not_shown(library: Library, bank: Bank, shops: dict[str, str]) -> None:
    """A wallet that gives any 32 bytes."""
    wallet = FunctionWallet(lambda _: bytes(32), network="regtest")
    with pytest.raises(PaymentUncertain, match="preimage"):
        library.get(library.auth(wallet), f"{shops['ours']}/forecast")


@every
@pytest.mark.parametrize("path", ["endless", "packed"])
def test_a_402_that_never_ends_is_cut_off(library: Library, bank: Bank, shops: dict[str, str], path: str) -> None:
    """What is wanted of it is in its head; a body that is no gzip is not unpacked."""
    if (library.name, path) == ("requests", "packed"):
        pytest.skip("requests unpacks a body whenever it is read, and says so itself")
    assert library.get(library.auth(bank.wallet), f"{shops['hostile']}/{path}").body == b"goods"


@every
def test_another_402_is_the_callers(library: Library, bank: Bank, shops: dict[str, str]) -> None:
    """With its body."""
    got = library.get(library.auth(bank.wallet), f"{shops['hostile']}/nothing")
    assert (got.status, json.loads(got.body), got.receipt) == (402, {"error": "pay by post"}, None)


@pytest.mark.parametrize("library", [httpx2, httpx], ids=["httpx2", "httpx"])
def test_many_at_once_share_a_bundle(library: Any, bank: Bank, shops: dict[str, str]) -> None:
    """Nine tasks, three uses each: three payments."""

    async def send() -> list[int]:
        auth = L402Auth(bank.wallet, budget=Budget(50))
        async with library.AsyncClient(auth=auth, trust_env=False, timeout=30) as client:
            statuses: list[int] = []

            async def one() -> None:
                statuses.append((await client.get(f"{shops['ours']}/bundle")).status_code)

            async with asyncio.TaskGroup() as group:
                for _ in range(9):
                    group.create_task(one())
            return statuses

    assert asyncio.run(send()) == [200] * 9
    assert len(bank.paid) == 3


@pytest.mark.anyio
async def test_every_event_loop(bank: Bank, shops: dict[str, str]) -> None:
    """Asyncio and trio; ten at once."""
    auth = L402Auth(bank.wallet, budget=Budget(50))
    async with httpx2.AsyncClient(auth=auth, trust_env=False, timeout=30) as client, anyio.create_task_group() as group:

        async def one(number: int) -> None:
            assert (await client.get(f"{shops['ours']}/forecast?n={number}")).status_code == 200

        for number in range(10):
            group.start_soon(one, number)
    assert len(bank.paid) == 10


def test_an_answer_that_breaks_off_is_had_again(bank: Bank, shops: dict[str, str]) -> None:
    """A caller that left before the end gets the same answer for the same payment."""
    store = MemoryStore()
    auth = L402Auth(bank.wallet, budget=Budget(50), store=store)
    with httpx2.Client(auth=auth, trust_env=False) as client:
        with client.stream("GET", f"{shops['ours']}/stream"):
            pass
        assert [purchase.state for purchase in store.purchases()] == ["answered"]
        answer = client.get(f"{shops['ours']}/stream")
    assert answer.content == b"01234"
    assert not answer.extensions["l402"].is_new
    assert len(bank.paid) == 1
    assert [purchase.state for purchase in store.purchases()] == ["over"]


def test_a_failed_request_is_repeated_for_nothing(bank: Bank, shops: dict[str, str]) -> None:
    """A handler's 500 is not charged."""
    auth = L402Auth(bank.wallet, budget=Budget(50))
    with httpx2.Client(auth=auth, trust_env=False) as client:
        assert client.get(f"{shops['ours']}/failing").status_code == 500
        assert client.get(f"{shops['ours']}/failing").json() == {"tries": 2}
    assert len(bank.paid) == 1


def test_a_cancelled_payment_is_gone_on_with(bank: Bank, shops: dict[str, str]) -> None:
    """Cancelled while the wallet pays; the next request uses that payment."""
    entered, proceed = threading.Event(), threading.Event()

    def pay(bolt11: str) -> bytes:
        entered.set()
        proceed.wait(10)
        return bank.node.pay(bolt11)

    async def send() -> bytes:
        auth = L402Auth(FunctionWallet(pay, network="regtest"), budget=Budget(21, total=21))
        async with httpx2.AsyncClient(auth=auth, trust_env=False) as client:
            task = asyncio.create_task(client.get(f"{shops['ours']}/forecast"))
            await asyncio.to_thread(entered.wait, 10)
            task.cancel()
            proceed.set()
            with pytest.raises(asyncio.CancelledError):
                await task
            return (await client.get(f"{shops['ours']}/forecast")).content

    assert json.loads(asyncio.run(send()))["method"] == "GET"


@pytest.mark.parametrize("body", ["text", b"octets", "file", "generator"])
def test_requests_sends_any_body_twice(bank: Bank, shops: dict[str, str], body: Any, tmp_path: Any) -> None:
    """What can be read once only is read into memory."""
    (tmp_path / "body").write_bytes(b"from a file")
    with (tmp_path / "body").open("rb") as file:
        data = {"file": file, "generator": iter([b"in ", b"pieces"])}.get(body, body)
        answer = requests.post(
            f"{shops['ours']}/forecast", data=data, auth=RequestsAuth(bank.wallet, budget=Budget(50)), timeout=10
        )
    sent = {"file": "from a file", "generator": "in pieces", "text": "text", b"octets": "octets"}[body]
    assert answer.json()["body"] == sent


def test_requests_with_a_stream(bank: Bank, shops: dict[str, str]) -> None:
    """The answer counts as delivered with its head."""
    store = MemoryStore()
    session = requests.Session()
    session.auth = RequestsAuth(bank.wallet, budget=Budget(50), store=store)
    with session, session.get(f"{shops['ours']}/stream", stream=True, timeout=10) as answer:
        assert [purchase.state for purchase in store.purchases()] == ["over"]
        assert b"".join(answer.iter_content(2)) == b"01234"


def test_requests_that_fail_keep_what_was_paid(bank: Bank, shops: dict[str, str]) -> None:
    """A connection that breaks before the answer, even while its exception is still looked at."""
    auth = RequestsAuth(bank.wallet, budget=Budget(50))
    with requests.Session() as session:
        session.auth = auth
        send: Any = session.get_adapter("http://x").send
        failures: list[Exception] = []

        def breaking(request: Any, **arguments: Any) -> Any:
            if "Authorization" in request.headers and len(failures) < 2:
                failures.append(requests.ConnectionError("broken"))
                raise failures[-1]
            return send(request, **arguments)

        session.get_adapter("http://x").send = breaking  # type: ignore[assignment,method-assign]
        for _ in range(2):
            with pytest.raises(requests.ConnectionError):
                session.get(f"{shops['ours']}/forecast", timeout=10)
        assert session.get(f"{shops['ours']}/forecast", timeout=10).status_code == 200
    assert len(bank.paid) == 1


def test_a_url_without_a_host_is_the_callers_mistake(bank: Bank) -> None:
    """Said before anything is sent."""
    auth = L402Auth(bank.wallet, budget=Budget(50))
    with pytest.raises(ConfigurationError, match="URL"), httpx2.Client(auth=auth) as client:
        client.get("ftp://127.0.0.1/x")
