"""Pages of payments, for ledgers whose store keeps them in the order of their hashes."""

from collections.abc import Sequence

from .ledger import History, Page


def page_of(payments: Sequence[History], most: int) -> Page:
    """The page of these; fewer than `most` of them are the last."""
    return Page(tuple(payments), payments[-1].payment_hash if len(payments) == most else None)
