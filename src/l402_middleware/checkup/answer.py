"""What a service answered, as far as it matters here."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from ..core.offered import L402Offer, Offered, PaymentOffer, parse_challenges

# Nobody reads a longer 402, and no index a longer document.
MAX_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class ServiceAnswer:
    """A status, raw header fields and the body's beginning; `is_cut` where it went on beyond 64 KiB."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes = field(repr=False)
    is_cut: bool = False

    def values(self, name: str) -> list[bytes]:
        """The values of every field line of that name."""
        wanted = name.lower().encode()
        return [value for key, value in self.headers if key.lower() == wanted]

    def words(self, name: str) -> set[str]:
        """The comma-separated members of that field, in lower case."""
        parts = b",".join(self.values(name)).decode("latin-1").lower().split(",")
        return {part.strip() for part in parts} - {""}

    @property
    def offers(self) -> list[Offered]:
        """How it can be paid."""
        return parse_challenges(self.values("www-authenticate"))

    def members(self) -> dict[str, Any]:
        """The members of its JSON body; none where it has no such body."""
        try:
            loaded = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return loaded if isinstance(loaded, dict) else {}


def l402_of(offers: list[Offered]) -> L402Offer | None:
    """The first offer under L402."""
    return next((each for each in offers if isinstance(each, L402Offer)), None)


def payment_of(offers: list[Offered]) -> PaymentOffer | None:
    """The first offer under the Payment scheme."""
    return next((each for each in offers if isinstance(each, PaymentOffer)), None)


Ask: TypeAlias = Callable[[str, str, Mapping[str, str]], ServiceAnswer]
"""Sends a request: its method, its URL, and header fields beside those that every request has."""
