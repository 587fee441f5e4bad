"""Two schemes in one paywall: one 402 and one invoice for both, and one payment whichever way it is shown."""

from typing import Any

import pytest

from l402_middleware import ConfigurationError, Offer, msats
from l402_middleware.flow import drive
from l402_middleware.paywall.delivery import Delivery
from l402_middleware.paywall.paywall import Decision
from l402_middleware.paywall.response import Headers, Response
from l402_middleware.schemes.registry import SCHEMES, names_in_order

from ..paywall.shop import Shop, ask, deliver, field_of, members
from ..paywall.test_redemption import token_id_of
from .ticket import TicketScheme

OFFER = Offer(10)
BUNDLE = Offer(10, uses=3)
PASS = Offer(10, uses=None)


@pytest.fixture(name="shop")
def _shop(monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.setitem(SCHEMES, "ticket", TicketScheme)
    return Shop({"schemes": ["ticket", "l402"]})


def both(shop: Shop, challenge: Decision) -> tuple[bytes, Headers]:
    """What paying a challenge gives: the Authorization value of L402, and the header fields of a ticket."""
    credential = shop.pay(challenge)
    preimage = credential[-64:]
    return credential, [(b"ticket-authorization", members(challenge)["ticket"].encode() + b":" + preimage)]


def problem(decision: Decision) -> tuple[int, str, str]:
    """Status, code and type of a refusal."""
    told = members(decision)
    assert isinstance(decision, Response)
    assert told["status"] == decision.status
    return decision.status, told["code"], told["type"]


def test_a_402_carries_both(shop: Shop) -> None:
    """A line for each, L402's first whatever the order of the setting, over one invoice; and the members of both."""
    answer = shop.decide(OFFER, ask())
    first, second = field_of(answer, b"www-authenticate")
    told = members(answer)
    assert first.startswith(b'L402 macaroon="')
    assert second == f'Ticket id="{told["ticket"]}", invoice="{told["invoice"]}"'.encode()
    assert told["invoice"].encode() in first
    assert problem(answer) == (402, "payment-required", "urn:l402:problem:payment-required")
    assert field_of(answer, b"vary") == [b"Accept, Authorization, Ticket-Authorization, Accept-Ticket"]


def test_either_way_in(shop: Shop) -> None:
    """A credential of either opens, and the one that has a receipt gives it with the answer."""
    credential, ticket = both(shop, shop.decide(OFFER, ask()))
    decision = shop.decide(OFFER, ask(headers=ticket))
    assert isinstance(decision, Delivery)
    sent = decision.start(200, [])
    assert (b"ticket-receipt", ticket[0][1].rpartition(b":")[0]) in sent
    assert (b"cache-control", b"private") in sent
    assert (b"vary", b"Authorization, Ticket-Authorization, Accept-Ticket") in sent
    credential, _ = both(shop, shop.decide(OFFER, ask()))
    decision = shop.decide(OFFER, ask("GET /thing", credential))
    assert isinstance(decision, Delivery)
    assert not any(name == b"ticket-receipt" for name, _ in decision.start(200, []))


@pytest.mark.parametrize(
    ("conditions", "status", "has_receipt"),
    [
        ({}, 200, True),
        ({}, 204, True),
        ({}, 304, False),
        ({}, 404, False),
        ({}, 500, False),
        ({"charge_if": lambda status: status == 404}, 404, False),
        ({"charge_if": lambda status: status == 404}, 200, False),
    ],
)
def test_a_receipt_is_for_what_was_bought(
    shop: Shop, conditions: dict[str, Any], status: int, has_receipt: bool
) -> None:
    """It goes out with a success that counts, never with a failed answer or one that costs nothing."""
    offer = Offer(10, **conditions)
    _, ticket = both(shop, shop.decide(offer, ask()))
    decision = shop.decide(offer, ask(headers=ticket))
    assert isinstance(decision, Delivery)
    sent = decision.start(status, [])
    assert any(name == b"ticket-receipt" for name, _ in sent) == has_receipt


@pytest.mark.parametrize("ticket_first", [True, False])
def test_a_payment_is_spent_once(shop: Shop, ticket_first: bool) -> None:
    """Whichever way it is shown first, the other gets the same answer again, or nothing; together they count once."""
    credential, ticket = both(shop, shop.decide(OFFER, ask()))
    ways = [ask(headers=ticket), ask("GET /thing", credential), ask("GET /thing", credential, headers=ticket)]
    first, second, third = ways if ticket_first else [ways[1], ways[0], ways[2]]
    running = shop.decide(OFFER, first)
    assert problem(shop.decide(OFFER, second))[:2] == (409, "in-use")
    assert problem(shop.decide(OFFER, third))[:2] == (409, "in-use")
    assert deliver(running)
    again = shop.decide(OFFER, second)
    assert isinstance(again, Response)
    assert again.body == b"goods"
    assert (again.status, again.is_again) == (200, True)
    for other in (ask(headers=ticket, query=b"x"), ask("GET /thing", credential, query=b"x")):
        assert problem(shop.decide(OFFER, other))[:2] == (402, "already-used")


def test_a_bundle_is_used_up_by_both_together(shop: Shop) -> None:
    """Its uses are the payment's."""
    credential, ticket = both(shop, shop.decide(BUNDLE, ask()))
    for request in (ask(headers=ticket), ask("GET /thing", credential), ask("GET /thing", credential, headers=ticket)):
        assert deliver(shop.decide(BUNDLE, request))
    assert problem(shop.decide(BUNDLE, ask(headers=ticket)))[1] == "already-used"


@pytest.mark.parametrize("offer", [OFFER, BUNDLE, PASS], ids=["call", "bundle", "pass"])
def test_what_is_revoked_is_revoked_for_both(shop: Shop, offer: Offer) -> None:
    """One id names what was sold, by whatever scheme it is shown."""
    credential, ticket = both(shop, shop.decide(offer, ask()))
    drive(shop.paywall.revoke(token_id_of(credential)))
    assert problem(shop.decide(offer, ask(headers=ticket)))[1] == "revoked"
    assert problem(shop.decide(offer, ask("GET /thing", credential)))[1] == "revoked"


def test_a_fault_is_called_as_its_scheme_calls_it(shop: Shop) -> None:
    """The `type` is that of the scheme that the client used, the `code` ours; and both schemes are offered again."""
    credential, ticket = both(shop, shop.decide(OFFER, ask("GET /other")))
    wrong = shop.decide(OFFER, ask(headers=ticket))
    assert problem(wrong) == (402, "wrong-endpoint", "https://tickets.example/problems/wrong-endpoint")
    assert len(field_of(wrong, b"www-authenticate")) == 2
    wrong = shop.decide(OFFER, ask("GET /thing", credential))
    assert problem(wrong) == (402, "wrong-endpoint", "urn:l402:problem:wrong-endpoint")
    junk = shop.decide(OFFER, ask(headers=[(b"ticket-authorization", b"junk")]))
    assert problem(junk) == (402, "malformed-credential", "https://tickets.example/problems/malformed-credential")
    assert members(junk)["title"] == "The ticket cannot be read. Here is a new challenge."


def test_a_fault_that_no_payment_mends(shop: Shop) -> None:
    """It has the status that its scheme gives it, and no challenge: nobody is asked to pay for it."""
    headers = [(b"ticket-authorization", b"a"), (b"ticket-authorization", b"b")]
    answer = shop.decide(OFFER, ask(headers=headers))
    assert problem(answer) == (400, "several-credentials", "https://tickets.example/problems/several-credentials")
    assert not field_of(answer, b"www-authenticate")
    credential = shop.buy(OFFER)
    assert isinstance(shop.decide(OFFER, ask("GET /thing", credential, headers=headers)), Delivery)


def test_a_scheme_that_does_not_offer(shop: Shop) -> None:
    """An amount that it cannot say, or a client that does not want it: the 402 has the other line only."""
    for answer in (
        shop.decide(Offer(msats(1500)), ask()),
        shop.decide(OFFER, ask(headers=[(b"accept-ticket", b"no")])),
    ):
        assert len(field_of(answer, b"www-authenticate")) == 1
        assert "ticket" not in members(answer)


def test_a_price_that_no_scheme_can_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the operator's mistake, and said to be one."""
    monkeypatch.setitem(SCHEMES, "ticket", TicketScheme)
    shop = Shop({"schemes": ["ticket"]})
    assert len(field_of(shop.decide(OFFER, ask()), b"www-authenticate")) == 1
    with pytest.raises(ConfigurationError, match=r"GET /thing cannot be sold.*1500 msat"):
        shop.decide(Offer(msats(1500)), ask())


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (["l402"], ("l402",)),
        (("ticket", "l402"), ("l402", "ticket")),
        ({"ticket": "any iterable"}.keys(), ("ticket",)),
    ],
)
def test_schemes_by_name(monkeypatch: pytest.MonkeyPatch, given: Any, names: tuple[str, ...]) -> None:
    """In the given order, but for L402, which is always first."""
    monkeypatch.setitem(SCHEMES, "ticket", TicketScheme)
    assert names_in_order(given) == names


@pytest.mark.parametrize("given", [[], "l402", None, 7, ["L402"], ["l402", "l402"], ["x402"], [7]])
def test_schemes_that_there_are_not(given: Any) -> None:
    """The operator reads which ones there are, or that each is named once."""
    with pytest.raises(ConfigurationError, match="schemes"):
        Shop({"schemes": given})
