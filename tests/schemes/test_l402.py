"""Credentials that are remembered as verified: every check that can change its outcome is made again."""

import pytest

from l402_middleware import Offer
from l402_middleware.core.credential import Issuer
from l402_middleware.flow import drive
from l402_middleware.paywall.delivery import Delivery
from l402_middleware.schemes import L402Scheme, l402

from ..paywall.shop import Shop, ask, code, deliver, members
from ..paywall.test_redemption import token_id_of

PASS = Offer(10, uses=None)
BUNDLE = Offer(10, uses=2)
CALL = Offer(10)


@pytest.fixture
def verifications(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """One entry for each credential whose HMAC chain was computed."""
    made: list[object] = []
    verify = Issuer.verify

    def counted(self: Issuer, credential: object, now: float) -> object:
        made.append(credential)
        return verify(self, credential, now)  # type: ignore[arg-type]

    monkeypatch.setattr(Issuer, "verify", counted)
    return made


def test_a_pass_is_verified_once(verifications: list[object]) -> None:
    """The second time its field is known."""
    shop = Shop()
    credential = shop.buy(PASS)
    for _ in range(5):
        assert isinstance(shop.decide(PASS, ask("GET /thing", credential)), Delivery)
    assert len(verifications) == 1


def test_a_single_use_is_not_remembered(verifications: list[object]) -> None:
    """It does not come back, and would only take the place of one that does."""
    shop = Shop()
    credential = shop.buy(CALL)
    for _ in range(2):
        shop.decide(CALL, ask("GET /thing", credential))
    assert len(verifications) == 2


def test_an_altered_one_is_never_known() -> None:
    """Case 26: one character of a remembered field changed is another field."""
    shop = Shop()
    credential = shop.buy(PASS)
    assert isinstance(shop.decide(PASS, ask("GET /thing", credential)), Delivery)
    for position in range(len(b"L402 "), len(credential)):
        other = b"0" if credential[position : position + 1] != b"0" else b"1"
        altered = credential[:position] + other + credential[position + 1 :]
        assert not isinstance(shop.decide(PASS, ask("GET /thing", altered)), Delivery)


def test_what_is_checked_again() -> None:
    """Expiry, endpoint, uses and revocation are looked at each time."""
    shop = Shop()
    bundle, lasting = shop.buy(BUNDLE), shop.buy(PASS)
    for _ in range(2):
        assert deliver(shop.decide(BUNDLE, ask("GET /thing", bundle)))
        assert deliver(shop.decide(PASS, ask("GET /thing", lasting)))
    assert code(shop.decide(BUNDLE, ask("GET /thing", bundle))) == (402, "already-used")
    assert code(shop.decide(PASS, ask("GET /other", lasting))) == (402, "wrong-endpoint")
    drive(shop.paywall.revoke(token_id_of(lasting)))
    shop.clock.now += 5
    assert code(shop.decide(PASS, ask("GET /thing", lasting))) == (402, "revoked")
    shop.clock.now += 600 + 3600
    assert code(shop.decide(PASS, ask("GET /thing", lasting))) == (402, "expired")


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many passes are sold, only so many fields are remembered, and none that is long."""
    monkeypatch.setattr(l402, "MAX_REMEMBERED", 8)
    shop = Shop()
    reader = shop.paywall._doors.schemes[0]
    assert isinstance(reader, L402Scheme)
    for sold in range(30):
        assert isinstance(shop.decide(PASS, ask("GET /thing", shop.buy(PASS))), Delivery)
        assert len(reader._remembered) == sold % 8 + 1
    for length in (l402.MAX_REMEMBERED_BYTES, l402.MAX_REMEMBERED_BYTES + 1):
        padded = shop.buy(PASS).ljust(length)
        assert isinstance(shop.decide(PASS, ask("GET /thing", padded)), Delivery)
        assert (padded in reader._remembered) == (length == l402.MAX_REMEMBERED_BYTES)


def test_a_fault_says_what_is_wrong() -> None:
    """In a sentence for people, beside its code."""
    shop = Shop()
    credential = shop.buy(CALL)
    told = members(shop.decide(CALL, ask("GET /thing", credential[:-1])))
    assert told["code"] == "malformed-credential"
    assert "well-formed" in told["title"]
