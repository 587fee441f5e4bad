"""Several providers in order: who is asked, what is raised when none is left, and who is asked about a payment."""

import logging
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, TypeVar, cast

import anyio
import pytest

from l402_middleware import Offer, Paywall
from l402_middleware.core.errors import ConfigurationError, ProviderError, ProviderFault
from l402_middleware.core.keys import KeyRing
from l402_middleware.core.money import msats, sats
from l402_middleware.flow import Flow, Step, adrive, do, drive
from l402_middleware.invoicing import failover
from l402_middleware.invoicing.invoicing import Invoicing
from l402_middleware.ledgers import MemoryLedger
from l402_middleware.paywall.delivery import Delivery
from l402_middleware.providers import CreatedInvoice, DevNode, Failover, InvoiceRequest, LNbits
from tests.paywall.shop import KEY, ask, code, members

from .test_breaker import PAUSE, Clock

T = TypeVar("T")

REQUEST = InvoiceRequest(sats(21), "a forecast", 600)
SECRET = "hunter2hunter2"


def _adrive(flow: Flow[T]) -> T:
    async def main() -> T:
        return await adrive(flow)

    return anyio.run(main)


@pytest.fixture(params=[drive, _adrive], ids=["blocking", "awaiting"])
def run(request: pytest.FixtureRequest) -> Callable[[Flow[Any]], Any]:
    """Both drivers."""
    return cast(Callable[[Flow[Any]], Any], request.param)


class Turn(Step[None]):
    """A step that does nothing, where a real provider would wait for its node."""

    def block(self) -> None: ...

    async def wait(self) -> None:
        await anyio.sleep(0)


class First:
    """A provider that does what its test says, and counts how often it was asked."""

    network = "regtest"

    def __init__(self, fault: ProviderFault | None = None, granularity_msat: int = 1) -> None:
        self.fault = fault
        self.granularity_msat = granularity_msat
        self.asked = 0
        self.asked_about: list[bytes] = []
        self.received: bool | None = False
        self.node = DevNode()
        self.node.use_keys(KeyRing([KEY]))

    def create_invoice(self, request: InvoiceRequest) -> Flow[CreatedInvoice]:
        self.asked += 1
        yield from do(Turn())
        if self.fault == "wrong-invoice":
            return (yield from self.node.create_invoice(InvoiceRequest(msats(1), request.memo, request.expiry)))
        if self.fault is not None:
            raise ProviderError(self.fault, f"something is wrong here {SECRET}")
        return (yield from self.node.create_invoice(request))

    def is_settled(self, payment_hash: bytes) -> Flow[bool]:
        self.asked_about.append(payment_hash)
        yield from do(Turn())
        if self.received is None:
            raise ProviderError("timeout", "no answer")
        return self.received

    def close(self) -> None:
        self.asked = -1

    async def aclose(self) -> None:
        self.asked = -2


class Second(First):
    """Another one."""


class Silent(First):
    """A provider that cannot say whether a payment was received."""

    is_settled = property()


COUNTED: list[ProviderFault] = ["unreachable", "timeout", "tls", "unauthorized", "bad-answer", "busy", "wrong-invoice"]


@pytest.mark.parametrize("fault", [*COUNTED, "rejected"])
def test_the_next_one_is_asked(fault: ProviderFault, run: Callable[[Flow[Any]], Any]) -> None:
    """The second makes the invoice, whatever fails the first, which is left alone after five failures in a row."""
    clock = Clock()
    first, second = First(fault), Second()
    invoicing = Invoicing(Failover(first, second, clock=clock), None, verify_settlement=False)
    for _ in range(8):
        assert run(invoicing.create(REQUEST, time.time())).amount == REQUEST.amount
    assert (first.asked, second.asked) == (8 if fault == "rejected" else 5, 8)
    clock.now = PAUSE
    first.fault = None
    for _ in range(3):
        run(invoicing.create(REQUEST, time.time()))
    assert (first.asked, second.asked) == (11 if fault == "rejected" else 8, 8)
    first.fault = "timeout"
    for _ in range(8):
        run(invoicing.create(REQUEST, time.time()))
    assert (first.asked, second.asked) == (16 if fault == "rejected" else 13, 16)


@pytest.mark.parametrize("fault", COUNTED)
def test_one_alone_is_left_alone_too(fault: ProviderFault, run: Callable[[Flow[Any]], Any]) -> None:
    """Case 98: a single provider that failed so often is not asked until the pause is over, and then it sells again."""
    clock = Clock()
    first = First(fault)
    shop = Paywall(Failover(first, failures=2, clock=clock), MemoryLedger(), secret_keys=[KEY])
    for _ in range(9):
        assert code(run(shop.admit(ask(), Offer(21)))) == (503, "invoice-unavailable")
    assert first.asked == 2
    clock.now = PAUSE
    first.fault = None
    assert code(run(shop.admit(ask(), Offer(21)))) == (402, "payment-required")
    assert code(run(shop.admit(ask(), Offer(21)))) == (402, "payment-required")


def test_a_bare_provider_and_a_function_are_guarded(run: Callable[[Flow[Any]], Any]) -> None:
    """Case 98: `Paywall(provider)` has the breaker without being asked for it, and so has a function that raises."""
    first, calls = First("timeout"), [0]

    def function(request: InvoiceRequest) -> str:
        calls[0] += 1
        raise TimeoutError

    for provider in (first, function):
        shop = Paywall(cast(Any, provider), MemoryLedger(), secret_keys=[KEY])
        for _ in range(20):
            assert code(run(shop.admit(ask(), Offer(21)))) == (503, "invoice-unavailable")
    assert (first.asked, calls[0]) == (5, 5)


def test_what_is_said_when_all_fail(caplog: pytest.LogCaptureFixture, run: Callable[[Flow[Any]], Any]) -> None:
    """The error names each provider's class and the kind of its failure, and nothing of what they said."""
    both = Failover(First("unauthorized"), Second("timeout"), failures=1)
    told = []
    for _ in range(2):
        with pytest.raises(ProviderError) as caught:
            run(both.create_invoice(REQUEST))
        told.append((caught.value.kind, str(caught.value)))
    assert told == [
        ("timeout", "no provider made an invoice (First: unauthorized; Second: timeout)"),
        (
            "timeout",
            (
                "no provider made an invoice (First: unauthorized, and not asked again yet; "
                "Second: timeout, and not asked again yet)"
            ),
        ),
    ]
    said = [record.levelname for record in caplog.records if record.levelno >= logging.WARNING]
    assert said == ["ERROR", "WARNING"] * 2


@pytest.mark.parametrize("end", ["cancelled", "dropped", "broken"])
def test_an_attempt_that_was_cut_off_counts_neither_way(end: str) -> None:
    """Cancelled, dropped with its driver or ended by a bug: no failure, no success, and a probe's place is free."""
    clock = Clock()
    first = First("timeout")
    guarded = Failover(first, failures=2, clock=clock)

    def cut_off() -> None:
        flow = cast(Generator[Any, Any, Any], guarded.create_invoice(REQUEST))
        # Its place in the line, and then the provider.
        flow.send(next(flow).block())
        if end == "dropped":
            flow.close()
        else:
            error: BaseException = ValueError() if end == "broken" else KeyboardInterrupt()
            with pytest.raises(type(error)):
                flow.throw(error)

    def fail() -> None:
        with pytest.raises(ProviderError):
            drive(guarded.create_invoice(REQUEST))

    fail()
    for _ in range(5):
        cut_off()
    fail()
    assert first.asked == 7
    fail()
    assert first.asked == 7
    clock.now = PAUSE
    cut_off()
    first.fault = None
    drive(guarded.create_invoice(REQUEST))
    assert first.asked == 9


@pytest.mark.anyio
async def test_a_cancelled_task_counts_neither_way() -> None:
    """A client that leaves while its challenge is made says nothing about the provider."""
    first = First()
    guarded = Failover(first, failures=1)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await adrive(guarded.create_invoice(REQUEST))
    assert scope.cancelled_caught
    await adrive(guarded.create_invoice(REQUEST))
    assert first.asked == 2


def test_a_hundred_threads_at_a_node_that_is_down() -> None:
    """Case 98: once the pause is over, a hundred requests at once put one to the first provider; all get an invoice."""
    clock = Clock()
    first, second = First("timeout"), Second()
    both = Failover(first, second, failures=1, clock=clock)
    drive(both.create_invoice(REQUEST))
    clock.now = PAUSE
    together = Barrier(100)

    def come(_: int) -> CreatedInvoice:
        together.wait()
        return drive(both.create_invoice(REQUEST))

    with ThreadPoolExecutor(100) as threads:
        invoices = list(threads.map(come, range(100)))
    assert first.asked == 2
    assert len({invoice.bolt11 for invoice in invoices}) == 100


@pytest.mark.parametrize(("one", "other", "common"), [(1, 1, 1), (1, 1000, 1000), (1000, 1500, 3000)])
def test_an_amount_that_suits_each(one: int, other: int, common: int) -> None:
    """The granularity is the least common multiple."""
    assert Failover(First(None, one), Second(None, other)).granularity_msat == common


class Elsewhere(First):
    network = "bitcoin"


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (Failover, "at least one"),
        (lambda: Failover(First(), Elsewhere()), "First on regtest, Elsewhere on bitcoin"),
        (lambda: Failover(Failover(First())), "in another one"),
        (lambda: Failover(cast(Any, "dev:")), "not str"),
        (lambda: Failover(First(), failures=0), "failures"),
        (lambda: Failover(First(), pause=0), "pause"),
    ],
)
def test_what_can_not_work(make: Callable[[], object], fault: str) -> None:
    """It is refused at start-up, in words that name it."""
    with pytest.raises(ConfigurationError, match=fault):
        make()


def test_the_one_that_made_the_invoice_is_asked_about_it(run: Callable[[Flow[Any]], Any]) -> None:
    """The others are not, whatever they would say, and an open breaker is no hindrance."""
    first, second = First(), Second()
    both = Failover(first, second, failures=1)
    made_by_first = run(both.create_invoice(REQUEST)).payment_hash
    first.fault = "timeout"
    made_by_second = run(both.create_invoice(REQUEST)).payment_hash
    first.received, second.received = False, True
    assert run(both.is_settled(made_by_first)) is False
    assert run(both.is_settled(made_by_second)) is True
    assert (first.asked_about, second.asked_about) == ([made_by_first], [made_by_second])


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (True, False, True),
        (False, True, True),
        (None, True, True),
        (True, None, True),
        (False, False, False),
        (None, False, ProviderError),
        (False, None, ProviderError),
    ],
)
def test_an_invoice_of_another_workers(
    first: bool | None, second: bool | None, expected: Any, run: Callable[[Flow[Any]], Any]
) -> None:
    """All are asked: one yes is enough, and a no counts only where everybody could be asked."""
    both = Failover(First(), Second())
    for provider, received in zip(both.providers, (first, second), strict=True):
        cast(First, provider).received = received
    if expected is ProviderError:
        with pytest.raises(ProviderError, match="no answer"):
            run(both.is_settled(bytes(32)))
    else:
        assert run(both.is_settled(bytes(32))) is expected


def test_one_that_can_not_say_could_not_be_asked() -> None:
    """Without `verify_settlement` such a provider is welcome; asked all the same, it does not say no."""
    both = Failover(Silent(), Second())
    with pytest.raises(ProviderError, match="Silent cannot say"):
        drive(both.is_settled(bytes(32)))
    cast(First, both.providers[1]).received = True
    assert drive(both.is_settled(bytes(32))) is True


def test_only_so_many_makers_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest is forgotten first, and then all are asked."""
    monkeypatch.setattr(failover, "MAX_REMEMBERED", 3)
    first, second = First(), Second()
    both = Failover(first, second)
    hashes = [drive(both.create_invoice(REQUEST)).payment_hash or b"" for _ in range(5)]
    for payment_hash in hashes:
        assert drive(both.is_settled(payment_hash)) is False
    assert second.asked_about == hashes[:2]


def test_closing_closes_all() -> None:
    """Both ways of closing reach each provider."""
    first, second = First(), Second()
    both = Failover(first, second)
    both.close()
    assert (first.asked, second.asked) == (-1, -1)
    anyio.run(both.aclose)
    assert (first.asked, second.asked) == (-2, -2)


def test_a_list_sells(run: Callable[[Flow[Any]], Any]) -> None:
    """A paywall over a list sells by the second wallet when the first is away; a development node among them pays."""
    shop = Paywall([First("unreachable"), DevNode()], secret_keys=[KEY])
    quoted = members(run(shop.admit(ask(), Offer(21))))
    assert shop.wallet is not None
    credential = f"L402 {quoted['macaroon']}:{shop.wallet.pay(quoted['invoice']).hex()}".encode()
    assert isinstance(run(shop.admit(ask("GET /thing", credential), Offer(21))), Delivery)


def test_it_shows_no_secret() -> None:
    """Case 113: its `repr` is that of its providers, which show none."""
    shown = repr(Failover(LNbits("https://node.example", invoice_key=SECRET)))
    assert "node.example" in shown
    assert SECRET not in shown


def test_who_listens_hears_of_each_provider_that_was_asked() -> None:
    """By name, with seconds, and the kind of its failure; not of one that an open breaker keeps away."""
    heard: list[tuple[str, bool, str | None]] = []

    def told(name: str, seconds: float, fault: ProviderFault | None) -> None:
        heard.append((name, 0 <= seconds < 60, fault))

    class Broken:
        network, granularity_msat = "regtest", 1

        def create_invoice(self, request: InvoiceRequest) -> Flow[CreatedInvoice]:
            yield from ()
            raise ProviderError("tls", "no certificate")

        def is_settled(self, payment_hash: bytes) -> Flow[bool]:
            yield from ()
            raise ProviderError("timeout", "late")

        def close(self) -> None: ...

        async def aclose(self) -> None: ...

    node = DevNode()
    node.use_keys(KeyRing([KEY]))
    invoicing = Invoicing(Failover(Broken(), node, failures=1), None, verify_settlement=True, told=told)
    for _ in range(2):
        drive(invoicing.create(REQUEST, time.time()))
    assert heard == [("Broken", True, "tls"), ("DevNode", True, None), ("DevNode", True, None)]
    heard.clear()
    assert drive(invoicing.is_settled(bytes(32)))
    assert heard == [("Broken", True, "timeout"), ("DevNode", True, None)]
