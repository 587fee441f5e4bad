"""One contract for every wallet: it pays once, proves it, knows what became of it, and keeps its key to itself."""

import asyncio
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import httpx2
import pytest

from l402_middleware.client import (
    CoreLightningWallet,
    DevelopmentWallet,
    FunctionWallet,
    LNbitsWallet,
    LNDWallet,
    NostrWalletConnectWallet,
    NotPaid,
    Outgoing,
    PhoenixdWallet,
    Wallet,
    wallet_from_url,
)
from l402_middleware.client.wallet import FAILED, PENDING
from l402_middleware.core.errors import ConfigurationError, ProviderError
from l402_middleware.core.invoice import decode
from l402_middleware.core.keys import generate_key
from l402_middleware.flow import adrive, drive
from tests.providers.emulators import running
from tests.providers.nostr_wallet import nostr_wallet
from tests.real.lab import serving, unused_address

from .paying_emulators import PayingCoreLightning, PayingLNbits, PayingLND, PayingNode, PayingPhoenixd
from .shops import Bank, our_shop

pytestmark = pytest.mark.slow


class WalletContract:
    """What every wallet that keeps a record must do."""

    knows_failures = True

    @pytest.fixture
    def bank(self) -> Bank:
        return Bank()

    @pytest.fixture
    def wallet(self, bank: Bank) -> Wallet:
        raise NotImplementedError

    @pytest.fixture
    def decide(self) -> Callable[[str, Outgoing], None]:
        """Let a payment, by its hash, end so."""
        raise NotImplementedError

    @pytest.fixture
    def secrets(self) -> list[str]:
        return []

    @pytest.fixture(params=["blocking", "awaiting"])
    def run(self, request: pytest.FixtureRequest, wallet: Wallet) -> Callable[[Any], Any]:
        """Drive a flow either way."""
        if request.param == "blocking":
            return drive

        async def awaited(flow: Any) -> Any:
            try:
                return await adrive(flow)
            finally:
                await wallet.aclose()

        return lambda flow: asyncio.run(awaited(flow))

    def test_it_pays_and_proves_it(self, wallet: Wallet, bank: Bank, run: Callable[[Any], Any]) -> None:
        """The preimage is the payment's; looked up, it is the same; paid again, nothing is."""
        bolt11 = bank.invoice()
        payment_hash = decode(bolt11).payment_hash
        assert run(wallet.look_up(bolt11, payment_hash)).fate == "unknown"
        paid = run(wallet.pay(bolt11, payment_hash, 10_000))
        assert paid.fate == "paid"
        assert paid.proves(payment_hash)
        found = run(wallet.look_up(bolt11, payment_hash))
        assert (found.fate, found.preimage) == ("paid", paid.preimage)
        try:
            again = run(wallet.pay(bolt11, payment_hash, 10_000))
        except ProviderError:
            pass
        else:
            assert again.preimage == paid.preimage
        assert bank.paid == [payment_hash.hex()]
        assert wallet.network == "regtest"

    @pytest.mark.parametrize("outcome", [PENDING, FAILED], ids=["pending", "failed"])
    def test_it_says_what_became_of_it(
        self,
        wallet: Wallet,
        bank: Bank,
        run: Callable[[Any], Any],
        decide: Callable[[str, Outgoing], None],
        outcome: Outgoing,
    ) -> None:
        """Under way, or failed: never paid."""
        bolt11 = bank.invoice()
        payment_hash = decode(bolt11).payment_hash
        decide(payment_hash.hex(), outcome)
        try:
            said = run(wallet.pay(bolt11, payment_hash, 10_000))
        except ProviderError:
            pass
        else:
            assert said.fate == outcome.fate
        assert run(wallet.look_up(bolt11, payment_hash)).fate == outcome.fate

    def test_it_keeps_its_secret(self, wallet: Wallet, secrets: list[str]) -> None:
        """Not in its repr."""
        assert not [secret for secret in secrets if secret in repr(wallet)]


class EmulatedContract(WalletContract):
    """The contract for an emulated node."""

    emulator: Any
    make: Any

    @pytest.fixture
    def node(self, bank: Bank) -> Iterator[PayingNode]:
        with running(self.emulator, PayingNode(secret=self.new_secret(), bank=bank)) as node:
            assert isinstance(node, PayingNode)
            yield node

    def new_secret(self) -> str:
        return generate_key()

    @pytest.fixture
    def wallet(self, node: PayingNode) -> Iterator[Wallet]:
        wallet: Wallet = self.make(node.url, node.secret)
        yield wallet
        wallet.close()

    @pytest.fixture
    def decide(self, node: PayingNode) -> Callable[[str, Outgoing], None]:
        return node.fates.__setitem__

    @pytest.fixture
    def secrets(self, node: PayingNode) -> list[str]:
        return [node.secret]

    def test_a_fee_is_told(self, wallet: Wallet, bank: Bank) -> None:
        """In msat, paid and looked up."""
        bolt11 = bank.invoice()
        payment_hash = decode(bolt11).payment_hash
        assert drive(wallet.pay(bolt11, payment_hash, 10_000)).fee_msat == 1000
        assert drive(wallet.look_up(bolt11, payment_hash)).fee_msat == 1000

    def test_a_wrong_key_is_told(self, node: PayingNode, bank: Bank) -> None:
        """By its kind, without the key, and nothing is known of any payment."""
        bolt11 = bank.invoice()
        wallet: Wallet = self.make(node.url, wrong := self.new_secret())
        drive_and_fail(wallet.pay(bolt11, decode(bolt11).payment_hash, 1), "unauthorized", wrong)
        assert not node.outgoing
        wallet.close()

    def test_a_node_that_is_not_there_is_told(self, bank: Bank) -> None:
        """By its kind, without the key."""
        bolt11 = bank.invoice()
        with unused_address() as url:
            wallet: Wallet = self.make(url, secret := self.new_secret())
            for flow in (wallet.pay, lambda *given: wallet.look_up(*given[:2])):
                drive_and_fail(flow(bolt11, decode(bolt11).payment_hash, 1), "unreachable", secret)
            wallet.close()


def drive_and_fail(flow: Any, kind: str, secret: str) -> None:
    """It raises that kind, and the secret is nowhere."""
    with pytest.raises(ProviderError) as caught:
        drive(flow)
    assert caught.value.kind == kind
    assert secret not in "".join(traceback.format_exception(caught.value))


class TestLNbits(EmulatedContract):
    emulator = PayingLNbits

    @staticmethod
    def make(url: str, secret: str) -> Wallet:
        return wallet_from_url(f"lnbits+{url}?admin_key={secret}&network=regtest")

    def test_an_invoice_of_its_own_is_not_a_payment(self, wallet: Wallet, node: PayingNode, bank: Bank) -> None:
        """What was received here was not paid from here."""
        bolt11 = bank.invoice()
        payment_hash, outcome, _ = node.send(bolt11)
        assert drive(wallet.look_up(bolt11, bytes.fromhex(payment_hash))).fate == outcome.fate == "paid"


class TestLND(EmulatedContract):
    emulator = PayingLND

    def new_secret(self) -> str:
        return "0201036c6e64" + generate_key()

    @staticmethod
    def make(url: str, secret: str) -> Wallet:
        return wallet_from_url(f"lnd+{url}?macaroon={secret}&network=regtest")

    def test_the_fee_limit_is_passed_on(self, wallet: Wallet, node: PayingNode, bank: Bank) -> None:
        """In msat, as text."""
        bolt11 = bank.invoice()
        drive(wallet.pay(bolt11, decode(bolt11).payment_hash, 7000))
        assert node.asked[0]["fee_limit_msat"] == "7000"


class TestCoreLightning(EmulatedContract):
    emulator = PayingCoreLightning

    @staticmethod
    def make(url: str, secret: str) -> Wallet:
        return wallet_from_url(f"cln+{url}?rune={secret}&network=regtest")

    def test_the_fee_limit_is_passed_on(self, wallet: Wallet, node: PayingNode, bank: Bank) -> None:
        """In msat."""
        bolt11 = bank.invoice()
        drive(wallet.pay(bolt11, decode(bolt11).payment_hash, 7000))
        assert node.asked[0]["maxfee"] == 7000


class TestPhoenixd(EmulatedContract):
    emulator = PayingPhoenixd

    @staticmethod
    def make(url: str, secret: str) -> Wallet:
        return wallet_from_url(f"phoenixd+{url}?password={secret}&network=regtest")


class TestFunction(WalletContract):
    @pytest.fixture
    def known(self) -> dict[str, Outgoing]:
        return {}

    @pytest.fixture(params=["plain", "async"])
    def wallet(self, bank: Bank, known: dict[str, Outgoing], request: pytest.FixtureRequest) -> Wallet:
        def pay(bolt11: str) -> bytes:
            payment_hash = decode(bolt11).payment_hash.hex()
            if payment_hash not in known:
                known[payment_hash] = Outgoing("paid", bank.pay(bolt11))
            if known[payment_hash].preimage is None:
                raise NotPaid("payment-failed", "no") if known[payment_hash] == FAILED else TimeoutError
            return known[payment_hash].preimage or b""

        def look_up(bolt11: str) -> Outgoing:
            return known.get(decode(bolt11).payment_hash.hex(), Outgoing("unknown"))

        async def pay_awaited(bolt11: str) -> str:
            return pay(bolt11).hex()

        async def look_up_awaited(bolt11: str) -> Outgoing:
            return look_up(bolt11)

        if request.param == "async":
            return FunctionWallet(pay_awaited, look_up_awaited, "regtest")
        return FunctionWallet(pay, look_up, "regtest")

    @pytest.fixture
    def decide(self, known: dict[str, Outgoing]) -> Callable[[str, Outgoing], None]:
        return known.__setitem__

    @pytest.mark.parametrize("given", [None, "", "00", b"x", 32 * [0], "zz" * 32, "\uff10" * 64])
    def test_what_is_no_preimage_is_a_fault(self, given: Any) -> None:
        """The function's, and said so."""
        drive_and_fail(FunctionWallet(lambda _: given).pay("lnbc1", bytes(32), 0), "bad-answer", "no secret")
        drive_and_fail(FunctionWallet(str, lambda _: given).look_up("lnbc1", bytes(32)), "bad-answer", "no secret")


class TestNostrWalletConnect(WalletContract):
    @pytest.fixture
    def service(self, bank: Bank) -> Iterator[Any]:
        with nostr_wallet() as service:
            known: dict[str, Outgoing] = {}
            service.known = known  # type: ignore[attr-defined]

            def answer(request: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
                wanted, method = request["params"], request["method"]
                said: dict[str, Any] = {"result_type": method, "error": None, "result": None}
                if method == "pay_invoice":
                    payment_hash = decode(wanted["invoice"]).payment_hash.hex()
                    if payment_hash not in known:
                        known[payment_hash] = Outgoing("paid", bank.pay(wanted["invoice"]), 1000)
                    outcome = known[payment_hash]
                    if outcome.preimage is None:
                        return {**said, "error": {"code": "PAYMENT_FAILED", "message": "it failed"}}
                    return {**said, "result": {"preimage": outcome.preimage.hex(), "fees_paid": outcome.fee_msat}}
                outcome = known.get(wanted["payment_hash"], Outgoing("unknown"))
                if outcome.fate == "unknown":
                    return {**said, "error": {"code": "NOT_FOUND", "message": "never heard of it"}}
                state = {"paid": "settled"}.get(outcome.fate, outcome.fate)
                found = {"type": "outgoing", "state": state, "payment_hash": wanted["payment_hash"], "amount": 21_000}
                more = {"fees_paid": outcome.fee_msat, "created_at": 1_700_000_000}
                proof = {"preimage": outcome.preimage.hex(), "settled_at": 1_700_000_001} if outcome.preimage else {}
                return {**said, "result": {**found, **more, **proof}}

            # What that service would say of invoices is of no interest here.
            service._right = lambda request: {}  # type: ignore[method-assign]
            service.answer = answer
            yield service

    @pytest.fixture
    def wallet(self, service: Any) -> Iterator[Wallet]:
        wallet = NostrWalletConnectWallet(service.uri, "regtest", timeout=10)
        yield wallet
        wallet.close()

    @pytest.fixture
    def decide(self, service: Any) -> Callable[[str, Outgoing], None]:
        known: dict[str, Outgoing] = service.known
        return known.__setitem__

    @pytest.fixture
    def secrets(self, service: Any) -> list[str]:
        return [service.secret]


def test_the_development_wallet_pays() -> None:
    """A demo server's own; it keeps no record, and pays as often as it is asked, for nothing."""
    with serving(our_shop(Bank())) as url, closing(DevelopmentWallet(url)) as wallet:
        bolt11 = httpx2.get(f"{url}/forecast").json()["invoice"]
        payment_hash = decode(bolt11).payment_hash
        for _ in range(2):
            assert drive(wallet.pay(bolt11, payment_hash, 0)).proves(payment_hash)
        assert drive(wallet.look_up(bolt11, payment_hash)).fate == "unknown"
        drive_and_fail(wallet.pay(Bank().invoice(), payment_hash, 0), "rejected", "no secret")


KEY = "0" * 32


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        (f"lnbits+https://h?admin_key={KEY}", LNbitsWallet),
        ("lnd+https://h:8080?macaroon=0201ab&network=signet", LNDWallet),
        (f"cln+https://h:3010?rune={KEY}&timeout=5", CoreLightningWallet),
        (f"phoenixd+http://127.0.0.1:9740?password={KEY}", PhoenixdWallet),
        ("dev+http://127.0.0.1:8000", DevelopmentWallet),
        ("lnbits+https://h?admin_key_env=WALLET_KEY", LNbitsWallet),
    ],
)
def test_a_url_names_a_wallet(url: str, kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a provider's does."""
    monkeypatch.setenv("WALLET_KEY", KEY)
    assert isinstance(wallet_from_url(url), kind)


def test_a_secret_stands_in_a_file(tmp_path: Any) -> None:
    """A line of text; a macaroon's bytes."""
    (tmp_path / "key").write_text(f"{KEY}\n")
    (tmp_path / "macaroon").write_bytes(bytes.fromhex("0201ab"))
    assert wallet_from_url(f"lnbits+https://h?admin_key_file={tmp_path}/key") == LNbitsWallet("https://h", KEY)
    assert wallet_from_url(f"lnd+https://h?macaroon_file={tmp_path}/macaroon") == LNDWallet(
        "https://h", macaroon="0201ab"
    )


@pytest.mark.parametrize(
    "url",
    [
        "", "lnbits", "https://h", "lnbits+ftp://h?admin_key=SECRET", "lnbits+https://h", "lnbits+https://[h?a=SECRET",
        "lnbits+https://h?admin_key=SECRET&admin_key_file=x", "lnbits+https://h?invoice_key=SECRET",
        "lnbits+https://h?admin_key=SECRET&admin_key=SECRET", "lnbits+https://h?admin_key_file=/no/SECRET",
        "lnbits+https://h?admin_key_env=SECRET", "lnbits+https://h?admin_key=SECRET&timeout=soon",
        "lnbits+https://h?admin_key=SECRET#x", "dev+http://192.0.2.1", "dev+http://127.0.0.1?network=bitcoin",
        "nostr+https://SECRET", "phoenixd+http://h?password=SECRET&network=mainnet",
        "nostr+walletconnect://SECRET?relay=x&secret=SECRET",
    ],
)  # fmt: skip
def test_a_bad_url_is_told_and_not_repeated(url: str) -> None:
    """It may hold a key that can spend."""
    with pytest.raises(ConfigurationError) as caught:
        wallet_from_url(url)
    assert "SECRET" not in "".join(traceback.format_exception_only(caught.value))


def test_nothing_is_left_open() -> None:
    """Each wallet closes what it never opened."""
    with ExitStack() as stack:
        for wallet in (FunctionWallet(str), LNbitsWallet("https://h", KEY), DevelopmentWallet("http://localhost")):
            stack.callback(wallet.close)
            asyncio.run(wallet.aclose())
