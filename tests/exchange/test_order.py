"""Every order of events, by Hypothesis: no last byte is unpaid, nothing is charged twice, and no payment is lost."""

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from l402_middleware.exchange.exchange import BrokenProtocol
from l402_middleware.exchange.states import Output
from l402_middleware.flow import Flow

from .model import ModelHolds, decided, failing, use

OUTCOMES: dict[str, Callable[[], bool]] = {"settled": lambda: True, "failed": failing, "lost": lambda: False}


class Cancelled(BaseException):
    """What a driver raises in a flow whose request is cancelled."""


class AnyOrder(RuleBasedStateMachine):
    """A careless application, a client that may leave, a ledger that may fail, and the translator between them."""

    @initialize(is_head=st.booleans(), replay=st.booleans(), outcome=st.sampled_from(sorted(OUTCOMES)))
    def begin(self, is_head: bool, replay: bool, outcome: str) -> None:
        self.is_head = is_head
        self.unkept: list[bool] = []
        self.holds = ModelHolds(OUTCOMES[outcome], pauses=True)
        note = (lambda: self.unkept.append(True)) if is_head else None
        self.exchange = decided(use(self.holds, replay=replay or is_head, note_unkept=note))
        self.status = 0
        self.length: int | None = None
        self.made = 0
        self.received = b""
        """What the client has of the application's body."""
        self.is_ended = False
        """Whether it was told that this is all."""
        self.has_head = False
        self.held: bool = False
        self.flow: Flow[Output] | None = None
        self.after: tuple[bytes, bool] = (b"", False)
        self.is_gone = False
        self.is_closed = False

    @precondition(lambda self: not self.is_closed)
    @rule(status=st.sampled_from([200, 204, 404]), length=st.none() | st.integers(0, 8), at_once=st.booleans())
    def head(self, status: int, length: int | None, at_once: bool) -> None:
        headers = [] if length is None else [(b"content-length", str(length).encode())]
        try:
            output = self.exchange.head("GET", status, headers, at_once=at_once)
        except BrokenProtocol:
            return
        if output is not Output.DROP:
            self.status, self.length, self.made = status, 0 if status == 204 else length, 0
        self.carry_out(output, b"", is_head=True)

    @rule(piece=st.sampled_from([b"", b"a", b"bcd"]), is_last=st.booleans())
    def piece(self, piece: bytes, is_last: bool) -> None:
        try:
            output = self.exchange.piece(piece, is_last=is_last)
        except BrokenProtocol:
            return
        self.made += len(piece)
        self.carry_out(output, piece, is_last=is_last)

    @precondition(lambda self: not self.is_closed)
    @rule(is_last=st.booleans())
    def unseen(self, is_last: bool) -> None:
        """A piece that the server fetches from somewhere else."""
        try:
            output = self.exchange.unseen(1, is_last=is_last)
        except BrokenProtocol:
            return
        self.made += 1
        self.carry_out(output, b"?", is_last=is_last)

    @precondition(lambda self: self.flow is not None)
    @rule(ends=st.sampled_from(["answered", "cancelled"]))
    def ledger(self, ends: str) -> None:
        """The ledger answers, or the request is cancelled while it is asked."""
        assert self.flow is not None
        flow, self.flow = self.flow, None
        try:
            if ends == "cancelled":
                flow.throw(Cancelled())
            else:
                flow.send(None)
        except StopIteration as end:
            piece, is_last = self.after
            self.carry_out(end.value, piece, is_last=is_last)
        except Cancelled:
            self.exchange.cut_short()
            self.close()

    @precondition(lambda self: not self.is_closed)
    @rule()
    def client_leaves(self) -> None:
        self.exchange.client_left()
        self.is_gone = True

    @precondition(lambda self: not self.is_closed and self.flow is None)
    @rule(how=st.sampled_from(["failed", "cancelled", "returned"]))
    def application_ends(self, how: str) -> None:
        charged_before = self.holds.charges
        if how != "failed":
            self.exchange.cut_short()
        self.close()
        if how == "failed" and not self.is_gone:
            assert self.holds.charges == charged_before, "a failure was charged to a client that stayed"

    def close(self) -> None:
        self.is_closed = True
        # What the end asks of the ledger is answered at once.
        self.holds.pauses = False
        for _ in self.exchange.end():
            raise AssertionError("the ledger was asked for something else")
        assert not self.holds.is_held, "a use is held by nobody"

    def carry_out(self, output: Output, piece: bytes, *, is_head: bool = False, is_last: bool = False) -> None:
        """What a translator does, and a client sees."""
        if output in (Output.SETTLE, Output.SETTLE_FOR_GOOD):
            if self.flow is None:
                self.after = piece, is_last
                self.flow = self.exchange.settle()
                try:
                    next(self.flow)
                except StopIteration as end:
                    self.flow = None
                    self.carry_out(end.value, piece, is_last=is_last)
        elif output is Output.SEND:
            assert not self.is_head, "something of a body went to HEAD"
            self.has_head = True
            self.received += piece
            self.is_ended = self.is_ended or (is_last and not is_head)
        elif output is Output.SEND_HEAD_ALONE:
            assert self.is_head
            for _ in self.exchange.give_back():
                raise AssertionError("the ledger was asked for something else")
            self.has_head = True
        elif output is Output.SEND_INSTEAD:
            assert not self.has_head, "a second head went out"
            self.has_head = True
            assert not self.received

    def is_whole(self) -> bool:
        """Whether the client has everything that it waits for of an answer that counts."""
        if self.is_head or not self.has_head or not 0 < self.status < 400:
            return False
        return self.is_ended if self.length is None else len(self.received) >= self.length and self.is_ended

    @invariant()
    def nothing_is_charged_twice(self) -> None:
        assert self.holds.charges <= 1

    @invariant()
    def no_last_byte_is_unpaid(self) -> None:
        has_all = self.length is not None and self.length > 0 and len(self.received) >= self.length
        if self.is_whole() or (has_all and self.status < 400 and not self.is_head):
            assert self.holds.charges == 1

    @invariant()
    def no_payment_is_lost(self) -> None:
        if self.holds.charges:
            # It has something, or a copy waits for it.
            assert self.has_head or self.holds.kept

    @invariant()
    def a_paid_head_leaves_the_body(self) -> None:
        if self.is_head and self.holds.charges:
            assert len(self.holds.kept) == 1
            assert not self.unkept


AnyOrder.TestCase.settings = settings(
    max_examples=300, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestAnyOrder: Any = AnyOrder.TestCase
