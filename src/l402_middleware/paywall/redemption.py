"""What an authentic credential gets: the handler, its kept answer, or a refusal."""

import secrets
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Final

from ..core.binding import endpoint_digest, request_digest
from ..core.callers import ANYBODY
from ..core.credential import Verified
from ..core.errors import BadCredential
from ..flow import Flow, do
from ..ledgers.ledger import Busy, Claim, Held, Kept, Ledger, Revoked, Spent
from .body_budget import BodyBudget
from .caller_binding import came_from
from .counters import Counters
from .delivery import Delivery, Payment, Replay
from .denylist import Denylist
from .heads import UnkeptHeads, unspent_head
from .holds import Hold, Holds
from .invoicing import Invoicing
from .offer import Offer
from .request import Body, RequestView
from .response import Response, problem_response, unpack

# How long after its credential's end a payment is remembered, in seconds: clocks are moved back by hours, not days.
MEMORY: Final = 24 * 3600

KNOWN_PASSES: Final = 10_000


class Redemption:
    """Redeems verified credentials against one ledger.

    With `verify_settlement` the backend is asked once for each payment whether it was received.
    """

    def __init__(
        self,
        ledger: Ledger,
        invoicing: Invoicing,
        tallies: Counters,
        *,
        replay: Replay | None,
        lease: float,
        verify_settlement: bool,
        spool: BodyBudget,
        clock: Callable[[], float],
    ) -> None:
        self._ledger = ledger
        self._invoicing = invoicing
        self._counters = tallies
        self._replay = replay
        self._lease = lease
        self._verify_settlement = verify_settlement
        self._spool = spool
        self._clock = clock
        self._holds = Holds(ledger, lease, clock)
        self._denylist = Denylist(ledger)
        self._known_passes: OrderedDict[bytes, Payment] = OrderedDict()
        self._unkept = UnkeptHeads()

    def redeem(self, request: RequestView, offer: Offer, verified: Verified) -> Flow[Delivery | Response]:
        """The handler's `Delivery`, or the answer in its place: a kept one, or a 409 that asks to come again.

        Raises `BadCredential` where the credential is not good for this request, or no longer, `LedgerError` and
        `ProviderError` where that cannot be found out.
        """
        terms = verified.terms
        if terms.endpoint != endpoint_digest(request.endpoint):
            raise BadCredential("wrong-endpoint")
        # At each request, also for a credential that is remembered: anybody can show it from anywhere.
        if terms.callers is not ANYBODY and not came_from(request, terms.callers):
            raise BadCredential("wrong-caller")
        if terms.request is not None and terms.request != (yield from whole_digest(request, offer, self._spool)):
            raise BadCredential("wrong-request")
        if terms.uses is None:
            now = self._clock()
            if self._denylist.is_due(now):
                yield from self._denylist.refresh(now)
            if self._denylist.has(verified.token_id, now):
                raise BadCredential("revoked")
            if payment := self._known_passes.get(verified.payment_hash):
                return (yield from self._admit_pass(request, offer, payment))
        return (yield from self._use(request, offer, verified))

    def _use(self, request: RequestView, offer: Offer, verified: Verified) -> Flow[Delivery | Response]:
        claim = self._claim(request, verified)
        outcome, hold = yield from self._holds.take(claim)
        match outcome:
            case Held():
                return (yield from self._deliver(request, offer, verified, outcome, hold))
            case Busy():
                return _come_again("in-use", "A request with this credential still runs; repeat this one shortly.")
            case Kept(answer):
                return (yield from self._again(request, offer, answer))
            case Spent():
                raise BadCredential("already-used")
            case Revoked():
                raise BadCredential("revoked")

    def _deliver(
        self, request: RequestView, offer: Offer, verified: Verified, held: Held, hold: Hold
    ) -> Flow[Delivery | Response]:
        if self._verify_settlement and not held.confirmed:
            received = yield from self._holds.guard(hold, self._is_received(verified.payment_hash))
            if not received:
                yield from self._holds.release(hold)
                return _come_again("payment-pending", "The payment has not arrived yet; repeat this request shortly.")
        payment = Payment(verified.payment_hash.hex(), verified.terms.amount, held.uses_left)
        if verified.terms.uses is None:
            # From now on the uses of this pass cost no step in this process, but for a look at the denylist.
            self._known_passes[verified.payment_hash] = payment
            if len(self._known_passes) > KNOWN_PASSES:
                self._known_passes.popitem(last=False)
            return (yield from self._admit_pass(request, offer, payment))
        # Of a bundle, a client that lost its answer simply asks again.
        replay = self._replay if verified.terms.uses == 1 else None
        selection = request.selection if replay else ""
        note_unkept = None
        if request.method == "HEAD":
            if replay is None or selection or request.endpoint in self._unkept:
                yield from self._holds.release(hold)
                return unspent_head()
            note_unkept = partial(self._unkept.add, request.endpoint)
        delivery = Delivery(payment, offer.charge_if, self._holds, hold, replay, selection, note_unkept)
        if request.body is not None:
            delivery.read_before(request.body.digest)
        return delivery

    def _admit_pass(self, request: RequestView, offer: Offer, payment: Payment) -> Flow[Delivery]:
        if self._counters.add("delivered", request.endpoint_name, self._clock()):
            yield from self._counters.flush()
        return Delivery(payment, offer.charge_if, self._holds)

    def _claim(self, request: RequestView, verified: Verified) -> Claim:
        now = self._clock()
        terms = verified.terms
        # Without its body, where the sale is not bound to it: the handler may stream it.
        digest = terms.request or digest_of(request, b"")
        return Claim(
            payment_hash=verified.payment_hash,
            token_id=verified.token_id,
            hold_id=secrets.token_bytes(16),
            uses=terms.uses,
            request=digest.encode(),
            endpoint=request.endpoint_name,
            msat=terms.amount.msat,
            now=now,
            lease_until=now + self._lease,
            forget_at=verified.sold_until + MEMORY,
        )

    def _is_received(self, payment_hash: bytes) -> Flow[bool]:
        """Whether the backend has the payment: for some, a preimage can be known before its payment is final."""
        received = yield from self._invoicing.is_settled(payment_hash)
        if received:
            yield from do(self._ledger.confirm(payment_hash, self._clock()))
        return received

    def _again(self, request: RequestView, offer: Offer, answer: bytes) -> Flow[Response]:
        response, to = unpack(answer, self._clock())
        if to.selection not in (None, request.selection):
            raise BadCredential("already-used")
        if to.body_digest is not None and to.body_digest != (yield from body_of(request, offer, self._spool)):
            raise BadCredential("already-used")
        return response


def _come_again(code: str, title: str) -> Response:
    return problem_response(409, code, title, retry_after=1)


def body_of(request: RequestView, offer: Offer, spool: BodyBudget) -> Flow[bytes]:
    """The digest of the request's body, which is read if it was not yet. Raises `Refusal` where that cannot be."""
    if request.body is None:
        request.body = yield from do(request.read_body(Body(offer.max_body, spool)))
    return request.body.digest


def whole_digest(request: RequestView, offer: Offer, spool: BodyBudget) -> Flow[str]:
    """The digest of the whole request, as a credential is bound to it."""
    return digest_of(request, (yield from body_of(request, offer, spool)))


def digest_of(request: RequestView, body_digest: bytes) -> str:
    """The digest of a request with that body. HEAD counts as GET: who asks the price with HEAD may buy with GET."""
    method = "GET" if request.method == "HEAD" else request.method
    return request_digest(method, request.path, request.query_string, body_digest)
