"""What becomes of a request: it is admitted, given an answer of the paywall's own or one again, or refused."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from ..core.errors import Refusal
from ..schemes import Offered
from .delivery import Delivery
from .response import Response


@dataclass(slots=True)
class Admitted:
    """The handler runs, under this delivery."""

    delivery: Delivery


@dataclass(frozen=True, slots=True)
class Replayed:
    """An answer that was delivered before is given again."""

    answer: Response


@dataclass(frozen=True, slots=True)
class Unspent:
    """A HEAD has paid, and is answered without a run and without a use: its answer could not be kept for the GET."""

    answer: Response


@dataclass(frozen=True, slots=True)
class Refused:
    """An answer of the paywall's own, before it has a form.

    `code` is the stable name of the reason, `title` a sentence for people. `uri` is the problem's type where it is not
    ours but that of the scheme by which the client came. `retry_after` is in seconds. `offers` say how to pay, by
    each scheme; there are none where paying would not help.
    """

    status: int
    code: str
    title: str
    uri: str | None = None
    retry_after: int | None = None
    offers: Sequence[Offered] = field(default=(), repr=False)


Verdict: TypeAlias = Admitted | Replayed | Unspent | Refused


def from_refusal(refusal: Refusal) -> Refused:
    """The verdict that an exception carries, of a price function's or of our own."""
    return Refused(refusal.status, refusal.code, refusal.title, retry_after=refusal.retry_after)


UNDELIVERED = Refused(
    503,
    "not-settled",
    "The answer could not be settled, and was not delivered; repeat the request.",
    retry_after=5,
)
"""In place of an answer whose payment could not be settled just before it went out."""
