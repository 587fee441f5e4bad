"""Sales that are bound to their caller, and credentials that their holder narrowed to one."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l402_middleware import ConfigurationError, Offer, RequestView
from l402_middleware.credentials import attenuate, inspect
from l402_middleware.ledgers import MemoryLedger
from l402_middleware.paywall.delivery import Delivery
from l402_middleware.paywall.response import Response

from .shop import Shop, ask, code, deliver, members
from .test_redemption import Ledger

CERTIFICATE, OTHER = b"one certificate", b"another certificate"
PRINT = sha256(CERTIFICATE).hexdigest()
CALL = Offer(10)
PASS = Offer(10, uses=None)
BUNDLE = Offer(10, uses=2)


def show(
    credential: bytes | str,
    peer: str | None = "192.0.2.7",
    certificate: bytes | None = None,
    endpoint: str = "GET /thing",
) -> RequestView:
    """A request with that credential, from there."""
    value = credential if isinstance(credential, bytes) else credential.encode()
    return ask(endpoint, value, peer=peer, certificate=certificate)


def caveats_of(challenge: object) -> list[str]:
    """The caveats in a challenge's macaroon."""
    assert isinstance(challenge, Response)
    macaroon = inspect(members(challenge)["macaroon"])["macaroon"]
    assert isinstance(macaroon, dict)
    caveats = macaroon["caveats"]
    assert isinstance(caveats, list)
    return caveats


@pytest.mark.parametrize("uses", [1, 2, None], ids=["call", "bundle", "pass"])
def test_a_credential_is_for_the_address_that_was_quoted_to(uses: int | None) -> None:
    """Shown from anywhere else it is a 402 of its own, nothing is claimed, and its buyer can still use it."""
    ledger = Ledger()
    shop = Shop({"ledger": ledger})
    offer = Offer(10, uses=uses, bind_caller="ip")
    credential = shop.buy(offer, ask(peer="192.0.2.7"))
    for thief in ("192.0.2.8", "2001:db8::1", "testclient", "", None):
        assert code(shop.decide(CALL, show(credential, thief))) == (402, "wrong-caller"), thief
    assert not ledger.claims
    for peer in ("192.0.2.7", "::ffff:192.0.2.7"):
        decision = shop.decide(offer, show(credential, peer))
        if uses == 1 and peer != "192.0.2.7":
            assert isinstance(decision, Response)
            assert decision.status == 200
        else:
            assert deliver(decision)
    # What is remembered as verified, and known as a pass, is still looked at.
    assert code(shop.decide(offer, show(credential, "192.0.2.8"))) == (402, "wrong-caller")


def test_the_challenge_says_to_whom() -> None:
    """One caveat more than the usual three; IPv6 by its /64, and whoever shows it elsewhere is offered his own."""
    shop = Shop()
    offer = Offer(10, bind_caller="ip")
    assert caveats_of(shop.decide(offer, ask(peer="192.0.2.7")))[3:] == ["l402_ip=192.0.2.7"]
    assert caveats_of(shop.decide(offer, ask(peer="2001:db8::1:2:3:4")))[3:] == ["l402_ip=2001:db8::/64"]
    assert len(caveats_of(shop.decide(CALL, ask(peer="192.0.2.7", certificate=CERTIFICATE)))) == 3
    bought = shop.buy(offer, ask(peer="192.0.2.7"))
    moved = shop.decide(offer, show(bought, "198.51.100.1"))
    assert code(moved) == (402, "wrong-caller")
    assert caveats_of(moved)[3:] == ["l402_ip=198.51.100.1"]
    again = shop.pay(moved)
    assert deliver(shop.decide(offer, show(again, "198.51.100.1")))


def test_a_credential_is_for_the_certificate_that_was_quoted_to() -> None:
    """From any address, with that certificate; never with another, or without."""
    shop = Shop()
    offer = Offer(10, uses=None, bind_caller="tls")
    challenge = shop.decide(offer, ask(certificate=CERTIFICATE))
    assert caveats_of(challenge)[3:] == [f"l402_tls={PRINT}"]
    credential = shop.pay(challenge)
    for _ in range(2):
        assert deliver(shop.decide(offer, show(credential, "198.51.100.1", CERTIFICATE)))
        for wrong in (OTHER, None, b""):
            refusal = shop.decide(offer, show(credential, "192.0.2.7", wrong))
            assert code(refusal) == ((402, "wrong-caller") if wrong else (403, "unknown-caller"))


@pytest.mark.parametrize(
    ("offer", "request_", "missing"),
    [
        (Offer(10, bind_caller="ip"), ask(peer=None), "the IP address"),
        (Offer(10, bind_caller="ip"), ask(peer="testclient"), "the IP address"),
        (Offer(10, bind_caller="ip"), ask(peer="fe80::1%eth0"), "the IP address"),
        (Offer(10, bind_caller="tls"), ask(), "a TLS client certificate"),
    ],
    ids=["no address", "a name", "a zone", "no certificate"],
)
def test_who_can_not_be_told_is_sold_nothing(offer: Offer, request_: RequestView, missing: str) -> None:
    """No invoice is made for what its buyer could never use, and the answer says what is missing."""
    shop = Shop()
    decision = shop.decide(offer, request_)
    assert code(decision) == (403, "unknown-caller")
    assert missing in members(decision)["title"]
    assert "invoice" not in members(decision)


def test_the_kept_answer_is_for_its_caller_too() -> None:
    """Case 53: the finished answer is given again to the caller it was sold to, and to nobody else."""
    shop = Shop()
    offer = Offer(10, bind_caller="ip")
    credential = shop.buy(offer, ask(peer="192.0.2.7"))
    assert deliver(shop.decide(offer, show(credential)), b"mine")
    assert code(shop.decide(offer, show(credential, "192.0.2.8"))) == (402, "wrong-caller")
    again = shop.decide(offer, show(credential))
    assert isinstance(again, Response)
    assert (again.status, again.body) == (200, b"mine")


def test_the_caller_is_looked_at_before_the_body() -> None:
    """A body of any size is not read for a caller who has no right to the credential."""
    shop = Shop()
    offer = Offer(10, bind="request", bind_caller="ip")
    credential = shop.buy(offer, ask("POST /thing", body=b"x", peer="192.0.2.7"))
    unbound = Offer(10)
    refused = ask("POST /thing", credential, body=b"x", peer="192.0.2.8")
    assert code(shop.decide(unbound, refused)) == (402, "wrong-caller")
    assert refused.body_if_read is None
    assert deliver(shop.decide(offer, ask("POST /thing", credential, body=b"x", peer="192.0.2.7")))


def test_what_was_sold_before_stays_good() -> None:
    """A route that is bound to callers from now on honours what it sold to anybody."""
    shop = Shop()
    credential = shop.buy(CALL, ask(peer="192.0.2.7"))
    assert deliver(shop.decide(Offer(10, bind_caller="ip"), show(credential, "198.51.100.1")))


@pytest.mark.parametrize("wrong", ["IP", "", "any", True, ("ip", "tls"), 1])
def test_refuses_another_binding(wrong: object) -> None:
    """Only these two exist."""
    with pytest.raises(ConfigurationError, match="bind_caller"):
        Offer(10, bind_caller=wrong)  # type: ignore[arg-type]


# The holder's own


def test_a_holder_narrows_a_pass_for_an_agent() -> None:
    """The narrowed one opens for the agent only, and no longer than said; the holder's own is what it was."""
    shop = Shop()
    own = shop.buy(PASS, ask(peer="192.0.2.7"))
    lent = attenuate(own.decode(), ip="198.51.100.0/24, 2001:db8::/64", valid_until=int(shop.clock.now) + 60)
    for _ in range(2):
        for peer in ("198.51.100.9", "2001:db8::9"):
            assert deliver(shop.decide(PASS, show(lent, peer)))
        assert code(shop.decide(PASS, show(lent, "192.0.2.7"))) == (402, "wrong-caller")
        assert deliver(shop.decide(PASS, show(own, "192.0.2.7")))
    shop.clock.now += 60
    assert code(shop.decide(PASS, show(lent, "198.51.100.9"))) == (402, "expired")
    assert deliver(shop.decide(PASS, show(own, "192.0.2.7")))


def test_an_agent_can_not_go_back() -> None:
    """What the agent appends narrows further, whatever it is."""
    shop = Shop()
    lent = attenuate(shop.buy(PASS).decode(), ip="198.51.100.9")
    for ip in ("0.0.0.0/0,::/0", "192.0.2.7"):
        assert code(shop.decide(PASS, show(attenuate(lent, ip=ip), "192.0.2.7"))) == (402, "wrong-caller")
    with_certificate = attenuate(lent, tls=PRINT)
    assert code(shop.decide(PASS, show(with_certificate, "198.51.100.9"))) == (402, "wrong-caller")
    assert deliver(shop.decide(PASS, show(with_certificate, "198.51.100.9", CERTIFICATE)))


def test_of_two_for_one_payment_the_first_counts() -> None:
    """However often one payment stands in a request, it is looked at once: no header multiplies the ledger's work."""
    ledger = Ledger()
    shop = Shop({"ledger": ledger})
    own = shop.buy(BUNDLE).decode()
    here, there = attenuate(own, ip="192.0.2.7"), attenuate(own, ip="198.51.100.9")
    assert code(shop.decide(BUNDLE, show(f"{there}, {here}"))) == (402, "wrong-caller")
    assert not ledger.claims
    assert deliver(shop.decide(BUNDLE, show(f"{here}, {there}")))
    assert len(ledger.claims) == 1


def test_macaroons_shown_together_must_all_fit() -> None:
    """Of one credential with several macaroons, each one's callers count, whichever comes first."""
    shop = Shop()
    own = shop.buy(PASS).decode()
    macaroon, _, preimage = own.removeprefix("L402 ").partition(":")
    lent = attenuate(macaroon, ip="198.51.100.9")
    for pair in (f"{macaroon},{lent}", f"{lent},{macaroon}"):
        assert code(shop.decide(PASS, show(f"L402 {pair}:{preimage}"))) == (402, "wrong-caller")
        assert deliver(shop.decide(PASS, show(f"L402 {pair}:{preimage}", "198.51.100.9")))


@given(
    ip=st.none() | st.sampled_from(["192.0.2.7", "192.0.2.0/24", "0.0.0.0/0", "2001:db8::/32", "::/0"]),
    peer=st.sampled_from(["192.0.2.7", "192.0.2.8", "2001:db8::1", "::ffff:192.0.2.7", "testclient", None]),
    tls=st.none() | st.sampled_from([PRINT, "0" * 64]),
    certificate=st.none() | st.sampled_from([CERTIFICATE, OTHER]),
)
def test_narrowing_never_opens(ip: str | None, peer: str | None, tls: str | None, certificate: bytes | None) -> None:
    """Whoever a narrowed credential lets in, the one it was made of lets in."""
    shop = Shop()
    offer = Offer(10, uses=None, bind_caller="ip")
    sold = shop.buy(offer, ask(peer="192.0.2.7")).decode()
    narrowed = attenuate(sold, ip=ip, tls=tls) if ip or tls else sold
    if isinstance(shop.decide(PASS, show(narrowed, peer, certificate)), Delivery):
        assert isinstance(shop.decide(PASS, show(sold, peer, certificate)), Delivery)
        assert tls in (None, PRINT if certificate == CERTIFICATE else None)


def test_a_memory_ledger_is_never_asked_for_a_stranger() -> None:
    """Nothing of a stranger's requests is on record as paid or delivered."""
    ledger = MemoryLedger()
    shop = Shop({"ledger": ledger})
    offer = Offer(10, bind_caller="ip")
    credential = shop.buy(offer, ask(peer="192.0.2.7"))
    shop.decide(offer, show(credential, "192.0.2.8"))
    payment_hash = sha256(bytes.fromhex(credential.decode().rpartition(":")[2])).digest()
    assert ledger.history(payment_hash).block() is None
