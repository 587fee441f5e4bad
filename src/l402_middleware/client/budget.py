"""How much may be spent, for what, and where."""

from collections.abc import Collection
from dataclasses import KW_ONLY, dataclass
from typing import TypeAlias

from ..core.errors import ConfigurationError
from ..core.money import Msat, sats
from .asked import origin_of
from .errors import NotPaid

Amount: TypeAlias = int | Msat

HOUR, DAY = 3600, 86_400


@dataclass(frozen=True, slots=True)
class Spending:
    """What was spent in the last hour, the last day (24 hours), and ever, in msat; fees are in it."""

    hour: int
    day: int
    total: int


@dataclass(frozen=True)
class Budget:
    """The most for one request, and where given for an hour, a day (24 hours) and in all. A plain number is sats.

    What counts is the amount of the invoice, also while its payment is under way, and once it is paid its routing fee.
    `max_fee` is the most that routing may cost for one payment: a hundredth of its amount where not given, but 10 sats
    are always allowed. `origins` are the only ones that are paid, such as `https://api.example.com`; any where not
    given. Hour, day and total are of the store, and so of all processes that share one. Raises `ConfigurationError` for
    what is no amount and no origin.
    """

    per_request: Amount
    _: KW_ONLY
    per_hour: Amount | None = None
    per_day: Amount | None = None
    total: Amount | None = None
    max_fee: Amount | None = None
    origins: Collection[str] | None = None

    def __post_init__(self) -> None:
        for name in ("per_request", "per_hour", "per_day", "total", "max_fee"):
            amount = getattr(self, name)
            if isinstance(amount, int):
                try:
                    object.__setattr__(self, name, sats(amount))
                except ConfigurationError as error:
                    raise ConfigurationError(f"Budget: {name}: {error}") from None
            elif not isinstance(amount, Msat | None) or (amount is None and name == "per_request"):
                raise ConfigurationError(f"Budget: {name} must be a number of sats, or an Msat, not {amount!r}")
        if self.origins is not None:
            object.__setattr__(self, "origins", _origins(self.origins))

    def check_origin(self, origin: str) -> None:
        """Raises `NotPaid` where nothing is paid to that origin."""
        if self.origins is not None and origin not in self.origins:
            raise NotPaid("origin-not-allowed", f"{origin} is not among the origins that the budget allows")

    def check_amount(self, amount: Msat) -> None:
        """Raises `NotPaid` where that is too much for one request."""
        if amount > _msat(self.per_request):
            raise NotPaid("over-budget", f"{amount} is more than the {self.per_request} that one request may cost")

    def check_spent(self, amount: Msat, spent: Spending) -> None:
        """Raises `NotPaid` where there is no room for that beside what is spent already."""
        for name, most, so_far in (
            ("an hour", self.per_hour, spent.hour),
            ("a day", self.per_day, spent.day),
            ("all", self.total, spent.total),
        ):
            if most is not None and so_far + amount.msat > _msat(most).msat:
                raise NotPaid(
                    "over-budget",
                    f"{amount} does not fit into the budget for {name}: {so_far} of {_msat(most).msat} msat are spent",
                )

    def fee_for(self, amount: Msat) -> int:
        """The most that routing such a payment may cost, in msat."""
        return max(amount.msat // 100, 10_000) if self.max_fee is None else _msat(self.max_fee).msat


def _msat(amount: Amount) -> Msat:
    return amount if isinstance(amount, Msat) else sats(amount)


def _origins(given: Collection[str]) -> frozenset[str]:
    if isinstance(given, str):
        raise ConfigurationError("Budget: origins must be a list, not a single text")
    found = set()
    for each in given:
        try:
            origin = origin_of(each)
        except ValueError:
            origin = ""
        if each.rstrip("/").lower() not in (origin, f"{origin}:443", f"{origin}:80"):
            raise ConfigurationError(f"Budget: {each!r} is no origin such as https://api.example.com")
        found.add(origin)
    return frozenset(found)
