"""One admitted request, from the handler's start until its answer counts as delivered or failed."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NoReturn

from ..core.errors import ConfigurationError
from ..core.money import Msat
from ..flow import Flow
from .cors import with_fields
from .offer import ChargeIf
from .response import VARIES, AnswerTo, Headers, Response, pack, personal

if TYPE_CHECKING:
    from .holds import Hold, Holds


@dataclass(frozen=True, slots=True)
class Payment:
    """What was paid for this request.

    `payment_hash` is 64 hex digits; `amount` is what the credential cost, whatever number of uses it
    bought; `uses_left` is how many deliveries it is still good for after this one, None for a pass.
    """

    payment_hash: str
    amount: Msat
    uses_left: int | None

    @classmethod
    def __get_pydantic_core_schema__(cls, *_: object) -> NoReturn:
        """FastAPI would take an unpriced parameter of this type from the request's body, as the caller writes it."""
        raise ConfigurationError(
            "a Payment does not come from a request's body: price the endpoint with "
            "`payment: Annotated[Payment, Priced(21)]`, and put what you answer of it into a type of your own"
        )


@dataclass(frozen=True, slots=True)
class Replay:
    """How long, in seconds, and up to how many bytes a finished answer is kept to be given again."""

    seconds: float
    max_bytes: int


# How long, in seconds, an answer that its client did not wait for may go on for the sake of its copy.
STAY: Final = 60.0


# These answer a Range or a condition, and mean nothing to a request that has another or none. A whole answer may be
# given to any (RFC 9110, section 14.2).
_OF_A_SELECTION: Final = frozenset({206, 304, 412, 416})


class Delivery:
    """An admitted request and its answer.

    An adapter calls `start` with the answer's head and `take` with each piece of its body, and ends with
    one of the flows `finish`, `vanish` and `fail`. The first of them decides; the others then change nothing.
    """

    # Defaults of the class, because a pass changes few of them.
    _copy: bytearray | None = None
    _head: tuple[int, Headers] | None = None
    _request_body: Any = None
    _request_body_is_whole = False
    _body_digest: bytes | None = None
    _may_go_out = True
    cors: Headers = []  # noqa: RUF012 - never changed in place
    """Who may read the answer in a browser: fields for an answer that does not say so itself."""

    def __init__(
        self,
        payment: Payment,
        charge_if: ChargeIf,
        holds: "Holds",
        hold: "Hold | None" = None,
        replay: Replay | None = None,
        selection: str = "",
        note_unkept: Callable[[], None] | None = None,
        receipt: Sequence[tuple[bytes, bytes]] = (),
        varies_with: Sequence[bytes] = VARIES,
    ) -> None:
        self.payment = payment
        self._charge_if = charge_if
        self._holds = holds
        self._hold = hold
        self._replay = replay
        self._selection = selection
        self._receipt = receipt
        self._varies_with = varies_with
        if replay is not None:
            self._copy = bytearray()
            self._request_body = sha256()
        self.is_watched = hold is not None
        """Whether anything depends on this answer's end: a pass pays for it either way."""
        self._note_unkept = note_unkept
        self.runs_as_get = note_unkept is not None
        """Whether the request is a HEAD, and its answer kept for the GET that follows: the handler runs as for that."""

    @property
    def is_open(self) -> bool:
        """Whether `finish`, `vanish` or `fail` has something to do: a use is held, and its fate not decided."""
        return self._hold is not None

    @property
    def stays(self) -> bool:
        """Whether a client that leaves now will find the whole answer when it comes back, if the handler may go on."""
        if self._copy is None or self._hold is None or self._head is None:
            return False
        # A stream of events may have no end that a client could come back for.
        return not any(
            name.lower() == b"content-type" and value.lower().startswith(b"text/event-stream")
            for name, value in self._head[1]
        )

    @property
    def keeps(self) -> bool:
        """Whether the answer is kept as far as it came."""
        return self._copy is not None

    @property
    def copied(self) -> int:
        """How many bytes of its body."""
        return len(self._copy or b"")

    def can_keep(self, length: int) -> bool:
        """Whether a body of this many bytes would be kept, under the head that was noted."""
        return self.stays and self._replay is not None and length <= self._replay.max_bytes

    def forget_head(self) -> Flow[None]:
        """The answer to a HEAD turned out to be one that cannot be kept: give the use back, and run no other for it.

        Otherwise whoever paid once could have the handler work for ever.
        """
        if self._hold is not None and self._note_unkept is not None:
            assert self._head is not None
            if self._charge_if(self._head[0]):
                self._note_unkept()
            yield from self.fail()

    def read(self, piece: bytes, more: bool) -> None:
        """Note a piece of the request's body that goes to the handler."""
        if self._request_body is not None:
            self._request_body.update(piece)
            self._request_body_is_whole = not more

    def read_before(self, body_digest: bytes) -> None:
        """Note a request body that was read, whole, before the handler runs."""
        self._body_digest = body_digest

    def start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> Headers:
        """Note the answer's head, and give the headers to send with it: a receipt too, where it is a success."""
        sent = personal(headers, self._varies_with)
        if self._receipt and 200 <= status < 300 and self._charge_if(status):
            sent += self._receipt
        self._head = (status, sent)
        # Not into the copy: the next to ask for it may be a page of another origin.
        return with_fields(sent, self.cors) if self.cors else sent

    def take(self, piece: bytes) -> None:
        """Note a piece of the answer's body."""
        if self._copy is not None and self._replay is not None:
            if len(self._copy) + len(piece) > self._replay.max_bytes:
                self.forgo_copy()
            else:
                self._copy += piece

    def forgo_copy(self) -> None:
        """Keep no copy of this answer: it is too long, or its body does not pass through here."""
        self._copy = None

    def finish(self) -> Flow[bool]:
        """The answer is whole, and its last piece goes out next: settle it, or release it by its status.

        False where the lease was lost to another request: then the last piece must not go out. Raises
        `LedgerError` where that is unknown; it must not go out then either.
        """
        assert self._head is not None
        status, headers = self._head
        if self._hold is None:
            return self._may_go_out
        if not self._charge_if(status):
            yield from self.fail()
            return True
        packed = None
        if self._copy is not None and self._request_body is not None:
            body_digest = self._request_body.digest() if self._request_body_is_whole else self._body_digest
            selection = self._selection if status in _OF_A_SELECTION else None
            whole = Response(status, headers, bytes(self._copy))
            packed = pack(whole, AnswerTo(body_digest, selection), self._holds.now())
        return (yield from self._settle(packed))

    def vanish(self) -> Flow[bool]:
        """The client went away: delivered as far as it wanted, if an answer that counts had begun."""
        if self._head is None or not self._charge_if(self._head[0]):
            yield from self.fail()
            return True
        return (yield from self._settle(None))

    def fail(self) -> Flow[None]:
        """The answer does not count: give the use back."""
        hold, self._hold = self._hold, None
        if hold is not None:
            yield from self._holds.release(hold)

    def _settle(self, packed: bytes | None) -> Flow[bool]:
        hold, self._hold = self._hold, None
        if hold is not None:
            self._may_go_out = False
            self._may_go_out = yield from self._holds.settle(hold, packed, self._replay.seconds if self._replay else 0)
        return self._may_go_out
