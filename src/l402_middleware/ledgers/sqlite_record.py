"""The record in the SQLite ledger: what happened to each payment, and totals.

A total is added to in the transaction of what it counts, so it stays exact when its payment is forgotten.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any, Final, cast

from .ledger import HISTORY_EVENTS, Event, History, Page, Total, What, total_of
from .pages import page_of


class Database(sqlite3.Connection):
    """A connection, and what the transaction that is open has counted: `finish` writes it, one row for all that add."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.counted: dict[tuple[int, str, What], tuple[int, int]] = {}


# A line is some 25 characters long.
_TOO_LONG: Final = 3 * 25 * HISTORY_EVENTS


_HISTORY: Final = (
    "SELECT payment_hash, token_id, endpoint, msat, uses, settled, coalesce(shown_at, 0.0), scheme, backend,"
    " closed_with, events FROM payments"
)


def note(db: Database, payment_hash: bytes, at: float, what: What, *, settled: int = 0) -> None:
    """Write down what happened to a payment that is there, how many units that settled, and count it."""
    ((endpoint, msat, length),) = db.execute(
        "UPDATE payments"
        " SET settled = settled + ?, events = events || CASE events WHEN '' THEN '' ELSE char(10) END || ?"
        " WHERE payment_hash = ? RETURNING endpoint, msat, length(events)",
        (settled, f"{at!r} {what}", payment_hash),
    ).fetchall()
    if length > _TOO_LONG:
        (events,) = db.execute("SELECT events FROM payments WHERE payment_hash = ?", (payment_hash,)).fetchone()
        newest = "\n".join(events.splitlines()[-HISTORY_EVENTS:])
        db.execute("UPDATE payments SET events = ? WHERE payment_hash = ?", (newest, payment_hash))
    count(db, [total_of(at, endpoint, what, msat)])


def count(db: Database, totals: Sequence[Total]) -> None:
    """Add to the totals."""
    for total in totals:
        key = (total.day, total.endpoint, total.what)
        so_far, msat = db.counted.get(key, (0, 0))
        db.counted[key] = (so_far + total.count, msat + total.msat)


def _write_totals(db: Database) -> None:
    if db.counted:
        db.executemany(
            "INSERT INTO totals (day, endpoint, what, count, msat) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET count = count + excluded.count, msat = msat + excluded.msat",
            [(*key, *sums) for key, sums in db.counted.items()],
        )
        db.counted.clear()


def totals(db: Database, since: int, until: int) -> list[Total]:
    """The totals from day `since` up to and including day `until`."""
    _write_totals(db)
    rows = db.execute(
        "SELECT day, endpoint, what, count, msat FROM totals WHERE day BETWEEN ? AND ? ORDER BY day, endpoint, what",
        (since, until),
    )
    return [Total(*row) for row in rows]


def history(db: Database, payment_hash: bytes) -> History | None:
    """One payment that is there, with its events."""
    row = db.execute(f"{_HISTORY} WHERE payment_hash = ?", (payment_hash,)).fetchone()
    return None if row is None else _read_history(*row)


def payments(db: Database, following: bytes, most: int) -> Page:
    """Those that are there."""
    rows = db.execute(f"{_HISTORY} WHERE payment_hash > ? ORDER BY payment_hash LIMIT ?", (following, most))
    return page_of([_read_history(*row) for row in rows], most)


def _read_history(payment_hash: bytes, *row: Any) -> History:
    token_id, endpoint, msat, bought, settled, shown_at, scheme, backend, closed_with, lines = row
    parts = (line.split(" ") for line in lines.splitlines()[-HISTORY_EVENTS:])
    events = tuple(Event(float(at), cast(What, what)) for at, what in parts)
    return History(
        payment_hash, token_id, endpoint, msat, bought, settled, shown_at, scheme, backend, closed_with, events
    )


def finish(db: Database, now: float | None, most: int) -> None:
    """End a transaction: write its totals, and drop up to `most` answers and payments whose time is over by `now`.

    A payment that a running request holds stays.
    """
    _write_totals(db)
    if now is None:
        return
    db.execute(
        "DELETE FROM answers WHERE rowid IN (SELECT rowid FROM answers WHERE replay_until <= ? LIMIT ?)", (now, most)
    )
    over = db.execute(
        "SELECT payment_hash FROM payments WHERE forget_at <= ? AND NOT EXISTS"
        " (SELECT 1 FROM holds WHERE holds.payment_hash = payments.payment_hash AND lease_until > ?) LIMIT ?",
        (now, now, most),
    ).fetchall()
    if over:
        db.executemany("DELETE FROM answers WHERE payment_hash = ?", over)
        db.executemany("DELETE FROM holds WHERE payment_hash = ?", over)
        db.executemany("DELETE FROM payments WHERE payment_hash = ?", over)
