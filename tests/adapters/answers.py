"""What every adapter does with an answer, whatever the application does with it: one suite, without a framework.

The application is a script, and the server is played by hand: it can say that the client left.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest

from l402_middleware import Offer, Paywall
from l402_middleware.flow import Call, Step
from l402_middleware.ledgers import MemoryLedger
from l402_middleware.providers.devnode import DevNode

from .servers import KEY
from .unsettled import Unsettled

PATH = "/thing"
FREE = "/free"


@dataclass(frozen=True)
class Head:
    """The application begins its answer."""

    status: int = 200
    length: int | None = None
    kind: str = "text/plain"


Script = tuple[Head | bytes | Exception, ...]

WHOLE: Script = (Head(length=7), b"one ", b"two")
STREAM: Script = (Head(), b"one ", b"", b"two")
GOODS = b"one two"


@dataclass
class Got:
    """What a client got: `status` is 0 where no answer began, and `error` what the server was told."""

    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    error: Exception | None = None

    def field(self, name: str) -> str | None:
        """A header field."""
        return next((value for key, value in self.headers if key.lower() == name), None)

    @property
    def code(self) -> str:
        return str(json.loads(self.body)["code"])


@dataclass
class Request:
    """What a client asks, and after how many pieces of the answer it leaves."""

    method: str = "GET"
    query: str = ""
    credential: str | None = None
    body: bytes = b""
    leaves_after: int | None = None
    path: str = PATH
    mount: str = ""
    headers: dict[str, str] = field(default_factory=dict)


Ask = Callable[[Any, Request], Got]


class Shop:
    """An application that follows a script, sold as a whole, and its customer."""

    def __init__(self, contract: "AnswerContract", paywall: Paywall, script: Script, offer: Offer) -> None:
        self.paywall = paywall
        self.runs: list[str] = []
        self.app = contract.sell(script, paywall, offer, self.runs)
        self._ask = contract.ask

    def ask(self, credential: str | None = None, **request: Any) -> Got:
        """One request."""
        return self._ask(self.app, Request(credential=credential, **request))

    def buy(self, **request: Any) -> str:
        """A credential."""
        quoted = json.loads(self.ask(**request).body)
        assert self.paywall.wallet is not None
        return f"L402 {quoted['macaroon']}:{self.paywall.wallet.pay(quoted['invoice']).hex()}"

    def is_charged(self, credential: str) -> bool:
        """Whether the credential has no use left, for another request than it was shown with."""
        return self.ask(credential, query="other").status == 402


class LostLease(MemoryLedger):
    """Every use is taken over by another request before it is settled."""

    def settle(self, *args: Any) -> Step[bool]:
        return Call(lambda: False)


class AnswerContract:
    """Subclasses say how an application is sold, and how a server asks it."""

    def sell(self, script: Script, paywall: Paywall, offer: Offer, runs: list[str]) -> Any:
        raise NotImplementedError

    def ask(self, app: Any, request: Request) -> Got:
        raise NotImplementedError

    def shop(
        self, script: Iterable[Any], offer: Offer | None = None, ledger: MemoryLedger | None = None, **settings: Any
    ) -> Shop:
        """A shop with a paywall of its own; `FREE` costs nothing there."""
        paywall = Paywall(DevNode(), ledger, secret_keys=[KEY], **settings)
        return Shop(self, paywall, tuple(script), offer or Offer(21))

    @pytest.mark.parametrize("script", [WHOLE, STREAM], ids=["length", "stream"])
    def test_delivered(self, script: Script) -> None:
        """Cases 50, 54, 76: whole, private, charged once; and given again, which it says, with its age."""
        shop = self.shop(script)
        credential = shop.buy()
        first, again = shop.ask(credential), shop.ask(credential)
        for answer in (first, again):
            assert (answer.status, answer.body, answer.error) == (200, GOODS, None)
            assert answer.field("cache-control") == "private"
        assert (first.field("l402-replayed"), first.field("age")) == (None, None)
        assert again.field("l402-replayed") == "true"
        assert int(again.field("age") or "-1") >= 0
        assert shop.is_charged(credential)
        assert shop.runs == ["GET"]

    @pytest.mark.parametrize("status", [204, 304])
    def test_no_body(self, status: int) -> None:
        """Case 50: an answer that is its head alone is charged, and given again."""
        shop = self.shop([Head(status)])
        credential = shop.buy()
        assert [shop.ask(credential).status for _ in range(2)] == [status] * 2
        assert shop.is_charged(credential)
        assert len(shop.runs) == 1

    @pytest.mark.parametrize(
        "script",
        [
            (Head(404, 3), b"no?"),
            (Head(500), b"no"),
            (ValueError("at once"),),
            (Head(length=7), ValueError("with its head held")),
            (Head(), ValueError("after its head")),
            (Head(), b"one ", ValueError("in the middle")),
        ],
    )
    def test_a_failure_is_not_charged(self, script: Script) -> None:
        """Cases 49, 51: a status of failure, and an application that fails at any moment, give the use back."""
        shop = self.shop(script)
        credential = shop.buy()
        for _ in range(2):
            shop.ask(credential)
        assert len(shop.runs) == 2
        assert not shop.is_charged(credential)

    @pytest.mark.parametrize("replay_for", [600, 0])
    @pytest.mark.parametrize("script", [WHOLE, STREAM], ids=["length", "stream"])
    def test_a_client_that_leaves(self, script: Script, replay_for: float) -> None:
        """Case 51: it is charged, and finds the whole answer when it comes back, where answers are kept."""
        shop = self.shop(script, replay_for=replay_for)
        credential = shop.buy()
        assert shop.ask(credential, leaves_after=1).body == b"one "
        assert shop.is_charged(credential)
        again = shop.ask(credential)
        assert (again.status, again.body == GOODS) == ((200, True) if replay_for else (402, False))
        assert len(shop.runs) == 1

    @pytest.mark.parametrize("ledger", [Unsettled, LostLease])
    @pytest.mark.parametrize(
        ("script", "out"),
        [
            ((Head(length=7), GOODS), None),
            ((Head(204),), None),
            ((Head(304),), None),
            (WHOLE, b"one "),
            (STREAM, GOODS),
        ],
        ids=["at once", "204", "304", "length", "stream"],
    )
    def test_what_cannot_be_settled(self, ledger: type[MemoryLedger], script: Script, out: bytes | None) -> None:
        """Case 50: nothing out yet: a 503; otherwise the answer never comes to its end."""
        shop = self.shop(script, ledger=ledger())
        answer = shop.ask(shop.buy())
        if out is None:
            assert (answer.status, answer.code, answer.field("retry-after")) == (503, "not-settled", "5")
        else:
            assert (answer.status, answer.body) == (200, out)
            assert answer.error is not None

    @pytest.mark.parametrize(
        "script",
        [WHOLE, STREAM, (Head(length=3), b"one"), (Head(), b"one ", ValueError())],
        ids=["length", "stream", "at once", "failing"],
    )
    @pytest.mark.parametrize("leaves_after", [None, 1])
    def test_a_condition_that_fails(self, script: Script, leaves_after: int | None) -> None:
        """A `charge_if` that raises anything costs nobody anything: no use, and no room for bodies."""

        def charge_if(status: int) -> bool:
            raise KeyError(status)

        shop = self.shop(script, Offer(21, bind="request", charge_if=charge_if), spool_bodies=1)
        credential = shop.buy(method="POST", body=b"body")
        for _ in range(3):
            got = shop.ask(credential, method="POST", body=b"body", leaves_after=leaves_after)
            assert got.status in (0, 200)
        assert len(shop.runs) == 3

    # HEAD

    @pytest.mark.parametrize("order", ["HEAD GET", "HEAD HEAD GET GET", "GET HEAD", "GET HEAD GET"])
    @pytest.mark.parametrize("script", [WHOLE, (Head(), GOODS)], ids=["length", "one piece"])
    def test_head(self, script: Script, order: str) -> None:
        """Case 23: a paid HEAD never costs the body: one run, one use, and each is given what a GET would be."""
        if script is not WHOLE and self.needs_length:
            pytest.skip("what comes in one piece cannot be told from a stream here")
        shop = self.shop(script)
        credential = shop.buy()
        for number, method in enumerate(order.split()):
            answer = shop.ask(credential, method=method)
            assert (answer.status, answer.body, answer.error) == (200, GOODS if method == "GET" else b"", None)
            assert answer.field("content-length") == (None if script is not WHOLE else "7")
            assert (answer.field("l402-replayed") is not None) == bool(number)
        assert shop.runs == ["GET"]
        assert shop.is_charged(credential)

    needs_length = False

    @pytest.mark.parametrize(
        "script",
        [
            STREAM,
            (Head(length=11), b"one two three"[:11]),
            (Head(kind="text/event-stream", length=7), GOODS),
        ],
        ids=["stream", "too long", "events"],
    )
    def test_head_of_what_cannot_be_kept(self, script: Script) -> None:
        """Case 23: the use is given back; no other HEAD runs for it, whoever pays, and the GET gets its answer."""
        shop = self.shop(script, replay_max_bytes=10)
        credential, other = shop.buy(), shop.buy()
        first = shop.ask(credential, method="HEAD")
        assert (first.status, first.body, first.error) == (200, b"", None)
        assert first.field("content-type") is not None
        assert shop.runs == ["GET"]
        for each in (credential, other):
            again = shop.ask(each, method="HEAD")
            assert (again.status, again.body) == (200, b"")
            assert (again.field("content-length"), again.field("cache-control")) == (None, "no-store")
        assert shop.runs == ["GET"]
        assert shop.ask(credential).body == b"".join(piece for piece in script if isinstance(piece, bytes))
        assert shop.ask(credential, method="HEAD", query="other").status == 402
        assert shop.runs == ["GET", "GET"]

    @pytest.mark.parametrize(
        ("offer", "settings", "headers"),
        [
            (Offer(21), {"replay_for": 0}, {}),
            (Offer(21, uses=3), {}, {}),
            (Offer(21), {}, {"Range": "bytes=0-0"}),
            (Offer(21), {}, {"If-None-Match": "*"}),
        ],
        ids=["no replay", "bundle", "range", "condition"],
    )
    def test_head_without_a_copy(self, offer: Offer, settings: dict[str, Any], headers: dict[str, str]) -> None:
        """Case 23: where no answer is kept for any GET, HEAD runs nothing, and takes nothing."""
        shop = self.shop(WHOLE, offer, **settings)
        credential = shop.buy()
        for _ in range(4):
            answer = shop.ask(credential, method="HEAD", headers=headers)
            assert (answer.status, answer.body, answer.field("cache-control")) == (200, b"", "no-store")
        assert shop.runs == []
        assert shop.ask(credential).body == GOODS

    def test_head_with_a_pass(self) -> None:
        """A pass pays for HEAD as for any other request, and the application sees it."""
        shop = self.shop([Head(length=7)], Offer(21, uses=None))
        credential = shop.buy()
        assert shop.ask(credential, method="HEAD").field("content-length") == "7"
        assert shop.runs == ["HEAD"]

    @pytest.mark.parametrize(
        "script", [(Head(404, 3), b"no?"), (ValueError("at once"),), (Head(length=3), ValueError("later"))]
    )
    def test_head_of_a_failure(self, script: Script) -> None:
        """A failure costs nothing, and keeps no later HEAD from running."""
        shop = self.shop(script)
        credential = shop.buy()
        for _ in range(2):
            assert shop.ask(credential, method="HEAD").body == b""
        assert shop.runs == ["GET"] * 2
        assert not shop.is_charged(credential)

    def test_head_that_cannot_be_settled(self) -> None:
        """What cannot be settled is not delivered, to HEAD either."""
        shop = self.shop(WHOLE, ledger=Unsettled())
        answer = shop.ask(shop.buy(), method="HEAD")
        assert (answer.status, answer.body, answer.field("retry-after")) == (503, b"", "5")

    # What is free

    @pytest.mark.parametrize("script", [WHOLE, STREAM], ids=["length", "stream"])
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_free(self, script: Script, method: str) -> None:
        """What nobody has to pay for passes as it is."""
        shop = self.shop(script)
        answer = shop.ask(path=FREE, method=method)
        assert (answer.status, answer.field("cache-control"), answer.error) == (200, None, None)
        assert answer.body == GOODS
        assert shop.runs == [method]

    # The development wallet

    @pytest.mark.parametrize("mount", ["", "/part", "/a/b"])
    def test_the_wallet_below_a_mount(self, mount: str) -> None:
        """The development wallet answers below the mount that a server, a router or a proxy says, and nowhere else."""
        shop = self.shop(WHOLE)
        assert shop.ask(path="/dev/wallet/pay", mount=mount).code == "missing-invoice"
        assert shop.ask(path="/part/dev/wallet/pay", mount=mount).status == 402
