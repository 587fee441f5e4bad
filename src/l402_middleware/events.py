"""What a paywall tells those who watch it: `Paywall(observe=...)`.

A listener is a plain function of one event. It is called where the event happens: in the request's thread, or on its
event loop, before the answer goes on. So it has to be quick: count, or put the event into a queue, and do everything
else elsewhere. What it raises is logged and changes nothing. Events come in this order::

    asked for without a payment     Challenged | Refused
    asked for with a credential     [Paid] Admitted, then Settled | Released | Lapsed
                                    Replayed | Refused | Challenged
    on the way                      ProviderAsked, RateAsked

Each request that is decided about leads to exactly one of `Challenged`, `Refused`, `Admitted` and `Replayed`. After
`Admitted` comes one of `Settled`, `Released` and `Lapsed`, unless it was a pass, or the worker was killed.

No event holds a secret: a payment's hash (64 hex digits) opens nothing. `at` is unix seconds, `seconds` a duration,
amounts are msat. `endpoint` is the endpoint as the record has it.
"""

from dataclasses import dataclass
from typing import TypeAlias

from .core.errors import ProviderFault

__all__ = [
    "Admitted",
    "Challenged",
    "Event",
    "Lapsed",
    "Paid",
    "ProviderAsked",
    "RateAsked",
    "Refused",
    "Released",
    "Replayed",
    "Settled",
]


@dataclass(frozen=True, slots=True)
class Challenged:
    """A request was asked to pay, over `msat`.

    `why` is None where it showed no credential, and otherwise the `code` of what was wrong with the one it showed, such
    as "expired". `schemes` are the names of those by which it can pay.
    """

    at: float
    endpoint: str
    payment_hash: str
    msat: int
    why: str | None
    schemes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """A request was refused without being asked to pay; `why` is the answer's `code`, such as "in-use"."""

    at: float
    endpoint: str
    status: int
    why: str


@dataclass(frozen=True, slots=True)
class Paid:
    """A payment was seen for the first time by this process: its credential was found good.

    Other processes, and this one after a restart or 10,000 further payments, may say so again; the ledger's record
    counts each payment once.
    """

    at: float
    endpoint: str
    payment_hash: str
    msat: int


@dataclass(frozen=True, slots=True)
class Admitted:
    """The handler is going to run.

    `uses_left` is how many deliveries the payment is good for after this one, None for a pass. `scheme` is the name of
    the one that its credential came by.
    """

    at: float
    endpoint: str
    payment_hash: str
    msat: int
    uses_left: int | None
    scheme: str


@dataclass(frozen=True, slots=True)
class Settled:
    """An answer counts as delivered, and its use is spent; `seconds` passed since it was held."""

    at: float
    endpoint: str
    payment_hash: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Released:
    """A use was given back: the handler failed, or answered with a status that does not count."""

    at: float
    endpoint: str
    payment_hash: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Lapsed:
    """An answer came after its lease, when another request had taken the use: it was not delivered."""

    at: float
    endpoint: str
    payment_hash: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Replayed:
    """An answer that was delivered before was given again."""

    at: float
    endpoint: str
    payment_hash: str
    scheme: str


@dataclass(frozen=True, slots=True)
class ProviderAsked:
    """A provider, by the name of its class, was asked for an invoice, or whether a payment has arrived.

    `fault` is None where it answered, and otherwise the kind of its failure, as of a `ProviderError`.
    """

    at: float
    provider: str
    seconds: float
    fault: ProviderFault | None


@dataclass(frozen=True, slots=True)
class RateAsked:
    """A source of exchange rates was asked what a bitcoin costs in `currency`; `fault` is as of `ProviderAsked`."""

    at: float
    source: str
    currency: str
    seconds: float
    fault: ProviderFault | None


Event: TypeAlias = (
    Challenged | Refused | Paid | Admitted | Settled | Released | Lapsed | Replayed | ProviderAsked | RateAsked
)
