"""What each step does to the payments in the SQLite ledger, inside the writer's transaction."""

import math
from collections.abc import Iterable
from typing import Final, NamedTuple

from .ledger import Busy, Claim, Closed, Credit, Credited, Held, Kept, Outcome, Revoked, Spent, total_of
from .sqlite_record import Database, count, note
from .units import Lease, free, grant


class _Payment(NamedTuple):
    bought: int | None
    settled: int
    confirmed: int
    closed_with: int | None
    credited_to: bytes | None
    forget_at: float
    shown_at: float | None

    @property
    def unsettled(self) -> int:
        """What could be held, were nothing held now: nothing of a pass, and nothing of what is closed."""
        return 0 if self.bought is None or self.closed_with is not None else self.bought - self.settled


_FIND: Final = (
    "SELECT uses, settled, confirmed, closed_with, credited_to, forget_at, shown_at FROM payments"
    " WHERE payment_hash = ?"
)


def hold(db: Database, claim: Claim) -> Outcome:
    """Decide a claim, and insert its hold where the outcome is `Held`."""
    if _is_revoked(db, claim.token_id):
        return Revoked()
    payment = _find(db, claim.payment_hash)
    leases = [] if payment is None else _leases(db, claim.payment_hash)
    return _decide(db, claim, _shown(db, claim, payment, leases), leases)


def _decide(db: Database, claim: Claim, payment: _Payment, leases: list[Lease]) -> Outcome:
    if payment.bought is None:
        return Held(None, bool(payment.confirmed), 0) if payment.closed_with is None else Spent()
    if claim.once:
        if _runs(db, claim):
            return Busy()
        if (kept := _again(db, claim)) is not None:
            return kept
    granted = grant(payment.unsettled, leases, claim.now, claim.most, claim.least)
    if granted is not None:
        _lapse(db, claim.payment_hash, granted.lapsed, claim.now)
        db.execute(
            "INSERT OR REPLACE INTO holds (payment_hash, hold_id, request, lease_until, units) VALUES (?, ?, ?, ?, ?)",
            (claim.payment_hash, claim.hold_id, claim.request, claim.lease_until, granted.units),
        )
        return Held(granted.left, bool(payment.confirmed), granted.units)
    if payment.unsettled >= claim.least:
        return Busy()
    return _again(db, claim) or Spent()


def _is_revoked(db: Database, token_id: bytes) -> bool:
    return db.execute("SELECT 1 FROM revoked WHERE token_id = ?", (token_id,)).fetchone() is not None


def _find(db: Database, payment_hash: bytes) -> _Payment | None:
    row = db.execute(_FIND, (payment_hash,)).fetchone()
    return None if row is None else _Payment(*row)


def _leases(db: Database, payment_hash: bytes) -> list[Lease]:
    rows = db.execute("SELECT hold_id, units, lease_until FROM holds WHERE payment_hash = ?", (payment_hash,))
    return [Lease(*row) for row in rows]


def _shown(db: Database, claim: Claim, payment: _Payment | None, leases: list[Lease]) -> _Payment:
    """The payment of a claim, remembered for as long as that asks for."""
    if payment is not None:
        if payment.shown_at is None:
            _adopt(db, claim, payment, leases)
        if claim.forget_at > payment.forget_at:
            db.execute(
                "UPDATE payments SET forget_at = ? WHERE payment_hash = ?", (claim.forget_at, claim.payment_hash)
            )
        return payment
    db.execute(
        "INSERT INTO payments"
        " (payment_hash, token_id, endpoint, msat, uses, forget_at, shown_at, scheme, backend, events)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            claim.payment_hash,
            claim.token_id,
            claim.endpoint,
            claim.msat,
            claim.bought,
            claim.forget_at,
            claim.now,
            claim.scheme,
            claim.backend,
            f"{claim.now!r} paid" if claim.msat else "",
        ),
    )
    if claim.msat:
        count(db, [total_of(claim.now, claim.endpoint, "paid", claim.msat)])
    return _Payment(claim.bought, 0, 0, None, None, claim.forget_at, claim.now)


def _adopt(db: Database, claim: Claim, payment: _Payment, leases: list[Lease]) -> None:
    """Count a payment of which a worker of the first schema has made the row since the file has this one.

    That worker counts it when it settles first: as long as it may, it is left to that.
    """
    if not payment.settled and any(lease.until > claim.now for lease in leases):
        return
    first = db.execute(
        "UPDATE payments SET shown_at = ? WHERE payment_hash = ? RETURNING events", (claim.now, claim.payment_hash)
    ).fetchall()
    if payment.bought is not None and " paid" not in first[0][0]:
        note(db, claim.payment_hash, claim.now, "paid")


def _runs(db: Database, claim: Claim) -> bool:
    running = db.execute(
        "SELECT 1 FROM holds WHERE payment_hash = ? AND request = ? AND lease_until > ?",
        (claim.payment_hash, claim.request, claim.now),
    )
    return running.fetchone() is not None


def _again(db: Database, claim: Claim) -> Kept | None:
    answer = db.execute(
        "SELECT answer FROM answers WHERE payment_hash = ? AND request = ? AND replay_until > ?",
        (claim.payment_hash, claim.request, claim.now),
    ).fetchone()
    if answer is None:
        return None
    note(db, claim.payment_hash, claim.now, "replayed")
    return Kept(answer[0])


def _lapse(db: Database, payment_hash: bytes, hold_ids: Iterable[bytes], now: float) -> None:
    for hold_id in hold_ids:
        _drop(db, (payment_hash, hold_id))
        note(db, payment_hash, now, "lapsed")


def _drop(db: Database, hold: tuple[bytes, bytes]) -> bool:
    return db.execute("DELETE FROM holds WHERE payment_hash = ? AND hold_id = ?", hold).rowcount == 1


def extend(db: Database, hold: tuple[bytes, bytes], more: int, least: int, now: float, lease_until: float) -> int:
    """Add to a hold that is there."""
    payment_hash, hold_id = hold
    payment = _find(db, payment_hash)
    if payment is None or not renew(db, hold, lease_until):
        return 0
    leases = [
        lease._replace(until=math.inf) if lease.hold_id == hold_id else lease for lease in _leases(db, payment_hash)
    ]
    granted = grant(payment.unsettled, leases, now, more, least)
    if granted is None:
        return 0
    _lapse(db, payment_hash, granted.lapsed, now)
    db.execute("UPDATE holds SET units = units + ? WHERE payment_hash = ? AND hold_id = ?", (granted.units, *hold))
    return granted.units


def renew(db: Database, hold: tuple[bytes, bytes], lease_until: float) -> bool:
    """Move the end of a lease that is there."""
    renewed = db.execute(
        "UPDATE holds SET lease_until = ? WHERE payment_hash = ? AND hold_id = ?", (lease_until, *hold)
    )
    return renewed.rowcount == 1


def settle(
    db: Database, hold: tuple[bytes, bytes], used: int, now: float, answer: bytes | None, replay_until: float
) -> bool:
    """Turn a hold that is there into a delivery of `used` units, and keep `answer`."""
    held = db.execute(
        "DELETE FROM holds WHERE payment_hash = ? AND hold_id = ? AND ? BETWEEN 0 AND units RETURNING request",
        (*hold, used),
    ).fetchall()
    if not held:
        return False
    if answer is not None:
        db.execute(
            "INSERT OR REPLACE INTO answers (payment_hash, request, replay_until, answer) VALUES (?, ?, ?, ?)",
            (hold[0], held[0][0], replay_until, answer),
        )
    note(db, hold[0], now, "delivered", settled=used)
    return True


def release(db: Database, hold: tuple[bytes, bytes], now: float) -> None:
    """Drop a hold that is there."""
    if _drop(db, hold):
        note(db, hold[0], now, "released")


def credit(db: Database, payment_hash: bytes, by: Claim) -> Credit:
    """Give a payment all that another one bought."""
    if _is_revoked(db, by.token_id):
        return Revoked()
    payment, other = _find(db, payment_hash), _find(db, by.payment_hash)
    if payment is not None and other is not None and other.credited_to == payment_hash:
        return Credited(free(payment.unsettled, _leases(db, payment_hash), by.now))
    if payment is None or payment.bought is None or payment.closed_with is not None:
        return Closed()
    if db.execute(
        "SELECT 1 FROM revoked JOIN payments USING (token_id) WHERE payment_hash = ?", (payment_hash,)
    ).fetchone():
        return Revoked()
    leases = _leases(db, by.payment_hash)
    other = _shown(db, by, other, leases)
    return _take_over(db, payment_hash, payment, by, other, leases)


def _take_over(
    db: Database, payment_hash: bytes, payment: _Payment, by: Claim, other: _Payment, leases: list[Lease]
) -> Credit:
    if by.payment_hash == payment_hash or other.bought is None or other.settled or other.closed_with is not None:
        return Spent()
    if any(lease.until > by.now for lease in leases):
        return Busy()
    _shut(db, by.payment_hash, by.now, closed_with=0)
    db.execute("UPDATE payments SET credited_to = ? WHERE payment_hash = ?", (payment_hash, by.payment_hash))
    db.execute(
        "UPDATE payments SET uses = uses + ?, forget_at = max(forget_at, ?) WHERE payment_hash = ?",
        (other.bought, by.forget_at, payment_hash),
    )
    note(db, payment_hash, by.now, "topped-up")
    return Credited(free(payment.unsettled + other.bought, _leases(db, payment_hash), by.now))


def close_payment(db: Database, payment_hash: bytes, now: float) -> int | None:
    """Give away what is left of a payment that is there."""
    payment = _find(db, payment_hash)
    if payment is None or payment.closed_with is not None:
        return None if payment is None else payment.closed_with
    left = free(payment.unsettled, _leases(db, payment_hash), now)
    _shut(db, payment_hash, now, closed_with=left)
    return left


def _shut(db: Database, payment_hash: bytes, now: float, *, closed_with: int) -> None:
    # What lapsed holds have is given away with the rest: they must not settle it too.
    ended = [lease.hold_id for lease in _leases(db, payment_hash) if lease.until <= now]
    _lapse(db, payment_hash, ended, now)
    db.execute("UPDATE payments SET closed_with = ? WHERE payment_hash = ?", (closed_with, payment_hash))
    note(db, payment_hash, now, "closed")


def confirm(db: Database, payment_hash: bytes, now: float) -> None:
    """Mark a payment that is there as received."""
    confirmed = db.execute(
        "UPDATE payments SET confirmed = 1 WHERE payment_hash = ? AND NOT confirmed", (payment_hash,)
    )
    if confirmed.rowcount == 1:
        note(db, payment_hash, now, "confirmed")


def revoke(db: Database, token_id: bytes) -> None:
    """Put a token on the denylist."""
    db.execute("INSERT OR IGNORE INTO revoked (token_id) VALUES (?)", (token_id,))


def revoked(db: Database) -> frozenset[bytes]:
    """The denylist."""
    return frozenset(token_id for (token_id,) in db.execute("SELECT token_id FROM revoked"))


def keep_key(db: Database, candidate: str) -> str:
    """The key that is there, or else `candidate` from now on."""
    db.execute("INSERT OR IGNORE INTO keys (name, value) VALUES ('secret', ?)", (candidate,))
    return kept_key(db) or candidate


def kept_key(db: Database) -> str | None:
    """The key that is there."""
    row = db.execute("SELECT value FROM keys WHERE name = 'secret'").fetchone()
    return None if row is None else str(row[0])
