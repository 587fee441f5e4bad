"""Lightning Address and LNURL-pay: the protocol, against a service on this machine, and the guard on where it leads."""

import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio
import httpx2
import pytest

from l402_middleware import Offer, Paywall, RequestView
from l402_middleware.core import bech32
from l402_middleware.core.errors import ConfigurationError, ProviderError
from l402_middleware.core.invoice import decode
from l402_middleware.core.money import Msat, msats, sats
from l402_middleware.flow import Flow, adrive, drive
from l402_middleware.invoicing.invoicing import Invoicing
from l402_middleware.outgoing.guard import GuardedTransport, Resolve, is_public
from l402_middleware.outgoing.transport import SendRequest, Transport
from l402_middleware.paywall.request import Body
from l402_middleware.providers import InvoiceRequest, LightningAddress, Provider, VerifiableLightningAddress
from l402_middleware.testing.provider_contract import (
    CreatedAnswer,
    HTTPProviderContract,
    ProviderAt,
    ProviderContract,
    Run,
    invoice_from,
    request_for,
)

from .emulators import certificate, running
from .wallet_service import EXPIRY, WalletService, WalletServiceEmulator, pay_request, wallet_service


def lnurl_of(url: str) -> str:
    """LUD-01."""
    return bech32.encode("lnurl", bech32.from_octets(url.encode())).upper()


LOCAL = {"127.0.0.1"}
REQUEST = InvoiceRequest(sats(21), "a forecast", 600)


@pytest.fixture
def service() -> Iterator[WalletService]:
    """A wallet service with the user alice."""
    with wallet_service() as running_service:
        yield running_service


def at(service: WalletService, kind: type[LightningAddress] = LightningAddress, **settings: Any) -> LightningAddress:
    """The provider for alice at that service."""
    return kind(service.address, "regtest", **{"allow_private_hosts": LOCAL} | settings)


@pytest.mark.slow
class Contract(ProviderContract):
    """What both have in common."""

    @pytest.fixture
    def secrets(self) -> list[str]:
        return ["there is no secret"]

    @pytest.mark.parametrize("expiry", [60, 86_400])
    def test_an_invoice_expires_when_it_should(self, provider: Provider, run: Run, expiry: int) -> None:
        """LNURL-pay has no word for it: an invoice expires when the service says."""
        assert invoice_from(run, provider, request_for(sats(1), expiry=expiry)).expiry == EXPIRY


class TestContract(Contract):
    """The contract for every provider, by address."""

    checks_settlement = False

    @pytest.fixture
    def provider(self, service: WalletService) -> Provider:
        return at(service)


class TestVerifiableContract(Contract, HTTPProviderContract):
    """The contract for every HTTP provider; where it asks for a broken node, it is the callback that is broken."""

    @pytest.fixture
    def provider(self, service: WalletService) -> Provider:
        return at(service, VerifiableLightningAddress)

    @pytest.fixture
    def pay(self, service: WalletService) -> Callable[[str], None]:
        return service.pay

    @pytest.fixture
    def provider_at(self) -> Iterator[ProviderAt]:
        with ExitStack() as services:

            def make(url: str, timeout: float) -> Provider:
                host = httpx2.URL(url).host
                if host not in LOCAL:
                    url = url.replace("http:", "https:")
                front = services.enter_context(wallet_service(pay_request=pay_request(url)))
                return at(front, VerifiableLightningAddress, timeout=timeout, allow_private_hosts={*LOCAL, host})

            yield make

    @pytest.fixture
    def created_answer(self) -> CreatedAnswer:
        return lambda bolt11, payment_hash: (200, {"pr": bolt11, "verify": f"http://v.example/{payment_hash.hex()}"})


def failure(provider: LightningAddress, request: InvoiceRequest = REQUEST) -> ProviderError:
    """How the provider fails to get an invoice."""
    invoicing = Invoicing(provider, None, verify_settlement=False)
    with pytest.raises(ProviderError) as caught:
        drive(invoicing.create(request, time.time()))
    provider.close()
    return caught.value


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("alice@wallet.example", "https://wallet.example/.well-known/lnurlp/alice"),
        ("alice.b-c_d+tip@wallet.example", "https://wallet.example/.well-known/lnurlp/alice.b-c_d+tip"),
        ("alice@abcdef.onion", "http://abcdef.onion/.well-known/lnurlp/alice"),
        ("alice@127.0.0.1:5000", "http://127.0.0.1:5000/.well-known/lnurlp/alice"),
        ("alice@pay.internal:8443", "https://pay.internal:8443/.well-known/lnurlp/alice"),
        (lnurl_of("https://wallet.example/pay?u=1"), "https://wallet.example/pay?u=1"),
        ("lightning:" + lnurl_of("https://wallet.example/pay"), "https://wallet.example/pay"),
        (lnurl_of("https://wallet.example/pay").lower(), "https://wallet.example/pay"),
        ("lnurlp://wallet.example/pay?u=1", "https://wallet.example/pay?u=1"),
        ("lnurlp://abcdef.onion/pay", "http://abcdef.onion/pay"),
        ("lnurlp://127.0.0.1:5000/pay", "http://127.0.0.1:5000/pay"),
        ("https://wallet.example/pay", "https://wallet.example/pay"),
    ],
)
def test_where_an_address_leads(address: str, url: str) -> None:
    """LUD-01, LUD-16, LUD-17: an address, or an LNURL in each of its forms, is the URL of a pay request."""
    provider = LightningAddress(address, allow_private_hosts={"127.0.0.1", "pay.internal"})
    flow = provider.create_invoice(REQUEST)
    step = next(flow)
    assert isinstance(step, Resolve)
    assert step.host == httpx2.URL(url).host
    sent = flow.send(["192.0.2.1"] if httpx2.URL(url).host in ("127.0.0.1", "pay.internal") else ["8.8.8.8"])
    assert isinstance(sent, SendRequest)
    assert sent.request.url.raw_path == httpx2.URL(url).raw_path
    assert (sent.request.url.scheme, sent.request.headers["Host"]) == (httpx2.URL(url).scheme, urlsplit(url).netloc)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "alice",
        "@",
        "Alice@wallet.example",
        "alice@wallet",
        "alice@wallet.example:8443",
        "alice@127.0.0.1",
        "al ice@wallet.example",
        "alice@al@wallet.example",
        "../x@pay.internal",
        "alice?x=y@pay.internal",
        "alice@pay.internal/x",
        "lnurl1garbage",
        "lnurlw://wallet.example/withdraw",
        "keyauth://wallet.example/login",
        "http://wallet.example/pay",
        "ftp://wallet.example/pay",
        None,
        5,
    ],
)
def test_what_is_no_address_is_refused_at_start_up(address: Any) -> None:
    """Neither a Lightning Address nor an LNURL for paying: the error says what one looks like."""
    with pytest.raises(ConfigurationError, match=r"alice@wallet\.example"):
        LightningAddress(address, allow_private_hosts={"pay.internal"})


@pytest.mark.parametrize(
    ("setting", "value"),
    [("timeout", 0), ("timeout", "x"), ("network", "main"), ("allow_private_hosts", "127.0.0.1")],
)
def test_a_setting_that_can_not_work_is_refused_at_start_up(setting: str, value: Any) -> None:
    """The error names the setting."""
    settings: dict[str, Any] = {setting: value}
    with pytest.raises(ConfigurationError, match=setting):
        LightningAddress("alice@wallet.example", **settings)


@pytest.mark.parametrize(
    ("callback", "query"),
    [
        ("/callback", "amount=21000&comment=a+forecast"),
        ("/callback?user=7&sig=a%2Fb%20c+d&flag", "user=7&sig=a%2Fb%20c+d&flag&amount=21000&comment=a+forecast"),
        ("/callback?user=7#part", "user=7&amount=21000&comment=a+forecast"),
    ],
)
def test_the_amount_goes_beside_the_callbacks_own_query(service: WalletService, callback: str, query: str) -> None:
    """Case 99: LUD-06, step 5: what the service put into its callback comes back as it was."""
    service.pay_request["callback"] = service.url + callback
    provider = at(service)
    created = drive(provider.create_invoice(REQUEST))
    provider.close()
    assert [urlsplit(target).query for target in service.requests("/callback")] == [query]
    assert decode(created.bolt11).amount == sats(21)


@pytest.mark.parametrize(
    ("allowed", "memo", "comment"),
    [
        (639, "Wetter für Zürich & 5+5", "Wetter für Zürich & 5+5"),
        (5, "⚡🌦️ forecast", "⚡🌦️ f"),
        (9, "", None),
        (0, "a forecast", None),
        (None, "a forecast", None),
        (-3, "a forecast", None),
    ],
)
def test_the_memo_is_a_comment_as_long_as_allowed(
    service: WalletService, allowed: int | None, memo: str, comment: str | None
) -> None:
    """Case 99: LUD-12: cut to so many characters, and not sent at all where the service takes none."""
    service.pay_request["commentAllowed"] = allowed
    provider = at(service)
    drive(provider.create_invoice(InvoiceRequest(sats(1), memo, 60)))
    provider.close()
    (target,) = service.requests("/callback")
    assert parse_qs(urlsplit(target).query).get("comment", [None]) == [comment]


@pytest.mark.parametrize(("price", "fits"), [(sats(9), False), (sats(10), True), (sats(20), True), (sats(21), False)])
def test_an_amount_out_of_range_asks_for_no_invoice(service: WalletService, price: Msat, fits: bool) -> None:
    """Case 99: minSendable and maxSendable, both inclusive; the failure says what fits."""
    service.pay_request |= {"minSendable": 10_000, "maxSendable": 20_000}
    provider = at(service)
    if fits:
        assert decode(drive(provider.create_invoice(InvoiceRequest(price, "", 60))).bolt11).amount == price
        provider.close()
    else:
        error = failure(provider, InvoiceRequest(price, "", 60))
        assert error.kind == "rejected"
        assert "from 10000 to 20000 msat" in str(error)
        assert service.requests("/callback") == []


@pytest.mark.parametrize(
    ("path", "answer", "kind"),
    [
        ("/.well-known/lnurlp/alice", (200, {"status": "ERROR", "reason": "hunter2"}), "rejected"),
        ("/.well-known/lnurlp/alice", (200, {"status": "error", "reason": "hunter2"}), "rejected"),
        ("/.well-known/lnurlp/alice", (404, {"status": "ERROR", "reason": "hunter2"}), "rejected"),
        ("/.well-known/lnurlp/alice", (403, "hunter2"), "unauthorized"),
        ("/.well-known/lnurlp/alice", (500, "hunter2"), "rejected"),
        ("/.well-known/lnurlp/alice", (200, "hunter2"), "bad-answer"),
        (
            "/.well-known/lnurlp/alice",
            (200, pay_request("https://a.example") | {"tag": "login"}),
            "bad-answer",
        ),
        ("/.well-known/lnurlp/alice", (200, pay_request("hunter2")), "bad-answer"),
        ("/.well-known/lnurlp/alice", (200, pay_request("http://wallet.example/")), "bad-answer"),
        ("/.well-known/lnurlp/alice", (200, pay_request("file:///etc/passwd")), "bad-answer"),
        ("/.well-known/lnurlp/alice", (200, pay_request("https://a.example") | {"minSendable": 0}), "bad-answer"),
        ("/.well-known/lnurlp/alice", (200, pay_request("https://a.example") | {"maxSendable": 999}), "bad-answer"),
        ("/.well-known/lnurlp/alice", (200, pay_request("https://a.example") | {"metadata": "hunter2"}), "bad-answer"),
        ("/.well-known/lnurlp/alice", (200, pay_request("https://a.example") | {"minSendable": "x"}), "bad-answer"),
        ("/callback", (200, {"status": "ERROR", "reason": "hunter2"}), "rejected"),
        ("/callback", (400, {"status": "ERROR", "reason": "hunter2"}), "rejected"),
        ("/callback", (200, {"pr": 5}), "bad-answer"),
        ("/callback", (200, {"pr": "hunter2"}), "wrong-invoice"),
    ],
)
def test_a_service_that_makes_no_invoice(service: WalletService, path: str, answer: Any, kind: str) -> None:
    """Cases 95 and 99: LUD-06's error comes at HTTP 200; the failure names the address, and repeats no answer."""
    service.answers[path] = answer
    error = failure(at(service))
    assert error.kind == kind
    assert "hunter2" not in str(error)
    assert "127.0.0.1" in str(error) or kind == "wrong-invoice"


def test_an_unknown_user_is_named(service: WalletService) -> None:
    """What the operator has to look at: the address."""
    provider = LightningAddress(service.address.replace("alice", "bob"), "regtest", allow_private_hosts=LOCAL)
    error = failure(provider)
    assert error.kind == "rejected"
    assert provider.address in str(error)
    assert "does that user exist there" in str(error)


def test_a_description_hash_is_not_required(service: WalletService) -> None:
    """LUD-06 has dropped it: an invoice with a plain description is as good."""
    provider = at(service)
    invoice = decode(drive(provider.create_invoice(REQUEST)).bolt11)
    provider.close()
    assert (invoice.description, invoice.description_hash) == ("a forecast", None)


def test_the_pay_request_is_asked_for_once_a_minute(service: WalletService) -> None:
    """A challenge costs one request; a minute later, or after a failure, the service is asked for its callback anew."""
    now = 1000.0
    provider = at(service, clock=lambda: now)

    def pay_requests() -> int:
        drive(provider.create_invoice(REQUEST))
        return len(service.requests("/.well-known/lnurlp/alice"))

    assert [pay_requests(), pay_requests()] == [1, 1]
    now += 59.9
    assert pay_requests() == 1
    now += 0.2
    assert pay_requests() == 2
    service.answers["/callback"] = (500, "")
    with pytest.raises(ProviderError):
        pay_requests()
    service.pay_request["callback"] = f"{service.url}/callback?moved"
    del service.answers["/callback"]
    assert pay_requests() == 3
    provider.close()
    assert service.requests("/callback")[-1].startswith("/callback?moved&")


def test_the_pay_request_is_forgotten_by_another_thread(service: WalletService) -> None:
    """Whoever has just found it fresh enough goes on with it."""

    def clock() -> float:
        provider._pay_request = None
        return 1000.0

    provider = at(service, clock=clock)
    for _ in range(2):
        assert drive(provider.create_invoice(REQUEST)).bolt11
    assert len(service.requests("/.well-known/lnurlp/alice")) == 1
    provider.close()


@pytest.mark.parametrize("verify", [None, 7, "https://wallet.example/verify/7", "https://wallet.example/" + "00" * 32])
def test_a_service_without_verify_is_refused_before_anybody_pays(service: WalletService, verify: object) -> None:
    """LUD-21 is optional, and its address may be anything: one without the payment hash in it is of no use."""
    service.change = lambda answer: answer | {"verify": verify}
    error = failure(at(service, VerifiableLightningAddress))
    assert error.kind == "bad-answer"
    assert "use LightningAddress" in str(error)
    drive(at(service).create_invoice(REQUEST))


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ((200, {"status": "OK", "settled": True, "preimage": "00", "pr": "x"}), True),
        ((200, {"status": "OK", "settled": False, "preimage": "00", "pr": "x"}), False),
        ((200, {"status": "ERROR", "reason": "Not found"}), False),
        ((404, "hunter2"), False),
        ((200, {"status": "OK", "settled": "yes"}), "bad-answer"),
        ((200, {"status": "OK", "preimage": "00" * 32}), "bad-answer"),
        ((200, "hunter2"), "bad-answer"),
        ((403, "hunter2"), "unauthorized"),
        ((500, {"settled": True}), "rejected"),
    ],
)
def test_what_is_settled(service: WalletService, answer: Any, outcome: bool | str) -> None:
    """Nothing but a plain yes is one; a preimage beside it says nothing."""
    provider = at(service, VerifiableLightningAddress)
    assert isinstance(provider, VerifiableLightningAddress)
    payment_hash = drive(provider.create_invoice(REQUEST)).payment_hash
    assert payment_hash is not None
    service.answers[f"/verify/{payment_hash.hex()}"] = answer
    said = ""
    try:
        found: bool | str = drive(provider.is_settled(payment_hash))
    except ProviderError as error:
        found, said = error.kind, str(error)
    provider.close()
    assert found == outcome
    assert "hunter2" not in said


def test_another_process_finds_out_where_to_ask(service: WalletService) -> None:
    """A worker that had no invoice yet asks for the smallest one, once, and learns the address from it."""
    service.pay_request["minSendable"] = 2_500
    provider, other = (at(service, VerifiableLightningAddress) for _ in range(2))
    assert isinstance(other, VerifiableLightningAddress)
    created = drive(provider.create_invoice(REQUEST))
    assert created.payment_hash is not None
    assert drive(other.is_settled(created.payment_hash)) is False
    service.pay(created.bolt11)
    assert drive(other.is_settled(created.payment_hash)) is True
    provider.close()
    other.close()
    assert [parse_qs(urlsplit(target).query)["amount"] for target in service.requests("/callback")] == [
        ["21000"],
        ["3000"],
    ]


def test_a_verify_address_is_guarded_like_the_callback(service: WalletService) -> None:
    """Case 99: a `verify` that leads to a private address is refused, and nothing is sent there."""
    service.change = lambda answer: answer | {"verify": answer["verify"].replace("127.0.0.1", "localhost")}
    provider = at(service, VerifiableLightningAddress)
    assert isinstance(provider, VerifiableLightningAddress)
    payment_hash = drive(provider.create_invoice(REQUEST)).payment_hash
    assert payment_hash is not None
    with pytest.raises(ProviderError, match="private or reserved"):
        drive(provider.is_settled(payment_hash))
    provider.close()
    assert service.requests(f"/verify/{payment_hash.hex()}") == []


def test_verify_settlement_needs_the_verifiable_one() -> None:
    """A paywall that has to know what was paid refuses the plain one at start-up."""
    plain = LightningAddress("alice@wallet.example")
    with pytest.raises(ConfigurationError, match="is_settled"):
        Paywall(plain, "memory:", verify_settlement=True)
    Paywall(VerifiableLightningAddress("alice@wallet.example"), "memory:", verify_settlement=True)


# The guard.


def run_blocking(transport: GuardedTransport, flow: Flow[Any]) -> Any:
    """Carry out the flow, blocking."""
    try:
        return drive(flow)
    finally:
        transport.close()


def run_awaiting(backend: str) -> Callable[[GuardedTransport, Flow[Any]], Any]:
    """Carry out the flow, awaiting, on that event loop."""

    def run(transport: GuardedTransport, flow: Flow[Any]) -> Any:
        async def main() -> Any:
            try:
                return await adrive(flow)
            finally:
                await transport.aclose()

        return anyio.run(main, backend=backend)

    return run


DRIVERS = {"blocking": run_blocking, "asyncio": run_awaiting("asyncio"), "trio": run_awaiting("trio")}


@pytest.fixture(params=DRIVERS)
def run_guarded(request: pytest.FixtureRequest) -> Any:
    """Each driver."""
    return DRIVERS[request.param]


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "127.0.0.1.",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "017700000001",
        "0177.0.0.1",
        "0",
        "0.0.0.0",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "[::1]",
        "[::]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[2002:7f00:1::]",
        "10.0.0.1",
        "192.168.1.1",
        "172.16.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "[fe80::1]",
        "[fd00::1]",
        "[fec0::1]",
        "224.0.0.1",
        "[ff02::1]",
        "255.255.255.255",
    ],
)
def test_no_spelling_of_a_private_address_is_reached(run_guarded: Any, host: str) -> None:
    """Case 99: whatever the resolver makes of a host, nothing is sent into our own network."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        transport = GuardedTransport(5)
        with pytest.raises(ProviderError) as caught:
            run_guarded(transport, transport.get(f"http://{host}:{listener.getsockname()[1]}/"))
        # What is no name, and no address either, does not get as far as having one.
        assert caught.value.kind in ("rejected", "unreachable", "bad-answer")
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.mark.parametrize(
    "callback",
    [
        "http://localhost/callback",
        "https://localhost/",
        "https://127.0.0.2/",
        "https://2130706434/",
        "https://0x7f.2/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/",
    ],
)
def test_a_callback_into_our_own_network_is_refused(service: WalletService, callback: str) -> None:
    """Case 99: the callback may be on another host, but on none of ours that is not allowed by name."""
    service.pay_request["callback"] = callback
    error = failure(at(service))
    assert error.kind == "rejected"
    assert "allow_private_hosts" in str(error)


def test_a_callback_on_another_host_is_asked(service: WalletService) -> None:
    """Case 99: LUD-06 does not bind the callback to the address's host."""
    service.pay_request["callback"] = service.url.replace("127.0.0.1", "localhost") + "/callback"
    provider = at(service, allow_private_hosts={*LOCAL, "localhost"})
    assert drive(provider.create_invoice(REQUEST)).bolt11
    provider.close()


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::8.8.8.8", True),
        ("192.88.99.1", True),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("100.127.255.255", False),
        ("127.255.0.1", False),
        ("169.254.169.254", False),
        ("172.31.0.1", False),
        ("192.168.0.1", False),
        ("192.0.2.1", False),
        ("198.18.0.1", False),
        ("224.0.0.1", False),
        ("239.255.255.250", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("::127.0.0.1", False),
        ("::8.8.8.8", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:224.0.0.1", False),
        ("64:ff9b::10.0.0.1", False),
        ("64:ff9b:1::1", False),
        ("2001:db8::1", False),
        ("2001::7f00:1", False),
        ("2002:7f00:1::", False),
        ("2002:808:808::", False),
        ("fc00::1", False),
        ("fd12::1", False),
        ("fe80::1", False),
        ("fe80::1%eth0", False),
        ("fec0::1", False),
        ("ff02::1", False),
        ("ff0e::1", False),
    ],
)
def test_which_addresses_are_public(address: str, public: bool) -> None:
    """Case 99: private, loopback, link-local, multicast and reserved ones are not, in IPv4 and in IPv6."""
    assert is_public(address) is public


def asked(url: str, addresses: list[str], **settings: Any) -> SendRequest:
    """The request that goes out for a URL whose host has these addresses."""
    flow = GuardedTransport(5, **settings).get(url)
    assert isinstance(next(flow), Resolve)
    step = flow.send(addresses)
    assert isinstance(step, SendRequest)
    return step


def test_the_connection_goes_to_the_address_that_was_checked() -> None:
    """Case 99: a second answer of the DNS server (rebinding) changes nothing, for there is one look-up."""
    step = asked("https://wallet.example:8443/pay?u=1", ["8.8.8.8", "9.9.9.9"])
    assert str(step.request.url) == "https://8.8.8.8:8443/pay?u=1"
    assert step.request.headers["Host"] == "wallet.example:8443"
    assert step.request.extensions["sni_hostname"] == "wallet.example"
    # Kept open, it would be used again for another name with the same address.
    assert step.request.headers["Connection"] == "close"
    assert str(asked("https://w.example/", ["2606:4700::1111"]).request.url) == "https://[2606:4700::1111]/"


@pytest.mark.parametrize("addresses", [["10.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["::1", "8.8.8.8"]])
def test_one_private_address_is_one_too_many(addresses: list[str]) -> None:
    """Case 99: a name with a public and a private address is refused whole."""
    with pytest.raises(ProviderError, match="private or reserved"):
        asked("https://wallet.example/", addresses)


def test_an_allowed_host_may_be_private() -> None:
    """`allow_private_hosts` is by name, in any case."""
    assert asked("http://Pay.Internal:22/", ["10.0.0.1"], allowed={"pay.INTERNAL"}).request.url.host == "10.0.0.1"


@pytest.mark.parametrize("port", [0, 1, 22, 25, 444, 1023])
def test_ports_of_other_services_are_left_alone(port: int) -> None:
    """Mail, shells and the like: nobody is looked up, and nothing is sent."""
    with pytest.raises(ProviderError, match="is not for HTTP") as caught:
        next(GuardedTransport(5).get(f"https://wallet.example:{port}/"))
    assert caught.value.kind == "rejected"


@pytest.mark.parametrize("port", [80, 443, 1024, 8443, 65535])
def test_ports_of_http_are_asked(port: int) -> None:
    """80, 443 and every port from 1024 on."""
    assert asked(f"https://wallet.example:{port}/", ["8.8.8.8"]).request.url.host == "8.8.8.8"


@pytest.mark.parametrize(
    "url", ["ftp://wallet.example/", "https://user:hunter2@wallet.example/", "https:///x", "", "http://[::1"]
)
def test_what_is_no_address_is_not_asked(url: str) -> None:
    """Case 99: no other scheme, and no password that somebody else chose."""
    with pytest.raises(ProviderError) as caught:
        next(GuardedTransport(5).get(url))
    assert caught.value.kind == "bad-answer"
    assert "hunter2" not in str(caught.value)


def test_another_address_is_tried_where_nobody_listens() -> None:
    """Three addresses at most, and only as long as no connection came about; then the failure names the host."""
    flow = GuardedTransport(5).get("https://wallet.example/")
    next(flow)
    step: Any = flow.send(["8.8.8.1", "8.8.8.2", "8.8.8.3", "8.8.8.4"])
    tried = []
    for _ in range(2):
        tried.append(step.request.url.host)
        step = flow.throw(ProviderError("unreachable", "nobody there"))
    assert [*tried, step.request.url.host] == ["8.8.8.1", "8.8.8.2", "8.8.8.3"]
    with pytest.raises(ProviderError, match=r"^wallet\.example: ") as caught:
        flow.throw(ProviderError("unreachable", "nobody there"))
    assert caught.value.kind == "unreachable"


def test_a_request_that_was_sent_is_not_sent_again() -> None:
    """Whatever happens after a connection came about is the answer."""
    flow = GuardedTransport(5).get("https://wallet.example/")
    next(flow)
    flow.send(["8.8.8.1", "8.8.8.2"])
    with pytest.raises(ProviderError) as caught:
        flow.throw(ProviderError("timeout", "late"))
    assert caught.value.kind == "timeout"


@pytest.mark.parametrize(("name", "kind"), [("wallet.example", None), ("other.example", "tls")])
def test_the_certificate_is_the_names(
    run_guarded: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: str | None
) -> None:
    """The connection goes to an address, and the certificate still has to be for the name."""
    folder = certificate(tmp_path, names=("wallet.example",))
    trusting = ssl.create_default_context(cafile=str(folder / "tls.cert"))
    monkeypatch.setattr(Transport, "tls", lambda self: trusting)

    async def local(step: Resolve) -> list[str]:
        return ["127.0.0.1"]

    monkeypatch.setattr(Resolve, "block", lambda step: ["127.0.0.1"])
    monkeypatch.setattr(Resolve, "wait", local)
    with running(WalletServiceEmulator, WalletService(), folder) as service:
        port = httpx2.URL(service.url).port
        transport = GuardedTransport(5, {name})
        flow = transport.get(f"https://{name}:{port}/.well-known/lnurlp/alice")
        if kind is None:
            assert run_guarded(transport, flow).json()["tag"] == "payRequest"
        else:
            with pytest.raises(ProviderError) as caught:
                run_guarded(transport, flow)
            assert caught.value.kind == kind


def test_a_whole_sale(service: WalletService) -> None:
    """A paywall quotes the service's invoice, over the price rounded up to whole sats."""
    paywall = Paywall(at(service), "memory:")

    def no_body(body: Body) -> Any:
        raise AssertionError("a fixed price needs no body")

    view = RequestView("GET", "GET /report", "/report", b"", [], "127.0.0.1", no_body)
    refusal: Any = drive(paywall.admit(view, Offer(msats(20_001), memo="a report")))
    paywall.close()
    challenge = json.loads(refusal.body)
    assert (refusal.status, challenge["amount_msat"]) == (402, 21_000)
    assert decode(challenge["invoice"]).description == "a report"
