"""One request and its answer: what happens to it goes in, what to do comes out."""

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from ..core.errors import ConfigurationError, LedgerError
from ..flow import Flow
from ..paywall.cors import with_fields
from ..paywall.delivery import Delivery
from ..paywall.offer import Offer, Sale
from ..paywall.rendering import undelivered
from ..paywall.request import RequestView
from ..paywall.response import Headers, Response, body_length
from .states import CUT_SHORT_IS_LEFT, IS_OUT, LEFT_COUNTS, OVER, TABLE, Input, Output, State

if TYPE_CHECKING:
    # Whoever only decorates endpoints does not wait for all that decides about requests.
    from ..paywall.paywall import Decision, Paywall

log = logging.getLogger("l402_middleware")

# Answers to these have no body that could be missing (RFC 9110, sections 15.3.5, 15.3.6 and 15.4.5).
_BODILESS: Final = frozenset({204, 205, 304})

# On Python 3.11 it takes 0.07 us to get a member from an Enum, and every request needs these.
_SALE, _PASS, _START, _SEND = Input.SALE, Input.PASS, Input.START, Output.SEND


def refuse_other_than_paywall(paywall: object) -> None:
    """Raise `ConfigurationError` where a middleware is given anything but a `Paywall`."""
    # Here, because whoever has one has loaded it, and whoever only decorates endpoints does not wait for it.
    from ..paywall.paywall import Paywall  # noqa: PLC0415

    if not isinstance(paywall, Paywall):
        raise ConfigurationError(f"L402Middleware needs paywall=Paywall(...), not {paywall!r}")


class BrokenProtocol(RuntimeError):
    """The application did what ASGI or WSGI does not allow where the exchange stands."""


class Exchange:
    """One request's way through an application, of which adapters make one for each request.

    Adapters ask `is_new` whether a sale has to be decided, drive the flows, and carry out the outputs. All that decides
    is in `state`, and in whether the client `has_left`.
    """

    # Defaults of the class, because most requests are for free routes and change none of them.
    state = State.OPEN
    has_left = False
    decision: "Decision | None" = None
    headers: Headers = []  # noqa: RUF012 - never changed in place
    """The answer's header fields as they have to go out, where anything was decided; `head` sets them."""
    _sold: Sale | None = None
    _left: int | None = None
    _status = 0

    def __init__(self, paywall: "Paywall", default: Sale | None = None) -> None:
        self.paywall = paywall
        self.default = default

    # The sale.

    def is_new(self, offer: Offer, endpoint: str) -> bool:
        """Whether `decide` has to be driven for this sale: it is the first that this request is asked to pay for.

        Raises `ConfigurationError` where there was another one.
        """
        if self._sold is None:
            self._sold = offer, endpoint
            self._on(_SALE)
            return True
        if self._sold[0] is not offer or self._sold[1] != endpoint:
            raise ConfigurationError(
                f"{endpoint} is asked to be paid twice: a priced endpoint called another one, or has two decorators"
            )
        return False

    def decide(self, request: RequestView, offer: Offer) -> Flow[None]:
        """Have the paywall decide. Raises what a price function raises."""
        try:
            decision = yield from self.paywall.admit(request, offer)
        except BaseException:
            self._on(Input.NO_DECISION)
            raise
        self.decision = decision
        if not isinstance(decision, Delivery):
            self._on(Input.REFUSAL)
        elif decision.runs_as_get:
            self._on(Input.HEAD_USE)
        else:
            self._on(Input.USE if decision.is_watched else _PASS)

    def refusal(self) -> Response | None:
        """The response to give instead of the handler's, or None: run it. Raises where nothing was decided."""
        if self.decision is None:
            raise self.cut_off()
        return self.decision if isinstance(self.decision, Response) else None

    def was_asked_for(self, offer: Offer) -> bool:
        """Whether the default was decided about already, on the same terms, by a middleware of ours further out."""
        return self._sold is not None and self._sold == self.default and self._sold[0].has_terms_of(offer)

    def answer_now(self) -> Output:
        """The paywall's answer is to go out past the application: `SEND_INSTEAD`, or `DROP` where it did already."""
        return self._on(Input.OWN_ANSWER)

    @property
    def instead(self) -> Response:
        """What goes out in place of the application's answer."""
        if isinstance(self.decision, Response):
            return self.decision
        answer = undelivered()
        if self.decision is not None:
            answer.headers[:] = with_fields(answer.headers, self.decision.cors)
        return answer

    # The request's body.

    def read(self, piece: bytes, *, more: bool) -> None:
        """Note a piece of the request's body that goes to the handler."""
        if isinstance(self.decision, Delivery):
            self.decision.read(piece, more)

    # The answer.

    def head(self, method: str, status: int, headers: Iterable[tuple[bytes, bytes]], *, at_once: bool) -> Output:
        """The answer's head, with the method that the application saw. A stream's goes out `at_once`, where it may."""
        delivery = self.decision
        if delivery is None:
            is_failure = status >= 400 and self.state is State.UNDECIDED
            return self._on(Input.START_OF_FAILURE if is_failure else _START)
        if not isinstance(delivery, Delivery):
            self.headers = list(headers)
            return self._on(_START)
        self._check(_START)
        self.headers = delivery.start(status, headers)
        if not delivery.is_watched:
            return _SEND
        self._status = status
        self._left = body_length(method, status, self.headers)
        if self._left is None and at_once and not delivery.runs_as_get:
            return self._on(Input.START_OF_STREAM)
        output = self._on(_START)
        if self.state is State.HEAD_HELD and not delivery.can_keep(self._left or 0):
            return self._on(Input.UNKEEPABLE)
        return output

    def piece(self, piece: bytes, *, is_last: bool) -> Output:
        """A piece of the answer's body; the one that completes a known length is the last, whatever is said of it."""
        delivery = self.decision
        if isinstance(delivery, Delivery) and delivery.is_watched:
            self._check(Input.PIECE)
            delivery.take(piece)
            if self._left is not None:
                # With it the client has everything.
                self._left -= len(piece)
                is_last = is_last or self._left <= 0
            if self.state is State.HEAD_HELD and not self._keeps(delivery, piece, is_last):
                return self._on(Input.UNKEEPABLE)
        return self._on(Input.LAST if is_last else Input.PIECE if piece else Input.NOTHING)

    def _keeps(self, delivery: Delivery, piece: bytes, is_last: bool) -> bool:
        """Whether the copy of an answer to HEAD can be given to the GET that follows.

        Not that of a stream; nor a body that is missing: the application saw HEAD in spite of us, and left it out.
        """
        if self._left is None and not is_last:
            return False
        is_short = is_last and (self._left or 0) > 0
        is_missing = not delivery.copied and 200 <= self._status < 300 and self._status not in _BODILESS
        return delivery.keeps and not is_short and not (is_last and is_missing)

    def unseen(self, size: int | None, *, is_last: bool) -> Output:
        """`size` bytes of the body, which the server takes from elsewhere; None where they are a whole file."""
        self._check(Input.PIECE)
        if isinstance(self.decision, Delivery):
            self.decision.forgo_copy()
            if self._left is not None:
                self._left -= self._left if size is None else size
                is_last = is_last or self._left <= 0
        if self.state is State.HEAD_HELD:
            return self._on(Input.UNKEEPABLE)
        return self._on(Input.LAST if is_last else Input.PIECE)

    def aside(self) -> Output:
        """A message beside the answer."""
        return self._on(Input.ASIDE)

    def settle(self) -> Flow[Output]:
        """Settle the answer, whose last piece is next, and say what to do with that."""
        delivery = self.decision
        assert isinstance(delivery, Delivery)
        try:
            settled = yield from delivery.finish()
        except LedgerError as error:
            log.error("an answer could not be settled, and was not delivered: %s", error)
            settled = False
        return self._on(Input.SETTLED if settled else Input.UNSETTLED)

    def give_back(self) -> Flow[None]:
        """Give the use back that a HEAD request held for an answer that cannot be kept."""
        if isinstance(self.decision, Delivery):
            yield from self.decision.forget_head()

    def cut_off(self) -> Exception:
        """What to raise for `CUT_OFF`."""
        if self.decision is None:
            assert self._sold is not None
            return RuntimeError(f"whether {self._sold[1]} was paid for could not be decided, so it is not served")
        return LedgerError("the payment of an answer already begun could not be settled: it is cut off")

    # The end.

    def client_left(self) -> Output:
        """The client is gone: `STAY` where the answer is still worth having, for the copy that is kept of it."""
        self.has_left = True
        return Output.STAY if self.stays else Output.LEAVE

    def cut_short(self) -> None:
        """Something cancelled the application, or it gave up without a word."""
        self.has_left = self.has_left or self.state in CUT_SHORT_IS_LEFT

    @property
    def stays(self) -> bool:
        """Whether a client that leaves now will find the whole answer when it comes back, if the handler may go on."""
        return isinstance(self.decision, Delivery) and self.decision.stays

    @property
    def is_out(self) -> bool:
        """Whether the head of an answer that is sold went out."""
        return self.state in IS_OUT

    @property
    def is_over(self) -> bool:
        """Whether the client has its whole answer, and the application has nobody to answer to."""
        return self.state in OVER

    @property
    def is_open(self) -> bool:
        """Whether a use is held still: `end` has something to do."""
        return isinstance(self.decision, Delivery) and self.decision.is_open

    def end(self) -> Flow[None]:
        """The request is over, however: settle what its client left, and give any other use back.

        Raises what `charge_if` raises; then the use is given back.
        """
        delivery, counts = self.decision, self.has_left and self.state in LEFT_COUNTS
        self.state = State.CLOSED
        if not isinstance(delivery, Delivery):
            return
        try:
            if counts:
                yield from delivery.vanish()
        except LedgerError as error:
            log.error("the answer to a client that left could not be settled: %s", error)
        except Exception:
            yield from delivery.fail()
            raise
        yield from delivery.fail()

    def _check(self, event: Input) -> None:
        """Raise `BrokenProtocol` where the table has no such input, before anything is noted of it."""
        if event not in TABLE[self.state]:
            raise BrokenProtocol(f"the answer cannot take {event.name} in the state {self.state.name}")

    def _on(self, event: Input) -> Output:
        row = TABLE[self.state]
        if event not in row:
            self._check(event)
        self.state, output = row[event]
        return output
