"""What is paid, when, and what is not: the client's decisions, with every step answered by hand."""

from typing import Any

import pytest

from l402_middleware.client import Budget, MemoryStore, NotPaid, Outgoing, PaidInVain, PaymentUncertain
from l402_middleware.client.asked import Asked
from l402_middleware.client.buyer import Buyer
from l402_middleware.client.steps import Answer
from l402_middleware.client.wallet import FAILED, PENDING
from l402_middleware.core.caveats import Terms
from l402_middleware.core.charge import ChargeIssuer
from l402_middleware.core.errors import ConfigurationError
from l402_middleware.core.invoice import decode
from l402_middleware.core.keys import KeyRing
from l402_middleware.core.money import sats
from l402_middleware.core.payment import PaymentReceipt, parse_payment_authorization

from .by_hand import (
    ASKED,
    NOW,
    ORIGIN,
    Clock,
    HandWallet,
    Server,
    answer,
    bought,
    challenge,
    failing,
    foreign,
    invoice,
    payment_hash,
    preimage,
    right,
)

CHARGES = ChargeIssuer("l402", "api.example.com", KeyRing([bytes(range(32))]))


def payment(number: int, bolt11: str | None = None) -> bytes:
    """A Payment challenge."""
    asked = decode(bolt11 or invoice(number))
    terms = Terms("edNjU9kHDZM0vuKgbJWSFw", sats(21), 1, None, NOW + 7200)
    return CHARGES.issue(asked, number.to_bytes(32), terms).header().encode()


@pytest.fixture
def wallet() -> HandWallet:
    """A wallet that works."""
    return HandWallet()


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still until somebody sleeps."""
    return Clock()


@pytest.fixture
def buyer(wallet: HandWallet, clock: Clock) -> Buyer:
    """A buyer with 50 sat for each request."""
    return Buyer(wallet, Budget(50), clock=clock)


def states(buyer: Buyer) -> list[str]:
    """What has become of each purchase."""
    return [purchase.state for purchase in buyer.store.purchases()]


def test_what_costs_nothing_is_not_paid(buyer: Buyer, wallet: HandWallet) -> None:
    """An answer that is no 402 is the caller's, whatever it is."""
    for status in (200, 302, 401, 404, 409, 500, 503):
        server = Server([answer(status)])
        assert bought(buyer, server) == (bought(buyer, Server([answer(status)]))[0], status)
        assert server.sent == [None]
    assert not wallet.asked


@pytest.mark.parametrize("offers", [[], [b"Bearer"], [b'L402 macaroon="AAAA"'], [b'Payment id="x", method="tempo"']])
def test_a_402_that_nobody_can_pay_is_the_callers(buyer: Buyer, wallet: HandWallet, offers: list[bytes]) -> None:
    """Some other protocol's, or a payment wall of another kind: as if the client were not there."""
    done, status = bought(buyer, Server([answer(402, *offers)]))
    assert (done.receipt, status, wallet.asked) == (None, 402, [])


def test_a_402_is_paid_once(buyer: Buyer, wallet: HandWallet) -> None:
    """Asked, written down, paid, shown; the receipt says all of it."""
    server = Server([answer(402, challenge(1)), answer(200)])
    done, status = bought(buyer, server)
    assert status == 200
    assert done.receipt is not None
    assert (done.receipt.payment_hash, done.receipt.amount) == (payment_hash(1).hex(), sats(21))
    assert (done.receipt.fee_msat, done.receipt.scheme, done.receipt.is_new) == (1000, "l402", True)
    assert server.sent[0] is None
    assert server.sent[1] is not None
    assert server.sent[1].endswith(f":{preimage(1).hex()}")
    assert wallet.payments() == 1
    assert states(buyer) == ["over"]


def test_the_next_request_is_another_purchase(buyer: Buyer, wallet: HandWallet) -> None:
    """A single use is shown once."""
    for number in (1, 2):
        bought(buyer, Server([answer(402, challenge(number)), answer(200)]))
    assert wallet.payments() == 2


def test_a_bundle_is_used_up(buyer: Buyer, wallet: HandWallet) -> None:
    """For each request to its endpoint, whatever the query; the fourth one buys again."""
    bought(buyer, Server([answer(402, challenge(1, uses=3)), answer(200)]))
    for query in ("days=3", "days=4"):
        server = Server([answer(200)])
        done, _ = bought(buyer, server, Asked("GET", f"{ORIGIN}/forecast?{query}"))
        assert done.receipt is not None
        assert not done.receipt.is_new
    assert states(buyer) == ["over"]
    bought(buyer, Server([answer(402, challenge(2, uses=3)), answer(200)]))
    assert wallet.payments() == 2


@pytest.mark.parametrize(
    "other",
    [
        Asked("POST", ASKED.url),
        Asked("GET", f"{ORIGIN}/other"),
        Asked("GET", "https://api.example.com:8443/forecast"),
        Asked("GET", "https://other.example/forecast"),
    ],
)
def test_another_endpoint_is_shown_nothing(buyer: Buyer, other: Asked) -> None:
    """Neither another method, path, port nor host learns what was bought here."""
    bought(buyer, Server([answer(402, challenge(1, uses=None)), answer(200)]))
    server = Server([answer(200, origin=other.origin)])
    bought(buyer, server, other)
    assert server.sent == [None]


def test_a_bound_bundle_is_for_its_request(buyer: Buyer) -> None:
    """Where the token says that it is for one request, others are asked without it."""
    bought(buyer, Server([answer(402, challenge(1, uses=3, request="x" * 43)), answer(200)]))
    server = Server([answer(200)])
    bought(buyer, server, Asked("GET", f"{ORIGIN}/forecast?days=3"))
    assert server.sent == [None]
    server = Server([answer(200)])
    bought(buyer, server)
    assert server.sent != [None]


def test_what_says_nothing_is_used_until_it_is_turned_down(buyer: Buyer, wallet: HandWallet) -> None:
    """Another server's token may be good for more; a 402 tells, and then a new one is bought."""
    bought(buyer, Server([answer(402, foreign(1)), answer(200)]))
    bought(buyer, Server([answer(200)]))
    server = Server([answer(402, foreign(2)), answer(200)])
    done, status = bought(buyer, server)
    assert status == 200
    assert len(server.sent) == 2
    assert wallet.payments() == 2
    assert done.receipt is not None
    assert done.receipt.is_new


def test_a_401_for_what_was_used_is_asked_about_anew(buyer: Buyer, wallet: HandWallet) -> None:
    """So l402kit says that a token was used; for one that was never honoured it is the caller's to see."""
    bought(buyer, Server([answer(402, foreign(1)), answer(200)]))
    server = Server([answer(401), answer(402, foreign(2)), answer(200)])
    _, status = bought(buyer, server)
    assert (status, server.sent[1]) == (200, None)
    assert wallet.payments() == 2
    other = Asked("GET", f"{ORIGIN}/other")
    assert bought(buyer, Server([answer(402, foreign(3)), answer(401)]), other)[1] == 401
    assert wallet.payments() == 3


def test_a_token_for_another_request_is_kept_for_it(buyer: Buyer, wallet: HandWallet) -> None:
    """One that failed here with 500 is good there; 402 for another query is no fault of the server's."""
    bought(buyer, Server([answer(402, foreign(1)), answer(500)]))
    other = Asked("GET", f"{ORIGIN}/forecast?days=9")
    server = Server([answer(402, foreign(2)), answer(200)])
    _, status = bought(buyer, server, other)
    assert (status, len(server.sent)) == (200, 2)
    server = Server([answer(200)])
    bought(buyer, server)
    assert server.sent == [f"L402 AAAA:{preimage(1).hex()}"]
    assert wallet.payments() == 2


@pytest.mark.parametrize("offer", [challenge(1), foreign(1), payment(1), challenge(1, uses=None)])
def test_a_402_for_what_was_just_paid_is_not_paid(buyer: Buyer, wallet: HandWallet, offer: bytes) -> None:
    """402 for ever: the server's fault, said with the payment's hash, and kept as evidence."""
    server = Server([answer(402, offer), answer(402, challenge(2))])
    with pytest.raises(PaidInVain) as caught:
        bought(buyer, server)
    assert caught.value.payment_hash == payment_hash(1).hex()
    assert wallet.payments() == 1
    assert states(buyer) == ["refused"]


@pytest.mark.parametrize("status", [400, 404, 422, 500, 502, 504])
def test_an_error_keeps_the_credential(buyer: Buyer, wallet: HandWallet, status: int) -> None:
    """It was not charged: the same request, sent again, uses it, and nothing is paid."""
    done, seen = bought(buyer, Server([answer(402, challenge(1)), answer(status)]))
    assert seen == status
    assert done.receipt is not None
    server = Server([answer(200)])
    done, _ = bought(buyer, server)
    assert wallet.payments() == 1
    assert done.receipt is not None
    assert not done.receipt.is_new


@pytest.mark.parametrize(
    ("fields", "slept"),
    [
        ({"retry_after": "3"}, [3.0, 3.0]),
        ({"retry_after": "Tue, 14 Nov 2023 22:13:30 GMT"}, [10.0, 0.0]),
        ({"retry_after": "soon"}, [1.0, 1.0]),
        ({"retry_after": "\uff13"}, [1.0, 1.0]),
        ({}, [1.0, 1.0]),
    ],
)
def test_busy_is_waited_for(buyer: Buyer, clock: Clock, fields: dict[str, str], slept: list[float]) -> None:
    """409 and 503 for a credential: as long as Retry-After says, with the same credential, and nothing is paid."""
    server = Server([answer(402, challenge(1)), answer(409, **fields), answer(503, **fields), answer(200)])
    _, status = bought(buyer, server, clock=clock)
    assert status == 200
    assert server.slept == slept
    assert len(set(server.sent[1:])) == 1


@pytest.mark.parametrize("retry_after", ["61", "86400", "999999999", "Wed, 01 Jan 2098 00:00:00 GMT"])
def test_patience_ends(buyer: Buyer, clock: Clock, wallet: HandWallet, retry_after: str) -> None:
    """A server cannot hold its client for a day: the answer is the caller's, the credential waits for the next try."""
    server = Server([answer(402, challenge(1)), answer(503, retry_after=retry_after)])
    _, status = bought(buyer, server, clock=clock)
    assert (status, server.slept) == (503, [])
    assert bought(buyer, Server([answer(200)]))[1] == 200
    assert wallet.payments() == 1


def test_busy_for_ever_ends(buyer: Buyer, clock: Clock) -> None:
    """A minute altogether; a server that does not say how long is asked three times more."""
    server = Server([answer(402, challenge(1)), *[answer(409, retry_after="10")] * 20])
    bought(buyer, server, clock=clock)
    assert sum(server.slept) == 60
    server = Server([answer(503)] * 20)
    bought(buyer, server, clock=clock)
    assert server.slept == [1.0] * 3


# What a careful payer refuses: the reason, and the 402's head, and its body.
HOSTILE: dict[str, tuple[str, Answer, bytes]] = {
    "an amount above the budget": ("over-budget", answer(402, foreign(1, invoice(1, "lnbcrt510n"))), b""),
    "no amount": ("wrong-amount", answer(402, foreign(1, invoice(1, "lnbcrt"))), b""),
    "another amount than its token's": (
        "wrong-amount",
        answer(402, challenge(1).replace(invoice(1).encode(), invoice(1, "lnbcrt500n").encode())),
        b"",
    ),
    "another amount than its body's": ("wrong-amount", answer(402, foreign(1)), b'{"amount_sats": 1}'),
    "another amount than its body's, in msat": ("wrong-amount", answer(402, foreign(1)), b'{"amount_msat": 1000}'),
    "another network": ("wrong-network", answer(402, foreign(1, invoice(1, "lnbc210n"))), b""),
    "an expired invoice": ("expired", answer(402, foreign(1, invoice(1, created_at=NOW - 3600))), b""),
    "an invoice about to expire": ("expired", answer(402, foreign(1, invoice(1, expiry=4))), b""),
    "a huge invoice": ("bad-invoice", answer(402, foreign(1, "lnbcrt1" + "q" * 5000)), b""),
    "a damaged invoice": ("bad-invoice", answer(402, foreign(1, invoice(1)[:-1] + "q")), b""),
    "another origin": ("other-origin", answer(402, challenge(1), origin="https://evil.example"), b""),
    "the same host without TLS": ("other-origin", answer(402, challenge(1), origin="http://api.example.com"), b""),
}


@pytest.mark.parametrize(("reason", "head", "body"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_careful_payer_refuses(buyer: Buyer, wallet: HandWallet, reason: str, head: Answer, body: bytes) -> None:
    """Nothing is paid, nothing is written down, and the reason is said."""
    with pytest.raises(NotPaid) as caught:
        bought(buyer, Server([head], body))
    assert caught.value.reason == reason
    assert str(caught.value)
    assert not wallet.asked
    assert not states(buyer)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"amount": "22"}, "wrong-amount"),
        ({"amount": "021"}, "wrong-amount"),
        ({"amount": "21.0"}, "wrong-amount"),
        ({"amount": "\uff12\uff11"}, "wrong-amount"),
        ({"currency": "BTC"}, "wrong-amount"),
        ({"paymentHash": "00" * 32}, "bad-invoice"),
        ({"network": "mainnet"}, "wrong-network"),
        ({"network": None}, "wrong-network"),
        ({"expires": "2023-11-14T22:13:20Z"}, "expired"),
        ({"expires": "never"}, "expired"),
    ],
)
def test_a_payment_challenge_must_fit_its_invoice(
    buyer: Buyer, wallet: HandWallet, change: dict[str, str | None], reason: str
) -> None:
    """draft-lightning-charge-00, "Method Details": what is said beside the invoice has to be what the invoice says."""
    head = answer(402, altered(change).encode())
    with pytest.raises(NotPaid) as caught:
        bought(buyer, Server([head]))
    assert caught.value.reason == reason
    assert not wallet.asked


def altered(change: dict[str, str | None]) -> str:
    """A Payment challenge in which something is different."""
    from l402_middleware.core import base64url, strict_json
    from l402_middleware.core.auth_params import read_challenges, write_challenge

    ((_, parameters),) = read_challenges([payment(1)])
    request: dict[str, Any] = strict_json.read_object(base64url.decode(parameters["request"]))
    for name, value in change.items():
        if name == "expires":
            parameters[name] = str(value)
            continue
        place = request if name in request else request["methodDetails"]
        place[name] = value
        if value is None:
            del place[name]
    return write_challenge("Payment", {**parameters, "request": base64url.encode(strict_json.canonical(request))})


def test_an_offer_that_is_bad_gives_way_to_a_good_one(buyer: Buyer) -> None:
    """Of two schemes the one whose invoice is in order is paid."""
    done, _ = bought(buyer, Server([answer(402, foreign(1, invoice(1, "lnbc210n")), payment(2)), answer(200)]))
    assert done.receipt is not None
    assert done.receipt.scheme == "payment"


@pytest.mark.parametrize(
    ("schemes", "scheme"), [(("l402", "payment"), "l402"), (("payment", "l402"), "payment"), (("payment",), "payment")]
)
def test_the_scheme_is_the_callers_choice(wallet: HandWallet, schemes: Any, scheme: str) -> None:
    """Liked best first, and what is not named is not paid."""
    buyer = Buyer(wallet, Budget(50), schemes=schemes, clock=Clock())
    done, _ = bought(buyer, Server([answer(402, challenge(1), payment(2)), answer(200)]))
    assert done.receipt is not None
    assert done.receipt.scheme == scheme


def test_a_payment_challenge_is_paid(buyer: Buyer) -> None:
    """The credential is one that the draft's server verifies; its receipt is in ours."""
    receipt = PaymentReceipt("id", payment_hash(1).hex(), NOW).header()
    server = Server([answer(402, payment(1)), answer(200, receipt=receipt)])
    done, _ = bought(buyer, server)
    (credential,) = parse_payment_authorization([str(server.sent[1]).encode()])
    assert CHARGES.verify(credential, NOW).payment_hash == payment_hash(1)
    assert done.receipt is not None
    assert done.receipt.server_receipt is not None
    assert done.receipt.server_receipt["reference"] == payment_hash(1).hex()


def test_a_receipt_that_nobody_can_read_is_none(buyer: Buyer) -> None:
    """The answer is what was paid for, not the receipt."""
    done, _ = bought(buyer, Server([answer(402, payment(1)), answer(200, receipt="!")]))
    assert done.receipt is not None
    assert done.receipt.server_receipt is None


@pytest.mark.parametrize("url", ["http://api.example.com/x", "http://192.0.2.1/x", "http://localhost.example/x"])
def test_plain_http_is_not_paid(buyer: Buyer, wallet: HandWallet, url: str) -> None:
    """Whoever listens in could use what was paid for."""
    asked = Asked("GET", url)
    with pytest.raises(NotPaid) as caught:
        bought(buyer, Server([answer(402, challenge(1), origin=asked.origin)]), asked)
    assert caught.value.reason == "plain-http"
    assert not wallet.asked


@pytest.mark.parametrize("url", ["http://localhost/x", "http://127.0.0.1:8000/x", "http://[::1]:8000/x"])
def test_this_machine_needs_no_tls(buyer: Buyer, url: str) -> None:
    """Nobody listens in on loopback."""
    asked = Asked("GET", url)
    assert bought(buyer, Server([answer(402, challenge(1), origin=asked.origin), answer(200)]), asked)[1] == 200


def test_an_invoice_seen_before_is_not_paid(buyer: Buyer, wallet: HandWallet) -> None:
    """The same payment for another request would be no payment at all: whoever got it first has the preimage."""
    bought(buyer, Server([answer(402, challenge(1)), answer(200)]))
    with pytest.raises(NotPaid) as caught:
        bought(buyer, Server([answer(402, foreign(1))]), Asked("GET", f"{ORIGIN}/other"))
    assert caught.value.reason == "invoice-seen"
    assert wallet.payments() == 1


def test_only_origins_that_are_allowed_are_paid(wallet: HandWallet) -> None:
    """A list of origins, spelled in any way."""
    for origins, pays in ((["https://API.example.com:443/"], True), (["https://other.example"], False), ([], False)):
        buyer = Buyer(wallet, Budget(50, origins=origins), clock=Clock())
        server = Server([answer(402, challenge(1)), answer(200)])
        if pays:
            bought(buyer, server)
        else:
            with pytest.raises(NotPaid, match="not among the origins"):
                bought(buyer, server)


def test_a_confirmation_decides(wallet: HandWallet) -> None:
    """It sees what will be paid, and a no is a no."""
    seen = []

    def confirm(wanted: Any) -> bool:
        seen.append((wanted.url, wanted.amount))
        return len(seen) > 1

    buyer = Buyer(wallet, Budget(50), confirm=confirm, clock=Clock())
    with pytest.raises(NotPaid, match="declined"):
        bought(buyer, Server([answer(402, challenge(1))]))
    assert not wallet.asked
    assert bought(buyer, Server([answer(402, challenge(1)), answer(200)]))[1] == 200
    assert seen == [(ASKED.url, sats(21))] * 2


@pytest.mark.parametrize(
    ("budget", "most"),
    [
        (Budget(50, per_hour=45), 2),
        (Budget(50, per_day=44), 2),
        (Budget(50, total=42), 1),
        (Budget(21, total=66), 3),
        (Budget(20), 0),
    ],
)
def test_a_budget_holds(wallet: HandWallet, budget: Budget, most: int) -> None:
    """21 sat each, and 1 for routing, until there is no room for another 21."""
    buyer = Buyer(wallet, budget, clock=Clock())
    for number in range(most):
        bought(buyer, Server([answer(402, challenge(number)), answer(200)]))
    with pytest.raises(NotPaid) as caught:
        bought(buyer, Server([answer(402, challenge(most)), answer(200)]))
    assert caught.value.reason == "over-budget"
    assert wallet.payments() == most


def test_a_budget_of_an_hour_comes_back(wallet: HandWallet, clock: Clock) -> None:
    """An hour later there is room again; a day's is a day's."""
    buyer = Buyer(wallet, Budget(50, per_hour=30, per_day=50), clock=clock)
    bought(buyer, Server([answer(402, challenge(1)), answer(200)]))
    clock.now += 3601
    bought(buyer, Server([answer(402, challenge(2, bolt11=invoice(2, created_at=NOW + 3601))), answer(200)]))
    clock.now += 3601
    with pytest.raises(NotPaid, match="a day"):
        bought(buyer, Server([answer(402, challenge(3, bolt11=invoice(3, created_at=NOW + 7202))), answer(200)]))


class TestPaying:
    """What becomes of a payment that does not go well."""

    @pytest.mark.parametrize("kind", ["rejected", "unauthorized"])
    def test_a_wallet_that_refuses(self, buyer: Buyer, wallet: HandWallet, kind: str) -> None:
        """And does not know the payment: nothing was paid, and the next try may use the same invoice."""
        wallet.pays = failing(kind)
        with pytest.raises(NotPaid) as caught:
            bought(buyer, Server([answer(402, challenge(1))]))
        assert caught.value.reason == "payment-failed"
        assert states(buyer) == ["failed"]
        assert buyer.store.spent(NOW).total == 0
        wallet.pays = None
        assert bought(buyer, Server([answer(402, challenge(1)), answer(200)]))[1] == 200

    def test_a_wallet_that_says_it_failed(self, buyer: Buyer, wallet: HandWallet) -> None:
        """As above."""
        wallet.pays = lambda _: FAILED
        with pytest.raises(NotPaid, match="did not pay"):
            bought(buyer, Server([answer(402, challenge(1))]))

    @pytest.mark.parametrize("kind", ["timeout", "unreachable", "bad-answer"])
    def test_a_wallet_that_does_not_answer(self, buyer: Buyer, wallet: HandWallet, clock: Clock, kind: str) -> None:
        """Nobody knows: the same request asks about that payment first, and makes no other."""
        wallet.pays = failing(kind)
        server = Server([answer(402, challenge(1))])
        with pytest.raises(PaymentUncertain) as caught:
            bought(buyer, server, clock=clock)
        assert caught.value.payment_hash == payment_hash(1).hex()
        assert states(buyer) == ["paying"]
        assert buyer.store.spent(NOW).total == 21_000
        # It had been paid all the while.
        wallet.fates[payment_hash(1)] = right(payment_hash(1))
        server = Server([answer(200)])
        done, status = bought(buyer, server)
        assert status == 200
        assert wallet.payments() == 1
        assert done.receipt is not None
        assert done.receipt.payment_hash == payment_hash(1).hex()

    def test_a_wallet_that_lost_the_request(self, buyer: Buyer, wallet: HandWallet, clock: Clock) -> None:
        """It never heard of it: the very same invoice is paid, as long as that can be."""
        wallet.pays = failing("timeout")
        with pytest.raises(PaymentUncertain):
            bought(buyer, Server([answer(402, challenge(1))]), clock=clock)
        wallet.pays = None
        _, status = bought(buyer, Server([answer(200)]), clock=clock)
        assert status == 200
        assert wallet.fates.keys() == {payment_hash(1)}

    def test_what_was_never_begun_is_let_go(self, buyer: Buyer, wallet: HandWallet, clock: Clock) -> None:
        """After the invoice's end, and some more: the money is still there, and a new invoice may be paid."""
        wallet.pays = failing("timeout")
        with pytest.raises(PaymentUncertain):
            bought(buyer, Server([answer(402, challenge(1))]), clock=clock)
        wallet.pays = None
        clock.now = NOW + 3600 + 121
        late = challenge(2, bolt11=invoice(2, created_at=NOW + 3700))
        assert bought(buyer, Server([answer(402, late), answer(200)]), clock=clock)[1] == 200
        assert states(buyer) == ["failed", "over"]

    def test_a_payment_under_way_is_waited_for(self, buyer: Buyer, wallet: HandWallet, clock: Clock) -> None:
        """Within the patience; and once it is there, it is used."""
        wallet.pays = lambda _: PENDING
        wallet.fates[payment_hash(1)] = PENDING
        with pytest.raises(PaymentUncertain, match="does not say yet"):
            bought(buyer, Server([answer(402, challenge(1))]), clock=clock)
        assert 55 < clock.now - NOW < 66
        assert wallet.payments() == 1
        wallet.fates[payment_hash(1)] = right(payment_hash(1))
        assert bought(buyer, Server([answer(200)]), clock=clock)[1] == 200
        assert wallet.payments() == 1

    def test_a_payment_that_failed_after_all(self, buyer: Buyer, wallet: HandWallet, clock: Clock) -> None:
        """The next try asks for a new invoice."""
        wallet.pays = failing("timeout")
        wallet.fates[payment_hash(1)] = PENDING
        with pytest.raises(PaymentUncertain):
            bought(buyer, Server([answer(402, challenge(1))]), clock=clock)
        wallet.pays, wallet.fates[payment_hash(1)] = None, FAILED
        assert bought(buyer, Server([answer(402, challenge(2)), answer(200)]), clock=clock)[1] == 200

    @pytest.mark.parametrize("outcome", [Outgoing("paid", bytes(32)), Outgoing("paid")])
    def test_a_wrong_preimage_is_no_proof(self, buyer: Buyer, wallet: HandWallet, outcome: Outgoing) -> None:
        """It is not shown to the server, and nothing else is paid."""
        wallet.pays = lambda _: outcome
        server = Server([answer(402, challenge(1))])
        for _ in range(2):
            with pytest.raises(PaymentUncertain, match="preimage"):
                bought(buyer, server)
            wallet.fates[payment_hash(1)] = outcome
        assert server.sent == [None]

    def test_no_secret_is_in_an_error(self, buyer: Buyer, wallet: HandWallet) -> None:
        """Neither preimage nor token, in message or repr; nor in those of what is on record."""
        with pytest.raises(PaidInVain) as caught:
            bought(buyer, Server([answer(402, challenge(1)), answer(402, challenge(2))]))
        for text in (str(caught.value), repr(caught.value), repr(buyer.store.purchases())):
            assert preimage(1).hex() not in text
            assert repr(preimage(1)) not in text
            assert "macaroon=" not in text


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"budget": 50}, "budget must be a Budget"),
        ({"schemes": ()}, "schemes"),
        ({"schemes": ("x402",)}, "schemes"),
    ],
)
def test_a_slip_is_told(wallet: HandWallet, options: dict[str, Any], match: str) -> None:
    """At once, and not when there is something to pay."""
    with pytest.raises(ConfigurationError, match=match):
        Buyer(wallet, **{"budget": Budget(50), "store": MemoryStore(), **options})


@pytest.mark.parametrize(
    ("arguments", "options", "match"),
    [
        ((1.5,), {}, "per_request"),
        ((0,), {}, "per_request"),
        ((None,), {}, "per_request"),
        ((50,), {"per_day": "1000"}, "per_day"),
        ((50,), {"per_hour": -1}, "per_hour"),
        ((50,), {"origins": "https://api.example.com"}, "list"),
        ((50,), {"origins": ["api.example.com"]}, "no origin"),
        ((50,), {"origins": ["https://api.example.com/path"]}, "no origin"),
        ((50,), {"origins": ["ftp://api.example.com"]}, "no origin"),
    ],
)
def test_a_budget_is_checked(arguments: tuple[Any, ...], options: dict[str, Any], match: str) -> None:
    """What is no amount, and no origin."""
    with pytest.raises(ConfigurationError, match=match):
        Budget(*arguments, **options)


@pytest.mark.parametrize(("max_fee", "fee"), [(None, 10_000), (3, 3000)])
def test_routing_has_a_limit(max_fee: int | None, fee: int) -> None:
    """A hundredth, but ten sats; or what is given."""
    assert Budget(50, max_fee=max_fee).fee_for(sats(21)) == fee
    assert Budget(50).fee_for(sats(100_000)) == 1_000_000
