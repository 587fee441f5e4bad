"""What a provider is given: addresses, keys, certificates, provider URLs; and what it says of a key that is refused."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from l402_middleware.core import invoice
from l402_middleware.core.errors import ConfigurationError, ProviderError
from l402_middleware.core.money import sats
from l402_middleware.flow import drive
from l402_middleware.invoicing.provider import NETWORKS
from l402_middleware.providers import (
    LND,
    CoreLightning,
    DevNode,
    Failover,
    InvoiceRequest,
    LNbits,
    Phoenixd,
    Provider,
    provider_from_url,
)

from .emulators import CoreLightningEmulator, Emulator, LNDEmulator, Node, PhoenixdEmulator, certificate, running

SECRET = "5ec4e75ec4e7"
MACAROON = "0201" + SECRET
REQUEST = InvoiceRequest(sats(1), "memo", 60)

MAKERS: dict[str, Callable[..., Provider]] = {
    "LNbits": lambda url, secret=SECRET, **more: LNbits(url, secret, **more),
    "LND": lambda url, secret=MACAROON, **more: LND(url, macaroon=secret, **more),
    "CoreLightning": lambda url, secret=SECRET, **more: CoreLightning(url, rune=secret, **more),
    "Phoenixd": lambda url, secret=SECRET, **more: Phoenixd(url, password=secret, **more),
}


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize(
    "url",
    [
        "",
        "node.example",
        "127.0.0.1:8080",
        "http://[::1",
        "http://",
        "ftp://node.example",
        "https://exämple..com",
        "https://node.example/?wallet=1",
        "https://node.example/#wallet",
        f"https://user:{SECRET}@node.example",
        None,
        7,
    ],
)
def test_an_address_has_to_be_one(name: str, url: Any) -> None:
    """Refused at start-up, with the setting named and nothing repeated that may be a secret."""
    with pytest.raises(ConfigurationError, match=rf"^{name}: url must be the server's address, such as http") as caught:
        MAKERS[name](url)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("secret", ["", f"{MACAROON}\n", f" {SECRET}", "clé", "a b", None, 7, b"0201"])
def test_a_secret_has_to_fit_into_a_header(name: str, secret: Any) -> None:
    """Refused at start-up, with the setting named, and never shown."""
    with pytest.raises(ConfigurationError, match=rf"^{name}: .*(invoice_key|macaroon|rune|password)\b") as caught:
        MAKERS[name]("https://node.example", secret)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("network", ["mainnet", "", "Bitcoin", None])
def test_a_network_has_to_be_one(name: str, network: Any) -> None:
    """A misspelled one would make every invoice a wrong one."""
    with pytest.raises(ConfigurationError, match=rf"^{name}: network must be one of bitcoin, "):
        MAKERS[name]("https://node.example", network=network)


def test_the_networks_are_those_of_invoices() -> None:
    """What a provider may be for is what an invoice can be for."""
    assert set(NETWORKS) == set(invoice._NETWORKS.values())


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("timeout", [0, -1, "10", None, True])
def test_a_timeout_has_to_be_one(name: str, timeout: Any) -> None:
    """A number of seconds above 0."""
    with pytest.raises(ConfigurationError, match="timeout must be a number of seconds"):
        MAKERS[name]("https://node.example", timeout=timeout)


@pytest.mark.parametrize("name", MAKERS)
def test_a_provider_is_compared_by_its_settings(name: str) -> None:
    """Two providers of the same node are equal, and of another key are not; no secret is shown."""
    make = MAKERS[name]
    assert make("https://node.example") == make("https://node.example")
    assert make("https://node.example") != make("https://node.example", MACAROON + "00")
    assert SECRET not in repr(make("https://node.example"))


@pytest.mark.parametrize("content", [bytes.fromhex(MACAROON), f"{MACAROON}\n".encode(), MACAROON.upper().encode()])
def test_a_macaroon_comes_from_a_file(tmp_path: Path, content: bytes) -> None:
    """As LND writes it, or in hex."""
    file = tmp_path / "invoice.macaroon"
    file.write_bytes(content)
    assert LND("https://node.example", macaroon_file=file).macaroon.lower() == MACAROON


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({}, "give either macaroon, in hex, or macaroon_file"),
        ({"macaroon": MACAROON, "macaroon_file": "KEY"}, "give either macaroon, in hex, or macaroon_file"),
        ({"macaroon": "zz" + SECRET}, "macaroon is no macaroon of LND's; bake one"),
        ({"macaroon": "020"}, "macaroon is no macaroon of LND's; bake one"),
        ({"macaroon_file": "KEY"}, "macaroon_file=.*KEY is no macaroon of LND's; bake one"),
        ({"macaroon_file": "NONE"}, "macaroon_file=.*NONE cannot be read: No such file"),
        ({"macaroon_file": ""}, "macaroon_file=.* cannot be read: Is a directory"),
        ({"macaroon_file": 7}, "macaroon_file=7 cannot be read: TypeError"),
    ],
)
def test_a_macaroon_has_to_be_one(tmp_path: Path, settings: dict[str, Any], fault: str) -> None:
    """The message says what it should have been, and not what it is."""
    (tmp_path / "KEY").write_text(f"-----BEGIN {SECRET}-----")
    file = settings.get("macaroon_file")
    here = {"macaroon_file": str(tmp_path / file)} if isinstance(file, str) else {}
    with pytest.raises(ConfigurationError, match=f"^LND: {fault}") as caught:
        LND("https://node.example", **{**settings, **here})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("name", ["LND", "CoreLightning"])
def test_a_certificate_has_to_be_one(tmp_path: Path, name: str) -> None:
    """One that cannot be read, is none, or would never be used is refused at start-up."""
    make, cert = MAKERS[name], certificate(tmp_path) / "tls.cert"
    (tmp_path / "key").write_text(SECRET)
    with pytest.raises(ConfigurationError, match=f"^{name}: tls_cert=.*/none is no certificate .*: No such file"):
        make("https://node.example", tls_cert=tmp_path / "none")
    with pytest.raises(ConfigurationError, match=f"^{name}: tls_cert=.*/key is no certificate in PEM form") as caught:
        make("https://node.example", tls_cert=tmp_path / "key")
    assert SECRET not in str(caught.value)
    with pytest.raises(ConfigurationError, match=f"^{name}: tls_cert needs a url that begins with https://"):
        make("http://node.example", tls_cert=cert)
    assert make("https://node.example", tls_cert=cert)


@pytest.mark.parametrize(
    ("url", "provider"),
    [
        ("lnbits+https://node.example?invoice_key=k", LNbits("https://node.example", "k")),
        ("lnbits+http://node:5000/wallet/?invoice_key=k", LNbits("http://node:5000/wallet/", "k")),
        ("lnd+https://node:8080?macaroon=0201", LND("https://node:8080", macaroon="0201")),
        ("lnd+rest://node:8080?macaroon=0201", LND("https://node:8080", macaroon="0201")),
        ("lnd+http://node:8080?macaroon=0201", LND("http://node:8080", macaroon="0201")),
        (
            "lnd+https://node?macaroon=0201&network=regtest&route_hints=yes",
            LND("https://node", macaroon="0201", network="regtest", route_hints=True),
        ),
        ("lnd+https://node?macaroon=0201&route_hints=no", LND("https://node", macaroon="0201")),
        ("cln+https://node:3010?rune=a-_%3D%3D", CoreLightning("https://node:3010", rune="a-_==")),
        ("phoenixd+http://127.0.0.1:9740?password=a%2Bb", Phoenixd("http://127.0.0.1:9740", password="a+b")),
        (
            "phoenixd+https://node?password=k&network=testnet",
            Phoenixd("https://node", password="k", network="testnet"),
        ),
        (" lnbits+https://node?invoice_key=k\n", LNbits("https://node", "k")),
        ("lnbits+https://node?invoice_key=k&timeout=3", LNbits("https://node", "k", timeout=3)),
        ("cln+https://node?rune=k&timeout=0.5", CoreLightning("https://node", rune="k", timeout=0.5)),
        (
            "lnbits+https://node?invoice_key=k\n  lnd+https://node?macaroon=0201\tphoenixd+http://node?password=p",
            Failover(
                LNbits("https://node", "k"), LND("https://node", macaroon="0201"), Phoenixd("http://node", password="p")
            ),
        ),
    ],
)
def test_a_provider_by_its_url(url: str, provider: Provider) -> None:
    """Each form makes the provider that its parts say."""
    assert provider_from_url(url) == provider


def test_the_development_node_by_its_url() -> None:
    """`dev:` takes nothing else."""
    assert isinstance(provider_from_url("dev:"), DevNode)


@pytest.mark.parametrize(
    ("start", "name"),
    [
        ("lnbits+https://node", "invoice_key"),
        ("lnd+https://node", "macaroon"),
        ("cln+https://node", "rune"),
        ("phoenixd+http://node", "password"),
    ],
)
def test_a_secret_need_not_stand_in_the_url(
    start: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may stand in a file or in an environment variable, with a line end or without; and in one place only."""
    secret = MACAROON if name == "macaroon" else SECRET
    direct = provider_from_url(f"{start}?{name}={secret}")
    file = tmp_path / "key"
    file.write_text(f"{secret}\n")
    monkeypatch.setenv("WALLET_KEY", f"{secret}\n")
    from_file = provider_from_url(f"{start}?{name}_file={file}")
    from_variable = provider_from_url(f"{start}?{name}_env=WALLET_KEY")
    assert getattr(from_file, name) == getattr(from_variable, name) == getattr(direct, name) == secret
    for query in ("", f"?{name}={secret}&{name}_file={file}", f"?{name}_env=WALLET_KEY&{name}_file={file}"):
        with pytest.raises(ConfigurationError, match=f"give one of {name}, {name}_file and {name}_env") as caught:
            provider_from_url(start + query)
        assert secret not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("", "unknown scheme ''"),
        ("dev:x", "unknown scheme 'dev'"),
        ("https://node.example", "unknown scheme 'https'"),
        (f"lnd://node?macaroon={SECRET}", "unknown scheme 'lnd'"),
        (f"lnd+ftp://node?macaroon={SECRET}", "unknown scheme 'lnd.ftp'"),
        (f"cln+rest://node?rune={SECRET}", "unknown scheme 'cln.rest'"),
        (f"lnbits+https://[::1?invoice_key={SECRET}", "it cannot be read"),
        (f"lnbits+https://node?invoice_key={SECRET}&wallet=1", "parameter 2 is none of invoice_key, "),
        (f"phoenixd+http://node?password={SECRET}&tls_cert=x", "parameter 2 is none of network, password"),
        (f"phoenixd+http://node?password=ab&{SECRET}", "parameter 2 is none of .*; write '&' within a value as %26"),
        (f"phoenixd+http://node?password_file={SECRET}", "the file that password_file names cannot be read: No such"),
        (f"phoenixd+http://node?password_env={SECRET}", "the environment variable that password_env names is not set"),
        (f"lnd+https://node?macaroon_file={SECRET}", "the file that macaroon_file names cannot be read: No such"),
        (f"cln+https://node?rune={SECRET}&timeout={SECRET}", "timeout is a number of seconds, such as timeout=3"),
        (f"phoenixd+http://node?password={SECRET}#{SECRET}", "write a '#' in it as %23"),
        (f"lnd+https://node?macaroon=02{SECRET}&route_hints={SECRET}", "route_hints is yes or no"),
        ("cln+https://node?rune_file=/nowhere/rune", "the file that rune_file names cannot be read: No such file"),
        ("cln+https://node?rune_env=NO_SUCH_VARIABLE", "the environment variable that rune_env names is not set"),
    ],
)
def test_a_url_that_names_no_provider(url: str, fault: str) -> None:
    """The message says what is wrong, and never repeats a secret."""
    with pytest.raises(ConfigurationError, match=f"^provider URL: {fault}") as caught:
        provider_from_url(url)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("emulator", "name", "advice"),
    [
        (LNDEmulator, "LND", "allows invoices:write"),
        (CoreLightningEmulator, "CoreLightning", "allows the method invoice"),
        (PhoenixdEmulator, "Phoenixd", "check http-password-limited-access"),
    ],
)
def test_a_key_that_is_refused_is_named_as_such(emulator: type[Emulator], name: str, advice: str) -> None:
    """Case 95: another node's key is "unauthorized", for invoices and for payments, and is not shown."""
    with running(emulator, Node(secret="0201cafe")) as node:
        provider: Any = MAKERS[name](node.url, MACAROON, network="regtest")
        with pytest.raises(ProviderError, match=advice) as caught:
            drive(provider.create_invoice(REQUEST))
        with pytest.raises(ProviderError) as looked_up:
            drive(provider.is_settled(bytes(32)))
        provider.close()
    assert (caught.value.kind, looked_up.value.kind) == ("unauthorized", "unauthorized")
    assert SECRET not in f"{caught.value} {looked_up.value}"
    assert base64.b64encode(SECRET.encode()).decode() not in f"{caught.value} {looked_up.value}"
