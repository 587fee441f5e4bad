"""Price functions, which strangers can start as often as they like: what they may take, and how mistakes are told."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from itertools import islice

import anyio
import anyio.to_thread
import pytest

from l402_middleware import ConfigurationError, Offer, RequestView
from l402_middleware.bulkhead import HASTE
from l402_middleware.paywall import pricing
from l402_middleware.paywall.response import Response

from .shop import Shop, ask, code, members

CROWD = 12


class Slow:
    """A price that takes until it is let go, and counts how many compute it at a time."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.running = 0
        self.most = 0
        self._lock = threading.Lock()

    def __call__(self, request: RequestView) -> int:
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        self.go.wait(30)
        with self._lock:
            self.running -= 1
        return 10


@pytest.fixture(name="slow")
def _slow() -> Iterator[Slow]:
    price = Slow()
    yield price
    price.go.set()


def test_slow_prices_take_few_threads_of_a_blocking_server(slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once prices are known to be slow, so many threads compute one at a time; the others are refused at once."""
    monkeypatch.setattr(pricing, "HASTE", -1)
    shop = Shop({"price_threads": 2})
    slow.go.set()
    assert code(shop.decide(Offer(slow), ask())) == (402, "payment-required")
    slow.go.clear()
    with ThreadPoolExecutor(CROWD) as pool:
        crowd = [pool.submit(shop.decide, Offer(slow), ask()) for _ in range(CROWD)]
        for refused in islice(as_completed(crowd, timeout=30), CROWD - 2):
            assert code(refused.result()) == (503, "too-many-prices")
        slow.go.set()
        answers = [code(each.result()) for each in crowd]
    assert slow.most == 2
    assert answers.count((402, "payment-required")) == 2


def test_quick_prices_are_computed_by_every_thread() -> None:
    """As many at once as there are threads: nobody is refused for a price that takes no time."""
    shop = Shop({"price_threads": 1})
    together = threading.Barrier(CROWD, timeout=30)

    def price(request: RequestView) -> int:
        together.wait()
        return 10

    with ThreadPoolExecutor(CROWD) as pool:
        answers = list(pool.map(lambda _: code(shop.decide(Offer(price), ask())), range(CROWD)))
    assert answers == [(402, "payment-required")] * CROWD


@pytest.mark.parametrize("seconds", [pricing.SLOW_FOR - 1, pricing.SLOW_FOR])
def test_a_slow_price_is_forgotten_after_a_while(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute after the last slow one, all threads may compute again."""
    shop = Shop({"price_threads": 1})
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])

    def price(request: RequestView) -> int:
        clock[0] += 2 * HASTE
        return 10

    assert code(shop.decide(Offer(price), ask()))[0] == 402
    clock[0] += seconds

    def nested(request: RequestView) -> int:
        answers.append(code(shop.decide(Offer(lambda request: 10), ask())))
        return 10

    answers: list[tuple[int, str]] = []
    assert code(shop.decide(Offer(nested), ask()))[0] == 402
    assert answers == [(402, "payment-required") if seconds == pricing.SLOW_FOR else (503, "too-many-prices")]


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
def test_on_an_event_loop_prices_have_threads_of_their_own(anyio_backend: str, slow: Slow) -> None:
    """However many wait for a slow price, the application's own threads are free."""

    async def main() -> list[tuple[int, str]]:
        shop = Shop({"price_threads": 2})
        anyio.to_thread.current_default_thread_limiter().total_tokens = 2
        answers: list[tuple[int, str]] = []

        async def stranger() -> None:
            answers.append(code(await shop.adecide(Offer(slow), ask())))

        async with anyio.create_task_group() as strangers:
            for _ in range(CROWD):
                strangers.start_soon(stranger)
            with anyio.fail_after(30):
                while slow.running < 2:
                    await anyio.sleep(0.01)
                # A plain handler that somebody has paid for runs in one of these.
                await anyio.to_thread.run_sync(slow.go.set)
        return answers

    assert anyio.run(main, backend=anyio_backend) == [(402, "payment-required")] * CROWD
    assert slow.most == 2


def test_two_paywalls_have_each_its_own_threads(slow: Slow) -> None:
    """One application's slow prices are nothing to another one in the same process."""

    async def main() -> int:
        first, second = Shop({"price_threads": 1}), Shop({"price_threads": 1})
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(first.adecide, Offer(slow), ask()))
            with anyio.fail_after(30):
                while not slow.running:
                    await anyio.sleep(0.01)
                answer = await second.adecide(Offer(lambda request: 10), ask())
            slow.go.set()
        assert isinstance(answer, Response)
        return answer.status

    assert anyio.run(main) == 402


def by_pages(request: RequestView) -> int:
    """A price from a JSON body, without a check whether there is one: the type checker agrees."""
    pages: int = request.body.json()["pages"]
    return pages


def test_a_price_from_a_json_body() -> None:
    """A price function finds the body, already read."""
    answer = Shop().decide(Offer(by_pages), ask("POST /thing", body=b'{"pages": 7}'))
    assert members(answer)["amount_sats"] == 7


# --- mistakes


def nothing(request: RequestView) -> int:
    """A price that was computed as none."""
    return 0


class Priceless:
    """A price function that is an object."""

    def __call__(self, request: RequestView) -> object:
        return None


@pytest.mark.parametrize(
    ("price", "said"),
    [
        (nothing, r"the price function nothing of GET /thing gave 0: .*from 1 msat"),
        (Priceless(), r"the price function Priceless of GET /thing gave None: "),
    ],
)
def test_a_price_that_is_none_names_its_function(price: object, said: str) -> None:
    """A price of 0 is no price; the author reads which function gave it, for which endpoint."""
    with pytest.raises(ConfigurationError, match=said):
        Shop().decide(Offer(price), ask())  # type: ignore[arg-type]


def test_a_body_that_nobody_read() -> None:
    """Asked for where no sale depends on it, it is an error that says so."""
    request = ask("POST /thing")
    with pytest.raises(ConfigurationError, match="the body of POST /thing was not read"):
        assert request.body
