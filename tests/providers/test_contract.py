"""The provider contract for the development node, and for LND, Core Lightning and phoenixd as emulators."""

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from l402_middleware.core.keys import KeyRing, generate_key
from l402_middleware.flow import drive
from l402_middleware.providers import (
    LND,
    CoreLightning,
    DevNode,
    Failover,
    FunctionProvider,
    InvoiceRequest,
    Phoenixd,
    Provider,
)
from l402_middleware.testing.provider_contract import (
    CreatedAnswer,
    HTTPProviderContract,
    ProviderAt,
    ProviderContract,
)

from .emulators import (
    CoreLightningEmulator,
    Emulator,
    LNDEmulator,
    Node,
    PhoenixdEmulator,
    as_phoenixd_cuts,
    certificate,
    running,
)


class TestDevNode(ProviderContract):
    # It says yes to every payment: whoever has a preimage has been to its wallet.
    checks_settlement = False

    @pytest.fixture
    def key(self) -> str:
        return generate_key()

    @pytest.fixture
    def provider(self, key: str) -> Provider:
        node = DevNode()
        node.use_keys(KeyRing([key]))
        return node

    @pytest.fixture
    def secrets(self, key: str) -> list[str]:
        return [key]


class TestFailover(TestDevNode):
    @pytest.fixture
    def provider(self, key: str) -> Provider:
        node = DevNode()
        node.use_keys(KeyRing([key]))
        return Failover(node)


class TestFunction(TestDevNode):
    @pytest.fixture(params=["plain", "async"])
    def provider(self, key: str, request: pytest.FixtureRequest) -> Provider:
        node = DevNode()
        node.use_keys(KeyRing([key]))

        def make(wanted: InvoiceRequest) -> str:
            return drive(node.create_invoice(wanted)).bolt11

        async def make_awaited(wanted: InvoiceRequest) -> str:
            return make(wanted)

        return FunctionProvider(make if request.param == "plain" else make_awaited, "regtest")


@pytest.mark.slow
class EmulatorContract(HTTPProviderContract):
    """The contract for a provider of an emulated node."""

    emulator: type[Emulator]

    @pytest.fixture(scope="class")
    @classmethod
    def tls(cls) -> Path | None:
        return None

    @pytest.fixture(scope="class")
    @classmethod
    def node(cls, tls: Path | None) -> Iterator[Node]:
        with running(cls.emulator, Node(secret=cls.new_secret()), tls) as node:
            yield node

    @classmethod
    def new_secret(cls) -> str:
        return generate_key()

    @pytest.fixture
    def pay(self, node: Node) -> Callable[[str], None]:
        return node.pay

    @pytest.fixture
    def secrets(self, node: Node) -> list[str]:
        return [node.secret]


class TestLND(EmulatorContract):
    emulator = LNDEmulator

    @classmethod
    def new_secret(cls) -> str:
        return "0201036c6e64" + bytes(generate_key(), "ascii").hex()

    @pytest.fixture(scope="class")
    @classmethod
    def tls(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return certificate(tmp_path_factory.mktemp("lnd"))

    @pytest.fixture
    def provider(self, node: Node, tls: Path) -> Provider:
        return LND(node.url, macaroon=node.secret, tls_cert=tls / "tls.cert", network="regtest")

    @pytest.fixture
    def provider_at(self, node: Node) -> ProviderAt:
        return lambda url, timeout: LND(url, macaroon=node.secret, network="regtest", timeout=timeout)

    @pytest.fixture
    def created_answer(self) -> CreatedAnswer:
        def answer(bolt11: str, payment_hash: bytes) -> tuple[int, dict[str, Any]]:
            return 200, {
                "r_hash": base64.b64encode(payment_hash).decode(),
                "payment_request": bolt11,
                "add_index": "7",
                "payment_addr": base64.b64encode(bytes(32)).decode(),
            }

        return answer


class TestCoreLightning(EmulatorContract):
    emulator = CoreLightningEmulator

    @pytest.fixture(scope="class")
    @classmethod
    def authority(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return certificate(tmp_path_factory.mktemp("authority"), names=("cln Root REST CA", "cln", "localhost"))

    @pytest.fixture(scope="class")
    @classmethod
    def tls(cls, tmp_path_factory: pytest.TempPathFactory, authority: Path) -> Path:
        names = ("cln rest server", "cln", "localhost")
        return certificate(tmp_path_factory.mktemp("clnrest"), names=names, signer=authority)

    @pytest.fixture
    def provider(self, node: Node, authority: Path) -> Provider:
        url = node.url.replace("127.0.0.1", "localhost")
        return CoreLightning(url, rune=node.secret, tls_cert=authority / "tls.cert", network="regtest")

    @pytest.fixture
    def provider_at(self, node: Node) -> ProviderAt:
        return lambda url, timeout: CoreLightning(url, rune=node.secret, network="regtest", timeout=timeout)

    @pytest.fixture
    def created_answer(self) -> CreatedAnswer:
        return lambda bolt11, payment_hash: (
            201,
            {"bolt11": bolt11, "payment_hash": payment_hash.hex(), "expires_at": 1, "created_index": 7},
        )


class TestPhoenixd(EmulatorContract):
    emulator = PhoenixdEmulator

    def kept(self, memo: str) -> str:
        return as_phoenixd_cuts(memo)

    @pytest.fixture
    def provider(self, node: Node) -> Provider:
        return Phoenixd(node.url, password=node.secret, network="regtest")

    @pytest.fixture
    def secrets(self, node: Node) -> list[str]:
        return [node.secret, base64.b64encode(f":{node.secret}".encode()).decode()]

    @pytest.fixture
    def provider_at(self, node: Node) -> ProviderAt:
        return lambda url, timeout: Phoenixd(url, password=node.secret, network="regtest", timeout=timeout)

    @pytest.fixture
    def created_answer(self) -> CreatedAnswer:
        return lambda bolt11, payment_hash: (
            200,
            {"amountSat": 1, "paymentHash": payment_hash.hex(), "serialized": bolt11},
        )
