"""The tables of the SQLite ledger, and how each version of them becomes the next."""

import sqlite3
from typing import Final

from ..core.errors import LedgerError

APPLICATION_ID: Final = int.from_bytes(b"L402")

_FIRST: Final = (
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
)

# Units in place of uses. Workers of the first version that have the file open go on with the statements they know, so
# no column goes or gets another name: what was bought is still called `uses`, and a hold that says no units has one.
_UNITS: Final = (
    "ALTER TABLE payments ADD COLUMN shown_at REAL",
    "ALTER TABLE payments ADD COLUMN scheme TEXT NOT NULL DEFAULT 'l402'",
    "ALTER TABLE payments ADD COLUMN backend TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE payments ADD COLUMN closed_with INTEGER",
    "ALTER TABLE payments ADD COLUMN credited_to BLOB",
    "ALTER TABLE holds ADD COLUMN units INTEGER NOT NULL DEFAULT 1",
    # An answer for each request of a payment.
    "ALTER TABLE answers RENAME TO answers_of_payments",
    """CREATE TABLE answers (
        payment_hash BLOB NOT NULL,
        request BLOB NOT NULL,
        replay_until REAL NOT NULL,
        answer BLOB NOT NULL,
        PRIMARY KEY (payment_hash, request)
    )""",
    "INSERT INTO answers SELECT payment_hash, request, replay_until, answer FROM answers_of_payments",
    "DROP TABLE answers_of_payments",
    "CREATE INDEX answers_replay_until ON answers (replay_until)",
    """UPDATE payments SET shown_at = CASE events
        WHEN '' THEN strftime('%s', 'now') ELSE substr(events, 1, instr(events, ' ') - 1)
    END + 0.0""",
    # A payment was counted when it was first delivered; a pass at once.
    """INSERT INTO totals (day, endpoint, what, count, msat)
        SELECT strftime('%s', 'now') / 86400, endpoint, 'paid', count(*), sum(msat) FROM payments
        WHERE uses IS NOT NULL AND NOT settled GROUP BY endpoint
        ON CONFLICT DO UPDATE SET count = count + excluded.count, msat = msat + excluded.msat""",
    """UPDATE payments SET events = events || CASE events WHEN '' THEN '' ELSE char(10) END
            || strftime('%s', 'now') || ' paid'
        WHERE uses IS NOT NULL AND NOT settled""",
)

MIGRATIONS: Final = (_FIRST, _UNITS)
"""The statements that lead from each schema version to the next; `PRAGMA user_version` counts them."""


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
