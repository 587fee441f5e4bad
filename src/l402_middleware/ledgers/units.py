"""The arithmetic of units, for ledgers whose store does none of its own."""

from collections.abc import Iterable
from typing import NamedTuple


class Lease(NamedTuple):
    """So many units, held until then."""

    hold_id: bytes
    units: int
    until: float


class Grant(NamedTuple):
    """`units` may be held, `left` are free beside them, once the holds in `lapsed` are dropped."""

    units: int
    left: int
    lapsed: list[bytes]


def free(unsettled: int, leases: Iterable[Lease], now: float) -> int:
    """How many of the unsettled units no lease holds that still runs."""
    return unsettled - sum(lease.units for lease in leases if lease.until > now)


def grant(unsettled: int, leases: Iterable[Lease], now: float, most: int, least: int) -> Grant | None:
    """What of the unsettled units can be held: up to `most`; None where there are fewer than `least`."""
    leases = list(leases)
    if not leases:
        return Grant(min(most, unsettled), unsettled - min(most, unsettled), []) if unsettled >= least else None
    available = free(unsettled, leases, now)
    units = min(most, available)
    if units < least:
        return None
    # Those whose lease has ended keep theirs as long as nobody needs them: a late handler may still settle.
    missing = units + sum(lease.units for lease in leases) - unsettled
    lapsed = []
    for lease in sorted((lease for lease in leases if lease.until <= now), key=lambda lease: lease.until):
        if missing <= 0:
            break
        lapsed.append(lease.hold_id)
        missing -= lease.units
    return Grant(units, available - units, lapsed)
