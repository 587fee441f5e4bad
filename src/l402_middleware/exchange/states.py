"""The states of an exchange, and what leads from one to the next.

Everything that decides what happens to an answer is in these tables. An input that a state does not list there cannot
happen in it: the application, or the server, has broken its protocol.
"""

from enum import Enum, auto
from typing import Final, TypeAlias, TypeVar

E = TypeVar("E", bound=type[Enum])


def _sentinels(members: E) -> E:
    """Members that are looked up with each piece of each answer: on Python 3.11 an Enum takes 0.3 us to give one."""
    for name, member in members.__members__.items():
        type.__setattr__(members, name, member)
    # An Enum hashes its name, in Python.
    type.__setattr__(members, "__hash__", object.__hash__)
    return members


@_sentinels
class State(Enum):
    """How far an answer has come."""

    OPEN = auto()
    """Nothing is sold so far, and nothing answered."""
    FREE = auto()
    """An answer began that nobody has to pay for."""
    DECIDING = auto()
    """A sale was found; the paywall decides."""
    UNDECIDED = auto()
    """It failed to, by a bug in a price function or by a cancellation: nothing may be served but the failure."""
    FAILING = auto()
    """The application tells of that failure."""
    REFUSED = auto()
    """The paywall has an answer of its own, which the application may send through its hooks."""
    ANSWERED = auto()
    """The paywall's own answer went out: what the application sends from now on is dropped."""
    PASSING = auto()
    """Paid for by a pass, which costs the same however the answer ends."""
    WORKING = auto()
    """A use is held, and the application works."""
    HELD = auto()
    """Its answer's head is known and held back, so that a settlement that fails can still be answered by a 503."""
    BEGUN = auto()
    """The head is out, and nothing of the body."""
    PARTLY = auto()
    """Some of the body is out, but not its last piece."""
    SETTLING = auto()
    """The last piece is there, and nothing out: the ledger is asked."""
    SETTLING_BEGUN = auto()
    """The same, with the head out."""
    SETTLING_PARTLY = auto()
    """The same, with all but the last piece out."""
    DELIVERED = auto()
    """Settled, or not charged by its status: the last piece may go out."""
    LOST = auto()
    """What had begun could not be settled: its last piece never goes out."""
    HEAD_WORKING = auto()
    """A use is held for a HEAD request, which the application sees as GET."""
    HEAD_HELD = auto()
    """The head that answers it is known; the body goes into the copy that is kept, and nowhere else."""
    HEAD_SETTLING = auto()
    """The body is whole: the ledger is asked to keep the copy."""
    HEAD_SENT = auto()
    """The client has its headers, and the application may stop."""
    CLOSED = auto()
    """The request is over."""


@_sentinels
class Input(Enum):
    """What happens to an exchange."""

    SALE = auto()
    """The endpoint, or the whole application, has a price."""
    REFUSAL = auto()
    """The paywall has decided: it gives this answer in the application's place."""
    PASS = auto()
    """It has decided: run the application, whose answer a pass pays for."""
    USE = auto()
    """It has decided: run the application, whose answer takes the use that is held."""
    HEAD_USE = auto()
    """The same for a HEAD request, whose answer is kept for the GET that follows."""
    NO_DECISION = auto()
    """It could not decide."""
    OWN_ANSWER = auto()
    """The refusal is to go out at once, and not through the application."""
    START = auto()
    """The answer's head, which can wait for the first piece."""
    START_OF_STREAM = auto()
    """The answer's head, whose body has no known length: it goes out at once."""
    START_OF_FAILURE = auto()
    """The head of an answer of status 400 and above, where nothing was decided."""
    PIECE = auto()
    """A piece of the body, not the last one."""
    NOTHING = auto()
    """An empty piece."""
    LAST = auto()
    """The last piece: the application says so, or it completes the length that the head said."""
    ASIDE = auto()
    """A message beside the answer, such as an early hint."""
    SETTLED = auto()
    """The ledger has settled the use, or had none to settle."""
    UNSETTLED = auto()
    """The settlement failed, or the lease was lost to another request."""
    UNKEEPABLE = auto()
    """The answer to a HEAD request turns out to be one that cannot be kept."""


@_sentinels
class Output(Enum):
    """What the translator for a server has to do."""

    DECIDE = auto()
    """Drive `Exchange.decide`."""
    RUN = auto()
    """Let the application go on."""
    SEND = auto()
    """Send this; a piece of the body after the head, where that was held back."""
    HOLD = auto()
    """Hold this head back."""
    SETTLE = auto()
    """Drive `Exchange.settle`, which says what to do next; a cancellation gives the use back."""
    SETTLE_FOR_GOOD = auto()
    """The same, shielded from cancellation: the client has all but the last piece."""
    SEND_INSTEAD = auto()
    """Send `Exchange.instead`, a whole response."""
    SEND_HEAD_ALONE = auto()
    """Drive `Exchange.give_back`, and send the head that was held back, without a body."""
    DROP = auto()
    """Send nothing."""
    CUT_OFF = auto()
    """Raise: this must not go out."""
    STOP = auto()
    """Send nothing, and tell the application that nobody listens any more."""
    STAY = auto()
    """Do not tell the application that its client left: the copy that is kept needs the rest."""
    LEAVE = auto()
    """Tell the application that its client left."""


Row: TypeAlias = dict[Input, tuple[State, Output]]

_STARTS: Final = (Input.START, Input.START_OF_STREAM, Input.START_OF_FAILURE)
_BODY: Final = (Input.PIECE, Input.NOTHING, Input.LAST)


def _stay(state: State, output: Output, *inputs: Input) -> Row:
    """The same output for each of these, without a change of state."""
    return dict.fromkeys(inputs, (state, output))


def _until_delivered(settling: State, *, partly: bool) -> Row:
    """An answer whose head is out."""
    state = State.PARTLY if partly else State.BEGUN
    last = Output.SETTLE_FOR_GOOD if partly else Output.SETTLE
    return {
        Input.PIECE: (State.PARTLY, Output.SEND),
        Input.NOTHING: (state, Output.SEND),
        Input.LAST: (settling, last),
        Input.ASIDE: (state, Output.SEND),
    }


def _settling(state: State, unsettled: tuple[State, Output]) -> Row:
    """An answer that is being settled: what another task of the application sends meanwhile must not go out."""
    return {
        Input.SETTLED: (State.DELIVERED, Output.SEND),
        Input.UNSETTLED: unsettled,
        **_stay(state, Output.CUT_OFF, *_BODY),
        **_stay(state, Output.SEND, Input.ASIDE),
    }


TABLE: Final[dict[State, Row]] = {
    State.OPEN: {
        Input.SALE: (State.DECIDING, Output.DECIDE),
        **dict.fromkeys(_STARTS, (State.FREE, Output.SEND)),
        **_stay(State.OPEN, Output.SEND, *_BODY, Input.ASIDE),
    },
    State.FREE: _stay(State.FREE, Output.SEND, *_STARTS, *_BODY, Input.ASIDE),
    State.DECIDING: {
        Input.REFUSAL: (State.REFUSED, Output.RUN),
        Input.PASS: (State.PASSING, Output.RUN),
        Input.USE: (State.WORKING, Output.RUN),
        Input.HEAD_USE: (State.HEAD_WORKING, Output.RUN),
        Input.NO_DECISION: (State.UNDECIDED, Output.CUT_OFF),
        **_stay(State.DECIDING, Output.CUT_OFF, *_STARTS, *_BODY),
        **_stay(State.DECIDING, Output.SEND, Input.ASIDE),
    },
    State.UNDECIDED: {
        Input.START_OF_FAILURE: (State.FAILING, Output.SEND),
        **_stay(State.UNDECIDED, Output.CUT_OFF, Input.START, Input.START_OF_STREAM, *_BODY),
        **_stay(State.UNDECIDED, Output.SEND, Input.ASIDE),
    },
    State.FAILING: _stay(State.FAILING, Output.SEND, *_STARTS, *_BODY, Input.ASIDE),
    State.REFUSED: {
        Input.OWN_ANSWER: (State.ANSWERED, Output.SEND_INSTEAD),
        **_stay(State.REFUSED, Output.SEND, *_STARTS, *_BODY, Input.ASIDE),
    },
    # Of several tasks that ask at the same time, one answers.
    State.ANSWERED: _stay(State.ANSWERED, Output.DROP, Input.OWN_ANSWER, *_STARTS, *_BODY, Input.ASIDE),
    State.PASSING: _stay(State.PASSING, Output.SEND, *_STARTS, *_BODY, Input.ASIDE),
    State.WORKING: {
        Input.START: (State.HELD, Output.HOLD),
        Input.START_OF_STREAM: (State.BEGUN, Output.SEND),
        **_stay(State.WORKING, Output.SEND, Input.ASIDE),
    },
    State.HELD: {
        # An application may think better of its answer as long as nothing is out (PEP 3333).
        Input.START: (State.HELD, Output.HOLD),
        Input.START_OF_STREAM: (State.BEGUN, Output.SEND),
        Input.PIECE: (State.PARTLY, Output.SEND),
        Input.NOTHING: (State.BEGUN, Output.SEND),
        Input.LAST: (State.SETTLING, Output.SETTLE),
        Input.ASIDE: (State.HELD, Output.SEND),
    },
    State.BEGUN: _until_delivered(State.SETTLING_BEGUN, partly=False),
    State.PARTLY: _until_delivered(State.SETTLING_PARTLY, partly=True),
    State.SETTLING: _settling(State.SETTLING, (State.ANSWERED, Output.SEND_INSTEAD)),
    State.SETTLING_BEGUN: _settling(State.SETTLING_BEGUN, (State.LOST, Output.CUT_OFF)),
    State.SETTLING_PARTLY: _settling(State.SETTLING_PARTLY, (State.LOST, Output.CUT_OFF)),
    # What follows the last piece: an empty one, trailers.
    State.DELIVERED: _stay(State.DELIVERED, Output.SEND, *_BODY, Input.ASIDE),
    State.LOST: _stay(State.LOST, Output.CUT_OFF, *_BODY, Input.ASIDE),
    State.HEAD_WORKING: {
        Input.START: (State.HEAD_HELD, Output.HOLD),
        **_stay(State.HEAD_WORKING, Output.SEND, Input.ASIDE),
    },
    State.HEAD_HELD: {
        Input.START: (State.HEAD_HELD, Output.HOLD),
        **_stay(State.HEAD_HELD, Output.DROP, Input.PIECE, Input.NOTHING, Input.ASIDE),
        Input.LAST: (State.HEAD_SETTLING, Output.SETTLE),
        Input.UNKEEPABLE: (State.HEAD_SENT, Output.SEND_HEAD_ALONE),
    },
    State.HEAD_SETTLING: {
        Input.SETTLED: (State.HEAD_SENT, Output.SEND_HEAD_ALONE),
        Input.UNSETTLED: (State.ANSWERED, Output.SEND_INSTEAD),
        **_stay(State.HEAD_SETTLING, Output.DROP, *_BODY, Input.ASIDE),
    },
    State.HEAD_SENT: {
        **_stay(State.HEAD_SENT, Output.STOP, Input.PIECE),
        **_stay(State.HEAD_SENT, Output.DROP, Input.NOTHING, Input.LAST, Input.ASIDE),
    },
    State.CLOSED: _stay(State.CLOSED, Output.DROP, *_BODY, Input.ASIDE),
}


PASSES: Final = frozenset({State.FREE, State.FAILING, State.PASSING})
"""An answer began that nothing depends on: what follows its head passes, and no output has to be asked for."""

OVER: Final = frozenset({State.ANSWERED, State.HEAD_SENT})
"""The client has a whole answer from here: the application is told that it left."""

IS_OUT: Final = frozenset({State.BEGUN, State.PARTLY, State.SETTLING_BEGUN, State.SETTLING_PARTLY, State.DELIVERED})
"""The head of an answer that is being sold has gone out."""

CUT_SHORT_IS_LEFT: Final = frozenset({State.PARTLY})
"""Cut short here, an answer counts as left by its client.

Clients can have an answer cut off: by an ill-formed request beside this one, for which Hypercorn cancels both, or by
reading slowly, until Quart gives up. Given back, the use would buy all but the end of a stream, as often as they like.
"""

LEFT_COUNTS: Final = frozenset({State.BEGUN, State.PARTLY})
"""An answer that its client left here is settled, without a copy.

In any other state the use is given back, unless it was settled already: who left before anything went out has nothing.
So it is too where the client did not leave.
"""
