"""What every provider must do, as tests that a provider's author runs.

    from l402_middleware.testing.provider_contract import HTTPProviderContract

    class TestMyNode(HTTPProviderContract):
        @pytest.fixture
        def provider(self):
            return MyNode("http://127.0.0.1:9999", key=KEY)  # one that works

        @pytest.fixture
        def provider_at(self):
            return lambda url, timeout: MyNode(url, key=KEY, network="regtest", timeout=timeout)

        @pytest.fixture
        def created_answer(self):
            return lambda bolt11, payment_hash: (201, {"invoice": bolt11, "hash": payment_hash.hex()})

        @pytest.fixture
        def secrets(self):
            return [KEY]

`ProviderContract` alone, with `provider` and `secrets`, is for one that speaks no HTTP. Where there is a wallet, also
give `pay`, which pays an invoice of the provider's; without `is_settled`, set `checks_settlement = False`. Needs
pytest, and `DevNode` with its extra `dev`; where trio is installed, every test runs under it too.
"""

import gzip
import json
import logging
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from importlib.util import find_spec
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar, cast

import anyio
import pytest

from l402_middleware.core import bech32
from l402_middleware.core.errors import ProviderError
from l402_middleware.core.invoice import Invoice
from l402_middleware.core.keys import KeyRing, generate_key
from l402_middleware.core.money import Msat, msats, sats
from l402_middleware.flow import Flow, adrive, drive
from l402_middleware.invoicing.invoicing import Invoicing, memo_of
from l402_middleware.providers import CreatedInvoice, DevNode, Failover, InvoiceRequest, Provider, SettlementCheck

T = TypeVar("T")

DRIVERS = ["blocking", "asyncio", *(["trio"] if find_spec("trio") else [])]

# How long a provider waits for the broken nodes, and how long it may take to give up.
TIMEOUT = 0.4
PATIENCE = 10.0

ProviderAt: TypeAlias = Callable[[str, float], Provider]
CreatedAnswer: TypeAlias = Callable[[str, bytes], tuple[int, dict[str, Any]]]
Handler: TypeAlias = Callable[[socket.socket], None]


class Run(Protocol):
    """One way of carrying out a provider's flow, after which its connections are closed."""

    def __call__(self, provider: Provider, flow: Flow[T]) -> T: ...


def invoice_from(run: Run, provider: Provider, request: InvoiceRequest) -> Invoice:
    """The invoice, as the paywall gets it: asked for in the provider's granularity, and checked."""
    invoicing = Invoicing(provider, None, verify_settlement=False)
    return run(provider, invoicing.create(request, time.time()))


def request_for(amount: Msat, memo: str = "a forecast", expiry: int = 600) -> InvoiceRequest:
    """What the paywall would ask for."""
    return InvoiceRequest(amount, memo_of(memo), expiry)


class ProviderContract:
    """Subclass it in a test module and give the fixtures `provider` and `secrets`, and `pay` where there is one."""

    # The longest time, in seconds, by which the node's clock and its rounding may be off.
    clock_tolerance = 5

    # Whether the provider has an `is_settled` that asks the node.
    checks_settlement = True

    def require_settlement_check(self) -> None:
        """Skip the running test for a provider that cannot tell."""
        if not self.checks_settlement:
            pytest.skip("the provider does not ask whether a payment was received")

    def kept(self, memo: str) -> str:
        """What is left of a memo of at most 639 bytes; for a node that cuts them shorter."""
        return memo

    @pytest.fixture
    def provider(self) -> Provider:
        raise NotImplementedError("a ProviderContract needs a `provider` fixture")

    @pytest.fixture
    def secrets(self) -> list[str]:
        """Every text that must not be shown, in each form that it is sent in."""
        raise NotImplementedError("a ProviderContract needs a `secrets` fixture")

    @pytest.fixture
    def pay(self) -> Callable[[str], None]:
        pytest.skip("no wallet pays this provider's invoices")

    @pytest.fixture(params=DRIVERS)
    def run(self, request: pytest.FixtureRequest) -> Run:
        return _runner(request.param)

    @pytest.fixture(autouse=True)
    def nothing_is_told(self, caplog: pytest.LogCaptureFixture, secrets: list[str]) -> Iterator[None]:
        """Cases 95 and 112: whatever a test does, no secret is in any log at DEBUG level."""
        with caplog.at_level(logging.DEBUG):
            yield
        _check_silent(secrets, caplog.text)

    @pytest.mark.parametrize(
        "price", [msats(1), msats(999), sats(1), msats(1_001), sats(21), msats(1_234_567), sats(10_000_000)], ids=str
    )
    def test_an_invoice_is_over_what_was_asked(self, provider: Provider, run: Run, price: Msat) -> None:
        """From 1 msat to 10,000,000 sats: the price, rounded up to the provider's granularity."""
        asked = price.rounded_up(provider.granularity_msat)
        invoice = invoice_from(run, provider, request_for(asked))
        assert invoice.amount == asked
        assert price <= asked < price + Msat(max(provider.granularity_msat, 2))
        assert invoice.network == provider.network

    @pytest.mark.parametrize(
        "memo",
        [
            "",
            "a forecast",
            'Wetter "Zürich" \\ <b>&=+%20',
            "⚡ 🌦️ 👩‍👩‍👧‍👦",
            "🍊" * 175,
            "o" * 700,
            "é" * 400,
            "tab\tline\nnull\0",
        ],
        ids=["none", "plain", "quotes", "emoji", "700 bytes of emoji", "700 bytes", "800 bytes", "control"],
    )
    def test_a_memo_arrives_whole_or_cut_at_a_character(self, provider: Provider, run: Run, memo: str) -> None:
        """Case 100: any text comes back out of the invoice, as far as it fits; for none a node may have its own."""
        request = request_for(sats(1), memo)
        description = invoice_from(run, provider, request).description
        assert description == self.kept(request.memo) or not memo

    @pytest.mark.parametrize("expiry", [60, 3600, 86_400])
    def test_an_invoice_expires_when_it_should(self, provider: Provider, run: Run, expiry: int) -> None:
        """The expiry is the one that was asked for, counted from now."""
        invoice = invoice_from(run, provider, request_for(sats(1), expiry=expiry))
        assert invoice.expiry == expiry
        assert invoice.created_at == pytest.approx(time.time(), abs=self.clock_tolerance)

    def test_the_payment_hash_that_is_named_is_the_invoices(self, provider: Provider, run: Run) -> None:
        """A backend that names the payment hash beside the invoice hands on all 32 bytes of it."""
        created = run(provider, provider.create_invoice(request_for(sats(1))))
        assert isinstance(created, CreatedInvoice)
        assert created.payment_hash is None or len(created.payment_hash) == 32

    def test_a_hundred_threads(self, provider: Provider) -> None:
        """A hundred threads that ask at once get a hundred different invoices, each over its own amount."""
        invoicing = Invoicing(_patient(provider), None, verify_settlement=False)
        wanted = [sats(1 + number) for number in range(100)]
        with ThreadPoolExecutor(100) as threads:
            invoices = list(
                threads.map(lambda amount: drive(invoicing.create(request_for(amount), time.time())), wanted)
            )
        provider.close()
        assert [invoice.amount for invoice in invoices] == wanted
        assert len({invoice.payment_hash for invoice in invoices}) == 100

    @pytest.mark.parametrize("backend", DRIVERS[1:])
    def test_a_hundred_tasks(self, provider: Provider, backend: str) -> None:
        """A hundred tasks that ask at once get a hundred different invoices, each over its own amount."""
        invoicing = Invoicing(_patient(provider), None, verify_settlement=False)
        found: dict[int, Invoice] = {}

        async def ask(number: int) -> None:
            found[number] = await adrive(invoicing.create(request_for(sats(1 + number)), time.time()))

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                for number in range(100):
                    tasks.start_soon(ask, number)
            await provider.aclose()

        anyio.run(main, backend=backend)
        assert all(invoice.amount == sats(1 + number) for number, invoice in found.items())
        assert len({invoice.payment_hash for invoice in found.values()}) == 100

    def test_a_closed_provider_opens_again(self, provider: Provider) -> None:
        """Closing twice is closing once, before any use and after it, and the next flow opens the connections again."""
        invoicing = Invoicing(provider, None, verify_settlement=False)

        async def main() -> None:
            for _ in range(2):
                await provider.aclose()
                await provider.aclose()
                await adrive(invoicing.create(request_for(sats(1)), time.time()))
            await provider.aclose()

        for _ in range(2):
            provider.close()
            provider.close()
            drive(invoicing.create(request_for(sats(1)), time.time()))
        provider.close()
        anyio.run(main)

    def test_a_payment_is_settled_once_it_has_arrived(
        self, provider: Provider, run: Run, pay: Callable[[str], None]
    ) -> None:
        """An invoice is not settled before it is paid, is settled after, and leaves every other as it was."""
        check = cast(SettlementCheck, provider)
        paid, other = (invoice_from(run, provider, request_for(sats(2))) for _ in range(2))
        assert run(provider, check.is_settled(paid.payment_hash)) is False
        pay(paid.bolt11)
        assert run(provider, check.is_settled(paid.payment_hash)) is True
        assert run(provider, check.is_settled(other.payment_hash)) is False

    def test_what_was_not_paid_is_not_settled(self, provider: Provider, run: Run) -> None:
        """Neither a new invoice is settled, nor one that the node never heard of."""
        self.require_settlement_check()
        invoice = invoice_from(run, provider, request_for(sats(3)))
        assert run(provider, cast(SettlementCheck, provider).is_settled(invoice.payment_hash)) is False
        assert run(provider, cast(SettlementCheck, provider).is_settled(bytes(range(32)))) is False

    def test_a_provider_shows_no_secret(self, provider: Provider, secrets: list[str]) -> None:
        """Case 113: neither `repr` nor `str` of a provider has a secret in it."""
        _check_silent(secrets, f"{provider!r} {provider}")


def _patient(provider: Provider) -> Failover:
    """With time and threads for a hundred at once, however busy the node and the machine are."""
    return provider if isinstance(provider, Failover) else Failover(provider, timeout=120, max_threads=100)


class Fault(NamedTuple):
    """One way in which a node fails: what it does with a connection, and the kinds of failure that it may become."""

    handle: Callable[[tuple[int, bytes]], Handler]
    kinds: set[str]

    @property
    def timeout(self) -> float:
        """Short only where the provider has to give up, or else a busy machine would be a fault too."""
        return TIMEOUT if "timeout" in self.kinds else PATIENCE


def _answering(status: int, body: bytes, *headers: str, length: int | None = None) -> Handler:
    head = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body) if length is None else length}", *headers]

    def handle(connection: socket.socket) -> None:
        connection.sendall("\r\n".join([*head, "Connection: close", "", ""]).encode() + body)

    return handle


def _saying(status: int | None, body: bytes, *kinds: str) -> Fault:
    """An answer of that status, or of the right one."""
    return Fault(lambda good: _answering(status or good[0], body), set(kinds))


def _dripping(start: bytes, drop: bytes) -> Handler:
    def handle(connection: socket.socket) -> None:
        connection.sendall(start)
        for _ in range(int(2 * PATIENCE / (TIMEOUT / 8))):
            connection.sendall(drop)
            time.sleep(TIMEOUT / 8)

    return handle


def _endless(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n")
    while True:  # until the other end hangs up
        connection.sendall(b'"' * 65536)


def _silent(connection: socket.socket) -> None:
    # Until the other end gives up.
    connection.recv(1)


HTML = b"<!doctype html><title>Welcome</title><p>Nothing to see here."

FAULTS = {
    "silent": Fault(lambda good: _silent, {"timeout"}),
    "hung up": Fault(lambda good: lambda connection: None, {"bad-answer", "unreachable"}),
    "no HTTP": Fault(lambda good: lambda connection: connection.sendall(b"SSH-2.0-OpenSSH_9.9\r\n"), {"bad-answer"}),
    "dripping header": Fault(lambda good: _dripping(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x"), {"timeout"}),
    "dripping body": Fault(
        lambda good: _dripping(b"HTTP/1.1 %d Slow\r\nContent-Length: 100000\r\n\r\n" % good[0], b" "), {"timeout"}
    ),
    **{str(status): _saying(status, b"", "unauthorized") for status in (401, 403)},
    **{
        f"{status}, {name}": _saying(status, body, "rejected", "unauthorized", "bad-answer")
        for status in (400, 404, 418, 429, 500, 502, 503, 504)
        for name, body in (("HTML", HTML), ("JSON", b'{"code": 99, "message": "no", "detail": "no"}'))
    },
    "no content": Fault(lambda good: _answering(204, b""), {"rejected", "bad-answer"}),
    "empty": Fault(lambda good: _answering(good[0], b""), {"bad-answer"}),
    "HTML": Fault(lambda good: _answering(good[0], HTML), {"bad-answer"}),
    "truncated JSON": Fault(lambda good: _answering(good[0], good[1][:-9]), {"bad-answer"}),
    "broken off": Fault(lambda good: _answering(good[0], good[1], length=len(good[1]) + 9), {"bad-answer"}),
    "not UTF-8": Fault(lambda good: _answering(good[0], b'{"\xff": 1}'), {"bad-answer"}),
    "deep": Fault(lambda good: _answering(good[0], b"[" * 200_000), {"bad-answer"}),
    "many digits": Fault(lambda good: _answering(good[0], b'{"a": ' + b"9" * 20_000 + b"}"), {"bad-answer"}),
    "huge": Fault(lambda good: _answering(good[0], good[1] + b" " * 300_000), {"bad-answer"}),
    "endless": Fault(lambda good: _endless, {"bad-answer"}),
    "compressed": Fault(
        lambda good: _answering(good[0], gzip.compress(b" " * (1 << 24) + good[1]), "Content-Encoding: gzip"),
        {"bad-answer"},
    ),
    **{
        f"{what} in its place": _saying(None, body, "bad-answer")
        for what, body in (("null", b"null"), ("a list", b"[]"), ("a text", b'"x"'), ("nothing", b"{}"))
    },
}


class HTTPProviderContract(ProviderContract):
    """Also give `provider_at`, a provider of any address, and `created_answer`, what its node answers to creating."""

    # Whether the scheme https is the provider's too.
    speaks_https = True

    @pytest.fixture
    def provider_at(self) -> ProviderAt:
        raise NotImplementedError("an HTTPProviderContract needs a `provider_at` fixture, for regtest")

    @pytest.fixture
    def created_answer(self) -> CreatedAnswer:
        raise NotImplementedError("an HTTPProviderContract needs a `created_answer` fixture")

    @pytest.fixture
    def good(self, created_answer: CreatedAnswer) -> tuple[int, bytes]:
        """The answer that would have been right."""
        return _encoded(created_answer, *_regtest_invoice())

    @pytest.mark.parametrize("name", FAULTS)
    def test_a_broken_node_is_a_failure_of_its_kind(
        self, provider_at: ProviderAt, run: Run, good: tuple[int, bytes], name: str, secrets: list[str]
    ) -> None:
        """Case 95: a failure, soon, of the right kind, which tells neither the key nor what the node said."""
        fault = FAULTS[name]
        with _serving(fault.handle(good)) as address:
            provider = provider_at(f"http://{address}", fault.timeout)
            error = _failure(run, provider, secrets)
        assert error.kind in fault.kinds
        assert "Nothing to see" not in str(error)

    @pytest.mark.parametrize("name", FAULTS)
    def test_a_broken_node_has_settled_nothing(
        self, provider_at: ProviderAt, run: Run, good: tuple[int, bytes], name: str
    ) -> None:
        """Case 95: whatever a failing node says, it never says that a payment was received."""
        self.require_settlement_check()
        fault = FAULTS[name]
        with _serving(fault.handle(good)) as address:
            provider = provider_at(f"http://{address}", fault.timeout)
            try:
                settled = run(provider, cast(SettlementCheck, provider).is_settled(bytes(32)))
            except ProviderError:
                settled = False
        assert settled is False

    def test_every_member_of_an_answer_may_be_wrong(
        self, provider_at: ProviderAt, run: Run, created_answer: CreatedAnswer
    ) -> None:
        """Case 95: the answer with one member missing or of another type gives an invoice all the same, or a failure.

        At least one of the members is needed, so that at least one change of each kind is a failure.
        """
        status, members = created_answer(*_regtest_invoice())
        wrongs: list[Any] = [None, True, 7, -1.5, "", "zz", "é", [], {}, ["x"]]
        for wrong in wrongs:
            failures = 0
            for name in members:
                with _serving(_answering(status, json.dumps({**members, name: wrong}).encode())) as address:
                    provider = provider_at(f"http://{address}", PATIENCE)
                    kind = _kind(partial(run, provider), provider)
                assert kind in ("none", "bad-answer", "wrong-invoice")
                failures += kind != "none"
            assert failures

    def test_nobody_there(self, provider_at: ProviderAt, run: Run, secrets: list[str]) -> None:
        """Case 95: where nobody listens, the node is unreachable."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            provider = provider_at(f"http://127.0.0.1:{taken.getsockname()[1]}", TIMEOUT)
            assert _failure(run, provider, secrets).kind == "unreachable"

    def test_no_such_host(self, provider_at: ProviderAt, run: Run, secrets: list[str]) -> None:
        """Case 95: a name that no resolver would look up is unreachable, not a crash."""
        provider = provider_at(f"http://{'a' * 64}.example", PATIENCE)
        assert _failure(run, provider, secrets).kind == "unreachable"

    def test_no_tls(self, provider_at: ProviderAt, run: Run, secrets: list[str]) -> None:
        """Case 95: where https is answered by something else than TLS, nothing is sent."""
        if not self.speaks_https:
            pytest.skip("it does not speak https")
        with _serving(_answering(200, b"{}"), hears=False) as address:
            provider = provider_at(f"https://{address}", PATIENCE)
            assert _failure(run, provider, secrets).kind == "tls"

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_a_redirect_is_not_followed(
        self, provider_at: ProviderAt, run: Run, status: int, secrets: list[str]
    ) -> None:
        """Case 96: the key goes to the address that was configured, and to no other."""
        visits: list[socket.socket] = []
        with (
            _serving(visits.append) as elsewhere,
            _serving(_answering(status, b"", f"Location: http://{elsewhere}/")) as address,
        ):
            assert _failure(run, provider_at(f"http://{address}", PATIENCE), secrets).kind == "bad-answer"
        assert not visits

    @pytest.mark.parametrize("wrong", ["amount", "no amount", "network", "hash", "expired", "garbage", "damaged"])
    def test_another_invoice_than_the_one_asked_for(
        self, provider_at: ProviderAt, run: Run, created_answer: CreatedAnswer, wrong: str, secrets: list[str]
    ) -> None:
        """Cases 22 and 95: an invoice that is not the one asked for never reaches a customer."""
        with _serving(_answering(*_encoded(created_answer, *_wrong_invoice(wrong)))) as address:
            error = _failure(run, provider_at(f"http://{address}", PATIENCE), secrets)
        named_hash_was_not_read = wrong == "hash" and error.kind == "bad-answer"
        assert error.kind == "wrong-invoice" or named_hash_was_not_read

    def test_a_crowd_waits_for_its_turn(self, provider_at: ProviderAt) -> None:
        """Case 98: of a hundred requests to a node that hangs, only so many reach it at once; all end in time."""
        gauge = _Gauge()
        with _serving(gauge) as address:
            provider = provider_at(f"http://{address}", TIMEOUT)
            started = time.monotonic()
            with ThreadPoolExecutor(100) as threads:
                kinds = set(threads.map(lambda _: _kind(drive, provider), range(100)))
            provider.close()
        assert kinds <= {"timeout", "busy"}
        assert time.monotonic() - started < PATIENCE
        assert gauge.most < 100

    @pytest.mark.parametrize("backend", DRIVERS[1:])
    def test_the_event_loop_stays_awake(self, provider_at: ProviderAt, backend: str) -> None:
        """Case 98: while a hundred requests wait for a node that hangs, the loop serves others; all end in time."""
        gauge, kinds, ticks = _Gauge(), set[str](), list[float]()

        async def ask(provider: Provider) -> None:
            try:
                await adrive(provider.create_invoice(request_for(sats(1))))
            except ProviderError as error:
                kinds.add(error.kind)

        async def main(address: str) -> None:
            provider = provider_at(f"http://{address}", TIMEOUT)
            async with anyio.create_task_group() as ticking:
                ticking.start_soon(_tick, ticks)
                async with anyio.create_task_group() as tasks:
                    for _ in range(100):
                        tasks.start_soon(ask, provider)
                ticking.cancel_scope.cancel()
            await provider.aclose()

        with _serving(gauge) as address:
            started = time.monotonic()
            anyio.run(main, address, backend=backend)
        assert kinds <= {"timeout", "busy"}
        assert time.monotonic() - started < PATIENCE
        assert gauge.most < 100
        # A loop that slept through the wait would have ticked before it, and never again.
        assert len(ticks) > 1


class _Gauge:
    """Holds connections open without a word, and knows how many there were at most."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = self.most = 0

    def __call__(self, connection: socket.socket) -> None:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        _silent(connection)
        with self._lock:
            self._now -= 1


async def _tick(ticks: list[float]) -> None:
    while True:
        ticks.append(time.monotonic())
        await anyio.sleep(0.01)


def _kind(driver: Callable[[Flow[Invoice]], Invoice], provider: Provider) -> str:
    """The kind of failure that asking for an invoice ends in, or "none"."""
    invoicing = Invoicing(provider, None, verify_settlement=False)
    try:
        driver(invoicing.create(request_for(sats(1)), time.time()))
    except ProviderError as error:
        return error.kind
    return "none"


def _failure(run: Run, provider: Provider, secrets: list[str]) -> ProviderError:
    """The failure of a provider that can have no invoice, which came soon and tells no secret, not even its locals."""
    started = time.monotonic()
    with pytest.raises(ProviderError) as caught:
        invoice_from(run, provider, request_for(sats(1)))
    assert time.monotonic() - started < PATIENCE
    report = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    # The frames of the contract itself know the answer, and so may the names in them.
    frames = [frame.locals or {} for frame in report.stack if frame.filename != __file__]
    _check_silent(
        secrets,
        repr(caught.value),
        *report.format_exception_only(),
        *(text for known in frames for text in known.values()),
    )
    return caught.value


def _check_silent(secrets: list[str], *texts: str) -> None:
    assert all(secrets), "an empty secret is in every text"
    # Not in the assertion itself, which would show the text.
    told = any(secret in text for secret in secrets for text in texts)
    assert not told, "a secret was told"


def _runner(driver: str) -> Run:
    def block(provider: Provider, flow: Flow[T]) -> T:
        try:
            return drive(flow)
        finally:
            provider.close()

    def wait(provider: Provider, flow: Flow[T]) -> T:
        async def main() -> T:
            try:
                return await adrive(flow)
            finally:
                await provider.aclose()

        return anyio.run(main, backend=driver)

    return block if driver == "blocking" else wait


def _regtest_invoice(amount: Msat | None = None, at: float | None = None) -> tuple[str, bytes]:
    """A signed invoice on regtest, and its payment hash."""
    node = DevNode(clock=time.time if at is None else lambda: at)
    node.use_keys(KeyRing([generate_key()]))
    created = drive(node.create_invoice(request_for(amount or sats(1))))
    assert created.payment_hash is not None
    return created.bolt11, created.payment_hash


def _wrong_invoice(wrong: str) -> tuple[str, bytes]:
    bolt11, payment_hash = _regtest_invoice(
        sats(2) if wrong == "amount" else None, time.time() - 3600 if wrong == "expired" else None
    )
    prefix, groups = bech32.decode(bolt11)
    match wrong:
        case "network":
            bolt11 = bech32.encode(prefix.replace("lnbcrt", "lnbc"), groups)
        case "no amount":
            bolt11 = bech32.encode("lnbcrt", groups)
        case "hash":
            payment_hash = bytes(32)
        case "garbage":
            bolt11 = "lnbcrt1garbage"
        case "damaged":
            bolt11 = bolt11[:-1] + ("q" if bolt11[-1] != "q" else "p")
    return bolt11, payment_hash


def _encoded(created_answer: CreatedAnswer, bolt11: str, payment_hash: bytes) -> tuple[int, bytes]:
    status, members = created_answer(bolt11, payment_hash)
    return status, json.dumps(members).encode()


@contextmanager
def _serving(handle: Handler, *, hears: bool = True) -> Iterator[str]:
    """The address of a server that treats every connection in this way, once a request has come in."""
    connections: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def serve(connection: socket.socket) -> None:
        try:
            if not hears or _heard(connection):
                handle(connection)
        except OSError:
            pass  # the other end had enough
        finally:
            connection.close()

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connections.append(connection)
            threads.append(threading.Thread(target=serve, args=(connection,), daemon=True))
            threads[-1].start()

    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for connection in connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()


def _heard(connection: socket.socket) -> bool:
    """Read one request, header and body; no to a connection that closes before."""
    received = b""
    while b"\r\n\r\n" not in received:
        if not (more := connection.recv(65536)):
            return False
        received += more
    head, _, body = received.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    missing = int(lengths[0]) - len(body) if lengths else 0
    while missing > 0:
        if not (more := connection.recv(65536)):
            return False
        missing -= len(more)
    return True
