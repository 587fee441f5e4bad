"""How long anybody waits for an invoice: one limit over all providers, and few threads for one that is slow."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import pytest

from l402_middleware import Offer, Paywall, bulkhead
from l402_middleware.core.errors import ConfigurationError, ProviderError
from l402_middleware.core.keys import KeyRing
from l402_middleware.core.money import sats
from l402_middleware.flow import Call, Flow, adrive, do, drive
from l402_middleware.flow import within as flow_within
from l402_middleware.invoicing import failover
from l402_middleware.ledgers import MemoryLedger
from l402_middleware.providers import LND, CreatedInvoice, DevNode, Failover, InvoiceRequest, LNbits
from tests.outgoing.test_transport import MACAROON, wait_for
from tests.paywall.shop import KEY, ask, code
from tests.providers.emulators import LNDEmulator, Node, running
from tests.providers.hanging import HangingNode, hanging

pytestmark = pytest.mark.slow

T = TypeVar("T")
Run = Callable[[Any, Flow[Any]], Any]

REQUEST = InvoiceRequest(sats(21), "a forecast", 600)


@pytest.fixture(params=["blocking", "asyncio", "trio"])
def run(request: pytest.FixtureRequest) -> Run:
    """Every driver; the connections of whoever owns the flow are closed after it."""

    def blocking(owner: Any, flow: Flow[T]) -> T:
        try:
            return drive(flow)
        finally:
            owner.close()

    def awaiting(owner: Any, flow: Flow[T]) -> T:
        async def main() -> T:
            try:
                return await adrive(flow)
            finally:
                await owner.aclose()

        return anyio.run(main, backend=request.param)

    return blocking if request.param == "blocking" else awaiting


@pytest.fixture
def two() -> Iterator[list[HangingNode]]:
    """Two nodes that never answer."""
    with ExitStack() as stack:
        yield [stack.enter_context(hanging()) for _ in range(2)]


@pytest.fixture
def working() -> Iterator[LND]:
    """A node that does."""
    with running(LNDEmulator, Node(secret=MACAROON)) as node:
        provider = LND(node.url, macaroon=MACAROON, network="regtest")
        yield provider
        provider.close()


def lnbits(node: HangingNode, timeout: float = 20.0) -> LNbits:
    """The node as a provider."""
    return LNbits(node.url, "key", network="regtest", timeout=timeout)


def shop(*providers: Any, timeout: float, **more: Any) -> Paywall:
    """A paywall over them."""
    return Paywall(list(providers), MemoryLedger(), secret_keys=[KEY], provider_timeout=timeout, **more)


@pytest.fixture
def shares(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that each attempt was given, in the order in which they began."""
    given: list[float] = []

    def within(seconds: float, flow: Flow[T], late: Callable[[], Exception]) -> Flow[T]:
        given.append(seconds)
        return flow_within(seconds, flow, late)

    monkeypatch.setattr(failover, "within", within)
    return given


def outcome(run: Run, owner: Any, flow: Flow[Any]) -> Any:
    """What came of it."""
    try:
        return run(owner, flow)
    except ProviderError as error:
        return error


@pytest.mark.parametrize(
    ("timeout", "used", "shares"),
    [
        (3.0, [1.0, 1.0, 0.0], [1.0, 1.0, 1.0]),
        (4.0, [0.5, 0.5, 0.5], [4 / 3, 1.75, 3.0]),
        (6.0, [0.0, 0.0, 0.0], [2.0, 3.0, 6.0]),
        # A plain function that could not be cut off leaves the others nothing.
        (3.0, [4.0, 0.0, 0.0], [1.0, -0.5, -1.0]),
    ],
)
def test_each_has_an_equal_share_of_what_is_left(
    monkeypatch: pytest.MonkeyPatch, timeout: float, used: list[float], shares: list[float]
) -> None:
    """Case 98: what one does not use is for those after it."""
    now, given = 1000.0, []

    class Scripted:
        network, granularity_msat = "regtest", 1

        def __init__(self, seconds: float) -> None:
            self.seconds = seconds

        def create_invoice(self, request: InvoiceRequest) -> Flow[CreatedInvoice]:
            nonlocal now
            yield from ()
            now += self.seconds
            raise ProviderError("timeout", "late")

    def within(seconds: float, flow: Flow[T], late: Callable[[], Exception]) -> Flow[T]:
        given.append(seconds)
        return flow

    monkeypatch.setattr(failover, "within", within)
    monkeypatch.setattr(failover, "time", SimpleNamespace(monotonic=lambda: now))
    providers: list[Any] = [Scripted(seconds) for seconds in used]
    with pytest.raises(ProviderError):
        drive(Failover(*providers, timeout=timeout).create_invoice(REQUEST))
    assert given == pytest.approx(shares)


def test_the_third_has_time_when_two_hang(run: Run, two: list[HangingNode], working: LND) -> None:
    """Case 98: a challenge comes within the limit as long as one works; nothing is left behind at those that do not."""
    threads = threading.active_count()
    paywall = shop(*map(lnbits, two), working, timeout=3.0)
    decision = outcome(run, paywall, paywall.admit(ask(), Offer(21)))
    assert code(decision) == (402, "payment-required")
    assert [node.requests for node in two] == [1, 1]
    # Each attempt was cut off with its connection.
    wait_for(lambda: not any(node.connections for node in two))
    # What serves the kept connection of the working one goes with it.
    wait_for(lambda: threading.active_count() <= threads)


def test_all_hang(run: Run, two: list[HangingNode]) -> None:
    """Case 98: a 503 within the limit."""
    paywall = shop(*map(lnbits, two), timeout=1.0)
    decision = outcome(run, paywall, paywall.admit(ask(), Offer(21)))
    assert code(decision) == (503, "invoice-unavailable")


def test_what_one_does_not_need_is_the_others(run: Run, two: list[HangingNode], working: LND) -> None:
    """A provider's own timeout makes its share shorter, and what is left over goes to the next."""
    first, second = two
    providers = Failover(lnbits(first, 0.1), lnbits(second), working, timeout=4.1)
    invoice = outcome(run, providers, providers.create_invoice(REQUEST))
    assert isinstance(invoice, CreatedInvoice)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_client_that_leaves_ends_the_attempt(backend: str, two: list[HangingNode]) -> None:
    """Cancelled in the middle of an attempt, its connection is closed and the next provider is not asked."""
    paywall = shop(*map(lnbits, two), timeout=30)

    async def main() -> None:
        with anyio.move_on_after(0.3):
            await adrive(paywall.admit(ask(), Offer(21)))
        await paywall.aclose()

    anyio.run(main, backend=backend)
    wait_for(lambda: two[0].connections == 0)
    assert [node.requests for node in two] == [1, 0]


def test_a_function_that_hangs(run: Run, working: LND) -> None:
    """An async function is cut off as a node is."""
    cut: list[str] = []

    async def never(request: InvoiceRequest) -> str:
        try:
            await anyio.sleep(30)
        except BaseException as error:
            cut.append(type(error).__name__)
            raise
        return ""

    async def asyncio_never(request: InvoiceRequest) -> str:
        return await never(request)

    paywall = shop(never, asyncio_never, working, timeout=3.0, network="regtest")
    decision = outcome(run, paywall, paywall.admit(ask(), Offer(21)))
    assert code(decision) == (402, "payment-required")
    assert len(cut) == 2


def test_whom_a_late_function_leaves_no_time_is_not_to_blame(run: Run, working: LND) -> None:
    """A plain function cannot be cut off. The next provider has no time left then, and is no failing one for it."""

    def late(request: InvoiceRequest) -> str:
        time.sleep(0.4)
        raise OSError

    paywall = shop(late, working, timeout=0.3, network="regtest")
    statuses = [code(run(paywall, paywall.admit(ask(), Offer(21))))[0] for _ in range(7)]
    assert statuses == [503] * 5 + [402] * 2


def test_a_question_after_a_payment_is_limited_too(run: Run, two: list[HangingNode]) -> None:
    """All providers together have the same time to say whether a payment was received."""
    providers = Failover(*map(lnbits, two), timeout=0.8)
    error = outcome(run, providers, providers.is_settled(bytes(32)))
    assert (type(error), error.kind) == (ProviderError, "timeout")


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan"), True, "3"])
def test_a_limit_has_to_be_one(timeout: Any) -> None:
    """Seconds above 0."""
    with pytest.raises(ConfigurationError, match="timeout must be a number of seconds above 0"):
        shop(DevNode(), timeout=timeout)


def test_a_provider_that_was_given_more_time_has_it() -> None:
    """Without a limit it is 20 seconds, or as much as the most patient provider was given."""
    near, far = (LNbits("http://node.example", "key", timeout=timeout) for timeout in (3, 60))
    assert [Failover(*providers)._timeout for providers in ([near], [DevNode()], [near, far])] == [20, 20, 60]


class Slow:
    """A provider whose invoices take as long as its test says."""

    network = "regtest"
    granularity_msat = 1

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.asked = 0
        self.gate = threading.Event()
        self.node = DevNode()
        self.node.use_keys(KeyRing([KEY]))

    def create_invoice(self, request: InvoiceRequest) -> Flow[CreatedInvoice]:
        self.asked += 1
        yield from do(Call[object](self.gate.wait, self.seconds))
        return (yield from self.node.create_invoice(request))

    def close(self) -> None: ...

    async def aclose(self) -> None: ...


def outcomes(guarded: Failover, callers: int, pause: float = 0.0) -> list[str]:
    """How so many threads' requests end; one begins after the other."""

    def come(number: int) -> str:
        time.sleep(number * pause)
        try:
            drive(guarded.create_invoice(REQUEST))
        except ProviderError as error:
            return error.kind
        return "made"

    with ThreadPoolExecutor(callers) as threads:
        return list(threads.map(come, range(callers)))


def test_a_node_that_answers_fast_is_for_all() -> None:
    """Case 98: as long as it answers soon, any number of threads asks at once."""
    assert outcomes(Failover(Slow(0.05), max_threads=2), 20) == ["made"] * 20


def test_a_slow_node_holds_few_threads() -> None:
    """Case 98: two wait as long as it takes; who comes later is turned away at once, and counts as no failure."""
    slow = Slow(1.0)
    guarded = Failover(slow, failures=1, max_threads=2)
    first, second, *others = outcomes(guarded, 12, pause=0.05)
    assert (first, second) == ("made", "made")
    assert set(others[6:]) == {"busy"}
    # Those of the first quarter of a second were let in, and their plain function could not be cut off.
    assert slow.asked <= 2 + bulkhead.HASTE / 0.05
    slow.seconds = 0.0
    assert outcomes(guarded, 4) == ["made"] * 4


def test_a_thread_in_haste_is_cut_off(two: list[HangingNode], shares: list[float]) -> None:
    """Case 98: of ten threads at a node that hangs, one waits as long as it takes, the others a moment."""
    guarded = Failover(lnbits(two[0]), timeout=1.5, max_threads=1)

    def come(_: int) -> str:
        with pytest.raises(ProviderError) as caught:
            drive(guarded.create_invoice(REQUEST))
        return caught.value.kind

    with ThreadPoolExecutor(10) as threads:
        kinds = list(threads.map(come, range(10)))
    assert set(kinds) <= {"timeout", "busy"}
    assert [seconds for seconds in shares if seconds > bulkhead.HASTE] == shares[:1]


def test_the_next_wallet_is_for_those_who_find_the_first_one_busy() -> None:
    """Waiting for one provider is not waiting for the next: everybody gets an invoice."""
    assert outcomes(Failover(Slow(0.8), Slow(0.0), max_threads=1), 12, pause=0.05) == ["made"] * 12


def test_an_event_loop_holds_many(monkeypatch: pytest.MonkeyPatch, two: list[HangingNode]) -> None:
    """Case 98: on an event loop as many wait as memory allows, and whoever comes then is answered at once."""
    monkeypatch.setattr(bulkhead, "MAX_TASKS", 20)
    guarded = Failover(lnbits(two[0]), failures=1000, timeout=1.0)
    kinds: list[str] = []

    async def come() -> None:
        with pytest.raises(ProviderError) as caught:
            await adrive(guarded.create_invoice(REQUEST))
        kinds.append(caught.value.kind)

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(come)
            await anyio.sleep(0.5)
            assert kinds == ["busy"] * 30
        await guarded.aclose()

    anyio.run(main)
    assert kinds[30:] == ["timeout"] * 20
    # Nobody keeps a seat.
    kinds.clear()
    anyio.run(main)
    assert len(kinds) == 50


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_plain_function_that_hangs_leaves_the_application_its_threads(backend: str) -> None:
    """Case 98: a hundred unpaid requests wait for it, and a sync endpoint's work still finds a thread at once."""
    over = threading.Event()

    def hangs(request: InvoiceRequest) -> str:
        over.wait(60)
        raise OSError

    paywall = shop(hangs, timeout=0.5, network="regtest")
    statuses: list[int] = []

    async def come() -> None:
        statuses.append(code(await adrive(paywall.admit(ask(), Offer(21))))[0])

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(100):
                tasks.start_soon(come)
            await anyio.sleep(0.2)
            # For as long as the functions hang, which is until this test lets them go.
            with anyio.fail_after(10):
                await anyio.to_thread.run_sync(lambda: None)
            # Who found no thread for the function has the 503 at the end of the time, all the same.
            with anyio.fail_after(10):
                while len(statuses) < 68:
                    await anyio.sleep(0.05)
            over.set()

    anyio.run(main, backend=backend)
    assert set(statuses) == {503}
