"""What a check has to say, and what one check hands to the next."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ..ledgers.ledger import Ledger

Status: TypeAlias = Literal["ok", "warning", "failed"]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What one check found, and what to do about it; `remedy` is empty where `found` says that, or nothing is to do.

    `about` says which of several wallets it was.
    """

    check: str
    status: Status
    found: str
    remedy: str = ""
    about: str = ""


@dataclass(slots=True)
class Examination:
    """What is examined, and what the checks have learned of it so far."""

    settings: Mapping[str, str]
    make_invoice: bool
    amount: int
    currency: str | None
    ledger: Ledger | None = None
    expiry: int = 600
    verify_settlement: bool = False
