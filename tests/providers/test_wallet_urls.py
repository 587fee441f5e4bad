"""The URLs of wallets that are no node of one's own: Lightning Address, LNURL, Nostr Wallet Connect."""

from pathlib import Path
from typing import Any

import pytest

from l402_middleware.core.errors import ConfigurationError
from l402_middleware.providers import (
    LightningAddress,
    NostrWalletConnect,
    VerifiableLightningAddress,
    provider_from_url,
)

WALLET = "nostr+walletconnect://b889ff5b1513b641e2a139f661a661364979c5beee91842f8f0ef42ab558e9d4"
RELAYS = "relay=wss%3A%2F%2Frelay.example%2Fv1&relay=wss%3A%2F%2Fother.example"
SECRET = "71a8c14c1407c113601079c4302dab36460f0ccd0ad506f1f2dc73b5100e4f3c"


@pytest.mark.parametrize(
    ("url", "provider"),
    [
        ("lightning:alice@wallet.example", lambda: LightningAddress("alice@wallet.example")),
        ("lightning://alice@wallet.example", lambda: LightningAddress("alice@wallet.example")),
        (
            "lightning:alice+tip@10.0.0.7:8080?network=signet&allow_private_hosts=10.0.0.7,pay.internal",
            lambda: LightningAddress(
                "alice+tip@10.0.0.7:8080", "signet", allow_private_hosts=("pay.internal", "10.0.0.7")
            ),
        ),
        (
            "lightning:alice@wallet.example?verify=true",
            lambda: VerifiableLightningAddress("alice@wallet.example"),
        ),
        (
            "lightning:alice@wallet.example?timeout=2.5",
            lambda: LightningAddress("alice@wallet.example", timeout=2.5),
        ),
        ("lnurlp://wallet.example/pay?u=1", lambda: LightningAddress("lnurlp://wallet.example/pay?u=1")),
    ],
)
def test_a_lightning_address_by_url(url: str, provider: Any) -> None:
    """The same provider as the class makes."""
    assert provider_from_url(url) == provider()


@pytest.mark.parametrize(
    ("url", "network"),
    [
        (f"{WALLET}?{RELAYS}&secret={SECRET}&lud16=a%40wallet.example", "bitcoin"),
        (f"{WALLET}?secret={SECRET}&{RELAYS}&network=regtest", "regtest"),
        (f"{WALLET}?{RELAYS}&secret_file=FILE", "bitcoin"),
        (f"{WALLET}?secret_env=NWC_SECRET&{RELAYS}&network=testnet", "testnet"),
    ],
)
def test_a_nostr_wallet_by_url(url: str, network: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wallet's own string; its secret may stand in a file or in the environment instead. All relays are kept."""
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    monkeypatch.setenv("NWC_SECRET", SECRET)
    provider = provider_from_url(url.replace("FILE", str(tmp_path / "secret")))
    assert isinstance(provider, NostrWalletConnect)
    assert provider.network == network
    assert f"secret={SECRET}" in provider.uri
    assert "network" not in provider.uri
    assert "'wss://relay.example/v1, wss://other.example'" in repr(provider)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("lightning:", "alice@wallet.example"),
        ("lightning:alice", "alice@wallet.example"),
        ("lightning:alice@wallet.example?verify=1", "verify is true or false"),
        ("lightning:alice@wallet.example?key=hunter2", "parameter 1 is none of allow_private_hosts, "),
        (WALLET, "give one of secret, secret_file and secret_env"),
        (f"{WALLET}?{RELAYS}", "give one of secret, secret_file and secret_env"),
        (f"{WALLET}?{RELAYS}&secret=hunter2", "copy the wallet's whole"),
        (f"{WALLET}?secret={SECRET}", "copy the wallet's whole"),
        (f"{WALLET}?{RELAYS}&secret={SECRET}&secret_file=x", "give one of"),
        (f"{WALLET}?{RELAYS}&secret_file=/no/such/file", "the file that secret_file names cannot be read"),
        (f"{WALLET}?{RELAYS}&secret={SECRET}&network=hunter", "network must be one of"),
        (f"{WALLET}?{RELAYS}&secret={SECRET}&timeout=hunter2", "timeout is a number of seconds"),
        (f"{WALLET}?{RELAYS}&secret={SECRET}&timeout=0", "timeout must be a number of seconds above 0"),
    ],
)
def test_a_url_that_can_not_work_is_refused(url: str, message: str) -> None:
    """The error says what is missing, and repeats no secret."""
    with pytest.raises(ConfigurationError, match=message) as caught:
        provider_from_url(url)
    assert SECRET not in str(caught.value)
    assert "hunter2" not in str(caught.value)
