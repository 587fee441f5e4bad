"""What an authentic credential gets: the handler, its kept answer, or a refusal."""

import logging
import secrets
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Final

from ..core.binding import endpoint_digest
from ..core.callers import ANYBODY
from ..core.credential import Verified
from ..core.errors import BadCredential, ProviderError
from ..events import Paid
from ..flow import Flow, do
from ..invoicing.invoicing import Invoicing
from ..ledgers.ledger import Busy, Claim, Held, Kept, Ledger, Revoked, Spent
from ..schemes import Shown
from ..throttled_log import ThrottledLog
from .body_budget import BodyBudget
from .caller_binding import came_from
from .delivery import Delivery, Payment, Replay
from .denylist import Denylist
from .doors import Doors
from .heads import UnkeptHeads, unspent_head
from .holds import Hold, Holds
from .observers import Observers
from .offer import Offer
from .request import RequestView
from .request_body import body_digest, digest_of, whole_digest
from .response import unpack
from .verdict import Admitted, Refused, Replayed, Unspent, Verdict

# How long after its credential's end a payment is remembered, in seconds: clocks are moved back by hours, not days.
MEMORY: Final = 24 * 3600

KNOWN_PASSES: Final = 10_000
KNOWN_PAYMENTS: Final = 10_000

_IN_USE: Final = Refused(
    409, "in-use", "A request with this credential still runs; repeat this one shortly.", retry_after=1
)
_PENDING: Final = Refused(
    409, "payment-pending", "The payment has not arrived yet; repeat this request shortly.", retry_after=1
)
_UNKNOWN: Final = Refused(
    503,
    "settlement-unknown",
    "Whether the payment has arrived cannot be found out at the moment; it stays good, repeat the request.",
    retry_after=5,
)


class Redemption:
    """Redeems verified credentials against one ledger.

    With `verify_settlement` the backend is asked once for each payment whether it was received. `bodies` is the room
    for the bodies of those whose use is held, `bodies_again` for those who ask for a kept answer.
    """

    def __init__(
        self,
        ledger: Ledger,
        invoicing: Invoicing,
        doors: Doors,
        observers: Observers,
        *,
        replay: Replay,
        lease: float,
        verify_settlement: bool,
        bodies: BodyBudget,
        bodies_again: BodyBudget,
        clock: Callable[[], float],
    ) -> None:
        self._ledger = ledger
        self._invoicing = invoicing
        self._doors = doors
        self._observers = observers
        self._replay = replay
        self._lease = lease
        self._verify_settlement = verify_settlement
        self._bodies = bodies
        self._bodies_again = bodies_again
        self._clock = clock
        self._holds = Holds(ledger, lease, clock, observers)
        self._denylist = Denylist(ledger)
        self._known_passes: OrderedDict[bytes, Payment] = OrderedDict()
        self._unkept = UnkeptHeads()
        self._known_payments: OrderedDict[bytes, None] = OrderedDict()
        self._log = ThrottledLog()

    def redeem(self, request: RequestView, offer: Offer, shown: Shown) -> Flow[Verdict]:
        """The handler's delivery; or what comes in its place: a kept answer, or a refusal that asks to come again.

        Raises `BadCredential` where the credential is not good for this request, or no longer, and `LedgerError`
        where that cannot be found out. The ledger is asked before a body is read: otherwise one credential that is
        used up or revoked could keep out, with slow bodies, those who have paid.
        """
        verified = shown.verified
        terms = verified.terms
        if terms.endpoint != endpoint_digest(request.endpoint):
            raise BadCredential("wrong-endpoint")
        # At each request, also for a credential that is remembered: anybody can show it from anywhere.
        if terms.callers is not ANYBODY and not came_from(request, terms.callers):
            raise BadCredential("wrong-caller")
        if terms.uses is None:
            now = self._clock()
            if self._denylist.is_due(now):
                yield from self._denylist.refresh(now)
            if self._denylist.has(verified.token_id, now):
                raise BadCredential("revoked")
            if payment := self._known_passes.get(verified.payment_hash):
                if terms.request is not None:
                    yield from self._check_request(request, offer, verified, self._bodies)
                return self._admitted(offer, shown, payment)
        return (yield from self._use(request, offer, shown))

    def _use(self, request: RequestView, offer: Offer, shown: Shown) -> Flow[Verdict]:
        outcome, hold = yield from self._holds.take(self._claim(request, shown))
        match outcome:
            case Held():
                return (yield from self._deliver(request, offer, shown, outcome, hold))
            case Busy():
                return _IN_USE
            case Kept(answer):
                return (yield from self._again(request, offer, shown.verified, answer))
            case Spent():
                raise BadCredential("already-used")
            case Revoked():
                raise BadCredential("revoked")

    def _deliver(self, request: RequestView, offer: Offer, shown: Shown, held: Held, hold: Hold) -> Flow[Verdict]:
        verified = shown.verified
        if self._verify_settlement and not held.confirmed:
            try:
                received = yield from self._holds.guard(hold, self._is_received(verified.payment_hash))
            except ProviderError as error:
                self._log.log(logging.ERROR, "no settlement look-up, so 503 for %s: %s", request.endpoint_name, error)
                return _UNKNOWN
            if not received:
                yield from self._holds.release(hold)
                return _PENDING
        if verified.terms.request is not None:
            yield from self._holds.guard(hold, self._check_request(request, offer, verified, self._bodies))
        self._tell_paid(request, verified)
        payment = Payment(verified.payment_hash.hex(), verified.terms.amount, held.left)
        if verified.terms.uses is None:
            # From now on the uses of this pass cost no step in this process, but for a look at the denylist.
            self._known_passes[verified.payment_hash] = payment
            if len(self._known_passes) > KNOWN_PASSES:
                self._known_passes.popitem(last=False)
            return self._admitted(offer, shown, payment)
        # Of a bundle, a client that lost its answer simply asks again.
        replay = self._replay_of(offer) if verified.terms.uses == 1 else None
        selection = request.selection if replay else ""
        note_unkept = None
        if request.method == "HEAD":
            if replay is None or selection or request.endpoint in self._unkept:
                yield from self._holds.release(hold)
                return Unspent(unspent_head(self._doors.varies_with))
            note_unkept = partial(self._unkept.add, request.endpoint)
        verdict = self._admitted(offer, shown, payment, hold, replay, selection, note_unkept)
        if request.body_if_read is not None:
            verdict.delivery.read_before(request.body_if_read.digest)
        return verdict

    def _admitted(
        self,
        offer: Offer,
        shown: Shown,
        payment: Payment,
        hold: Hold | None = None,
        replay: Replay | None = None,
        selection: str = "",
        note_unkept: Callable[[], None] | None = None,
    ) -> Admitted:
        receipt = shown.scheme.receipt(shown, self._clock()) if shown.reference else ()
        varies_with = self._doors.varies_with
        return Admitted(
            Delivery(payment, offer.charge_if, self._holds, hold, replay, selection, note_unkept, receipt, varies_with)
        )

    def _check_request(self, request: RequestView, offer: Offer, verified: Verified, bodies: BodyBudget) -> Flow[None]:
        """Raise `BadCredential` where a bound sale is bound to another request, `Refusal` where that cannot be seen."""
        digest = yield from whole_digest(request, offer.max_body, bodies, verified.payment_hash)
        if digest != verified.terms.request:
            raise BadCredential("wrong-request")

    def _replay_of(self, offer: Offer) -> Replay | None:
        replay = self._replay
        if offer.replay_for is not None:
            replay = Replay(offer.replay_for, replay.max_bytes)
        return replay if replay.seconds else None

    def _claim(self, request: RequestView, shown: Shown) -> Claim:
        now = self._clock()
        verified = shown.verified
        terms = verified.terms
        # Without its body, where the sale is not bound to it: the handler may stream it.
        digest = terms.request or digest_of(request, b"")
        if shown.action:
            digest += f".{shown.action}"
        return Claim(
            payment_hash=verified.payment_hash,
            token_id=verified.token_id,
            hold_id=secrets.token_bytes(16),
            bought=terms.uses,
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

    def _again(self, request: RequestView, offer: Offer, verified: Verified, answer: bytes) -> Flow[Replayed]:
        response, to = unpack(answer, self._clock())
        if to.selection not in (None, request.selection):
            raise BadCredential("already-used")
        if verified.terms.request is not None:
            yield from self._check_request(request, offer, verified, self._bodies_again)
        if to.body_digest is not None:
            body = yield from body_digest(request, offer.max_body, self._bodies_again, verified.payment_hash)
            if to.body_digest != body:
                raise BadCredential("already-used")
        return Replayed(response)

    def _tell_paid(self, request: RequestView, verified: Verified) -> None:
        if not self._observers.anybody or verified.payment_hash in self._known_payments:
            return
        self._known_payments[verified.payment_hash] = None
        if len(self._known_payments) > KNOWN_PAYMENTS:
            self._known_payments.popitem(last=False)
        amount = verified.terms.amount.msat
        self._observers.tell(Paid, self._clock(), request.endpoint_name, verified.payment_hash.hex(), amount)
