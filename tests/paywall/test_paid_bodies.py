"""Bodies of those who have paid, and of those who only look as if: what one credential may take of their room."""

from typing import Any

import pytest

from l402_middleware import Offer, Refusal, RequestView
from l402_middleware.flow import drive
from l402_middleware.paywall.body_budget import SHARE, BodyBudget
from l402_middleware.paywall.delivery import Delivery
from l402_middleware.paywall.request import Body
from l402_middleware.paywall.response import Response

from .shop import GivenBody, Shop, ask, code, deliver, quoting_of, redemption_of
from .test_redemption import Ledger, record, token_id_of

BOUND = Offer(10, bind="request")
BUNDLE = Offer(10, bind="request", uses=100)
PASS = Offer(10, bind="request", uses=None)
FULL = (503, "too-many-bodies")


def posted(credential: bytes, body: bytes = b"paid") -> RequestView:
    """A request with a body."""
    return ask("POST /thing", credential, body=body)


def stalled(credential: bytes, rooms: list[BodyBudget]) -> RequestView:
    """A request whose body is begun and never ends: it notes in `rooms` where that takes room."""
    request = posted(credential)

    def read_body(body: Body) -> Any:
        assert body._room is not None
        rooms.append(body._room.budget)
        request.body_if_read = body
        return GivenBody(b"paid", body)

    request.read_body = read_body
    return request


def sell(shop: Shop, offer: Offer) -> bytes:
    """A credential for the posted request."""
    return shop.buy(offer, ask("POST /thing", body=b"paid"))


@pytest.mark.parametrize(
    ("offer", "how"),
    [
        *((BOUND, "spent"), (BOUND, "kept"), (BOUND, "busy")),
        *((BOUND, "revoked"), (BUNDLE, "revoked"), (PASS, "revoked")),
    ],
)
def test_only_who_has_paid_takes_the_room_of_those_who_have(offer: Offer, how: str) -> None:
    """A credential that is used up, revoked, running, or only good for a kept answer reads no body in that room."""
    shop = Shop({"replay_for": 600 if how == "kept" else 0})
    credential = sell(shop, offer)
    if how == "revoked":
        drive(shop.paywall.revoke(token_id_of(credential)))
    else:
        running = shop.decide(offer, posted(credential))
        if how != "busy":
            assert deliver(running)
    rooms: list[BodyBudget] = []
    answer = shop.decide(offer, stalled(credential, rooms))
    assert isinstance(answer, Response)
    assert answer.status == {"kept": 200, "busy": 409}.get(how, 402)
    expected = {"kept": [redemption_of(shop)._bodies_again], "busy": []}.get(how, [quoting_of(shop)._bodies])
    assert [id(room) for room in rooms] == [id(room) for room in expected]


def test_a_use_is_held_before_its_body_is_read_and_back_where_that_is_another() -> None:
    """The ledger is asked first; a body that was not sold costs nothing, and the one that was is still good."""
    ledger = Ledger()
    shop = Shop({"ledger": ledger})
    credential = sell(shop, BOUND)
    request = posted(credential)
    read = request.read_body
    seen: list[int] = []

    def read_body(body: Body) -> Any:
        seen.append(len(ledger.claims))
        return read(body)

    request.read_body = read_body
    delivery = shop.decide(BOUND, request)
    assert seen == [1]
    assert isinstance(delivery, Delivery)
    drive(delivery.fail())
    for body in (b"other", b"", b"paid "):
        assert code(shop.decide(BOUND, posted(credential, body))) == (402, "wrong-request")
    assert deliver(shop.decide(BOUND, posted(credential)))
    assert record(shop)["delivered"] == (1, 0)


@pytest.mark.parametrize("refusal", [Refusal(408, "body-too-slow", "Slow."), Refusal(413, "body-too-large", "Large.")])
def test_a_body_that_cannot_be_read_gives_the_use_back(refusal: Refusal) -> None:
    """A client whose upload broke off may try again."""
    shop = Shop()
    credential = sell(shop, BOUND)
    request = posted(credential)

    def read_body(body: Body) -> Any:
        body.close()
        raise refusal

    request.read_body = read_body
    assert code(shop.decide(BOUND, request)) == (refusal.status, refusal.code)
    assert isinstance(shop.decide(BOUND, posted(credential)), Delivery)


def test_a_kept_answer_is_for_the_request_that_was_sold() -> None:
    """The same body gets it, another one is another request."""
    shop = Shop()
    credential = sell(shop, BOUND)
    assert deliver(shop.decide(BOUND, posted(credential)))
    again = shop.decide(BOUND, posted(credential))
    assert isinstance(again, Response)
    assert again.body == b"goods"
    assert code(shop.decide(BOUND, posted(credential, b"other"))) == (402, "wrong-request")


@pytest.mark.parametrize("offer", [BUNDLE, PASS], ids=["bundle", "pass"])
def test_one_payment_has_a_share_of_the_room(offer: Offer) -> None:
    """However many requests a bundle or a pass opens at once, others who have paid find room for their bodies."""
    shop = Shop({"spool_bodies": 2 * SHARE})
    greedy, other = sell(shop, offer), sell(shop, offer)
    open_ones = []
    for _ in range(2):
        request = posted(greedy)
        assert isinstance(drive(shop.paywall.admit(request, offer)), Delivery)
        open_ones.append(request)
    assert code(shop.decide(offer, posted(greedy))) == FULL
    assert isinstance(shop.decide(offer, posted(other)), Delivery)
    for request in open_ones:
        request.body.close()
    assert isinstance(shop.decide(offer, posted(greedy)), Delivery)


def test_a_share_of_the_bytes() -> None:
    """An eighth of them all, but for a single body, which may be as long as its offer says; and given back whole."""
    budget = BodyBudget(100, 8000, 20)
    one, two, other = (Body(3000, budget, payer) for payer in (b"a", b"a", b"b"))
    one.write(bytes(900))
    two.write(bytes(100))
    with pytest.raises(Refusal, match="Too many"):
        two.write(bytes(1))
    other.write(bytes(2000))
    two.close()
    one.write(bytes(2000))
    one.close()
    other.close()
    assert (budget.bodies, budget.bytes) == (0, 0)
    third = Body(3000, budget, b"a")
    third.write(bytes(3000))
    third.close()


def test_the_smallest_room_has_a_share_too() -> None:
    """Of one place, one payment may have one."""
    budget = BodyBudget(1, 1, 20)
    body = Body(10, budget, b"a")
    body.write(b"1234")
    body.close()
    assert (budget.bodies, budget.bytes) == (0, 0)
