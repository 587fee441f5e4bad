"""Findings as a reader, or a program, is given them."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ..audit.finding import Finding, name_of
from ..paywall.offer import Offer

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def lines(findings: Sequence[Finding]) -> Iterator[str]:
    """A table of the routes; under a route, what is wrong with it and how to mend it."""
    rows: list[tuple[str, ...]] = [("method", "route", "status", "price", "uses", "bound to", "valid for")]
    rows += [
        (finding.method, finding.path, finding.verdict.status, *_cells(finding.verdict.offer)) for finding in findings
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    remarks: Iterable[Finding | None] = [None, *findings]
    for row, finding in zip(rows, remarks, strict=True):
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        if finding is not None:
            yield from (f"    {remark}" for remark in _remarks(finding))


def _remarks(finding: Finding) -> Iterator[str]:
    if finding.verdict.reason:
        yield finding.verdict.reason
    if finding.verdict.status == "hole":
        yield f"mend it: {finding.verdict.remedy}"
    yield from (f"note: {note}" for note in finding.notes)


def _cells(offer: Offer | None) -> tuple[str, ...]:
    if offer is None:
        return ("", "", "", "")
    uses = "pass" if offer.uses is None else str(offer.uses)
    bound = [_bind(offer), *([offer.bind_caller] if offer.bind_caller else [])]
    return (_price(offer), uses, ", ".join(bound), _duration(offer.valid_for))


def _price(offer: Offer) -> str:
    return f"{name_of(offer.price)}()" if callable(offer.price) else str(offer.price)


def _bind(offer: Offer) -> str:
    return "request" if offer.binds_request else "endpoint"


def _duration(seconds: int) -> str:
    size, unit = next((size, unit) for size, unit in _UNITS if seconds % size == 0)
    return f"{seconds // size} {unit}"


def members(finding: Finding) -> dict[str, Any]:
    """A finding for programs; `offer` is null where there is none, and so is `uses` for a pass."""
    verdict, offer = finding.verdict, finding.verdict.offer
    return {
        "method": finding.method,
        "path": finding.path,
        "status": verdict.status,
        "offer": None
        if offer is None
        else {
            "price": _price(offer),
            "uses": offer.uses,
            "bind": _bind(offer),
            "bind_caller": offer.bind_caller,
            "valid_for": offer.valid_for,
        },
        "reason": verdict.reason,
        "remedy": verdict.remedy,
        "notes": list(finding.notes),
    }
