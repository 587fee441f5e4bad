"""Every backend, by its name: loaded when it is asked for, and missing extras are named."""

import subprocess
import sys
from typing import Any

import pytest

from l402_middleware import providers
from l402_middleware.core.errors import ConfigurationError
from l402_middleware.providers import (
    LND,
    CoreLightning,
    DevNode,
    Failover,
    FunctionProvider,
    LightningAddress,
    LNbits,
    NostrWalletConnect,
    Phoenixd,
    Provider,
    VerifiableLightningAddress,
)
from l402_middleware.providers.registry import BACKENDS

WALLET = (
    "nostr+walletconnect://b889ff5b1513b641e2a139f661a661364979c5beee91842f8f0ef42ab558e9d4"
    "?relay=wss%3A%2F%2Frelay.example&secret=71a8c14c1407c113601079c4302dab36460f0ccd0ad506f1f2dc73b5100e4f3c"
)


def each() -> list[Provider]:
    """One of each that is equal to another made alike."""
    return [
        LNbits("https://node.example", "key"),
        LND("https://node.example", macaroon="0201"),
        CoreLightning("https://node.example", rune="rune"),
        Phoenixd("https://node.example", password="word"),
        LightningAddress("alice@wallet.example"),
        VerifiableLightningAddress("alice@wallet.example"),
        NostrWalletConnect(WALLET),
    ]


def run(code: str) -> str:
    """What a new interpreter says."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_nothing_is_loaded_that_was_not_asked_for() -> None:
    """HTTP takes longer to load than all the rest; a development node, a function and a price in sats need none."""
    code = "import sys, l402_middleware.providers as p; {}; print('httpx2' in sys.modules, 'nostr_sdk' in sys.modules)"
    assert run(code.format("p.DevNode, p.Failover, p.FunctionProvider, p.provider_from_url")) == "False False"
    assert run(code.format("import l402_middleware.rates as r; r.Rates()")) == "False False"
    assert run(code.format("p.LNbits")) == "True False"


def test_every_name_is_there() -> None:
    """What `__all__` promises can be had, and listed, and nothing else."""
    assert set(providers.__all__) <= set(dir(providers))
    with pytest.raises(AttributeError, match="no attribute 'LNBits'"):
        providers.LNBits  # type: ignore[attr-defined]  # noqa: B018 - that is the test


@pytest.mark.parametrize("name", [name for name, backend in BACKENDS.items() if backend.extra])
def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The module still imports; whoever makes the provider reads what to install."""
    backend = BACKENDS[name]
    monkeypatch.setitem(sys.modules, backend.package, None)
    arguments: tuple[Any, ...] = () if name == "dev" else (WALLET,)
    monkeypatch.setenv("L402_DEV", "1")
    with pytest.raises(
        ConfigurationError, match=rf"^{backend.name} needs .*pip install 'l402_middleware\[{backend.extra}\]'"
    ):
        backend.make(*arguments)


@pytest.mark.parametrize("number", range(len(each())))
def test_equal_providers_have_equal_hashes(number: int) -> None:
    """All are values, alone and in a `Failover`, whatever stands beside them there."""

    class Own:
        network, granularity_msat = "bitcoin", 1
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Own)

        def create_invoice(self, request: object) -> Any: ...

    one, two = each()[number], each()[number]
    assert one == two
    assert hash(one) == hash(two)
    function = FunctionProvider(lambda request: "")
    own: Any = Own()
    assert Failover(one, function) == Failover(two, function)
    assert len({Failover(one, function, own), Failover(two, function, own), Failover(one)}) == 2


def test_a_development_node_is_like_no_other() -> None:
    """It has keys of its own."""
    one = DevNode()
    assert len({one, DevNode(), one}) == 2
