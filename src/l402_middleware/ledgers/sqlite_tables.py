"""The tables of the SQLite ledger, and what each step does to them, inside the writer's transaction.

A total is added to in the transaction of what it counts, so it stays exact when its payment is forgotten.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from ..core.errors import LedgerError
from .ledger import (
    HISTORY_EVENTS,
    Busy,
    Claim,
    Event,
    Held,
    History,
    Kept,
    Outcome,
    Revoked,
    Spent,
    Total,
    What,
    day_of,
)

APPLICATION_ID = int.from_bytes(b"L402")

MIGRATIONS = (
    (
        """CREATE TABLE payments (
            payment_hash BLOB PRIMARY KEY,
            token_id BLOB NOT NULL,
            endpoint TEXT NOT NULL,
            msat INTEGER NOT NULL,
            uses INTEGER,
            settled INTEGER NOT NULL DEFAULT 0,
            confirmed INTEGER NOT NULL DEFAULT 0,
            events TEXT NOT NULL DEFAULT '',
            forget_at REAL NOT NULL
        )""",
        "CREATE INDEX payments_forget_at ON payments (forget_at)",
        """CREATE TABLE holds (
            payment_hash BLOB NOT NULL,
            hold_id BLOB NOT NULL,
            request BLOB NOT NULL,
            lease_until REAL NOT NULL,
            PRIMARY KEY (payment_hash, hold_id)
        ) WITHOUT ROWID""",
        """CREATE TABLE answers (
            payment_hash BLOB PRIMARY KEY,
            request BLOB NOT NULL,
            replay_until REAL NOT NULL,
            answer BLOB NOT NULL
        )""",
        "CREATE INDEX answers_replay_until ON answers (replay_until)",
        """CREATE TABLE totals (
            day INTEGER NOT NULL,
            endpoint TEXT NOT NULL,
            what TEXT NOT NULL,
            count INTEGER NOT NULL,
            msat INTEGER NOT NULL,
            PRIMARY KEY (day, endpoint, what)
        ) WITHOUT ROWID""",
        "CREATE TABLE revoked (token_id BLOB PRIMARY KEY) WITHOUT ROWID",
        "CREATE TABLE keys (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    ),
)
"""The statements that lead from each schema version to the next; `PRAGMA user_version` counts them."""


@dataclass(slots=True)
class _Payment:
    payment_hash: bytes
    endpoint: str
    msat: int
    uses: int | None
    forget_at: float
    settled: int = 0
    confirmed: int = 0
    events: str = ""


def migrate(db: sqlite3.Connection) -> None:
    """Make the tables, or bring them up to date. Raises `LedgerError` where the file is not ours, or newer."""
    (owner,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if owner != APPLICATION_ID and (owner or version or tables):
        raise LedgerError("the file is another application's database; give the ledger a file of its own")
    if version > len(MIGRATIONS):
        raise LedgerError(
            f"the file has schema {version}, and this l402_middleware knows {len(MIGRATIONS)}; "
            "upgrade the package to the version that wrote the file"
        )
    for statements in MIGRATIONS[version:]:
        for statement in statements:
            db.execute(statement)
    if version < len(MIGRATIONS):
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def hold(db: sqlite3.Connection, claim: Claim) -> Outcome:
    """Decide a claim, and insert its hold where the outcome is `Held`."""
    if db.execute("SELECT 1 FROM revoked WHERE token_id = ?", (claim.token_id,)).fetchone():
        return Revoked()
    payment = _find(db, claim.payment_hash)
    if payment is None:
        payment = _create(db, claim)
        leases = []
    else:
        if claim.forget_at > payment.forget_at:
            db.execute(
                "UPDATE payments SET forget_at = ? WHERE payment_hash = ?", (claim.forget_at, claim.payment_hash)
            )
        leases = db.execute(
            "SELECT lease_until, hold_id FROM holds WHERE payment_hash = ? ORDER BY lease_until",
            (claim.payment_hash,),
        ).fetchall()
    if payment.uses is None:
        return Held(None, bool(payment.confirmed))
    active = sum(lease_until > claim.now for lease_until, _ in leases)
    if payment.settled + active < payment.uses:
        if payment.settled + len(leases) >= payment.uses:
            _drop(db, (claim.payment_hash, leases[0][1]))
            _note(db, payment, claim.now, "lapsed")
        db.execute(
            "INSERT OR REPLACE INTO holds (payment_hash, hold_id, request, lease_until) VALUES (?, ?, ?, ?)",
            (claim.payment_hash, claim.hold_id, claim.request, claim.lease_until),
        )
        return Held(payment.uses - payment.settled - active - 1, bool(payment.confirmed))
    if payment.settled < payment.uses:
        return Busy()
    answer = db.execute(
        "SELECT answer FROM answers WHERE payment_hash = ? AND request = ? AND replay_until > ?",
        (claim.payment_hash, claim.request, claim.now),
    ).fetchone()
    if answer is None:
        return Spent()
    _note(db, payment, claim.now, "replayed")
    return Kept(answer[0])


def _find(db: sqlite3.Connection, payment_hash: bytes) -> _Payment | None:
    row = db.execute(
        "SELECT payment_hash, endpoint, msat, uses, forget_at, settled, confirmed, events"
        " FROM payments WHERE payment_hash = ?",
        (payment_hash,),
    ).fetchone()
    return None if row is None else _Payment(*row)


def _create(db: sqlite3.Connection, claim: Claim) -> _Payment:
    db.execute(
        "INSERT INTO payments (payment_hash, token_id, endpoint, msat, uses, forget_at) VALUES (?, ?, ?, ?, ?, ?)",
        (claim.payment_hash, claim.token_id, claim.endpoint, claim.msat, claim.uses, claim.forget_at),
    )
    payment = _Payment(claim.payment_hash, claim.endpoint, claim.msat, claim.uses, claim.forget_at)
    if claim.uses is None:
        _note(db, payment, claim.now, "paid")
    return payment


def renew(db: sqlite3.Connection, hold: tuple[bytes, bytes], lease_until: float) -> bool:
    """Move the end of a lease that is there."""
    renewed = db.execute(
        "UPDATE holds SET lease_until = ? WHERE payment_hash = ? AND hold_id = ?", (lease_until, *hold)
    )
    return renewed.rowcount == 1


def settle(
    db: sqlite3.Connection, hold: tuple[bytes, bytes], now: float, answer: bytes | None, replay_until: float
) -> bool:
    """Turn a hold that is there into a delivery, and keep `answer`."""
    if answer is not None:
        db.execute(
            "INSERT OR REPLACE INTO answers (payment_hash, request, replay_until, answer)"
            " SELECT payment_hash, request, ?, ? FROM holds WHERE payment_hash = ? AND hold_id = ?",
            (replay_until, answer, *hold),
        )
    payment = _find(db, hold[0])
    if payment is None or not _drop(db, hold):
        return False
    first = not payment.settled
    payment.settled += 1
    _note(db, payment, now, *(("paid", "delivered") if first else ("delivered",)))
    return True


def release(db: sqlite3.Connection, hold: tuple[bytes, bytes], now: float) -> None:
    """Drop a hold that is there."""
    payment = _find(db, hold[0])
    if payment is not None and _drop(db, hold):
        _note(db, payment, now, "released")


def _drop(db: sqlite3.Connection, hold: tuple[bytes, bytes]) -> bool:
    return db.execute("DELETE FROM holds WHERE payment_hash = ? AND hold_id = ?", hold).rowcount == 1


def confirm(db: sqlite3.Connection, payment_hash: bytes, now: float) -> None:
    """Mark a payment that is there as received."""
    payment = _find(db, payment_hash)
    if payment is not None and not payment.confirmed:
        payment.confirmed = 1
        _note(db, payment, now, "confirmed")


def revoke(db: sqlite3.Connection, token_id: bytes) -> None:
    """Put a token on the denylist."""
    db.execute("INSERT OR IGNORE INTO revoked (token_id) VALUES (?)", (token_id,))


def revoked(db: sqlite3.Connection) -> frozenset[bytes]:
    """The denylist."""
    return frozenset(token_id for (token_id,) in db.execute("SELECT token_id FROM revoked"))


def _note(db: sqlite3.Connection, payment: _Payment, at: float, *happened: What) -> None:
    """Store the payment as it is now, with what happened to it, and count that."""
    lines = [*payment.events.splitlines(), *(f"{at!r} {what}" for what in happened)]
    db.execute(
        "UPDATE payments SET settled = ?, confirmed = ?, events = ? WHERE payment_hash = ?",
        (payment.settled, payment.confirmed, "\n".join(lines[-HISTORY_EVENTS:]), payment.payment_hash),
    )
    day, endpoint = day_of(at), payment.endpoint
    count(db, [Total(day, endpoint, what, 1, payment.msat if what == "paid" else 0) for what in happened])


def count(db: sqlite3.Connection, totals: Sequence[Total]) -> None:
    """Add to the totals."""
    db.executemany(
        "INSERT INTO totals (day, endpoint, what, count, msat) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET count = count + excluded.count, msat = msat + excluded.msat",
        [(total.day, total.endpoint, total.what, total.count, total.msat) for total in totals],
    )


def totals(db: sqlite3.Connection, since: int, until: int) -> list[Total]:
    """The totals from day `since` up to and including day `until`."""
    rows = db.execute(
        "SELECT day, endpoint, what, count, msat FROM totals WHERE day BETWEEN ? AND ? ORDER BY day, endpoint, what",
        (since, until),
    )
    return [Total(*row) for row in rows]


def history(db: sqlite3.Connection, payment_hash: bytes) -> History | None:
    """One payment that is there, with its events."""
    row = db.execute(
        "SELECT token_id, endpoint, msat, uses, settled, events FROM payments WHERE payment_hash = ?", (payment_hash,)
    ).fetchone()
    if row is None:
        return None
    token_id, endpoint, msat, uses, settled, lines = row
    parts = (line.split(" ") for line in lines.splitlines())
    events = tuple(Event(float(at), cast(What, what)) for at, what in parts)
    return History(payment_hash, token_id, endpoint, msat, uses, settled, events)


def keep_key(db: sqlite3.Connection, candidate: str) -> str:
    """The key that is there, or else `candidate` from now on."""
    db.execute("INSERT OR IGNORE INTO keys (name, value) VALUES ('secret', ?)", (candidate,))
    (key,) = db.execute("SELECT value FROM keys WHERE name = 'secret'").fetchone()
    return str(key)


def prune(db: sqlite3.Connection, now: float, most: int) -> None:
    """Drop up to `most` answers and `most` payments whose time is over, but none that a running request holds."""
    db.execute(
        "DELETE FROM answers WHERE payment_hash IN (SELECT payment_hash FROM answers WHERE replay_until <= ? LIMIT ?)",
        (now, most),
    )
    over = db.execute(
        "SELECT payment_hash FROM payments WHERE forget_at <= ? AND NOT EXISTS"
        " (SELECT 1 FROM holds WHERE holds.payment_hash = payments.payment_hash AND lease_until > ?) LIMIT ?",
        (now, now, most),
    ).fetchall()
    db.executemany("DELETE FROM answers WHERE payment_hash = ?", over)
    db.executemany("DELETE FROM holds WHERE payment_hash = ?", over)
    db.executemany("DELETE FROM payments WHERE payment_hash = ?", over)
