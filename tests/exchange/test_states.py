"""The machine by its table: what each order of events leads to, and what cannot happen."""

from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest

from l402_middleware import ConfigurationError, LedgerError, Offer
from l402_middleware.exchange.exchange import BrokenProtocol, Exchange
from l402_middleware.exchange.states import LEFT_COUNTS, TABLE, Input, Output, State
from l402_middleware.flow import drive
from l402_middleware.paywall.rendering import undelivered

from .model import (
    ENDPOINT,
    MAX_BYTES,
    OFFER,
    REFUSAL,
    ModelHolds,
    ModelPaywall,
    decided,
    exchange_with,
    failing,
    passed,
    use,
)

BODY = (Input.PIECE, Input.NOTHING, Input.LAST)
# Where whatever the application sends may go out: nothing is sold, it is paid for, or it tells of a refusal.
OPEN_DOORS = {State.OPEN, State.FREE, State.FAILING, State.REFUSED, State.PASSING, State.DELIVERED}


def test_every_state_is_in_the_table() -> None:
    """Every state has a row, and there is a way to each but the end, which a request comes to from any."""
    reached, todo = set(), [State.OPEN]
    while todo:
        state = todo.pop()
        if state not in reached:
            reached.add(state)
            todo.extend(following for following, _ in TABLE[state].values())
    assert set(TABLE) == set(State) == reached | {State.CLOSED}


def test_the_last_piece_goes_out_of_open_doors_only() -> None:
    """No row but those of open doors sends a last piece, and settling is the only way to a delivery."""
    senders = {state for state, row in TABLE.items() if row.get(Input.LAST, (state, Output.DROP))[1] is Output.SEND}
    assert senders == OPEN_DOORS
    entries = {
        (state, event)
        for state, row in TABLE.items()
        for event, (following, _) in row.items()
        if following is State.DELIVERED and state is not State.DELIVERED
    }
    settling = {State.SETTLING, State.SETTLING_BEGUN, State.SETTLING_PARTLY}
    assert entries == {(state, Input.SETTLED) for state in settling}


def test_nothing_goes_out_undecided() -> None:
    """While the paywall decides, and where it could not, no head and no piece of an answer passes."""
    for state in (State.DECIDING, State.UNDECIDED):
        for event in (Input.START, Input.START_OF_STREAM, *BODY):
            assert TABLE[state][event] == (state, Output.CUT_OFF)


def test_only_what_begun_is_charged_to_those_who_leave() -> None:
    """A client that leaves is charged where something of its answer went out, and nowhere else."""
    assert set(LEFT_COUNTS) == {State.BEGUN, State.PARTLY}


@pytest.mark.parametrize(("offer", "endpoint"), [(Offer(21), ENDPOINT), (OFFER, "GET /another")])
def test_one_request_pays_for_one_sale(offer: Offer, endpoint: str) -> None:
    """What was foreseen, and paid, is what is served: neither another offer, nor the same one at another endpoint."""
    exchange = decided(REFUSAL)
    assert not exchange.is_new(OFFER, ENDPOINT)
    with pytest.raises(ConfigurationError, match="asked to be paid twice"):
        exchange.is_new(offer, endpoint)


Walk = Callable[[Exchange], list[Any]]


def head(exchange: Exchange, status: int = 200, length: int | None = None, *, at_once: bool = True) -> Output:
    """A head, of a body of that length."""
    headers = [] if length is None else [(b"content-length", str(length).encode())]
    return exchange.head("GET", status, headers, at_once=at_once)


WALKS: list[tuple[str, Walk, list[Output]]] = [
    (
        "a length that is known",
        lambda e: [
            head(e, length=6),
            e.piece(b"one", is_last=False),
            e.piece(b"two", is_last=False),
            drive(e.settle()),
        ],
        [Output.HOLD, Output.SEND, Output.SETTLE_FOR_GOOD, Output.SEND],
    ),
    (
        "a stream",
        lambda e: [head(e), e.piece(b"", is_last=False), e.piece(b"one", is_last=True), drive(e.settle())],
        [Output.SEND, Output.SEND, Output.SETTLE, Output.SEND],
    ),
    (
        "a stream whose head waits for its first piece",
        lambda e: [head(e, at_once=False), e.piece(b"one", is_last=False), e.piece(b"", is_last=True)],
        [Output.HOLD, Output.SEND, Output.SETTLE_FOR_GOOD],
    ),
    ("no body", lambda e: [head(e, 204), e.piece(b"", is_last=False)], [Output.HOLD, Output.SETTLE]),
    (
        "another head before anything is out",
        lambda e: [head(e, 500, 3), head(e, length=3), e.piece(b"one", is_last=True)],
        [Output.HOLD, Output.HOLD, Output.SETTLE],
    ),
    (
        "a file that the server sends",
        lambda e: [head(e, length=6), e.unseen(None, is_last=True), drive(e.settle())],
        [Output.HOLD, Output.SETTLE, Output.SEND],
    ),
    (
        "a file that the server sends in parts",
        lambda e: [head(e, length=6), e.unseen(5, is_last=False), e.unseen(1, is_last=False), drive(e.settle())],
        [Output.HOLD, Output.SEND, Output.SETTLE_FOR_GOOD, Output.SEND],
    ),
    (
        "a file to its end, of which more is said to come",
        lambda e: [head(e, length=6), e.unseen(None, is_last=False), drive(e.settle())],
        [Output.HOLD, Output.SETTLE, Output.SEND],
    ),
    (
        "more after the last piece",
        lambda e: [head(e, length=3), e.piece(b"one", is_last=False), drive(e.settle()), e.piece(b"", is_last=True)],
        [Output.HOLD, Output.SETTLE, Output.SEND, Output.SEND],
    ),
    (
        "another task's piece while the ledger is asked",
        lambda e: [head(e), e.piece(b"one", is_last=True), e.piece(b"two", is_last=True), drive(e.settle())],
        [Output.SEND, Output.SETTLE, Output.CUT_OFF, Output.SEND],
    ),
    (
        "hints and trailers",
        lambda e: [e.aside(), head(e), e.aside(), e.piece(b"", is_last=True), drive(e.settle()), e.aside()],
        [Output.SEND, Output.SEND, Output.SEND, Output.SETTLE, Output.SEND, Output.SEND],
    ),
]


@pytest.mark.parametrize(("walk", "outputs"), [each[1:] for each in WALKS], ids=[each[0] for each in WALKS])
def test_walks(walk: Walk, outputs: list[Output]) -> None:
    """Each order of head, pieces and end leads through these outputs, and to one charge where it comes to the end."""
    holds = ModelHolds()
    exchange = decided(use(holds))
    assert walk(exchange) == outputs
    assert holds.charges == (exchange.state is State.DELIVERED)


@pytest.mark.parametrize("outcome", [failing, lambda: False], ids=["failed", "lost"])
@pytest.mark.parametrize("begun", [True, False])
def test_a_settlement_that_fails(begun: bool, outcome: Callable[[], bool]) -> None:
    """Nothing out yet: a 503 in its place; otherwise cut off, however often the application tries again."""
    exchange = decided(use(ModelHolds(outcome)))
    head(exchange, length=None if begun else 3)
    exchange.piece(b"one", is_last=True)
    assert drive(exchange.settle()) is (Output.CUT_OFF if begun else Output.SEND_INSTEAD)
    assert exchange.instead == undelivered()
    again = exchange.piece(b"one", is_last=True)
    assert again is (Output.CUT_OFF if begun else Output.DROP)
    error = exchange.cut_off()
    assert isinstance(error, LedgerError)
    assert "begun" in str(error)


@pytest.mark.parametrize(
    ("begins", "end", "charged"),
    [
        ([], "failed", False),
        ([b"one"], "failed", False),
        ([b"one"], "left and failed", True),
        ([b""], "left and failed", True),
        ([], "left and failed", False),
        ([b"one"], "cut short", True),
        ([b""], "cut short", False),
        ([], "cut short", False),
    ],
)
@pytest.mark.parametrize("status", [200, 500])
def test_ends(begins: list[bytes], end: str, charged: bool, status: int) -> None:
    """What a client left counts if some of it went out, what failed does not; cut short with a piece out is left."""
    holds = ModelHolds()
    exchange = decided(use(holds))
    for number, piece in enumerate(begins):
        if not number:
            head(exchange, status)
        exchange.piece(piece, is_last=False)
    if "left" in end:
        exchange.client_left()
    if end == "cut short":
        exchange.cut_short()
    drive(exchange.end())
    assert holds.charges == (charged and status == 200)
    assert not holds.is_held
    assert not holds.kept


@pytest.mark.parametrize("replay", [True, False])
@pytest.mark.parametrize("kind", [b"text/plain", b"text/event-stream; charset=utf-8"])
def test_who_leaves_what_is_kept(kind: bytes, replay: bool) -> None:
    """An answer goes on without its client where a copy is kept of it, unless it is a stream of events."""
    exchange = decided(use(ModelHolds(), replay=replay))
    exchange.head("GET", 200, [(b"Content-Type", kind)], at_once=True)
    assert exchange.client_left() is (Output.STAY if replay and kind == b"text/plain" else Output.LEAVE)
    exchange.piece(bytes(MAX_BYTES + 1), is_last=False)
    assert exchange.client_left() is Output.LEAVE


def test_a_condition_of_the_operator_that_fails() -> None:
    """`charge_if` may raise anything, at the end or where a client left: the use is given back."""

    def charge_if(status: int) -> bool:
        raise KeyError(status)

    for leaves in (True, False):
        holds = ModelHolds()
        exchange = decided(use(holds, charge_if=charge_if))
        head(exchange)
        exchange.piece(b"one", is_last=False)
        if leaves:
            exchange.client_left()
            with pytest.raises(KeyError):
                drive(exchange.end())
        else:
            exchange.piece(b"two", is_last=True)
            with pytest.raises(KeyError):
                drive(exchange.settle())
            assert exchange.piece(b"two", is_last=True) is Output.CUT_OFF
            drive(exchange.end())
        assert (holds.is_held, holds.charges) == (False, 0)


def test_refusals() -> None:
    """A refusal goes through the application, or past it once: then what the application sends is dropped."""
    exchange = decided(REFUSAL)
    assert exchange.refusal() is exchange.instead is REFUSAL
    assert [head(exchange, 402), exchange.piece(b"pay", is_last=True)] == [Output.SEND] * 2
    exchange = decided(REFUSAL)
    assert not exchange.is_over
    assert [exchange.answer_now(), exchange.answer_now()] == [Output.SEND_INSTEAD, Output.DROP]
    assert exchange.is_over
    assert [head(exchange), exchange.piece(b"goods", is_last=True), exchange.aside()] == [Output.DROP] * 3


def test_a_decision_that_fails() -> None:
    """Where nothing could be decided, the failure may be told, and nothing else."""
    exchange = exchange_with(ValueError("a bug in a price"))
    request: Any = None
    exchange.is_new(OFFER, ENDPOINT)
    with pytest.raises(ValueError, match="bug"):
        drive(exchange.decide(request, OFFER))
    with pytest.raises(RuntimeError, match="not served"):
        exchange.refusal()
    assert not exchange.is_new(OFFER, ENDPOINT)
    assert [head(exchange), exchange.piece(b"goods", is_last=True)] == [Output.CUT_OFF] * 2
    assert ENDPOINT in str(exchange.cut_off())
    assert not isinstance(exchange.cut_off(), LedgerError)
    assert [head(exchange, 500), exchange.piece(b"sorry", is_last=True)] == [Output.SEND] * 2
    drive(exchange.end())


@pytest.mark.parametrize("default", [Offer(21), Offer(5)], ids=["the same terms", "others"])
def test_a_default_that_was_decided_about(default: Offer) -> None:
    """A middleware of ours further in does not ask again for the same terms; for others, or another sale, it does."""
    paywall: Any = ModelPaywall(REFUSAL)
    exchange = Exchange(paywall, (default, ENDPOINT))
    assert not exchange.was_asked_for(OFFER)
    exchange.is_new(default, ENDPOINT)
    assert exchange.was_asked_for(OFFER) is default.has_terms_of(OFFER)
    exchange = Exchange(paywall, (default, ENDPOINT))
    exchange.is_new(OFFER, ENDPOINT)
    assert not exchange.was_asked_for(OFFER)


def test_what_an_answer_is_the_answer_to() -> None:
    """The whole body of its request; where the handler did not read that to its end, nobody knows."""
    for pieces, digest in [([b"half"], None), ([b"half", b"whole"], sha256(b"halfwhole").digest())]:
        holds = ModelHolds()
        exchange = decided(use(holds))
        for number, piece in enumerate(pieces, 1):
            exchange.read(piece, more=number < 2)
        head(exchange)
        exchange.piece(b"one", is_last=True)
        drive(exchange.settle())
        assert (holds.charges, holds.kept, holds.kept_for) == (1, [b"one"], [digest])


def test_a_settlement_that_fails_when_the_client_has_left(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody is there to be told, so the operator is; the use is given back."""
    holds = ModelHolds(failing)
    exchange = decided(use(holds))
    head(exchange)
    exchange.piece(b"one", is_last=False)
    exchange.client_left()
    drive(exchange.end())
    assert not holds.is_held
    assert "the disk is full" in caplog.text


def test_passes() -> None:
    """A pass pays for an answer however it ends, so nothing waits; it is private all the same."""
    exchange = decided(passed())
    assert [head(exchange), exchange.piece(b"", is_last=True), head(exchange)] == [Output.SEND] * 3
    assert (b"cache-control", b"private") in exchange.headers
    drive(exchange.end())


BROKEN: list[tuple[str, Callable[[Exchange], Any]]] = [
    ("a piece without its head", lambda exchange: exchange.piece(b"one", is_last=False)),
    ("an end without its head", lambda exchange: exchange.piece(b"", is_last=True)),
    ("a second head", lambda exchange: [head(exchange), head(exchange)]),
    ("an answer of our own", lambda exchange: exchange.answer_now()),
]


@pytest.mark.parametrize("act", [each[1] for each in BROKEN], ids=[each[0] for each in BROKEN])
def test_what_is_not_in_the_table(act: Callable[[Exchange], Any]) -> None:
    """What neither ASGI nor WSGI allows is an error of the application's, and is not charged."""
    holds = ModelHolds()
    exchange = decided(use(holds))
    with pytest.raises(BrokenProtocol, match="in the state"):
        act(exchange)
    drive(exchange.end())
    assert (holds.is_held, holds.charges) == (False, 0)


def test_a_broken_head_changes_nothing() -> None:
    """A second head that is refused does not lengthen the first: what completes that is still the last piece."""
    exchange = decided(use(ModelHolds()))
    head(exchange, length=4)
    exchange.piece(b"one", is_last=False)
    for length in (None, 100):
        with pytest.raises(BrokenProtocol):
            head(exchange, length=length)
    assert exchange.piece(b"2", is_last=False) is Output.SETTLE_FOR_GOOD


def test_a_sale_that_comes_too_late() -> None:
    """An answer that began for nothing cannot be sold any more."""
    exchange = exchange_with(REFUSAL)
    head(exchange)
    with pytest.raises(BrokenProtocol):
        exchange.is_new(OFFER, ENDPOINT)


class Unkept:
    """Counts the answers to HEAD that could not be kept."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


HEADS: list[tuple[str, Callable[[Exchange], list[Output]], list[Output], bytes | None, int]] = [
    (
        "an answer of known length",
        lambda e: [head(e, length=6), e.piece(b"one", is_last=False), e.piece(b"two", is_last=False)],
        [Output.HOLD, Output.DROP, Output.SETTLE],
        b"onetwo",
        0,
    ),
    (
        "one without a length",
        lambda e: [head(e), e.piece(b"one", is_last=True)],
        [Output.HOLD, Output.SETTLE],
        b"one",
        0,
    ),
    ("one without a body", lambda e: [head(e, 204), e.piece(b"", is_last=True)], [Output.HOLD, Output.SETTLE], b"", 0),
    ("one that is too long", lambda e: [head(e, length=MAX_BYTES + 1)], [Output.SEND_HEAD_ALONE], None, 1),
    ("one that fails", lambda e: [head(e, 500, MAX_BYTES + 1)], [Output.SEND_HEAD_ALONE], None, 0),
    (
        "a stream",
        lambda e: [head(e), e.piece(b"one", is_last=False), e.piece(b"two", is_last=False), e.piece(b"", is_last=True)],
        [Output.HOLD, Output.SEND_HEAD_ALONE, Output.STOP, Output.DROP],
        None,
        1,
    ),
    (
        "a file that the server would send",
        lambda e: [head(e, length=3), e.unseen(None, is_last=True)],
        [Output.HOLD, Output.SEND_HEAD_ALONE],
        None,
        1,
    ),
    (
        "a body that was left out",
        lambda e: [head(e, length=3), e.piece(b"", is_last=True)],
        [Output.HOLD, Output.SEND_HEAD_ALONE],
        None,
        1,
    ),
    (
        "a body that ends too early",
        lambda e: [head(e, length=4), e.piece(b"one", is_last=True)],
        [Output.HOLD, Output.SEND_HEAD_ALONE],
        None,
        1,
    ),
    (
        "one that sends its client elsewhere, and has no body",
        lambda e: [head(e, 300), e.piece(b"", is_last=True)],
        [Output.HOLD, Output.SETTLE],
        b"",
        0,
    ),
    (
        "a body that was left out, and counted so",
        lambda e: [head(e, length=0), e.piece(b"", is_last=True)],
        [Output.HOLD, Output.SEND_HEAD_ALONE],
        None,
        1,
    ),
]


@pytest.mark.parametrize(
    ("walk", "outputs", "kept", "unkept"), [each[1:] for each in HEADS], ids=[each[0] for each in HEADS]
)
def test_head(walk: Callable[[Exchange], list[Output]], outputs: list[Output], kept: bytes | None, unkept: int) -> None:
    """The answer to HEAD is kept whole, and charged, or else given back and never run again; no body goes out."""
    holds, note = ModelHolds(), Unkept()
    exchange = decided(use(holds, note_unkept=note))
    assert walk(exchange) == outputs
    if outputs[-1] is Output.SETTLE:
        assert drive(exchange.settle()) is Output.SEND_HEAD_ALONE
    drive(exchange.give_back())
    assert exchange.is_over
    drive(exchange.end())
    assert holds.kept == ([] if kept is None else [kept])
    assert (holds.charges, holds.is_held, note.times) == (kept is not None, False, unkept)
