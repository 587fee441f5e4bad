"""The ledger for several machines: one PostgreSQL database, which may be the application's own."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from ..core.errors import ConfigurationError
from ..flow import Step
from .ledger import (
    HISTORY_EVENTS,
    Busy,
    Claim,
    Closed,
    Credit,
    Credited,
    Event,
    Held,
    History,
    Kept,
    Outcome,
    Page,
    Revoked,
    Spent,
    Total,
    decode_endpoint,
    encode_endpoint,
)
from .pages import page_of
from .postgres_connections import Connections, Rows
from .postgres_failures import place_of

T = TypeVar("T")

PRUNE_EVERY: Final = 16
PRUNE_MOST: Final = 64


class PostgresLedger:
    """Units counted in the schema `l402` of the database at `url`, for any number of machines, threads and event loops.

    `url` is libpq's (`postgresql://user:password@host:5432/database`). The schema is made and brought up to date at
    the first step; where the role may not create one, give it an empty schema `l402` that it owns. A step that
    returned is committed, with `synchronous_commit` on. Each event loop, and all threads together, open up to
    `pool_size` connections, which have to be sessions of their own: a pooler in transaction mode will not do.
    A step takes 5 s at most for each of waiting for a connection, opening it and running, and raises `LedgerError`
    after that. A step under way is carried through when its task is cancelled.
    Raises `ConfigurationError` where `url` cannot be read, without repeating it.
    """

    keeps_keys = True

    @classmethod
    def from_url(cls, url: str) -> "PostgresLedger":
        """Whatever libpq reads."""
        return cls(url)

    def __init__(self, url: str, *, pool_size: int = 8) -> None:
        if pool_size < 1:
            raise ConfigurationError(f"PostgresLedger(pool_size={pool_size}): give at least one connection")
        self._connections = Connections(url, place_of(url), pool_size)
        self._holds = itertools.count(1)

    def hold(self, claim: Claim) -> Step[Outcome]:
        values = (
            claim.payment_hash,
            claim.token_id,
            claim.hold_id,
            claim.bought,
            claim.request,
            encode_endpoint(claim.endpoint),
            claim.msat,
            claim.now,
            claim.lease_until,
            claim.forget_at,
            claim.most,
            claim.least,
            claim.once,
            claim.scheme,
            claim.backend,
        )
        if next(self._holds) % PRUNE_EVERY:
            return self._step(_outcome, _HOLD, *values)
        return self._step(_outcome, _HOLD_AND_PRUNE, claim.now, PRUNE_MOST, *values)

    def extend(
        self, payment_hash: bytes, hold_id: bytes, more: int, least: int, now: float, lease_until: float
    ) -> Step[int]:
        return self._step(_first, _EXTEND, payment_hash, hold_id, more, least, now, lease_until)

    def renew(self, payment_hash: bytes, hold_id: bytes, lease_until: float) -> Step[bool]:
        return self._step(_first, _RENEW, payment_hash, hold_id, lease_until)

    def settle(
        self, payment_hash: bytes, hold_id: bytes, used: int, now: float, answer: bytes | None, replay_until: float
    ) -> Step[bool]:
        return self._step(_first, _SETTLE, payment_hash, hold_id, used, now, answer, replay_until)

    def release(self, payment_hash: bytes, hold_id: bytes, now: float) -> Step[None]:
        return self._step(_nothing, _RELEASE, payment_hash, hold_id, now)

    def credit(self, payment_hash: bytes, by: Claim) -> Step[Credit]:
        return self._step(
            _credit,
            _CREDIT,
            payment_hash,
            by.payment_hash,
            by.token_id,
            by.bought,
            encode_endpoint(by.endpoint),
            by.msat,
            by.now,
            by.forget_at,
            by.scheme,
            by.backend,
        )

    def close_payment(self, payment_hash: bytes, now: float) -> Step[int | None]:
        return self._step(_first, _CLOSE, payment_hash, now)

    def confirm(self, payment_hash: bytes, now: float) -> Step[None]:
        return self._step(_nothing, _CONFIRM, payment_hash, now)

    def revoke(self, token_id: bytes) -> Step[None]:
        return self._step(_nothing, _REVOKE, token_id)

    def revoked(self) -> Step[frozenset[bytes]]:
        return self._step(lambda rows: frozenset(token_id for (token_id,) in rows), _REVOKED)

    def count(self, totals: Sequence[Total]) -> Step[None]:
        return self._step(
            _nothing,
            _COUNT,
            [total.day for total in totals],
            [encode_endpoint(total.endpoint) for total in totals],
            [total.what for total in totals],
            [total.count for total in totals],
            [total.msat for total in totals],
        )

    def totals(self, since: int, until: int) -> Step[list[Total]]:
        return self._step(_totals, _TOTALS, *(since, until) * 3)

    def history(self, payment_hash: bytes) -> Step[History | None]:
        return self._step(_history, _HISTORY, HISTORY_EVENTS, payment_hash)

    def payments(self, following: bytes, most: int) -> Step[Page]:
        return self._step(lambda rows: page_of(_histories(rows), most), _PAYMENTS, HISTORY_EVENTS, following, most)

    def keep_key(self, candidate: str) -> Step[str]:
        return self._step(_first, _KEEP_KEY, candidate)

    def kept_key(self) -> Step[str | None]:
        return self._step(lambda rows: rows[0][0] if rows else None, _KEPT_KEY)

    def close(self) -> None:
        self._connections.close()

    def _step(self, read: Callable[[Rows], T], query: str, *values: object) -> Step[T]:
        return _Statement(self._connections, read, query, values)


class _Statement(Step[T]):
    """One statement, which is one transaction, and what its rows mean."""

    def __init__(
        self, connections: Connections, read: Callable[[Rows], T], query: str, values: tuple[object, ...]
    ) -> None:
        self._connections = connections
        self._read = read
        self._query = query
        self._values = values

    def block(self) -> T:
        return self._read(self._connections.run(self._query, self._values))

    async def wait(self) -> T:
        return self._read(await self._connections.arun(self._query, self._values))


_HOLD = (
    "SELECT outcome, remaining, was_confirmed, units, kept FROM l402.hold("
    "%s, %s, %s, %s::bigint, %s, %s, %s::bigint, %s, %s, %s, %s::bigint, %s::bigint, %s, %s, %s)"
)
# The prune, in the list of results, runs when the hold has run.
_HOLD_AND_PRUNE = _HOLD.replace(" FROM", ", l402.prune(%s, %s) FROM")
_RENEW = "SELECT l402.renew(%s, %s, %s)"
_EXTEND = "SELECT l402.extend(%s, %s, %s::bigint, %s::bigint, %s, %s)"
_SETTLE = "SELECT l402.settle(%s, %s, %s::bigint, %s, %s, %s)"
_RELEASE = "SELECT l402.release(%s, %s, %s)"
_CREDIT = "SELECT outcome, remaining FROM l402.credit(%s, %s, %s, %s::bigint, %s, %s::bigint, %s, %s, %s, %s)"
_CLOSE = "SELECT l402.close_payment(%s, %s)"
_CONFIRM = "SELECT l402.confirm(%s, %s)"
_REVOKE = "INSERT INTO l402.revoked (token_id) VALUES (%s) ON CONFLICT DO NOTHING RETURNING true"
_REVOKED = "SELECT token_id FROM l402.revoked"
_COUNT = "SELECT l402.count(%s::bigint[], %s::bytea[], %s::text[], %s::bigint[], %s::bigint[])"
_TOTALS = """
    SELECT day, endpoint, what, sum(count)::bigint, sum(msat)::bigint
    FROM (
        SELECT day, endpoint, what, count, msat FROM l402.totals WHERE day BETWEEN %s AND %s
        UNION ALL
        SELECT day, endpoint, happened, 1, CASE happened WHEN 'paid' THEN msat ELSE 0 END
        FROM l402.events e
        JOIN l402.payments p ON p.id = e.payment
        CROSS JOIN unnest(e.what) AS happened
        CROSS JOIN LATERAL (SELECT floor(at / 86400)::bigint AS day) AS days
        WHERE day BETWEEN %s AND %s
        UNION ALL
        SELECT day, endpoint, 'paid', 1, msat
        FROM l402.payments
        CROSS JOIN LATERAL (SELECT floor(shown_at / 86400)::bigint AS day) AS days
        WHERE paid AND day BETWEEN %s AND %s
    ) AS all_kinds
    GROUP BY day, endpoint, what
    ORDER BY day, endpoint, what COLLATE "C"
"""
_HISTORIES = """
    SELECT payment_hash, token_id, endpoint, msat, bought, settled, shown_at, scheme, backend, closed_with, at, what
    FROM l402.payments p
    LEFT JOIN LATERAL (
        SELECT happened.*
        FROM (
            SELECT 0 AS id, p.shown_at AS at, 'paid' AS what, 1 AS place WHERE p.paid
            UNION ALL
            SELECT e.id, e.at, w.what, w.place
            FROM l402.events e
            CROSS JOIN unnest(e.what) WITH ORDINALITY AS w (what, place)
            WHERE e.payment = p.id
        ) AS happened
        ORDER BY happened.id DESC, happened.place DESC
        LIMIT %s
    ) AS newest ON true
    WHERE {}
    ORDER BY payment_hash, newest.id, newest.place
"""
_HISTORY = _HISTORIES.format("payment_hash = %s")
_PAYMENTS = _HISTORIES.format(
    "payment_hash = ANY (ARRAY("
    "SELECT payment_hash FROM l402.payments WHERE payment_hash > %s ORDER BY payment_hash LIMIT %s))"
)
# The update changes nothing; without it, a key that is there already would not be returned.
_KEEP_KEY = (
    "INSERT INTO l402.keys AS k (name, value) VALUES ('secret', %s) "
    "ON CONFLICT (name) DO UPDATE SET value = k.value RETURNING value"
)
_KEPT_KEY = "SELECT value FROM l402.keys WHERE name = 'secret'"


def _outcome(rows: Rows) -> Outcome:
    what, left, confirmed, units, kept = rows[0][:5]
    match what:
        case "held":
            return Held(left, confirmed, units)
        case "kept":
            return Kept(kept)
        case "busy":
            return Busy()
        case "spent":
            return Spent()
    return Revoked()


def _credit(rows: Rows) -> Credit:
    match rows[0]:
        case ("credited", left):
            return Credited(left)
        case ("busy", _):
            return Busy()
        case ("spent", _):
            return Spent()
        case ("closed", _):
            return Closed()
    return Revoked()


def _first(rows: Rows) -> Any:
    return rows[0][0]


def _nothing(rows: Rows) -> None:
    """What is done needs no word."""


def _totals(rows: Rows) -> list[Total]:
    return [Total(day, decode_endpoint(endpoint), what, count, msat) for day, endpoint, what, count, msat in rows]


def _history(rows: Rows) -> History | None:
    return next(iter(_histories(rows)), None)


def _histories(rows: Rows) -> list[History]:
    """Payments, each of as many rows as it has events, and of one where it has none."""
    found = []
    for payment, its_rows in itertools.groupby(rows, key=lambda row: row[:10]):
        payment_hash, token_id, endpoint, msat, bought, settled, shown_at, scheme, backend, closed_with = payment
        events = tuple(Event(at, what) for *_, at, what in its_rows if what is not None)
        terms = (decode_endpoint(endpoint), msat, bought, settled, shown_at, scheme, backend, closed_with)
        found.append(History(payment_hash, token_id, *terms, events))
    return found
