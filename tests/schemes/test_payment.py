"""The Payment scheme in a paywall: what a 402 offers, what opens, what is refused and under which name."""

import json
import re
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l402_middleware import ConfigurationError, LedgerError, Offer, msats
from l402_middleware.core import strict_json
from l402_middleware.core.offered import PaymentOffer, parse_challenges
from l402_middleware.core.payment import PaymentChallenge, PaymentCredential, read_receipt
from l402_middleware.credentials import inspect
from l402_middleware.flow import drive
from l402_middleware.paywall.delivery import Delivery
from l402_middleware.paywall.paywall import Decision
from l402_middleware.paywall.response import Headers, Response

from ..paywall.shop import KEY, Shop, ask, deliver, field_of, members

CALL = Offer(21)
BUNDLE = Offer(21, uses=3)
PASS = Offer(21, uses=None)
EXACT = Offer(21, bind="request")
PROBLEMS = "https://paymentauth.org/problems/"


def line_of(challenge: Decision) -> bytes:
    """The Payment line of a 402, which is its second."""
    _, line = field_of(challenge, b"www-authenticate")
    return line


def offered(challenge: Decision) -> PaymentChallenge:
    """What it says."""
    [offer] = parse_challenges([line_of(challenge)])
    assert isinstance(offer, PaymentOffer)
    return offer.challenge


def pay(shop: Shop, challenge: Decision) -> PaymentCredential:
    """The credential that paying a 402 gives."""
    return PaymentCredential(offered(challenge), {"preimage": shop.node.pay(members(challenge)["invoice"]).hex()})


def buy(shop: Shop, offer: Offer = CALL) -> bytes:
    """The Authorization value, quoted and paid."""
    return pay(shop, shop.decide(offer, ask())).header().encode()


def written(credential: Any) -> bytes:
    """A credential as another client would write it: JSON of its own, with padding."""
    return b"Payment " + urlsafe_b64encode(json.dumps(credential, indent=1).encode())


def parts(credential: PaymentCredential) -> dict[str, Any]:
    """The JSON of a credential."""
    return {"challenge": credential.challenge.parameters(), "payload": dict(credential.payload)}


def refusal(decision: Decision) -> tuple[int, str, str]:
    """Status, code, and the scheme's own word for it."""
    told = members(decision)
    return told["status"], told["code"], told["type"].removeprefix(PROBLEMS)


def test_a_402_offers_both_over_one_invoice() -> None:
    """Trap 1: L402 first and Payment on a line of its own, each at the start of it; they are read joined too."""
    answer = Shop().decide(CALL, ask())
    first, second = field_of(answer, b"www-authenticate")
    assert first.startswith(b'L402 macaroon="')
    assert re.match(rb'Payment id="', second)
    for lines in ([first, second], [first + b", " + second]):
        assert [offer.scheme for offer in parse_challenges(lines)] == ["l402", "payment"]
        assert {offer.bolt11 for offer in parse_challenges(lines)} == {members(answer)["invoice"]}


def test_what_a_challenge_says() -> None:
    """Traps 4, 7, 8: `sat`, a network's name, JCS to the byte, each parameter once and quoted, request before words."""
    answer = Shop().decide(CALL, ask())
    challenge = offered(answer)
    assert (challenge.realm, challenge.method, challenge.intent) == ("l402", "lightning", "charge")
    assert challenge.expires == "2023-11-14T22:23:20Z"
    request = challenge.request_members()
    assert request == {
        "amount": "21",
        "currency": "sat",
        "methodDetails": {
            "invoice": members(answer)["invoice"],
            "network": "regtest",
            "paymentHash": members(answer)["payment_hash"],
        },
    }
    raw = urlsafe_b64decode(challenge.request + "=" * (-len(challenge.request) % 4))
    assert raw == strict_json.canonical(request)
    names = re.findall(r'([a-z]+)="[^"]*"(?:, |$)', line_of(answer).decode().removeprefix("Payment "))
    assert names == ["id", "realm", "method", "intent", "request", "expires", "description"]


@pytest.mark.parametrize("memo", ['a "quote", a comma', "ünï ☂", "a|b\\c", "a\tb"])
def test_a_description_that_every_client_reads(memo: str) -> None:
    """Traps 3 and 7: what locks a client out is left out."""
    challenge = offered(Shop().decide(Offer(21, memo=memo), ask()))
    assert challenge.description is not None
    assert challenge.description.isascii()
    assert not set('",|\\\t') & set(challenge.description)


def test_nothing_but_six_parameters_is_needed() -> None:
    """Trap 2: one client echoes no more than these, so the sale is in the `id`."""
    shop = Shop()
    credential = parts(pay(shop, shop.decide(EXACT, ask("POST /thing", body=b"x"))))
    for name in ("digest", "description"):
        assert credential["challenge"].pop(name)
    assert credential["challenge"].keys() == {"id", "realm", "method", "intent", "request", "expires"}
    assert deliver(shop.decide(EXACT, ask("POST /thing", written(credential), body=b"x")))


def test_a_credential_as_others_write_it() -> None:
    """Trap 8: no canonical JSON is asked for, nor an order, and unknown members and padding are let pass."""
    shop = Shop()
    credential = parts(pay(shop, shop.decide(CALL, ask())))
    challenge = dict(reversed(credential["challenge"].items())) | {"opaque": "e30", "header": "Authorization"}
    written_so = {"source": "did:key:z6Mk", "payload": credential["payload"], "challenge": challenge, "more": [1]}
    assert deliver(shop.decide(CALL, ask("GET /thing", written(written_so))))


@pytest.mark.parametrize(
    ("offer", "body", "digest"),
    [
        (EXACT, b"body", f"sha-256=:{b64encode(sha256(b'body').digest()).decode()}:"),
        (EXACT, b"", None),
        (CALL, b"body", None),
    ],
)
def test_a_bound_body_is_named(offer: Offer, body: bytes, digest: str | None) -> None:
    """Case 108: RFC 9530's words, where the sale is for one body; another body is not what was sold."""
    shop = Shop()
    challenge = shop.decide(offer, ask("POST /thing", body=body))
    assert offered(challenge).digest == digest
    credential = pay(shop, challenge).header().encode()
    if offer is EXACT:
        wrong = shop.decide(offer, ask("POST /thing", credential, body=body + b"!"))
        assert refusal(wrong) == (402, "wrong-request", "verification-failed")
    assert deliver(shop.decide(offer, ask("POST /thing", credential, body=body)))


@pytest.mark.parametrize("offer", [Offer(msats(21_500)), Offer(lambda request: msats(1))])
def test_what_is_no_whole_sat_is_sold_by_l402_alone(offer: Offer) -> None:
    """The scheme's unit is the sat: nobody is asked for more than the price by one scheme than by the other."""
    [line] = field_of(Shop().decide(offer, ask()), b"www-authenticate")
    assert line.startswith(b"L402 ")


def test_a_receipt_names_challenge_and_payment() -> None:
    """Cases 111, 54: it is in the answer and again in the kept one, and no preimage is."""
    shop = Shop()
    challenge = shop.decide(CALL, ask())
    credential = pay(shop, challenge)
    decision = shop.decide(CALL, ask("GET /thing", credential.header().encode()))
    assert isinstance(decision, Delivery)
    head = dict(decision.start(200, []))
    assert head[b"cache-control"] == b"private"
    assert read_receipt(head[b"payment-receipt"].decode()) == {
        "challengeId": offered(challenge).id,
        "method": "lightning",
        "reference": members(challenge)["payment_hash"],
        "status": "success",
        "timestamp": "2023-11-14T22:13:20Z",
    }
    decision.take(b"goods")
    assert drive(decision.finish())
    again = shop.decide(CALL, ask("GET /thing", credential.header().encode()))
    assert isinstance(again, Response)
    assert (again.status, again.body) == (200, b"goods")
    assert field_of(again, b"payment-receipt") == [head[b"payment-receipt"]]
    assert credential.payload["preimage"].encode() not in b"".join(value for _, value in again.headers)


@pytest.mark.parametrize("status", [304, 404, 500])
def test_no_receipt_for_what_is_no_success(status: int) -> None:
    """Trap 13: a failed answer carries none."""
    shop = Shop()
    decision = shop.decide(CALL, ask("GET /thing", buy(shop)))
    assert isinstance(decision, Delivery)
    assert b"payment-receipt" not in dict(decision.start(status, []))


def altered(credential: dict[str, Any], **changes: Any) -> bytes:
    """The credential with other parameters in its challenge."""
    return written({**credential, "challenge": {**credential["challenge"], **changes}})


@pytest.mark.parametrize(
    ("change", "status", "code", "name"),
    [
        (lambda it: b"Payment", 402, "malformed-credential", "lightning/malformed-credential"),
        (lambda it: b"Payment !", 402, "malformed-credential", "lightning/malformed-credential"),
        (lambda it: written([]), 402, "malformed-credential", "lightning/malformed-credential"),
        (lambda it: written({**it, "payload": {}}), 402, "malformed-credential", "lightning/malformed-credential"),
        (
            lambda it: written({**it, "payload": {"preimage": "ab" * 32}}),
            *(402, "invalid-preimage", "lightning/invalid-preimage"),
        ),
        (lambda it: altered(it, realm="other"), 402, "invalid-credential", "lightning/unknown-challenge"),
        (lambda it: altered(it, realm="l402|lightning"), 402, "invalid-credential", "lightning/unknown-challenge"),
        (lambda it: altered(it, expires=None), 402, "invalid-credential", "lightning/unknown-challenge"),
        (
            lambda it: altered(it, expires="2033-11-14T22:23:20Z"),
            *(402, "invalid-credential", "lightning/unknown-challenge"),
        ),
        (lambda it: altered(it, request="e30"), 402, "invalid-credential", "lightning/unknown-challenge"),
        (lambda it: altered(it, id="AAAA"), 402, "invalid-credential", "lightning/unknown-challenge"),
        (lambda it: altered(it, method="tempo"), 400, "method-unsupported", "method-unsupported"),
        (lambda it: altered(it, intent="session"), 400, "method-unsupported", "method-unsupported"),
    ],
)
def test_a_fault_in_the_drafts_words(change: Any, status: int, code: str, name: str) -> None:
    """Cases 102, 103, 105 and traps 10, 11: the `type` is the scheme's, the `code` ours; a 402 is a fresh challenge."""
    shop = Shop()
    answer = shop.decide(CALL, ask("GET /thing", change(parts(pay(shop, shop.decide(CALL, ask()))))))
    assert refusal(answer) == (status, code, name)
    assert len(field_of(answer, b"www-authenticate")) == (2 if status == 402 else 0)
    assert field_of(answer, b"cache-control") == [b"no-store"]


@pytest.mark.parametrize("offer", [CALL, BUNDLE, PASS])
def test_a_cheap_challenge_opens_no_dear_route(offer: Offer) -> None:
    """Case 104, trap 13: what was bought is what opens, whatever the scheme."""
    shop = Shop()
    credential = pay(shop, shop.decide(offer, ask("GET /cheap"))).header().encode()
    for endpoint in ("GET /dear", "POST /cheap"):
        answer = shop.decide(Offer(2100), ask(endpoint, credential))
        assert refusal(answer) == (402, "wrong-endpoint", "verification-failed")


def test_a_challenge_ends_with_its_invoice_and_the_macaroon_later() -> None:
    """The refusal says so, and the L402 credential of the same 402, with the same preimage, opens."""
    shop = Shop()
    challenge = shop.decide(CALL, ask())
    credential = pay(shop, challenge)
    shop.clock.now += 600
    answer = shop.decide(CALL, ask("GET /thing", credential.header().encode()))
    assert refusal(answer) == (402, "challenge-expired", "lightning/expired-invoice")
    assert "L402 credential" in members(answer)["title"]
    l402 = f"L402 {members(challenge)['macaroon']}:{credential.payload['preimage']}".encode()
    assert deliver(shop.decide(CALL, ask("GET /thing", l402)))


def test_keys_rotate() -> None:
    """What the older key signed stays good while it is listed; nothing else does."""
    older, newer = KEY, KEY[::-1]
    sold = Shop()
    credential = buy(sold)
    both = Shop({"secret_keys": [older, newer], "ledger": sold.paywall.ledger})
    assert isinstance(both.decide(CALL, ask("GET /thing", credential)), Delivery)
    answer = Shop({"secret_keys": [newer]}).decide(CALL, ask("GET /thing", credential))
    assert refusal(answer)[:2] == (402, "invalid-credential")


def test_several_credentials() -> None:
    """Case 106: 400, without a challenge."""
    shop = Shop()
    one, other = buy(shop), buy(shop)
    for values in ([one, other], [one + b", " + other], [one, one]):
        answer = shop.decide(CALL, ask("GET /thing", *values))
        assert refusal(answer) == (400, "several-credentials", "malformed-credential")
        assert not field_of(answer, b"www-authenticate")


def test_what_has_paid_is_never_asked_again_for_our_sake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trap 9: a ledger that is away is a 503, a use that is held a 409; two clients pay three times on a 402."""
    shop = Shop()
    credential = buy(shop)
    running = shop.decide(CALL, ask("GET /thing", credential))
    assert refusal(shop.decide(CALL, ask("GET /thing", credential)))[:2] == (409, "in-use")
    assert deliver(running)

    def away(claim: object) -> object:
        raise LedgerError("away")

    monkeypatch.setattr(shop.paywall.ledger, "hold", away)
    assert refusal(shop.decide(CALL, ask("GET /thing", buy(shop))))[:2] == (503, "ledger-unavailable")


def test_a_kept_answer_is_for_who_can_prove_the_payment() -> None:
    """Trap 12: the challenge alone, with another preimage or none, gives nothing again."""
    shop = Shop()
    credential = parts(pay(shop, shop.decide(CALL, ask())))
    assert deliver(shop.decide(CALL, ask("GET /thing", written(credential))))
    for payload in ({"preimage": "00" * 32}, {}):
        answer = shop.decide(CALL, ask("GET /thing", written({**credential, "payload": payload})))
        assert refusal(answer)[0] == 402
    again = shop.decide(CALL, ask("GET /thing", written(credential)))
    assert isinstance(again, Response)
    assert again.is_again


@pytest.mark.parametrize(
    ("wanted", "lines"),
    [
        ("lightning/charge, tempo/*;q=0.5", 2),
        ("*/*", 2),
        ("tempo/charge", 2),
        ("nonsense", 2),
        ("lightning/charge;q=0", 1),
        ("lightning/*;q=0, tempo/charge", 1),
        ("lightning/*;q=0, lightning/charge;q=0.1", 2),
    ],
)
def test_accept_payment(wanted: str, lines: int) -> None:
    """Case 110: only a plain no takes the line away; L402 stays, and so does the only way there is."""
    headers: Headers = [(b"accept-payment", wanted.encode())]
    answer = Shop().decide(CALL, ask(headers=headers))
    assert len(field_of(answer, b"www-authenticate")) == lines
    assert field_of(answer, b"www-authenticate")[0].startswith(b"L402 ")
    [line] = field_of(Shop({"schemes": ["payment"]}).decide(CALL, ask(headers=headers)), b"www-authenticate")
    assert line.startswith(b"Payment ")


def test_a_header_beside_the_applications_own() -> None:
    """Case 109: with the setting, Payment comes there and only there, L402 in both; the application's is let be."""
    shop = Shop({"credential_header": "Payment-Authorization"})
    challenge = shop.decide(CALL, ask())
    assert b', header="Payment-Authorization"' in line_of(challenge)
    assert field_of(challenge, b"vary") == [b"Accept, Authorization, Payment-Authorization"]
    preimage = shop.node.pay(members(challenge)["invoice"]).hex()
    [found] = re.findall(rb'Payment (.*), header="Payment-Authorization"', line_of(challenge))
    parameters = dict(re.findall(r'([a-z]+)="([^"]*)"', found.decode()))
    payment = written({"challenge": parameters, "payload": {"preimage": preimage}})
    l402 = f"L402 {members(challenge)['macaroon']}:{preimage}".encode()
    assert refusal(shop.decide(CALL, ask("GET /thing", payment)))[:2] == (402, "payment-required")
    for value in (payment, l402):
        headers = [(b"payment-authorization", value)]
        decision = shop.decide(BUNDLE, ask("GET /thing", b"Bearer mine", headers=headers))
        assert isinstance(decision, Delivery | Response)
        assert isinstance(decision, Delivery) or decision.status == 409
    assert isinstance(shop.decide(CALL, ask("GET /thing", shop.buy(CALL))), Delivery)


@pytest.mark.parametrize("header", ["X-Payment", "", None, "payment-authorization"])
def test_a_header_that_no_client_knows(header: Any) -> None:
    """It is refused at start-up."""
    with pytest.raises(ConfigurationError, match="credential_header must be 'Authorization' or"):
        Shop({"credential_header": header})


def test_a_payment_that_is_a_pass() -> None:
    """Each use of a pass carries a receipt, until the challenge ends."""
    shop = Shop()
    credential = buy(shop, PASS)
    for _ in range(3):
        decision = shop.decide(PASS, ask("GET /thing", credential))
        assert isinstance(decision, Delivery)
        assert b"payment-receipt" in dict(decision.start(200, []))


@given(st.lists(st.binary(max_size=60) | st.binary(max_size=60).map(b"Payment ".__add__), max_size=3))
def test_any_bytes_are_a_refusal(values: list[bytes]) -> None:
    """Trap 11: a 402 or a 400, whatever the field holds; never the handler, never an error."""
    answer = Shop().decide(CALL, ask("GET /thing", *values))
    assert refusal(answer)[0] in (400, 402)


@pytest.mark.parametrize("preimage", [None, "ab" * 32])
def test_a_challenge_and_a_credential_can_be_inspected(preimage: str | None) -> None:
    """`l402 inspect` shows both, with the invoice; of the preimage only whether it is the payment's."""
    shop = Shop()
    challenge = shop.decide(CALL, ask())
    told = inspect(line_of(challenge).decode())
    assert told["amount"] == "21 sat"
    assert told["challenge"] == {
        name: value for name, value in offered(challenge).parameters().items() if name != "request"
    }
    credential = pay(shop, challenge)
    if preimage is not None:
        credential = PaymentCredential(credential.challenge, {"preimage": preimage})
    shown = inspect(f"Authorization: {credential.header()}")
    assert shown.pop("preimage fits") == (preimage is None)
    assert shown == told
    assert credential.payload["preimage"] not in str(shown)


@pytest.mark.parametrize("text", ["Payment", "Payment ", "Payment !", "Payment e30", 'Payment id="x"', "Payment a, b"])
def test_what_cannot_be_inspected(text: str) -> None:
    """It is said, and nothing of it is repeated."""
    with pytest.raises(ValueError, match=r"neither|nothing|no invoice"):
        inspect(text)
