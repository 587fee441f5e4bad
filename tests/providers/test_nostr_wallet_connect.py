"""Nostr Wallet Connect, against a wallet on a real relay: whole, slow, silent, wrong, gone and back again."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import anyio.to_thread
import pytest

from l402_middleware.core.errors import ConfigurationError, ProviderError
from l402_middleware.core.money import sats
from l402_middleware.flow import adrive, drive
from l402_middleware.invoicing.invoicing import Invoicing
from l402_middleware.providers import NostrWalletConnect
from l402_middleware.testing.provider_contract import ProviderContract, request_for

from .nostr_wallet import NostrWallet, nostr_wallet

pytestmark = pytest.mark.slow

PUBLIC_KEY = "b889ff5b1513b641e2a139f661a661364979c5beee91842f8f0ef42ab558e9d4"
SECRET = "71a8c14c1407c113601079c4302dab36460f0ccd0ad506f1f2dc73b5100e4f3c"
LOOPS = ["asyncio", "trio"]
URI = f"nostr+walletconnect://{PUBLIC_KEY}?relay=wss%3A%2F%2Frelay.example&secret={SECRET}"


@pytest.fixture(scope="module")
def shared_wallet() -> Iterator[NostrWallet]:
    """A wallet that does everything right; starting one takes a while."""
    with nostr_wallet() as wallet:
        yield wallet


class TestContract(ProviderContract):
    """What every provider must do."""

    @pytest.fixture
    def provider(self, shared_wallet: NostrWallet) -> NostrWalletConnect:
        return NostrWalletConnect(shared_wallet.uri, network="regtest")

    @pytest.fixture
    def secrets(self, shared_wallet: NostrWallet) -> list[str]:
        return [shared_wallet.secret, shared_wallet.uri]

    @pytest.fixture
    def pay(self, shared_wallet: NostrWallet) -> Callable[[str], None]:
        return shared_wallet.pay


@pytest.fixture
def wallet() -> Iterator[NostrWallet]:
    """A wallet of the test's own, to be told how to behave."""
    with nostr_wallet() as own:
        yield own


def connection(wallet: NostrWallet, timeout: float = 10.0) -> NostrWalletConnect:
    """The provider for that wallet."""
    return NostrWalletConnect(wallet.uri, network="regtest", timeout=timeout)


def failure(provider: NostrWalletConnect) -> ProviderError:
    """How the provider fails to get an invoice, blocking."""
    invoicing = Invoicing(provider, None, verify_settlement=False)
    with pytest.raises(ProviderError) as caught:
        drive(invoicing.create(request_for(sats(21)), time.time()))
    return caught.value


@pytest.mark.parametrize(
    ("encryption", "tag"),
    [("nip44_v2 nip04", True), ("nip44_v2", True), ("nip04", False), (None, False)],
    ids=["both", "NIP-44", "NIP-04", "none named"],
)
def test_the_encryption_is_the_wallets(encryption: str | None, tag: bool) -> None:
    """NIP-44 where the wallet's info event has it, otherwise NIP-04."""
    with nostr_wallet(encryption=encryption) as wallet:
        provider = connection(wallet)
        drive(provider.create_invoice(request_for(sats(21))))
        provider.close()
        assert (["encryption", "nip44_v2"] in wallet.request_tags) is tag


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("RATE_LIMITED", "rejected"),
        ("NOT_IMPLEMENTED", "rejected"),
        ("INSUFFICIENT_BALANCE", "rejected"),
        ("PAYMENT_FAILED", "rejected"),
        ("NOT_FOUND", "rejected"),
        ("QUOTA_EXCEEDED", "rejected"),
        ("RESTRICTED", "unauthorized"),
        ("UNAUTHORIZED", "unauthorized"),
        ("INTERNAL", "rejected"),
        ("OTHER", "rejected"),
        ("UNHEARD_OF", "bad-answer"),
    ],
)
def test_a_wallet_that_says_no(wallet: NostrWallet, code: str, kind: str) -> None:
    """Case 95: each of NIP-47's codes is a failure of its kind, and what else the wallet said is not repeated."""
    wallet.answer = lambda request, right: (
        right | {"result": None, "error": {"code": code, "message": "hunter2 [Other]"}}
    )
    provider = connection(wallet)
    error = failure(provider)
    provider.close()
    assert error.kind == kind
    assert "hunter2" not in str(error)


def changed(**result: Any) -> Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]:
    """An answer whose result has these members."""
    return lambda request, right: right | {"result": right["result"] | result}


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (lambda request, right: "no JSON", "bad-answer"),
        (lambda request, right: "[" * 10_000, "bad-answer"),
        (lambda request, right: {}, "bad-answer"),
        (lambda request, right: right | {"result": None}, "bad-answer"),
        (lambda request, right: right | {"result_type": "get_info"}, "bad-answer"),
        (changed(invoice=None), "bad-answer"),
        (changed(invoice=5), "bad-answer"),
        (changed(invoice=["x"]), "bad-answer"),
        (changed(invoice=""), "wrong-invoice"),
        (changed(invoice="lnbcrt1garbage"), "wrong-invoice"),
        (changed(payment_hash=7), "bad-answer"),
        (changed(payment_hash="zz"), "bad-answer"),
        (changed(payment_hash="00" * 32), "wrong-invoice"),
    ],
)
def test_a_wallet_that_answers_something_else(wallet: NostrWallet, answer: Any, kind: str) -> None:
    """Case 95: an answer that is not NIP-47's is a bad one, and another invoice than the one asked for is refused."""
    wallet.answer = answer
    provider = connection(wallet, timeout=3)
    error = failure(provider)
    provider.close()
    assert error.kind == kind


def test_a_wrong_amount_is_refused(wallet: NostrWallet) -> None:
    """Case 22: the wallet asks for another amount than the price."""
    cheap = drive(connection(wallet).create_invoice(request_for(sats(1))))
    wallet.answer = changed(invoice=cheap.bolt11, payment_hash=cheap.payment_hash and cheap.payment_hash.hex())
    provider = connection(wallet)
    error = failure(provider)
    provider.close()
    assert (error.kind, "not over" in str(error)) == ("wrong-invoice", True)


def test_somebody_elses_answer_is_not_taken(wallet: NostrWallet) -> None:
    """Another key on the relay answers first, with an invoice of its own: it is not the one that is sold."""
    trap = drive(connection(wallet).create_invoice(request_for(sats(21))))
    assert trap.payment_hash is not None
    forged = {"invoice": trap.bolt11, "payment_hash": trap.payment_hash.hex(), "created_at": 0}
    wallet.forge = json.dumps({"result_type": "make_invoice", "error": None, "result": forged})
    provider = connection(wallet, timeout=3)
    try:
        created = drive(provider.create_invoice(request_for(sats(21))))
    except ProviderError:
        created = None
    provider.close()
    assert created is None or created.bolt11 != trap.bolt11


@pytest.mark.parametrize(
    ("state", "settled_at", "settled"),
    [
        ("settled", 1_750_000_000, True),
        ("settled", None, True),
        ("pending", None, False),
        ("pending", 1_750_000_000, False),
        ("expired", None, False),
        ("failed", None, False),
        (None, 1_750_000_000, True),
        (None, None, False),
    ],
)
def test_what_is_settled(wallet: NostrWallet, state: str | None, settled_at: int | None, settled: bool) -> None:
    """The state decides; a wallet that knows none yet says when it was settled. A preimage says nothing."""
    provider = connection(wallet)
    created = drive(provider.create_invoice(request_for(sats(21))))
    wallet.answer = changed(state=state, settled_at=settled_at, preimage="00" * 32)
    assert created.payment_hash is not None
    found = drive(provider.is_settled(created.payment_hash))
    provider.close()
    assert found is settled


def test_an_answer_about_another_payment_settles_nothing(wallet: NostrWallet) -> None:
    """The wallet speaks of another payment hash than the one that was asked about."""
    provider = connection(wallet)
    created = drive(provider.create_invoice(request_for(sats(21))))
    wallet.answer = changed(state="settled", payment_hash="11" * 32)
    assert created.payment_hash is not None
    with pytest.raises(ProviderError, match="another payment") as caught:
        drive(provider.is_settled(created.payment_hash))
    provider.close()
    assert caught.value.kind == "bad-answer"


def test_one_connection_serves_threads_and_loops() -> None:
    """A hundred requests at once, from threads, from asyncio and from trio: the relay, which takes one client, has one.

    The wallet holds its answers back until all hundred have asked, so no request waits for another to end.
    """
    with nostr_wallet(max_connections=2) as wallet:
        provider = connection(wallet, timeout=20)
        found: list[bytes | None] = []

        def ask(number: int) -> None:
            found.append(drive(provider.create_invoice(request_for(sats(1 + number)))).payment_hash)

        async def ask_all() -> None:
            async def ask(number: int) -> None:
                found.append((await adrive(provider.create_invoice(request_for(sats(1 + number))))).payment_hash)

            async with anyio.create_task_group() as tasks:
                for number in range(33):
                    tasks.start_soon(ask, number)

        ask(0)
        wallet.hold_until(101)
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(34)]
        threads += [
            threading.Thread(target=anyio.run, args=(ask_all,), kwargs={"backend": backend}) for backend in LOOPS
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        provider.close()
        assert (len(set(found)), None in found) == (101, False)


def test_a_silent_wallet_is_a_timeout(wallet: NostrWallet) -> None:
    """Case 95: the relay takes the request, and nobody answers; that ends in time, and the connection stays good."""
    provider = connection(wallet, timeout=0.5)
    drive(provider.create_invoice(request_for(sats(21))))
    wallet.answer = lambda request, right: None
    started = time.monotonic()
    assert failure(provider).kind == "timeout"
    assert time.monotonic() - started < 2
    wallet.answer = lambda request, right: right
    drive(provider.create_invoice(request_for(sats(21))))
    provider.close()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_silent_wallet_keeps_nobody_waiting(wallet: NostrWallet, backend: str) -> None:
    """Case 98: while a hundred requests wait for a wallet, the loop and its threads serve others.

    A request that is cancelled ends at once.
    """
    provider = connection(wallet, timeout=3)
    wallet.answer = lambda request, right: None
    kinds: list[str] = []
    gaps: list[float] = []

    async def ask() -> None:
        try:
            await adrive(provider.create_invoice(request_for(sats(1))))
        except ProviderError as error:
            kinds.append(error.kind)

    async def main() -> None:
        with anyio.move_on_after(0.3) as cut:
            await ask()
        assert cut.cancelled_caught
        async with anyio.create_task_group() as tasks:
            for _ in range(100):
                tasks.start_soon(ask)
            await anyio.sleep(0.5)
            with anyio.fail_after(1.5):
                await anyio.to_thread.run_sync(time.monotonic)
            while len(kinds) < 100:
                before = time.monotonic()
                await anyio.sleep(0.01)
                gaps.append(time.monotonic() - before)
        await provider.aclose()

    started = time.monotonic()
    anyio.run(main, backend=backend)
    assert (set(kinds), len(kinds)) == ({"timeout"}, 100)
    assert time.monotonic() - started < 9
    assert max(gaps) < 1


def test_a_relay_that_is_down_is_unreachable() -> None:
    """Case 95: nobody listens; the failure names the relay, in time."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        uri = f"nostr+walletconnect://{PUBLIC_KEY}?relay=ws://127.0.0.1:{port}&secret={SECRET}"
        started = time.monotonic()
        error = failure(NostrWalletConnect(uri, network="regtest", timeout=0.5))
    assert (error.kind, "relay" in str(error)) == ("unreachable", True)
    assert time.monotonic() - started < 3


def test_a_relay_that_comes_back_is_found_again() -> None:
    """After the relay was away, the first request fails, and the next after its return goes through."""
    with nostr_wallet() as wallet:
        port = int(wallet.url.rpartition(":")[2])
        provider = connection(wallet, timeout=2)
        drive(provider.create_invoice(request_for(sats(21))))
    assert failure(provider).kind == "unreachable"
    with nostr_wallet(port=port, like=wallet):
        assert drive(provider.create_invoice(request_for(sats(21)))).payment_hash
    provider.close()


FORKING = """
import os, sys
from l402_middleware.core.money import sats
from l402_middleware.flow import drive
from l402_middleware.providers import InvoiceRequest, NostrWalletConnect

provider = NostrWalletConnect(sys.stdin.read(), network="regtest", timeout=5)

def say(line):
    # In one piece: print() would let the other process in between.
    os.write(1, f"{line}\\n".encode())

def ask(who):
    try:
        drive(provider.create_invoice(InvoiceRequest(sats(1), "", 60)))
        say(f"{who} has one")
    except Exception as error:
        say(f"{who} {error.kind} {'forked' in str(error)}")

if sys.argv[1] == "used":
    ask("parent")
child = os.fork()
ask("parent" if child else "child")
provider.close()
if child:
    assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.parametrize(
    ("before", "said"),
    [
        ("unused", ["child has one", "parent has one"]),
        ("used", ["child unreachable True", "parent has one", "parent has one"]),
    ],
)
def test_a_forked_child(wallet: NostrWallet, before: str, said: list[str]) -> None:
    """A child has its own connection; where its parent used nostr-sdk before, it says at once why it can have none."""
    done = subprocess.run(
        [sys.executable, "-c", FORKING, before],
        input=wallet.uri,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert sorted(done.stdout.splitlines()) == said


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "nostr+walletconnect://",
        "nostr+walletconnect:?relay=wss://relay.example",
        URI.replace(PUBLIC_KEY, "zz"),
        URI.replace("wss", "http"),
        URI.replace("relay=", "r="),
        URI.replace(SECRET, SECRET[:-1]),
        URI.replace("secret=", "s="),
        None,
        5,
    ],
)
def test_what_is_no_connection_string_is_refused_at_start_up(uri: Any) -> None:
    """The error says what to copy, and repeats nothing of what was given."""
    with pytest.raises(ConfigurationError, match="copy the wallet's whole") as caught:
        NostrWalletConnect(uri)
    assert SECRET[:-1] not in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "value"), [("timeout", 0), ("timeout", True), ("timeout", "5"), ("network", "main")]
)
def test_a_setting_that_can_not_work_is_refused_at_start_up(setting: str, value: Any) -> None:
    """The error names the setting."""
    settings: dict[str, Any] = {setting: value}
    with pytest.raises(ConfigurationError, match=setting):
        NostrWalletConnect(URI, **settings)


def test_says_which_extra_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without nostr-sdk the module still imports, and the provider names the extra to install."""
    monkeypatch.setitem(sys.modules, "nostr_sdk", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'l402_middleware\[nwc\]'"):
        NostrWalletConnect(URI)


def test_the_relay_is_shown_and_the_secret_is_not() -> None:
    """Case 113: a repr says which wallet at which relay."""
    shown = repr(NostrWalletConnect(URI))
    assert "relay.example" in shown
    assert PUBLIC_KEY in shown
    assert SECRET not in shown
