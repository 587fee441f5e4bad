"""The Payment scheme at the paywall: what its challenge says, which credentials open, and what the others are told."""

import json
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from l402_middleware import ConfigurationError, Offer, Paywall, msats
from l402_middleware.core import base64url, strict_json
from l402_middleware.core.offered import L402Offer, PaymentOffer, parse_challenges
from l402_middleware.core.payment import PaymentChallenge, PaymentCredential, read_receipt
from l402_middleware.flow import drive
from l402_middleware.ledgers import MemoryLedger
from l402_middleware.paywall.delivery import Delivery
from l402_middleware.paywall.paywall import Decision
from l402_middleware.paywall.response import Response
from l402_middleware.providers import DevNode

from ..paywall.shop import KEY, Shop, ask, deliver, field_of, members
from ..paywall.test_redemption import token_id_of

OFFER = Offer(10)
BOUND = Offer(10, bind="request")
BUNDLE = Offer(10, uses=3)
PASS = Offer(10, uses=None)
FIELD = b"payment-authorization"


@pytest.fixture(name="shop")
def _shop() -> Shop:
    return Shop()


def charge_of(answer: Decision) -> PaymentOffer:
    """What a 402 offers by the Payment scheme."""
    [offer] = [each for each in parse_challenges(lines_of(answer)) if isinstance(each, PaymentOffer)]
    return offer


def lines_of(answer: Decision) -> list[bytes]:
    """The WWW-Authenticate lines."""
    return field_of(answer, b"www-authenticate")


def paid(shop: Shop, answer: Decision, **payload: Any) -> bytes:
    """The Payment credential for a 402, once its invoice is paid; with other members of the payload, if any."""
    preimage = shop.pay(answer)[-64:].decode()
    return PaymentCredential(charge_of(answer).challenge, {"preimage": preimage, **payload}).header().encode()


def shown(challenge: PaymentChallenge, preimage: str = "0" * 64) -> bytes:
    """A credential for that challenge."""
    return PaymentCredential(challenge, {"preimage": preimage}).header().encode()


def problem(decision: Decision) -> tuple[int, str, str]:
    """Status, code, and the type behind the drafts' common part."""
    assert isinstance(decision, Response)
    told = members(decision)
    return decision.status, told["code"], told["type"].removeprefix("https://paymentauth.org/problems/")


# --- the challenge


def test_l402_first_and_each_on_its_own_line(shop: Shop) -> None:
    """Traps 1 and 6: 402index and five clients look for L402 at the start of the first line."""
    first, second = lines_of(shop.decide(OFFER, ask()))
    assert first.startswith(b'L402 macaroon="')
    assert second.startswith(b'Payment id="')
    folded = parse_challenges([first + b", " + second])
    assert [type(each) for each in folded] == [L402Offer, PaymentOffer]


def test_one_invoice_for_both(shop: Shop) -> None:
    """One payment, one row: whichever door its payer takes."""
    answer = shop.decide(OFFER, ask())
    offer = charge_of(answer)
    told = members(answer)
    assert (offer.bolt11, offer.payment_hash) == (told["invoice"], told["payment_hash"])
    assert (offer.amount, offer.currency, offer.network) == ("10", "sat", "regtest")


def test_the_request_is_canonical(shop: Shop) -> None:
    """Trap 8: mppx and pympp write `request` again from what they parsed: it has to be JCS to the byte."""
    challenge = charge_of(shop.decide(OFFER, ask())).challenge
    raw = base64url.decode(challenge.request)
    assert raw == strict_json.canonical(json.loads(raw))
    assert "=" not in challenge.request


@pytest.mark.parametrize("memo", ['Half "price", 5\\6 | off', "Zürich ₿", "a\nb", ""])
def test_what_stands_in_the_line_survives_every_client(shop: Shop, memo: str) -> None:
    """Traps 3 and 7: every parameter quoted and once, `request` before `description`, nothing that locks one out."""
    line = lines_of(shop.decide(Offer(10, memo=memo or None), ask()))[1].decode("ascii")
    names = [each.partition('="')[0] for each in line.removeprefix("Payment ").split('", ')]
    assert names[:6] == ["id", "realm", "method", "intent", "request", "expires"]
    assert names[6:] in ([], ["description"])
    described = charge_of(shop.decide(Offer(10, memo=memo or None), ask())).challenge.description or ""
    assert not set(described) & set('"\\,|\n')
    assert described.isascii()


def test_the_digest_of_a_bound_body(shop: Shop) -> None:
    """A sale that is bound to its body says so (RFC 9530); one without a body has nothing to say."""
    bound = charge_of(shop.decide(BOUND, ask("POST /thing", body=b"content"))).challenge
    assert bound.digest == f"sha-256=:{b64encode(sha256(b'content').digest()).decode()}:"
    assert charge_of(shop.decide(BOUND, ask())).challenge.digest is None
    assert charge_of(shop.decide(OFFER, ask("POST /thing", body=b"content"))).challenge.digest is None


@pytest.mark.parametrize(
    ("accepted", "count"),
    [
        ([], 2),
        ([b"lightning/charge"], 2),
        ([b"lightning/*, tempo/*;q=0.5"], 2),
        ([b"tempo/charge"], 2),
        ([b"nonsense"], 2),
        ([b"*/*, lightning/charge;q=0"], 1),
    ],
)
def test_accept_payment(shop: Shop, accepted: list[bytes], count: int) -> None:
    """It leaves out what the client does not want; malformed or without a match it says nothing; L402 always stays."""
    lines = lines_of(shop.decide(OFFER, ask(headers=[(b"accept-payment", value) for value in accepted])))
    assert len(lines) == count
    assert lines[0].startswith(b"L402 ")


def test_parts_of_a_sat_are_sold_by_l402_alone(shop: Shop) -> None:
    """Amounts of the scheme are whole sats: 1,500 msat has no word in it, and nobody is asked for more."""
    [line] = lines_of(shop.decide(Offer(msats(1500)), ask()))
    assert line.startswith(b"L402 ")


def test_the_operator_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    """One scheme, the other, or both."""
    assert [line.partition(b" ")[0] for line in lines_of(Shop({"schemes": ["l402"]}).decide(OFFER, ask()))] == [b"L402"]
    alone = Shop({"schemes": ["payment"]})
    answer = alone.decide(OFFER, ask())
    assert [line.partition(b" ")[0] for line in lines_of(answer)] == [b"Payment"]
    assert problem(answer)[2] == "payment-required"


# --- the credential


@pytest.mark.parametrize("offer", [OFFER, BUNDLE, PASS, BOUND])
def test_a_paid_charge_opens(shop: Shop, offer: Offer) -> None:
    """Each kind of sale, with a receipt on its answer."""
    answer = shop.decide(offer, ask("POST /thing", body=b"x"))
    decision = shop.decide(offer, ask("POST /thing", paid(shop, answer), body=b"x"))
    assert isinstance(decision, Delivery)
    headers = dict(decision.start(200, []))
    receipt = read_receipt(headers[b"payment-receipt"].decode())
    assert receipt["reference"] == members(answer)["payment_hash"]
    assert receipt["challengeId"] == charge_of(answer).challenge.id
    assert (receipt["method"], receipt["status"]) == ("lightning", "success")
    assert b"private" in headers[b"cache-control"]


@pytest.mark.parametrize("status", [302, 404, 500])
def test_no_receipt_for_what_is_no_success(shop: Shop, status: int) -> None:
    """The draft has it on 2xx only."""
    decision = shop.decide(OFFER, ask("GET /thing", paid(shop, shop.decide(OFFER, ask()))))
    assert isinstance(decision, Delivery)
    assert b"payment-receipt" not in dict(decision.start(status, []))


def test_spent_by_either_door(shop: Shop) -> None:
    """A charge, then the macaroon of the same 402, and the other way round: one delivery."""
    for first in (0, 1):
        answer = shop.decide(OFFER, ask())
        doors = [paid(shop, answer), shop.pay(answer)]
        assert deliver(shop.decide(OFFER, ask("GET /thing", doors[first])))
        refused = shop.decide(OFFER, ask("GET /thing", doors[1 - first], query=b"another"))
        assert problem(refused)[:2] == (402, "already-used")


def test_echoed_by_a_client_that_drops_what_it_does_not_know(shop: Shop) -> None:
    """Trap 2: Alby's client sends back id, realm, method, intent, request and expires, and nothing else."""
    answer = shop.decide(BOUND, ask("POST /thing", body=b"x"))
    few = replace(charge_of(answer).challenge, digest=None, description=None, opaque=None)
    preimage = shop.pay(answer)[-64:].decode()
    assert isinstance(shop.decide(BOUND, ask("POST /thing", shown(few, preimage), body=b"x")), Delivery)


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"realm": "l403"}, (402, "invalid-credential", "lightning/unknown-challenge")),
        ({"request": base64url.encode(b"{}")}, (402, "invalid-credential", "lightning/unknown-challenge")),
        ({"expires": "2099-01-01T00:00:00Z"}, (402, "invalid-credential", "lightning/unknown-challenge")),
        ({"id": "AAAA"}, (402, "invalid-credential", "lightning/unknown-challenge")),
        ({"intent": "session"}, (400, "method-unsupported", "method-unsupported")),
        ({"method": "tempo"}, (400, "method-unsupported", "method-unsupported")),
    ],
)
def test_a_challenge_that_was_changed(shop: Shop, change: dict[str, str], refusal: tuple[int, str, str]) -> None:
    """Trap 13: nothing that decides can be changed, and what is refused is told in the drafts' words."""
    answer = shop.decide(OFFER, ask())
    preimage = shop.pay(answer)[-64:].decode()
    credential = shown(replace(charge_of(answer).challenge, **change), preimage)
    assert problem(shop.decide(OFFER, ask("GET /thing", credential))) == refusal


def test_the_challenge_of_a_cheap_route(shop: Shop) -> None:
    """Trap 13: bought at one price, it opens no dearer route."""
    credential = paid(shop, shop.decide(Offer(1), ask("GET /cheap")))
    refused = shop.decide(Offer(1000), ask("GET /dear", credential))
    assert problem(refused) == (402, "wrong-endpoint", "verification-failed")


def test_not_paid(shop: Shop) -> None:
    """Somebody else's preimage opens nothing."""
    refused = shop.decide(OFFER, ask("GET /thing", shown(charge_of(shop.decide(OFFER, ask())).challenge)))
    assert problem(refused) == (402, "invalid-preimage", "lightning/invalid-preimage")
    assert len(lines_of(refused)) == 2


def test_after_its_expiry_the_other_door_is_open(shop: Shop) -> None:
    """A charge ends with its invoice; the L402 credential of the same 402 stays good, and the refusal says so."""
    answer = shop.decide(OFFER, ask())
    credential, ours = paid(shop, answer), shop.pay(answer)
    shop.clock.now += 601
    refused = shop.decide(OFFER, ask("GET /thing", credential))
    assert problem(refused) == (402, "challenge-expired", "lightning/expired-invoice")
    assert "L402" in members(refused)["title"]
    assert isinstance(shop.decide(OFFER, ask("GET /thing", ours)), Delivery)


@pytest.mark.parametrize("value", [b"Payment", b"Payment x", b"Payment " + b"A" * 17_000, b"Payment e30"])
def test_malformed(shop: Shop, value: bytes) -> None:
    """Whatever bytes follow the scheme's name, there is a new challenge."""
    refused = shop.decide(OFFER, ask("GET /thing", value))
    assert problem(refused)[:2] == (402, "malformed-credential")
    assert len(lines_of(refused)) == 2


def test_revoked_is_revoked_by_both_doors(shop: Shop) -> None:
    """The token id is one for both."""
    answer = shop.decide(OFFER, ask())
    drive(shop.paywall.revoke(token_id_of(shop.pay(answer))))
    assert problem(shop.decide(OFFER, ask("GET /thing", paid(shop, answer)))) == (402, "revoked", "invalid-challenge")


def test_busy_is_no_402(shop: Shop) -> None:
    """Trap 9: mppx and pympp pay again at a 402: an honest payment never gets one for a reason of the server's own."""
    credential = paid(shop, shop.decide(OFFER, ask()))
    running = shop.decide(OFFER, ask("GET /thing", credential))
    assert isinstance(running, Delivery)
    refused = shop.decide(OFFER, ask("GET /thing", credential))
    assert problem(refused)[:2] == (409, "in-use")
    assert lines_of(refused) == []


def test_keys_rotate(shop: Shop) -> None:
    """What an older key of the ring sold is still good; what none of them signed is not."""
    answer = shop.decide(OFFER, ask())
    credential = paid(shop, answer)
    newer = Shop({"secret_keys": [KEY, "fedcba9876543210" * 4]})
    assert isinstance(newer.decide(OFFER, ask("GET /thing", credential)), Delivery)
    other = Shop({"secret_keys": ["fedcba9876543210" * 4]})
    assert problem(other.decide(OFFER, ask("GET /thing", credential)))[1] == "invalid-credential"


# --- an application with an Authorization of its own


@pytest.fixture(name="beside")
def _beside() -> Shop:
    return Shop({"credential_header": "Payment-Authorization"})


def test_the_challenge_names_the_field(beside: Shop) -> None:
    """Trap 7: only mppx and pympp understand it, so it is there only where it was asked for."""
    answer = beside.decide(OFFER, ask())
    assert lines_of(answer)[1].endswith(b', header="Payment-Authorization"')
    assert b"header=" not in lines_of(Shop().decide(OFFER, ask()))[1]
    assert field_of(answer, b"vary") == [b"Accept, Authorization, Payment-Authorization"]


def test_a_charge_comes_there_and_only_there(beside: Shop) -> None:
    """In `Authorization` it is the application's, and no credential of ours."""
    credential = paid(beside, beside.decide(OFFER, ask()))
    assert problem(beside.decide(OFFER, ask("GET /thing", credential)))[:2] == (402, "payment-required")
    fields = [(b"authorization", b"Bearer x"), (FIELD, credential)]
    assert isinstance(beside.decide(OFFER, ask(headers=fields)), Delivery)


def test_l402_comes_by_both(beside: Shop) -> None:
    """Beside a `Bearer` in its own field, an L402 credential may stand in the other one too."""
    for field in (b"authorization", FIELD):
        credential = beside.pay(beside.decide(OFFER, ask()))
        fields = [(field, credential), *([(b"authorization", b"Bearer x")] if field == FIELD else [])]
        assert isinstance(beside.decide(OFFER, ask(headers=fields)), Delivery)


@pytest.mark.parametrize("header", ["authorization", "X-Payment", "", None, 5])
def test_no_other_field(header: Any) -> None:
    """A field that no client knows is refused at the start."""
    with pytest.raises(ConfigurationError, match="credential_header"):
        Paywall(DevNode(), MemoryLedger(), credential_header=header)
