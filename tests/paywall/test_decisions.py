"""What the paywall decides: challenges, credentials, bindings, uses, and what it does when something fails."""

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from l402_middleware import ConfigurationError, LedgerError, Msat, Offer, Refusal, RequestView, msats, sats
from l402_middleware.core.errors import ProviderError
from l402_middleware.flow import Call, Flow, drive
from l402_middleware.invoicing.function import FunctionProvider
from l402_middleware.invoicing.provider import CreatedInvoice, InvoiceRequest
from l402_middleware.ledgers import MemoryLedger
from l402_middleware.paywall.delivery import Delivery
from l402_middleware.paywall.request import Body
from l402_middleware.paywall.response import Headers, Response
from l402_middleware.providers.devnode import WALLET_PATH, DevNode
from tests.invoicing.test_invoicing import COFFEE, DONATION

from .shop import KEY, NOW, Clock, GivenBody, Shop, ask, code, deliver, field_of, members

OTHER_KEY = "fedcba9876543210" * 4
OFFER = Offer(10)
BOUND = Offer(10, bind="request")


@pytest.fixture
def shop() -> Shop:
    """A paywall on memory."""
    return Shop()


def macaroon_of(credential: bytes) -> bytes:
    """What stands before the colon."""
    return credential.split(b" ", 1)[1].rpartition(b":")[0]


# --- the challenge


def test_unpaid(shop: Shop) -> None:
    """Cases 1, 22: without a credential there is a 402 in the one form that every client reads, never cached."""
    answer = shop.decide(OFFER, ask())
    assert code(answer) == (402, "payment-required")
    quoted = members(answer)
    token, invoice = quoted["token"], quoted["invoice"]
    line = f'L402 macaroon="{token}", invoice="{invoice}", version="0", token="{token}"'
    first, second = field_of(answer, b"www-authenticate")
    assert first == line.encode()
    assert second.startswith(b'Payment id="')
    assert not field_of(answer, b"etag") + field_of(answer, b"set-cookie")
    assert (quoted["amount_sats"], quoted["amount_msat"]) == (10, 10_000)
    assert quoted["expires_at"] == NOW + 600


def test_a_challenge_is_small(shop: Shop) -> None:
    """Cases 86, 116: a token with every default caveat stays under 600 bytes, all headers of a 402 under 8 KiB."""
    offer = Offer(lambda request: 123_456_789, uses=1_000_000)
    answer = shop.decide(offer, ask("POST /a/rather/long/{template}/of/some/{length}"))
    assert isinstance(answer, Response)
    assert len(members(answer)["token"]) < 600
    assert sum(len(name) + len(value) + 4 for name, value in answer.headers) < 8192


def test_nothing_is_stored_for_a_challenge(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unpaid flood fills no database: the ledger is not touched for a challenge."""
    monkeypatch.setattr(shop.paywall.ledger, "hold", lambda claim: pytest.fail("touched"))
    for _ in range(3):
        assert code(shop.decide(OFFER, ask())) == (402, "payment-required")


def test_a_fixed_price_leaves_the_body_alone(shop: Shop) -> None:
    """Case 24: at a fixed price neither the challenge nor the admission reads the body."""

    def read_body(body: Body) -> GivenBody:
        pytest.fail("the body was read")

    request = ask("POST /thing", body=b"?")
    request.read_body = read_body
    credential = shop.pay(shop.decide(OFFER, request))
    request.headers = [(b"authorization", credential)]
    assert isinstance(shop.decide(OFFER, request), Delivery)


# --- prices


async def later(request: RequestView) -> Msat:
    """A price that takes its time."""
    return msats(1500)


def undeclared(request: RequestView) -> Any:
    """A price that is awaitable without saying so."""
    return later(request)


class Priced:
    """A price function that is an object."""

    async def __call__(self, request: RequestView) -> Msat:
        return msats(1500)


@pytest.mark.parametrize(
    ("price", "msat"),
    [
        (21, 21_000),
        (sats(3), 3_000),
        (msats(1), 1),
        (lambda request: 4, 4_000),
        (lambda request: len(request.body.read()), 5_000),
        (lambda request: request.body.json(), 12_345_000),
        (lambda request: int(request.query["pages"]), 2_000),
        (later, 1_500),
    ],
)
@pytest.mark.anyio
async def test_prices(shop: Shop, price: Any, msat: int) -> None:
    """A price is sats, an amount, or a function of the request, plain or async, under either driver."""
    request = ask("POST /thing", query=b"pages=2", body=b"12345")
    blocking = None if price is later else shop.decide(Offer(price), request)
    awaiting = await shop.adecide(Offer(price), ask("POST /thing", query=b"pages=2", body=b"12345"))
    assert members(awaiting)["amount_msat"] == msat
    assert blocking is None or members(blocking)["amount_msat"] == msat


@pytest.mark.parametrize("query", [b"pages=1000&pages=1", b"pages=1&other=&p%61ges=1"])
def test_a_price_from_a_parameter_that_is_there_twice(shop: Shop, query: bytes) -> None:
    """Case 43: Flask's handler takes the first and Starlette's the last; a price for one must not buy the other."""
    offer = Offer(lambda request: int(request.query["pages"]))
    answer = shop.decide(offer, ask("POST /thing", query=query))
    assert code(answer) == (400, "repeated-parameter")
    assert not field_of(answer, b"www-authenticate")


@pytest.mark.parametrize("price", [later, Priced(), undeclared])
def test_an_async_price_under_the_blocking_driver(shop: Shop, price: Any) -> None:
    """A blocking server can sell at an async price."""
    assert members(shop.decide(Offer(price), ask()))["amount_msat"] == 1500


@pytest.mark.parametrize("price", [Priced(), undeclared])
@pytest.mark.anyio
async def test_a_plain_callable_that_gives_an_awaitable(shop: Shop, price: Any) -> None:
    """A price function need not be declared async to be one."""
    assert members(await shop.adecide(Offer(price), ask()))["amount_msat"] == 1500


@pytest.mark.parametrize("price", [True, 1.5, 0, -1, None, "21", 21_000_001 * 10**8, float("nan")])
def test_a_price_that_is_none_is_never_sold(shop: Shop, price: Any) -> None:
    """Case 57: a function that returns no amount is its author's mistake, and never a pass."""
    with pytest.raises(ConfigurationError):
        shop.decide(Offer(lambda request: price), ask())


def test_a_price_function_refuses(shop: Shop) -> None:
    """Case 24: what cannot succeed is refused before any invoice is made."""

    def price(request: RequestView) -> int:
        raise Refusal(422, "too-thin", "There is nothing to convert.")

    answer = shop.decide(Offer(price), ask("POST /thing"))
    assert code(answer) == (422, "too-thin")
    assert not field_of(answer, b"www-authenticate")


@pytest.mark.parametrize("error", [ValueError, KeyError, StopIteration, LookupError])
@pytest.mark.anyio
async def test_a_price_function_that_fails(shop: Shop, error: type[Exception]) -> None:
    """Case 70: an error of a price function reaches the caller, as itself where Python allows it, and ends the flow."""

    def price(request: RequestView) -> int:
        raise error("boom")

    expected = RuntimeError if error is StopIteration else error
    with pytest.raises(expected):
        shop.decide(Offer(price), ask())
    with pytest.raises(expected):
        await shop.adecide(Offer(price), ask())


def test_a_body_that_is_not_json(shop: Shop) -> None:
    """A price from a JSON body answers 400 to anything else, however it is broken."""
    offer = Offer(lambda request: request.body.json()["pages"])
    for body in (b"", b"{", b"\xff\xfe", b"[" * 100_000, b"9" * 5000):
        assert code(shop.decide(offer, ask("POST /thing", body=body))) == (400, "not-json")


# --- what is bound


@pytest.mark.parametrize("media_type", ["multipart/form-data; boundary=x", "Multipart/Mixed", " multipart/x"])
def test_a_bound_multipart_body(shop: Shop, media_type: str) -> None:
    """A multipart body differs with each send, so it is refused before anybody pays for one."""
    headers = [(b"content-type", media_type.encode())]
    answer = shop.decide(BOUND, ask("POST /thing", headers=headers, body=b"--x--"))
    assert code(answer) == (415, "multipart-not-supported")
    assert code(shop.decide(OFFER, ask("POST /thing", headers=headers))) == (402, "payment-required")


def test_a_body_over_the_limit(shop: Shop) -> None:
    """A bound body over `max_body` is a 413; at the limit it is sold."""
    offer = Offer(10, bind="request", max_body=4)
    assert code(shop.decide(offer, ask("POST /thing", body=b"12345"))) == (413, "body-too-large")
    assert code(shop.decide(offer, ask("POST /thing", body=b"1234"))) == (402, "payment-required")


BASE: dict[str, Any] = {"endpoint": "POST /thing", "path": "/thing", "query": b"a=1", "body": b"{}"}


@pytest.mark.parametrize(
    "change",
    [{"body": b"{ }"}, {"body": b""}, {"query": b"a=2"}, {"query": b"a=1&"}, {"path": "/thing/"}, {"method": "PUT"}],
)
def test_a_bound_sale_is_for_one_request(shop: Shop, change: dict[str, Any]) -> None:
    """Cases 43, 54: another method, path, query or body than was quoted is `wrong-request`, with a new challenge."""
    credential = shop.buy(BOUND, ask(**BASE))
    other = {**BASE, **change}
    answer = shop.decide(BOUND, ask(other.pop("endpoint"), credential, **other))
    assert code(answer) == (402, "wrong-request")
    same = {**BASE}
    assert isinstance(shop.decide(BOUND, ask(same.pop("endpoint"), credential, **same)), Delivery)


def test_who_asks_the_price_with_head_may_buy_with_get(shop: Shop) -> None:
    """HEAD is GET without the answer's body, so a sale that is bound to the one is good for the other."""
    credential = shop.buy(BOUND, ask(method="HEAD"))
    assert deliver(shop.decide(BOUND, ask("GET /thing", credential)))
    credential = shop.buy(BOUND)
    assert deliver(shop.decide(BOUND, ask("GET /thing", credential, method="HEAD")))


def test_head_is_no_cheaper(shop: Shop) -> None:
    """Case 64: HEAD is asked what a price function says of GET, which it may buy."""
    offer = Offer(lambda request: {"GET": 100}.get(request.method, 1))
    credential = shop.buy(offer, ask(method="HEAD"))
    assert members(shop.decide(offer, ask(method="HEAD")))["amount_sats"] == 100
    assert deliver(shop.decide(offer, ask("GET /thing", credential)))


def test_a_cheap_credential_opens_no_dear_endpoint(shop: Shop) -> None:
    """Case 43: bought at the 1 sat route, shown at the 100 sat route."""
    credential = shop.buy(Offer(1), ask("GET /cheap"))
    assert code(shop.decide(Offer(100), ask("GET /dear", credential))) == (402, "wrong-endpoint")
    assert code(shop.decide(Offer(1), ask("POST /cheap", credential))) == (402, "wrong-endpoint")


def test_a_quote_is_honoured(shop: Shop) -> None:
    """Case 44: a price raised after the purchase does not concern it, until the credential expires."""
    credential = shop.buy(Offer(10, uses=2))
    decision = shop.decide(Offer(1000), ask("GET /thing", credential))
    assert isinstance(decision, Delivery)
    assert decision.payment.amount == sats(10)
    shop.clock.now += 600 + 3600 - 1
    assert isinstance(shop.decide(Offer(1000), ask("GET /thing", credential)), Delivery)
    shop.clock.now += 1
    assert code(shop.decide(Offer(1000), ask("GET /thing", credential))) == (402, "expired")


def test_an_invoice_that_was_paid_late(shop: Shop) -> None:
    """Case 55: the preimage proves the payment; when the node took it is nothing to us."""
    challenge = shop.decide(OFFER, ask())
    credential = shop.pay(challenge)
    shop.clock.now = members(challenge)["expires_at"] + 1
    assert deliver(shop.decide(OFFER, ask("GET /thing", credential)))


def test_services_do_not_honour_each_other(shop: Shop) -> None:
    """Case 39: one key ring, two services: a credential of one is nothing to the other."""
    other = Shop({"service": "other"})
    credential = shop.buy(OFFER)
    assert code(other.decide(OFFER, ask("GET /thing", credential))) == (402, "wrong-service")
    # Rewriting the location, which nobody signs, does not help.
    answer = other.decide(OFFER, ask("GET /thing", other.buy(OFFER)))
    assert isinstance(answer, Delivery)


def test_paywalls_with_the_same_keys(shop: Shop) -> None:
    """Several machines: any paywall with the same keys verifies what another one issued, and pays it too."""
    twin = Shop({"ledger": shop.paywall.ledger})
    credential = twin.pay(shop.decide(OFFER, ask()))
    assert isinstance(twin.decide(OFFER, ask("GET /thing", credential)), Delivery)
    assert code(shop.decide(OFFER, ask("GET /thing", credential))) == (409, "in-use")


def test_key_rotation(shop: Shop) -> None:
    """Case 37: a token of the old key is good while that is in the ring, and not after."""
    credential = shop.buy(OFFER)
    rotated = Shop({"secret_keys": [KEY, OTHER_KEY]})
    assert isinstance(rotated.decide(OFFER, ask("GET /thing", credential)), Delivery)
    dropped = Shop({"secret_keys": [OTHER_KEY]})
    assert code(dropped.decide(OFFER, ask("GET /thing", credential))) == (402, "invalid-credential")


def test_keys_kept_by_the_ledger(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without configured keys the ledger makes one and keeps it, so workers on one file agree."""
    monkeypatch.delenv("L402_SECRET_KEYS", raising=False)
    url = f"sqlite:///{tmp_path}/l402.db"
    one, two = (Shop({"secret_keys": None, "ledger": url}) for _ in range(2))
    credential = one.buy(OFFER)
    assert isinstance(two.decide(OFFER, ask("GET /thing", credential)), Delivery)
    alone = Shop({"secret_keys": None})
    assert code(alone.decide(OFFER, ask("GET /thing", credential))) == (402, "invalid-credential")
    one.paywall.close()
    two.paywall.close()


# --- credentials


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (lambda mine, other: [mine], None),
        (lambda mine, other: [mine.replace(b"L402", b"LSAT")], None),
        (lambda mine, other: [mine.replace(b"L402", b"LSAT"), mine], None),
        (lambda mine, other: [mine.replace(b"L402", b"LSAT") + b", " + mine], None),
        (lambda mine, other: [other, mine], None),
        (lambda mine, other: [b"Basic dXNlcjpwYXNz, " + mine], None),
        (lambda mine, other: [b"Basic dXNlcjpwYXNz", mine], None),
        (lambda mine, other: [b"L402 junk", mine], None),
        (lambda mine, other: [mine + b", Bearer abc"], None),
        (lambda mine, other: [b"L402 " + macaroon_of(mine) + b"," + mine.split(b" ")[1]], None),
        (lambda mine, other: [b"L402 " + macaroon_of(mine) + b"," + other.split(b" ")[1]], "invalid-preimage"),
        (lambda mine, other: [other], "wrong-endpoint"),
        (lambda mine, other: [b"Bearer abc"], "payment-required"),
        (lambda mine, other: [b"L402"], "malformed-credential"),
        (lambda mine, other: [b"L402 " + macaroon_of(mine)], "malformed-credential"),
        (lambda mine, other: [mine[:-64] + b"0" * 64], "invalid-preimage"),
        (lambda mine, other: [mine[:-64] + other[-64:]], "invalid-preimage"),
        (lambda mine, other: [mine[:-64] + mine[-64:].upper()], None),
        (lambda mine, other: [b"L402 " + b"A" * 20_000], "malformed-credential"),
        (lambda mine, other: [mine, b"x" * 20_000], "malformed-credential"),
    ],
)
def test_credentials(shop: Shop, headers: Callable[[bytes, bytes], list[bytes]], expected: str | None) -> None:
    """Cases 2 to 13, and 41: whichever way a valid credential is shown it opens once; anything else is a fresh 402."""
    mine, other = shop.buy(OFFER), shop.buy(OFFER, ask("GET /other"))
    decision = shop.decide(OFFER, ask("GET /thing", *headers(mine, other)))
    if expected is not None:
        assert code(decision) == (402, expected)
    else:
        assert deliver(decision)
        assert code(shop.decide(OFFER, ask("GET /thing", mine, query=b"other"))) == (402, "already-used")


def test_two_valid_credentials(shop: Shop) -> None:
    """Case 5: the first valid one is used, and only that."""
    first, second = shop.buy(OFFER), shop.buy(OFFER)
    for _ in range(2):
        assert isinstance(shop.decide(OFFER, ask("GET /thing", first, second)), Delivery)
    assert code(shop.decide(OFFER, ask("GET /thing", first, second))) == (409, "in-use")


def test_the_letter_of_the_specification() -> None:
    """`invalid_credential_status=401` is for invalid credentials only, and challenges all the same."""
    shop = Shop({"invalid_credential_status": 401})
    credential = shop.buy(OFFER)
    answer = shop.decide(OFFER, ask("GET /other", credential))
    assert code(answer) == (401, "wrong-endpoint")
    assert field_of(answer, b"www-authenticate")[0].startswith(b"L402 macaroon=")
    assert code(shop.decide(OFFER, ask())) == (402, "payment-required")


def with_caveat(credential: bytes, caveat: str) -> bytes:
    """The credential as its holder narrowed it."""
    from base64 import b64decode, b64encode

    from pymacaroons import MACAROON_V2, Macaroon
    from pymacaroons.serializers import BinarySerializer

    macaroon = BinarySerializer().deserialize_raw(b64decode(macaroon_of(credential)))
    assert isinstance(macaroon, Macaroon)
    assert macaroon.version == MACAROON_V2
    macaroon.add_first_party_caveat(caveat)
    raw = BinarySerializer().serialize_raw(macaroon)
    return b"L402 " + b64encode(raw) + b":" + credential[-64:]


@pytest.mark.parametrize(
    ("caveat", "skipping", "rejecting"),
    [
        ("ip=192.0.2.1", None, "invalid-credential"),
        ("l402_colour=red", "invalid-credential", "invalid-credential"),
        ("no equals sign", None, "invalid-credential"),
        (f"l402_valid_until={int(NOW) + 1}", None, None),
        (f"l402_valid_until={int(NOW)}", "expired", "expired"),
        ("l402_valid_until=9999999999", "invalid-credential", "invalid-credential"),
        ("services=l402:0", None, None),
        ("services=l402:0,more:0", "invalid-credential", "invalid-credential"),
        ("l402_offer=x.1.*.-", "invalid-credential", "invalid-credential"),
    ],
)
def test_appended_caveats(caveat: str, skipping: str | None, rejecting: str | None) -> None:
    """Cases 28, 29, 32: who holds a macaroon may narrow it, and `unknown_caveats` decides about what nobody knows."""
    for policy, expected in (("skip", skipping), ("reject", rejecting)):
        shop = Shop({"unknown_caveats": policy})
        decision = shop.decide(OFFER, ask("GET /thing", with_caveat(shop.buy(OFFER), caveat)))
        if expected is None:
            assert isinstance(decision, Delivery), members(decision)
        else:
            assert code(decision) == (402, expected)


# --- uses


def test_single_use(shop: Shop) -> None:
    """Case 45: delivered once; the same request gets the kept answer, another one a new challenge."""
    credential = shop.buy(OFFER)
    headers = [(b"content-type", b"text/plain"), (b"x-one", b"\xe9")]
    assert deliver(shop.decide(OFFER, ask("GET /thing", credential)), headers=headers)
    again = shop.decide(OFFER, ask("GET /thing", credential))
    assert isinstance(again, Response)
    assert (again.status, again.body) == (200, b"goods")
    assert set(headers) <= set(again.headers)
    assert code(shop.decide(OFFER, ask("GET /thing", credential, query=b"other=1"))) == (402, "already-used")


@pytest.mark.parametrize("after", [599, 600])
def test_the_end_of_replay(shop: Shop, after: int) -> None:
    """Case 54: an answer is given again for ten minutes."""
    credential = shop.buy(OFFER)
    deliver(shop.decide(OFFER, ask("GET /thing", credential)))
    shop.clock.now += after
    decision = shop.decide(OFFER, ask("GET /thing", credential))
    assert isinstance(decision, Response)
    assert decision.status == (200 if after < 600 else 402)


def test_no_replay() -> None:
    """Case 45: with replay off, and for an answer longer than is kept, the second request pays again."""
    for shop, body in ((Shop({"replay_for": 0}), b"goods"), (Shop({"replay_max_bytes": 4}), b"goods")):
        credential = shop.buy(OFFER)
        assert deliver(shop.decide(OFFER, ask("GET /thing", credential)), body=body)
        assert code(shop.decide(OFFER, ask("GET /thing", credential))) == (402, "already-used")


@pytest.mark.parametrize(
    ("all_routes", "own", "after", "status"),
    [
        (600, None, 599, 200),
        (600, 0, 0, 402),
        (600, 5, 4, 200),
        (600, 5, 5, 402),
        (0, None, 0, 402),
        (0, 5, 4, 200),
        (5, 3600, 3599, 200),
    ],
)
def test_replay_of_one_route(all_routes: float, own: float | None, after: float, status: int) -> None:
    """An offer says how long its answers are given again, where that is not how long the paywall says."""
    shop = Shop({"replay_for": all_routes})
    offer = Offer(10, replay_for=own)
    credential = shop.buy(offer)
    assert deliver(shop.decide(offer, ask("GET /thing", credential)))
    shop.clock.now += after
    again = shop.decide(offer, ask("GET /thing", credential))
    assert isinstance(again, Response)
    assert again.status == status


def test_replay_looks_at_the_body(shop: Shop) -> None:
    """Case 54: what the handler read belongs to the request, also where the sale is not bound to it."""
    credential = shop.buy(OFFER, ask("POST /thing"))
    decision = shop.decide(OFFER, ask("POST /thing", credential, body=b"one"))
    assert isinstance(decision, Delivery)
    decision.read(b"o", True)
    decision.read(b"ne", False)
    assert deliver(decision)
    assert code(shop.decide(OFFER, ask("POST /thing", credential, body=b"two"))) == (402, "already-used")
    again = shop.decide(OFFER, ask("POST /thing", credential, body=b"one"))
    assert isinstance(again, Response)
    assert again.body == b"goods"


@pytest.mark.parametrize(("replay_for", "stays"), [(600, True), (0, False)])
def test_what_goes_on_without_its_client(replay_for: float, stays: bool) -> None:
    """Case 51: an answer whose client left goes on only where it can be given again."""
    shop = Shop({"replay_for": replay_for})
    delivery = shop.decide(OFFER, ask("GET /thing", shop.buy(OFFER)))
    assert isinstance(delivery, Delivery)
    assert not delivery.stays
    delivery.start(200, [])
    assert delivery.stays == stays
    assert deliver(delivery)


@pytest.mark.parametrize(
    ("pieces", "kept"),
    [
        ([b"12345", b"67890"], True),
        ([b"1234567890"], True),
        ([b"12345", b"", b"67890", b""], True),
        ([b"12345", b"678901"], False),
        ([b"12345678901"], False),
        ([b"12345678901", b"2", b"3"], False),
    ],
)
def test_an_answer_is_kept_whole_or_not_at_all(pieces: list[bytes], kept: bool) -> None:
    """Case 54: up to the very byte that is allowed, in however many pieces it went out; beyond, nothing of it."""
    shop = Shop({"replay_max_bytes": 10})
    credential = shop.buy(OFFER)
    delivery = shop.decide(OFFER, ask("GET /thing", credential))
    assert isinstance(delivery, Delivery)
    delivery.start(200, [])
    for piece in pieces:
        delivery.take(piece)
    assert drive(delivery.finish())
    again = shop.decide(OFFER, ask("GET /thing", credential))
    assert isinstance(again, Response)
    assert (again.status, again.body == b"".join(pieces)) == ((200, True) if kept else (402, False))


def test_replay_looks_at_a_body_that_was_read_before(shop: Shop) -> None:
    """Case 54: nor is it forgotten where the handler read nothing, because somebody before it had."""

    def posted(body: bytes) -> RequestView:
        request = ask("POST /thing", credential, body=body)
        request.body_if_read = request.read_body(Body(1000)).block()
        return request

    credential = shop.buy(OFFER, ask("POST /thing"))
    assert deliver(shop.decide(OFFER, posted(b"one")))
    assert code(shop.decide(OFFER, posted(b"two"))) == (402, "already-used")
    again = shop.decide(OFFER, posted(b"one"))
    assert isinstance(again, Response)
    assert again.body == b"goods"


PART, OTHER_PART = [(b"range", b"bytes=0-4")], [(b"Range", b"bytes=5-9")]
UNCHANGED = [(b"if-none-match", b'"1"')]


@pytest.mark.parametrize(
    ("status", "asked", "again", "is_given"),
    [
        (200, [], PART, True),
        (200, PART, [], True),
        (200, UNCHANGED, OTHER_PART, True),
        (206, PART, PART, True),
        (206, PART, [(b"RANGE", b"bytes=0-4")], True),
        (206, PART, OTHER_PART, False),
        (206, PART, [], False),
        (206, PART, [*PART, (b"if-range", b'"1"')], False),
        (304, UNCHANGED, UNCHANGED, True),
        (304, UNCHANGED, [], False),
        (304, UNCHANGED, [(b"if-none-match", b'"2"')], False),
    ],
)
def test_a_part_is_given_again_to_who_asks_for_it(status: int, asked: Headers, again: Headers, is_given: bool) -> None:
    """Case 91: a whole answer may be given to a Range too; a part, or "not modified", only where the same is asked."""
    shop = Shop()
    credential = shop.buy(OFFER)
    assert deliver(shop.decide(OFFER, ask("GET /thing", credential, headers=asked)), b"goods", status)
    decision = shop.decide(OFFER, ask("GET /thing", credential, headers=again))
    assert isinstance(decision, Response)
    if is_given:
        assert (decision.status, decision.body) == (status, b"goods")
    else:
        assert code(decision) == (402, "already-used")


def test_bundle(shop: Shop) -> None:
    """`uses=3` is three deliveries, none of them given again, and the fourth request pays."""
    offer = Offer(10, uses=3)
    credential = shop.buy(offer)
    for left in (2, 1, 0):
        decision = shop.decide(offer, ask("GET /thing", credential))
        assert isinstance(decision, Delivery)
        assert decision.payment.uses_left == left
        assert deliver(decision)
    assert code(shop.decide(offer, ask("GET /thing", credential))) == (402, "already-used")


def test_pass(shop: Shop) -> None:
    """`uses=None` is good for any number, asks no ledger, and ends with its time."""
    offer = Offer(10, uses=None, valid_for=60)
    credential = shop.buy(offer)
    for _ in range(5):
        decision = shop.decide(offer, ask("GET /thing", credential))
        assert isinstance(decision, Delivery)
        assert decision.payment.uses_left is None
        assert deliver(decision)
    shop.clock.now += 660
    assert code(shop.decide(offer, ask("GET /thing", credential))) == (402, "expired")


def test_busy(shop: Shop) -> None:
    """Case 54: while the use is held the same credential is a 409 with Retry-After, and nobody gets an invoice."""
    credential = shop.buy(OFFER)
    running = shop.decide(OFFER, ask("GET /thing", credential))
    answer = shop.decide(OFFER, ask("GET /thing", credential))
    assert code(answer) == (409, "in-use")
    assert field_of(answer, b"retry-after") == [b"1"]
    assert not field_of(answer, b"www-authenticate")
    assert "invoice" not in members(answer)
    assert isinstance(running, Delivery)
    drive(running.fail())
    assert isinstance(shop.decide(OFFER, ask("GET /thing", credential)), Delivery)


@pytest.mark.parametrize(
    ("status", "charged"),
    [(200, True), (204, True), (304, True), (399, True), (400, False), (404, False), (500, False)],
)
def test_what_is_charged(shop: Shop, status: int, charged: bool) -> None:
    """Cases 49, 50: below 400 counts; anything else gives the use back."""
    credential = shop.buy(OFFER)
    assert deliver(shop.decide(OFFER, ask("GET /thing", credential)), status=status)
    decision = shop.decide(OFFER, ask("GET /thing", credential))
    assert isinstance(decision, Response if charged else Delivery)


@pytest.mark.parametrize(("status", "charged"), [(None, False), (200, True), (404, False)])
def test_a_client_that_leaves(shop: Shop, status: int | None, charged: bool) -> None:
    """Case 51: a client that leaves is charged once an answer that counts has begun; only the first end decides."""
    credential = shop.buy(OFFER)
    decision = shop.decide(OFFER, ask("GET /thing", credential))
    assert isinstance(decision, Delivery)
    if status is not None:
        decision.start(status, [])
    assert drive(decision.vanish())
    drive(decision.fail())
    again = shop.decide(OFFER, ask("GET /thing", credential))
    assert isinstance(again, Response if charged else Delivery)


def test_charge_if(shop: Shop) -> None:
    """Case 49: `charge_if` decides otherwise."""
    offer = Offer(10, charge_if=lambda status: status in (200, 404))
    credential = shop.buy(offer)
    assert deliver(shop.decide(offer, ask("GET /thing", credential)), status=302)
    assert deliver(shop.decide(offer, ask("GET /thing", credential)), status=404)
    assert code(shop.decide(offer, ask("GET /thing", credential, query=b"x"))) == (402, "already-used")


# --- failures


class BrokenLedger(MemoryLedger):
    """A ledger whose store is gone."""

    broken: str = "hold"

    def __init__(self, broken: str) -> None:
        super().__init__()

        def fail(*args: object) -> Any:
            def failing() -> None:
                raise LedgerError("the disk is full")

            return Call(failing)

        setattr(self, broken, fail)


def test_the_ledger_fails(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Case 48: 503 with Retry-After, nobody is let in, and no invoice is made."""
    shop = Shop({"ledger": BrokenLedger("hold")})
    credential = shop.buy(OFFER)
    monkeypatch.setattr(DevNode, "create_invoice", lambda *args: pytest.fail("an invoice was made"))
    answer = shop.decide(OFFER, ask("GET /thing", credential))
    assert code(answer) == (503, "ledger-unavailable")
    assert field_of(answer, b"retry-after") == [b"5"]
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("ERROR", "no ledger, so 503 for GET /thing: the disk is full")
    ]


def test_the_ledger_can_not_keep_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Case 48: without configured keys and without a ledger there is no challenge either."""
    monkeypatch.delenv("L402_SECRET_KEYS", raising=False)
    shop = Shop({"ledger": BrokenLedger("keep_key"), "secret_keys": None})
    assert code(shop.decide(OFFER, ask())) == (503, "ledger-unavailable")


def test_the_ledger_fails_to_settle() -> None:
    """What could not be settled is not delivered, and the use is back at once."""
    shop = Shop({"ledger": BrokenLedger("settle")})
    credential = shop.buy(OFFER)
    with pytest.raises(LedgerError):
        deliver(decision := shop.decide(OFFER, ask("GET /thing", credential)))
    assert not deliver(decision)
    assert isinstance(shop.decide(OFFER, ask("GET /thing", credential)), Delivery)


def invoices(bolt11: Any) -> Callable[[InvoiceRequest], Any]:
    """A provider function that always gives the same."""
    return lambda request: bolt11


def selling(provider: Any, price: int = 250_000, now: float = 1496314700, **options: Any) -> Shop:
    """A paywall with that provider."""
    shop = Shop({"ledger": MemoryLedger()}, Clock(now))
    from l402_middleware import Paywall

    shop.paywall = Paywall(provider, MemoryLedger(), secret_keys=[KEY], clock=shop.clock, **options)
    return shop


def test_a_function_as_provider() -> None:
    """A plain function that makes the right invoice is all a provider needs to be."""
    answer = selling(invoices(COFFEE)).decide(Offer(250_000), ask())
    assert members(answer)["invoice"] == COFFEE


@pytest.mark.anyio
async def test_an_async_function_as_provider() -> None:
    """An async function does as well, under either driver, and msat prices are rounded up to whole sats."""

    async def provider(request: InvoiceRequest) -> str:
        assert request.amount == sats(250_000)
        return COFFEE

    shop = selling(provider)
    answer = await shop.adecide(Offer(msats(249_999_001)), ask())
    assert members(answer)["amount_msat"] == 250_000_000


@pytest.mark.parametrize(
    ("options", "conditions", "memo", "expiry"),
    [
        ({}, {}, "l402: GET /thing", 600),
        ({"service": "weather", "invoice_expiry": 60}, {}, "weather: GET /thing", 60),
        ({}, {"memo": "Tomorrow's weather"}, "Tomorrow's weather", 600),
    ],
)
def test_what_a_provider_is_asked_for(
    options: dict[str, Any], conditions: dict[str, Any], memo: str, expiry: int
) -> None:
    """An invoice over the price, that says what it is for and ends as the settings say."""
    asked: list[InvoiceRequest] = []

    def provider(request: InvoiceRequest) -> str:
        asked.append(request)
        return COFFEE

    selling(provider, **options).decide(Offer(250_000, **conditions), ask())
    assert asked == [InvoiceRequest(sats(250_000), memo, expiry)]


def wrong_hash(request: InvoiceRequest) -> Flow[CreatedInvoice]:
    """A backend that says another payment hash than its invoice."""
    yield from ()
    return CreatedInvoice(COFFEE, bytes(32))


class WrongHash:
    """A provider that contradicts itself."""

    network = "bitcoin"
    granularity_msat = 1000

    def create_invoice(self, request: InvoiceRequest) -> Flow[CreatedInvoice]:
        return wrong_hash(request)


def raising(error: Exception) -> Callable[[InvoiceRequest], str]:
    """A provider function that fails."""

    def provider(request: InvoiceRequest) -> str:
        raise error

    return provider


@pytest.mark.parametrize(
    ("shop", "price"),
    [
        (selling(invoices(COFFEE)), 249_999),
        (selling(invoices(COFFEE)), 1),
        (selling(invoices(COFFEE), now=1496314658 + 60), 250_000),
        (selling(invoices(COFFEE), network="regtest"), 250_000),
        (selling(invoices(DONATION)), 250_000),
        (selling(invoices(COFFEE[:-1])), 250_000),
        (selling(invoices("")), 250_000),
        (selling(invoices(None)), 250_000),
        (selling(invoices(COFFEE.encode())), 250_000),
        (selling(WrongHash()), 250_000),
        (selling(raising(RuntimeError("key=hunter2"))), 250_000),
        (selling(raising(StopIteration())), 250_000),
        (selling(raising(ProviderError("timeout", "it took too long"))), 250_000),
        (selling(raising(ProviderError("unauthorized", "wrong key"))), 250_000),
    ],
)
@pytest.mark.anyio
async def test_a_provider_that_fails(shop: Shop, price: int, caplog: pytest.LogCaptureFixture) -> None:
    """Cases 21, 95: another invoice than was asked for is not sent: 503, told to the operator without secrets."""
    caplog.set_level(logging.DEBUG)
    for answer in (
        shop.decide(Offer(price), ask()),
        await shop.adecide(Offer(price), ask()),
    ):
        assert code(answer) == (503, "invoice-unavailable")
        assert field_of(answer, b"retry-after") == [b"5"]
        assert not field_of(answer, b"www-authenticate")
    lines = [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "l402_middleware"]
    assert [level for level, line in lines if line.startswith("no invoice, so 503 for GET /thing: ")] == ["ERROR"] * 2
    assert "hunter2" not in caplog.text
    assert COFFEE not in caplog.text


@pytest.mark.parametrize(
    ("provider", "kind", "message"),
    [
        (invoices(None), "bad-answer", "the provider function returned NoneType, not an invoice"),
        (invoices(7), "bad-answer", "the provider function returned int, not an invoice"),
        (raising(RuntimeError("key=hunter2")), "bad-answer", "the provider function raised RuntimeError"),
        (raising(TimeoutError()), "timeout", "the provider function did not return in time"),
        (raising(ProviderError("busy", "later")), "busy", "later"),
    ],
)
def test_what_a_function_does_wrong(provider: Any, kind: str, message: str) -> None:
    """Case 95: the operator reads what came instead of an invoice, and programs a kind."""
    asked = InvoiceRequest(sats(1), "thing", 600)
    with pytest.raises(ProviderError) as caught:
        drive(FunctionProvider(provider, "bitcoin").create_invoice(asked))
    assert (caught.value.kind, str(caught.value)) == (kind, message)


def test_where_the_wallet_is(shop: Shop) -> None:
    """On its own path, and nowhere in an application whose node is a real one."""
    real = selling(invoices(COFFEE)).paywall
    assert shop.paywall.wallet_path == WALLET_PATH
    assert real.wallet_path is None


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_wallet_is_asked_by_get(shop: Shop, method: str) -> None:
    """The development wallet pays on its path, by GET and so by HEAD; any other method is a 405 that says so."""
    query = f"invoice={members(shop.decide(OFFER, ask()))['invoice']}"
    paid = drive(shop.paywall.answer_wallet(method, query, "127.0.0.1", []))
    assert (paid.status, len(members(paid)["preimage"])) == (200, 64)
    assert field_of(paid, b"content-type") == [b"application/json"]
    refused = drive(shop.paywall.answer_wallet("POST", query, "127.0.0.1", []))
    assert code(refused) == (405, "method-not-allowed")


def test_the_node_is_down_for_new_ones_only(monkeypatch: pytest.MonkeyPatch, shop: Shop) -> None:
    """Case 97: no node is asked on the way in."""
    credential = shop.buy(OFFER)
    monkeypatch.setattr(DevNode, "create_invoice", raising(ProviderError("unreachable", "down")))
    assert isinstance(shop.decide(OFFER, ask("GET /thing", credential)), Delivery)


def test_no_secret_in_logs(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """Case 112: at DEBUG, through sale, use, failure and refusal, nothing of a credential is logged or shown."""
    caplog.set_level(logging.DEBUG)
    shop = Shop()
    credential = shop.buy(OFFER)
    decisions: list[object] = [
        shop.decide(OFFER, ask("GET /other", credential)),
        shop.decide(OFFER, ask("GET /thing", credential)),
        shop.decide(OFFER, ask("GET /thing", credential)),
    ]
    broken = Shop({"ledger": BrokenLedger("hold")})
    decisions.append(broken.decide(OFFER, ask("GET /thing", credential)))
    shown = caplog.text + repr(decisions) + repr(shop.paywall) + repr(ask("GET /thing", credential))
    for secret in secrets_of(credential):
        assert secret not in shown


def secrets_of(credential: bytes) -> Iterable[str]:
    """What must never be seen of a credential, and of the keys."""
    return (KEY, macaroon_of(credential).decode(), credential[-64:].decode())
