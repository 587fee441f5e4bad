"""The room for bodies that are read before a handler runs, and the log lines that strangers can cause."""

import logging
import time
from math import inf

import pytest

from l402_middleware import Offer, Refusal
from l402_middleware.core.errors import ProviderError
from l402_middleware.paywall.body_budget import BodyBudget
from l402_middleware.paywall.delivery import Delivery
from l402_middleware.paywall.request import Body
from l402_middleware.throttled_log import LINES, ThrottledLog

from .shop import Clock, GivenBody, Shop, ask, code, deliver, field_of, quoting_of, redemption_of

BOUND = Offer(10, bind="request", max_body=1000)
FULL = (503, "too-many-bodies")


def test_bodies_at_a_time() -> None:
    """There is room for so many bodies, and it is free again, once, when one is closed."""
    spool = BodyBudget(2, 1000, 20)
    one, other = Body(10, spool), Body(10, spool)
    with pytest.raises(Refusal, match="Too many") as refusal:
        Body(10, spool)
    assert (refusal.value.status, refusal.value.code, refusal.value.retry_after) == (*FULL, 5)
    one.write(b"1234")
    one.close()
    one.close()
    assert (spool.bodies, spool.bytes) == (1, 0)
    Body(10, spool).close()
    other.close()
    assert (spool.bodies, spool.bytes) == (0, 0)


def test_bytes_together() -> None:
    """All bodies together have so many bytes, one alone as many as its own limit allows, and a refusal takes none."""
    spool = BodyBudget(10, 1000, 20)
    one, other = Body(3000, spool), Body(3000, spool)
    one.write(bytes(900))
    with pytest.raises(Refusal, match="Too many"):
        other.write(bytes(101))
    other.write(bytes(100))
    assert spool.bytes == 1000
    other.close()
    one.write(bytes(2000))
    with pytest.raises(Refusal, match="larger than 3000"):
        one.write(bytes(101))
    assert (spool.bytes, one.size) == (2900, 2900)
    one.close()
    assert spool.bytes == 0


def test_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body has its seconds, and one more for each 16 KiB that has arrived."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    body = Body(10**6, BodyBudget(1, 10**6, 20))
    now[0] += 15
    assert body.seconds_left() == 5
    body.write(bytes(160 * 1024))
    assert body.seconds_left() == 15
    now[0] += 14.75
    body.write(b"")
    now[0] += 0.25
    with pytest.raises(Refusal, match="did not arrive in time") as refusal:
        body.write(b"x")
    assert (refusal.value.status, refusal.value.code) == (408, "body-too-slow")
    body.close()


def test_without_a_spool_there_is_time_for_ever() -> None:
    """A body that nobody counts, in an application's own test, never comes too late."""
    body = Body(10)
    assert body.seconds_left() == inf
    body.close()


def test_a_body_that_is_compared_takes_room_too() -> None:
    """What is sent again for the kept answer is read within the room of paid requests, if there is any."""
    shop = Shop({"spool_bodies": 1})
    offer = Offer(10)
    credential = shop.buy(offer, ask("POST /thing"))
    delivery = shop.decide(offer, ask("POST /thing", credential, body=b"first"))
    assert isinstance(delivery, Delivery)
    delivery.read(b"first", False)
    assert deliver(delivery)
    assert shop.decide(offer, ask("POST /thing", credential, body=b"first")).status == 200  # type: ignore[union-attr]
    spool = redemption_of(shop)._bodies_again
    while spool.bodies < spool.max_bodies:
        spool.enter()
    assert code(shop.decide(offer, ask("POST /thing", credential, body=b"first"))) == FULL


def test_a_paid_request_has_room_of_its_own() -> None:
    """Strangers who fill the room for bodies do not keep out those who have paid, whose own room has an end too."""
    shop = Shop({"spool_bodies": 1})
    credential = shop.buy(BOUND, ask("POST /thing", body=b"paid"))
    hog = Body(1000, quoting_of(shop)._bodies)
    refused = shop.decide(BOUND, ask("POST /thing", body=b"unpaid"))
    assert code(refused) == FULL
    assert field_of(refused, b"retry-after") == [b"5"]
    hog_too = Body(1000, redemption_of(shop)._bodies)
    assert code(shop.decide(BOUND, ask("POST /thing", credential, body=b"paid"))) == FULL
    hog_too.close()
    assert deliver(shop.decide(BOUND, ask("POST /thing", credential, body=b"paid")))
    hog.close()
    assert code(shop.decide(BOUND, ask("POST /thing", body=b"unpaid"))) == (402, "payment-required")


def test_room_is_given_back_whatever_happens() -> None:
    """A body that is refused half-way, or whose price cannot be computed, leaves no trace in the count."""
    shop = Shop({"spool_bodies": 2})

    def price(request: object) -> int:
        raise Refusal(404, "nothing", "Nothing.")

    for _ in range(5):
        assert code(shop.decide(Offer(price), ask("POST /thing", body=b"1"))) == (404, "nothing")
        assert code(shop.decide(BOUND, ask("POST /thing", body=bytes(1001)))) == (413, "body-too-large")
    spool = quoting_of(shop)._bodies
    assert (spool.bodies, spool.bytes) == (0, 0)
    assert GivenBody(b"").body is None


def test_room_as_it_was_set() -> None:
    """Paid and unpaid requests each have all the room that the settings say."""
    shop = Shop({"spool_bodies": 7, "spool_bytes": 1000, "body_seconds": 2.5})
    for spool in (quoting_of(shop)._bodies, redemption_of(shop)._bodies, redemption_of(shop)._bodies_again):
        assert (spool.max_bodies, spool.max_bytes, spool.seconds) == (7, 1000, 2.5)


# --- the log


def test_of_a_kind_ten_lines_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """A flood leaves ten lines a minute of each kind, and says how many were left out when the next one comes."""
    clock = Clock()
    throttled = ThrottledLog(clock)
    for number in range(1000):
        throttled.log(logging.WARNING, "flood %s", number)
    throttled.log(logging.ERROR, "another")
    assert [record.getMessage() for record in caplog.records] == [
        *(f"flood {number}" for number in range(LINES)),
        "another",
    ]
    caplog.clear()
    clock.now += 60
    throttled.log(logging.WARNING, "flood %s", "again")
    throttled.log(logging.ERROR, "another")
    said = [record.getMessage() for record in caplog.records]
    assert said == ["990 lines like the next one were left out", "flood again", "another"]


def test_a_flood_at_a_dead_node(caplog: pytest.LogCaptureFixture) -> None:
    """Unpaid requests while no invoice can be made do not fill the disk."""
    shop = Shop()

    def fail(request: object) -> object:
        raise ProviderError("rejected", "no")

    shop.node.create_invoice = fail  # type: ignore[assignment, method-assign]
    started = time.monotonic()
    for _ in range(500):
        assert code(shop.decide(Offer(10), ask())) == (503, "invoice-unavailable")
    assert len(caplog.records) <= LINES * (1 + (time.monotonic() - started) // 60)
    assert "no invoice, so 503 for GET /thing: no" in caplog.records[0].getMessage()
