"""What a route sells: a price, and what it buys."""

from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from inspect import iscoroutinefunction
from typing import Any, Literal, TypeAlias, TypedDict

from ..core.errors import ConfigurationError
from ..core.fiat import Fiat
from ..core.money import Msat, sats
from .parameters import check
from .request import RequestView

Amount: TypeAlias = int | Msat | Fiat
PriceFunction: TypeAlias = Callable[[RequestView], Amount | Awaitable[Amount]]
Price: TypeAlias = Amount | PriceFunction
Bind: TypeAlias = Literal["endpoint", "request"]
BindCaller: TypeAlias = Literal["ip", "tls"]
ChargeIf: TypeAlias = Callable[[int], bool]

DEFAULT_MAX_BODY = 16 * 1024 * 1024

# Beyond these a credential could be sold that no ledger can count, or whose end its own caveat cannot say.
MAX_USES = 1_000_000_000
MAX_VALID_FOR = 100 * 365 * 24 * 3600

_MARK = "__l402_offer__"
_ELSEWHERE = "__l402_offered_elsewhere__"


def below_400(status: int) -> bool:
    """The answers that count as delivered: 2xx and 3xx."""
    return status < 400


class Conditions(TypedDict, total=False):
    """What an `Offer` may say beside its price, with the same names and defaults."""

    uses: int | None
    valid_for: int
    bind: Bind | None
    bind_caller: BindCaller | None
    charge_if: ChargeIf
    memo: str | None
    max_body: int
    replay_for: float | None


class Offer:
    """A price and its conditions; raises `ConfigurationError` for any that cannot be kept.

    - `price`: sats as an int, an amount from `sats()`, `msats()`, `usd()` or `fiat()`, or a function of the request,
      plain or async, that returns one of these, or raises `Refusal` for a request that cannot succeed.
    - `uses`: how many deliveries one payment buys; None is a pass, good for any number while it is valid.
    - `valid_for`: seconds a credential stays valid after its invoice can no longer be paid.
    - `bind`: "endpoint", or "request" for exactly the quoted method, path, query and body. A computed price is
      always bound to the request.
    - `bind_caller`: "ip": only the address that was quoted to (of IPv6, its /64) can use the credential; "tls": only
      who has the TLS client certificate that came with that request. None: whoever has the credential.
    - `charge_if`: a plain function of the response's status: whether it counts as delivered; the payment is kept for
      the others.
    - `memo`: what the payer's wallet shows; the endpoint by default.
    - `max_body`: the largest body, in bytes, that is read where the sale is bound to the request.
    - `replay_for`: seconds in which a finished answer to a single use is given again to the same request: 0 for never,
      as an endpoint wants it whose answer is soon out of date; None for the paywall's own.
    """

    __slots__ = (
        "bind_caller",
        "binds_request",
        "charge_if",
        "max_body",
        "memo",
        "price",
        "replay_for",
        "uses",
        "valid_for",
    )

    def __init__(
        self,
        price: Price,
        *,
        uses: int | None = 1,
        valid_for: int = 3600,
        bind: Bind | None = None,
        bind_caller: BindCaller | None = None,
        charge_if: ChargeIf = below_400,
        memo: str | None = None,
        max_body: int = DEFAULT_MAX_BODY,
        replay_for: float | None = None,
    ) -> None:
        self.price: Msat | Fiat | PriceFunction = price if callable(price) else as_amount(price)
        if uses is not None and (type(uses) is not int or not 1 <= uses <= MAX_USES):
            raise ConfigurationError(
                f"uses must be a whole number from 1 to {MAX_USES}, or None for a pass, not {uses!r}"
            )
        if type(valid_for) is not int or not 1 <= valid_for <= MAX_VALID_FOR:
            raise ConfigurationError(
                f"valid_for must be a whole number of seconds from 1 to {MAX_VALID_FOR}, not {valid_for!r}"
            )
        if bind not in (None, "endpoint", "request"):
            raise ConfigurationError(f'bind must be "endpoint" or "request", not {bind!r}')
        if bind_caller not in (None, "ip", "tls"):
            raise ConfigurationError(f'bind_caller must be "ip" or "tls", or None for anybody, not {bind_caller!r}')
        if callable(price) and bind == "endpoint":
            raise ConfigurationError(
                'a computed price cannot have bind="endpoint": a credential for a cheap request would open a dear one'
            )
        if type(max_body) is not int or max_body < 0:
            raise ConfigurationError(f"max_body must be a whole number of bytes, not {max_body!r}")
        # What an async one returns is true of every status: each failure would be charged.
        if not callable(charge_if) or iscoroutinefunction(charge_if):
            raise ConfigurationError(f"charge_if must be a plain function of the status, not {charge_if!r}")
        if memo is not None and not isinstance(memo, str):
            raise ConfigurationError(f"memo must be a text, not {memo!r}")
        if replay_for is not None:
            check(replay_for=replay_for)
        self.uses = uses
        self.valid_for = valid_for
        self.bind_caller = bind_caller
        self.binds_request = callable(price) or bind == "request"
        self.charge_if = charge_if
        self.memo = memo
        self.max_body = max_body
        self.replay_for = replay_for

    def has_terms_of(self, other: "Offer") -> bool:
        """Whether both say the same in every respect."""
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)


Sale: TypeAlias = tuple[Offer, str]
"""What a request has to pay for: the offer, and the endpoint's name."""


def mark(endpoint: Any, offer: Offer, made_from: object = None) -> None:
    """Say on an endpoint what it sells, where routing and the audit find it.

    What it was `made_from` notes that a priced endpoint was made of it: a route that has it instead sells nothing.
    """
    setattr(endpoint, _MARK, offer)
    original = getattr(made_from, "__func__", made_from)
    with suppress(AttributeError):
        setattr(original, _ELSEWHERE, (*getattr(original, _ELSEWHERE, ()), offer))


def offer_of(endpoint: object) -> Offer | None:
    """What an endpoint sells; None where no decorator priced it."""
    return getattr(endpoint, _MARK, None)


def is_priced_elsewhere(endpoint: object) -> bool:
    """Whether a priced endpoint was made from this one, which is itself not priced."""
    return offer_of(endpoint) is None and hasattr(endpoint, _ELSEWHERE)


def refuse_left_out(endpoint: object, path: str, endpoints: Iterable[object]) -> None:
    """Raise `ConfigurationError` where a route has an endpoint as it was before it was priced, and none the priced one.

    `endpoints` are those of all routes: a function may well be free on one and priced on another.
    """
    if is_priced_elsewhere(endpoint):
        offers = getattr(endpoint, _ELSEWHERE)
        if not any(offer_of(each) in offers for each in endpoints):
            raise ConfigurationError(
                f"{path} would be free: its route has {getattr(endpoint, '__name__', endpoint)} as it was before "
                "@l402_required; put that under the route's decorator"
            )


def as_amount(price: object) -> Msat | Fiat:
    """A price as an amount: an int is sats. Raises `ConfigurationError` for anything else, or out of range."""
    if isinstance(price, Msat | Fiat):
        return price
    if type(price) is int:
        return sats(price)
    raise ConfigurationError(f"a price must be whole sats, sats(), msats(), usd() or fiat(), not {price!r}")
