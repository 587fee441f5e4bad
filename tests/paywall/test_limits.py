"""The limit on unpaid challenges: who is counted, what is refused, and what never is."""

import logging
import socket
import sys
import threading
import time
import tracemalloc
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import limits.storage
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l402_middleware import ConfigurationError, Offer, RequestView
from l402_middleware.core.keys import KeyRing, generate_key
from l402_middleware.flow import adrive, drive
from l402_middleware.paywall.delivery import Delivery
from l402_middleware.paywall.limits import (
    SLOTS,
    STORE_PAUSE,
    STORE_SECONDS,
    STORE_THREADS,
    ChallengeLimit,
    Store,
    Windows,
)
from l402_middleware.paywall.paywall import Decision
from l402_middleware.paywall.request import Body
from tests.ledgers.redis_server import RedisServer

from .shop import KEY, Clock, GivenBody, Shop, ask, code, deliver, field_of

OFFER = Offer(10)
BOUNDS = {"socket_timeout": STORE_SECONDS, "socket_connect_timeout": STORE_SECONDS}
LIMITED = (429, "too-many-challenges")
UNPAID = (402, "payment-required")


@pytest.fixture
def shop() -> Shop:
    """A shop that gives three challenges a minute to each peer."""
    return Shop({"challenge_limit": "3/minute"})


def from_peer(peer: str | None, *credentials: bytes) -> RequestView:
    """A request from an address."""
    request = ask("GET /thing", *credentials)
    request.peer = peer
    return request


def wait_of(decision: Decision) -> int:
    """Retry-After."""
    (value,) = field_of(decision, b"retry-after")
    return int(value)


def test_a_flood_from_one_peer(shop: Shop) -> None:
    """Case 115: what is over the limit is a 429 that says when to come again, and no invoice is made for it."""
    for _ in range(3):
        assert code(shop.decide(OFFER, ask())) == UNPAID
    made = shop.node.create_invoice
    shop.node.create_invoice = lambda request: pytest.fail("asked for an invoice")  # type: ignore[method-assign]
    refusals = [shop.decide(OFFER, ask()) for _ in range(5)]
    assert {code(refusal) for refusal in refusals} == {LIMITED}
    shop.node.create_invoice = made  # type: ignore[method-assign]
    shop.clock.now += wait_of(refusals[0])
    assert code(shop.decide(OFFER, ask())) == UNPAID


def test_others_are_not_affected(shop: Shop) -> None:
    """Case 115: each peer has its own share, and those without an address have one together."""
    for _ in range(4):
        shop.decide(OFFER, ask())
    assert code(shop.decide(OFFER, ask())) == LIMITED
    for peer in ("127.0.0.2", "2001:db8::1", "testclient"):
        assert code(shop.decide(OFFER, from_peer(peer))) == UNPAID
    answers = [code(shop.decide(OFFER, from_peer(peer))) for peer in (None, "", None, "")]
    assert answers == [UNPAID] * 3 + [LIMITED]


def test_credentials_are_not_affected(shop: Shop) -> None:
    """Case 115: who is over the limit redeems what it paid for, comes again after a 409, and gets its answer again."""
    single, bundle = shop.buy(OFFER), shop.buy(Offer(10, uses=2))
    for _ in range(10):
        shop.decide(OFFER, ask())
    assert code(shop.decide(OFFER, ask())) == LIMITED
    running = shop.decide(OFFER, ask("GET /thing", single))
    assert isinstance(running, Delivery)
    for _ in range(10):
        assert code(shop.decide(OFFER, ask("GET /thing", single))) == (409, "in-use")
    assert deliver(running)
    for _ in range(10):
        again = shop.decide(OFFER, ask("GET /thing", single))
        assert not isinstance(again, Delivery)
        assert (again.status, again.body) == (200, b"goods")
    for _ in range(2):
        assert deliver(shop.decide(Offer(10, uses=2), ask("GET /thing", bundle)))
    for bad in (bundle, b"L402 nonsense", b"L402 AAAA:" + b"0" * 64):
        assert code(shop.decide(OFFER, ask("GET /thing", bad))) == LIMITED


def test_credentials_are_not_counted(shop: Shop) -> None:
    """Case 115: a hundred paid requests leave the peer's share as it was."""
    endless = Offer(10, uses=None)
    credential = shop.buy(endless)
    for _ in range(100):
        assert isinstance(shop.decide(endless, ask("GET /thing", credential)), Delivery)
    assert [code(shop.decide(OFFER, ask())) for _ in range(3)] == [UNPAID, UNPAID, LIMITED]


def test_no_body_is_read_and_no_price_computed(shop: Shop) -> None:
    """Case 115: over the limit, a computed price costs neither the body nor its function."""
    asked = []

    def price(request: RequestView) -> int:
        asked.append(request)
        return 10

    offer = Offer(price)
    read: list[Body] = []
    for _ in range(10):
        request = ask("POST /thing")
        request.read_body = lambda body: read.append(body) or GivenBody(b"x", body)  # type: ignore[func-returns-value]
        shop.decide(offer, request)
    assert (len(asked), len(read)) == (3, 3)


def test_behind_a_proxy() -> None:
    """Cases 88, 115: behind a trusted proxy each of its clients has its own share, and none can take another's."""
    shop = Shop({"challenge_limit": "1/minute", "trusted_proxies": "127.0.0.1", "forwarded_header": "X-Forwarded-For"})

    def of(*forwarded: bytes) -> tuple[int, str]:
        return code(shop.decide(OFFER, ask(headers=[(b"x-forwarded-for", value) for value in forwarded])))

    assert of(b"203.0.113.1") == UNPAID
    assert of(b"203.0.113.1") == LIMITED
    assert of(b"198.51.100.7, 203.0.113.1") == LIMITED
    assert of(b"203.0.113.1, 198.51.100.7") == UNPAID
    assert of(b"1.1.1.1, unknown") == UNPAID
    assert of(b"1.1.1.2, garbage") == LIMITED


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::2", True),
        ("2001:db8::1", "2001:db8:0:0:ffff:ffff:ffff:ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("a:b", "a:c", False),
        (None, "", True),
    ],
)
def test_what_is_one_peer(shop: Shop, one: str | None, other: str | None, same: bool) -> None:
    """Case 115: an IPv6 subscriber has 2**64 addresses, and one share."""
    for _ in range(3):
        shop.decide(OFFER, from_peer(one))
    assert code(shop.decide(OFFER, from_peer(other))) == (LIMITED if same else UNPAID)


def test_how_windows_slide() -> None:
    """Case 115: of the window before counts what is not yet past, of older ones nothing; the wait is to the moment."""
    windows = Windows(4, 10)
    for now, wait in [
        *[(1000, 0)] * 4,
        *[(1000, 12.5), (1009, 3.5), (1010, 2.5)],
        *[(1012.5, 0), (1012.5, 2.5), (1015, 0), (1015, 2.5), (1017.5, 0), (1020, 0)],
        *[(1020, 10 / 3), (1024, 0), (1025, 5 / 3)],
        *[(1040, 0)] * 4,
        *[(1040, 12.5)],
    ]:
        assert windows.take(0, now) == pytest.approx(wait), now
    assert windows.take(1, 1040) == 0


@given(
    st.integers(1, 5),
    st.lists(st.floats(0, 30, allow_nan=False), min_size=1, max_size=60),
)
def test_windows(amount: int, pauses: list[float]) -> None:
    """In no window is more than twice the amount, on average no more than it, and the wait that is said is enough."""
    windows, now, taken = Windows(amount, 10), 1_700_000_000.0, []
    for pause in pauses:
        now += pause
        wait = windows.take(0, now)
        assert 0 <= wait <= 20
        if wait:
            # A wait that was said is long enough, and not much longer: a little less is not.
            assert windows.take(0, now + wait * 0.9 - 0.001) > 0
            now += wait + 0.001
            assert windows.take(0, now) == 0
        taken.append(now)
    for each in taken:
        # The window before counts by its share: what came early in it is seen as spread over it.
        assert sum(each <= other < each + 10 for other in taken) <= 2 * amount
    assert len(taken) <= amount * ((now - 1_700_000_000.0) // 10 + 2)


def test_a_clock_that_is_set_back(shop: Shop) -> None:
    """A clock that jumps costs nobody more than a window."""
    for _ in range(4):
        shop.decide(OFFER, ask())
    shop.clock.now -= 3600
    assert code(shop.decide(OFFER, ask())) == UNPAID


def test_many_threads() -> None:
    """Of a thousand requests at the same moment, the limit's number gets a challenge."""
    windows = Windows(100, 3600)
    taken: list[bool] = []

    def take() -> None:
        taken.extend(not windows.take(7, 1_700_000_000.0) for _ in range(250))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(taken), sum(taken)) == (1000, 100)


@pytest.mark.slow
def test_a_million_addresses(shop: Shop) -> None:
    """Case 115: their number costs no memory, and all of them together get no more than the slots have."""
    limit = shop.paywall._limit
    assert limit is not None

    def ask_from(first: int, last: int) -> None:
        for number in range(first, last):
            drive(limit.count(f"2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::1"))

    ask_from(0, 1000)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        ask_from(1000, 10_000)
        assert tracemalloc.get_traced_memory()[0] - before < 50_000
    finally:
        tracemalloc.stop()
    # Enough of them for every slot, several times over.
    ask_from(10_000, 200_000)
    assert sum(limit._windows._current) <= 3 * SLOTS
    assert sum(bool(count) for count in limit._windows._current) > 0.9 * SLOTS


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"challenge_limit": "60"}, "60/minute"),
        ({"challenge_limit": "0/minute"}, "60/minute"),
        ({"challenge_limit": "-1/minute"}, "60/minute"),
        ({"challenge_limit": "1/fortnight"}, "60/minute"),
        ({"challenge_limit": "9" * 30 + "/minute"}, "60/minute"),
        ({"challenge_limit": ""}, "60/minute"),
        ({"limit_storage": "memory://"}, "does nothing without challenge_limit"),
        ({"challenge_limit": "1/minute", "limit_storage": "gopher://:hunter2@h"}, r"gopher:.* \(ConfigurationError\)"),
        ({"challenge_limit": "1/minute", "limit_storage": "redis://:hunter2@h:x"}, r"redis:.* \(ValueError\)"),
        ({"challenge_limit": "1/minute", "limit_storage": "hunter2"}, "cannot be used"),
    ],
)
def test_settings_that_can_not_work(options: dict[str, Any], named: str) -> None:
    """A limit that cannot be kept is refused at start-up, without a word of its password."""
    with pytest.raises(ConfigurationError, match=named) as failure:
        Shop(options)
    assert "hunter2" not in str(failure.value).replace("limit_storage hunter2:", "")


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """The base install limits by itself; only a shared store needs the package limits, and says so."""
    monkeypatch.setitem(sys.modules, "limits", None)
    assert code(Shop({"challenge_limit": "1/minute"}).decide(OFFER, ask())) == UNPAID
    with pytest.raises(ConfigurationError, match=r"pip install 'l402_middleware\[limits\]'"):
        Shop({"challenge_limit": "1/minute", "limit_storage": "redis://h"})


# --- a store


class Counter:
    """What stands in for the limiter of the package `limits`: it notes what it is asked, and answers as it is told."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.free_in: float | None = None
        self.error: Exception | None = None

    def hit(self, *asked: Any) -> bool:
        self.asked.append(asked)
        if self.error is not None:
            raise self.error
        return self.free_in is None

    def get_window_stats(self, *asked: Any) -> Any:
        assert asked == self.asked[-1]
        assert self.free_in is not None
        return SimpleNamespace(reset_time=time.time() + self.free_in)


@pytest.fixture
def counter() -> Counter:
    """One that has room for everybody."""
    return Counter()


@pytest.fixture
def store(counter: Counter) -> Store:
    """A store that asks it, three challenges a minute."""
    store = Store("memory://", "3/minute", "shop")
    store._limiter = counter
    return store


def test_a_store_of_the_package() -> None:
    """The package itself counts: three, and not a fourth."""
    store = Store("memory://", "3/hour", "shop")
    assert [store.take(7) for _ in range(3)] == [0, 0, 0]
    assert 0 < store.take(7) <= 3600
    assert store.is_well()


@pytest.mark.parametrize(
    ("url", "made_of", "options"),
    [
        ("redis://h", "redis://h", BOUNDS),
        ("redis+cluster://h", "redis+cluster://h", BOUNDS),
        ("unix:///l402.sock", "redis+unix:///l402.sock", BOUNDS),
        ("valkeys://h", "valkeys://h", BOUNDS),
        ("memcached://h", "memcached://h", {"timeout": STORE_SECONDS, "connect_timeout": STORE_SECONDS}),
        ("memory://", "memory://", {}),
    ],
)
def test_what_a_store_is_made_of(
    url: str, made_of: str, options: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case 115: a server is waited for a second, by whatever name its client knows that; a ledger's URL will do."""
    made: list[tuple[str, dict[str, float]]] = []

    def storage_from_string(url: str, **options: float) -> limits.storage.MemoryStorage:
        made.append((url, options))
        return limits.storage.MemoryStorage()

    monkeypatch.setattr(limits.storage, "storage_from_string", storage_from_string)
    Store(url, "3/minute", "shop")
    assert made == [(made_of, options)]


def test_what_a_store_is_asked(store: Store, counter: Counter) -> None:
    """Each slot of each service by itself, under a name of our own, at the rate that was set."""
    assert [store.take(slot) for slot in (7, 7, SLOTS - 1)] == [0, 0, 0]
    assert [asked[1:] for asked in counter.asked] == [("l402", "shop", slot) for slot in ("7", "7", str(SLOTS - 1))]
    assert {(asked[0].amount, asked[0].get_expiry()) for asked in counter.asked} == {(3, 60)}


def test_the_store_of_a_paywall(counter: Counter) -> None:
    """`limit_storage` counts at the rate of `challenge_limit`, and by the paywall's service."""
    shop = Shop({"challenge_limit": "3/minute", "limit_storage": "memory://", "service": "weather"})
    limit = shop.paywall._limit
    assert limit is not None
    assert limit._store is not None
    limit._store._limiter = counter
    assert code(shop.decide(OFFER, ask())) == UNPAID
    ((rate, *names),) = counter.asked
    assert (rate.amount, rate.get_expiry(), names[:2]) == (3, 60, ["l402", "weather"])


@pytest.mark.parametrize(("free_in", "least", "most"), [(30, 29, 30), (0.5, 0.3, 0.5), (-9, 0.05, 0.05), (900, 60, 60)])
def test_a_store_that_refuses(store: Store, counter: Counter, free_in: float, least: float, most: float) -> None:
    """For as long as it says, between a twentieth of a second and the whole window; until then it is asked no more."""
    counter.free_in = free_in
    assert least <= store.take(7) <= most
    assert 0 <= store.take(7) <= most
    assert len(counter.asked) == 1 or most < 0.1
    counter.free_in = None
    assert store.take(8) == 0
    if most < 1:
        time.sleep(most + 0.05)
        assert store.take(7) == 0


def test_a_store_that_fails(
    store: Store, counter: Counter, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked no more for a while, nobody is refused for it, and the operator reads of what kind the failure is."""
    limit = ChallengeLimit("3/minute", None, "shop", Clock())
    assert limit.is_well()
    limit._store = store
    assert limit.is_well()
    counter.error = OSError("hunter2")
    assert [store.take(slot) for slot in (1, 2, 3)] == [0, 0, 0]
    assert len(counter.asked) == 2
    assert not limit.is_well()
    assert "limit_storage failed (OSError), asked again in 5 s" in caplog.text
    assert "hunter2" not in caplog.text
    counter.error, later = None, time.monotonic() + STORE_PAUSE
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert limit.is_well()
    assert len(counter.asked) == 3


@pytest.mark.anyio
async def test_questions_have_threads_of_their_own(store: Store) -> None:
    """Those of an event loop are the same few each time, and not the ones that serve paid requests."""
    turns = STORE_THREADS.limiter()
    assert turns is STORE_THREADS.limiter()
    assert turns.total_tokens == 4
    assert turns is not anyio.to_thread.current_default_thread_limiter()
    limit, taken = ChallengeLimit("3/minute", None, "shop", Clock()), []

    def take(slot: int) -> float:
        taken.append(anyio.from_thread.run_sync(lambda: turns.borrowed_tokens))
        return 0

    store.take = take  # type: ignore[method-assign]
    limit._store = store
    limit.use_keys(KeyRing([KEY]))
    assert await adrive(limit.count("10.0.0.1")) == 0
    assert taken == [1]


# --- several processes


def shared(url: str, service: str, rate: str = "3/hour") -> Shop:
    """One of several processes with the same store."""
    return Shop({"challenge_limit": rate, "limit_storage": url, "service": service})


@pytest.mark.slow
def test_several_processes_count_together(redis_server: RedisServer) -> None:
    """Case 115: with a shared store, three challenges are three for all processes; another service has its own."""
    one, other = shared(redis_server.url, "together"), shared(redis_server.url, "together")
    answers = [code(each.decide(OFFER, ask())) for each in (one, other, one, other, one, other)]
    assert answers == [UNPAID] * 3 + [LIMITED] * 3
    assert 1 <= wait_of(other.decide(OFFER, ask())) <= 2 * 3600
    assert code(other.decide(OFFER, from_peer("127.0.0.2"))) == UNPAID
    assert code(shared(redis_server.url, "apart").decide(OFFER, ask())) == UNPAID


@pytest.mark.slow
@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_awaiting_processes_count_together(redis_server: RedisServer, anyio_backend: str) -> None:
    """Case 115: the same on event loops, asked all at the same time."""
    shops = [shared(redis_server.url, f"await-{anyio_backend}") for _ in range(2)]
    answers: list[tuple[int, str]] = []

    async def decide(shop: Shop) -> None:
        answers.append(code(await shop.adecide(OFFER, ask())))

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(decide, shops[number % 2])
    assert answers.count(UNPAID) == 3
    assert answers.count(LIMITED) == 17


@pytest.mark.slow
def test_a_store_that_goes_away(redis_server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    """Case 115: without its store a process counts for itself, says so once, and refuses or lets in nobody for it."""
    shop = shared(redis_server.url, "away", "5/hour")
    credential = shop.buy(OFFER)
    redis_server.kill()
    try:
        with caplog.at_level(logging.WARNING):
            answers = [code(shop.decide(OFFER, ask())) for _ in range(6)]
            assert isinstance(shop.decide(OFFER, ask("GET /thing", credential)), Delivery)
    finally:
        redis_server.start()
    assert answers == [UNPAID] * 4 + [LIMITED] * 2
    (line,) = [record.getMessage() for record in caplog.records]
    assert "each process for itself" in line
    assert code(shared(redis_server.url, "away-2").decide(OFFER, ask())) == UNPAID


@pytest.mark.slow
@pytest.mark.anyio
async def test_a_store_that_hangs(caplog: pytest.LogCaptureFixture) -> None:
    """Case 115: a store that takes connections and never answers is waited for once, and by no paid request."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        shop = shared(f"redis://127.0.0.1:{silent.getsockname()[1]}/0", "hangs", "100/hour")
        credential = bought_past_the_limit(shop)
        answers: list[tuple[int, str]] = []
        latencies = []

        async def decide() -> None:
            answers.append(code(await shop.adecide(OFFER, ask())))

        started = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(decide)
            await anyio.sleep(0.05)
            for _ in range(20):
                at = anyio.current_time()
                assert isinstance(await shop.adecide(Offer(10, uses=None), ask("GET /thing", credential)), Delivery)
                latencies.append(anyio.current_time() - at)
        assert answers == [UNPAID] * 50
        assert anyio.current_time() - started < 3 * STORE_SECONDS
        assert max(latencies) < STORE_SECONDS / 2


def bought_past_the_limit(shop: Shop) -> bytes:
    """A pass, for which the store was not asked."""
    limit, shop.paywall._limit = shop.paywall._limit, None
    credential = shop.buy(Offer(10, uses=None))
    shop.paywall._limit = limit
    return credential


def test_the_key_decides_who_shares() -> None:
    """Which peers share a slot depends on the secret keys, alike in every process that has them."""
    key, other = generate_key(), generate_key()
    limits = [ChallengeLimit("1/minute", None, "l402", Clock()) for _ in range(3)]
    for limit, each in zip(limits, (key, key, other), strict=True):
        limit.use_keys(KeyRing([each]))
    slots = [[limit._slot(f"10.0.0.{number}") for number in range(50)] for limit in limits]
    assert slots[0] == slots[1] != slots[2]
    assert len(set(slots[0])) > 45


def test_the_slots_of_another_release() -> None:
    """Processes that share a store agree while one of them is upgraded: what is here may not change."""
    limit = ChallengeLimit("1/minute", None, "l402", Clock())
    limit.use_keys(KeyRing([KEY]))
    peers = ["10.0.0.1", "2001:db8::1", "testclient", "\udcff", "", None]
    assert [limit._slot(peer) for peer in peers] == [21715, 36722, 32419, 38265, 6689, 6689]


@pytest.mark.anyio
async def test_awaiting(shop: Shop) -> None:
    """Case 115: the same on an event loop."""
    assert [code(await shop.adecide(OFFER, ask())) for _ in range(4)] == [UNPAID] * 3 + [LIMITED]
