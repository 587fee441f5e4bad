"""The ledger for several machines: one PostgreSQL database, which may be the application's own."""

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ..core.errors import ConfigurationError
from ..flow import Step
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
    decode_endpoint,
    encode_endpoint,
)

if TYPE_CHECKING:
    from .postgres_connections import Connections, Rows

T = TypeVar("T")

PRUNE_EVERY: Final = 16
PRUNE_MOST: Final = 64


class PostgresLedger:
    """Uses counted in the schema `l402` of the database at `url`, for any number of machines, threads and event loops.

    `url` is libpq's (`postgresql://user:password@host:5432/database`). The schema is made and brought up to date at
    the first step; where the role may not create one, give it an empty schema `l402` that it owns. A step that
    returned is committed, with `synchronous_commit` on. Each event loop, and all threads together, open up to
    `pool_size` connections, which have to be sessions of their own: a pooler in transaction mode will not do.
    A step takes 5 s at most for each of waiting for a connection, opening it and running, and raises `LedgerError`
    after that. A step under way is carried through when its task is cancelled.
    Raises `ConfigurationError` where `url` cannot be read, without repeating it.
    """

    keeps_keys = True

    def __init__(self, url: str, *, pool_size: int = 8) -> None:
        try:
            from .postgres_connections import Connections, place_of  # noqa: PLC0415 - only the extra `postgres` brings psycopg
        except ImportError as missing:
            raise ConfigurationError(
                "PostgresLedger needs psycopg, which is not installed: pip install 'l402_middleware[postgres]'"
            ) from missing
        if pool_size < 1:
            raise ConfigurationError(f"PostgresLedger(pool_size={pool_size}): give at least one connection")
        self._connections = Connections(url, place_of(url), pool_size)
        self._holds = itertools.count(1)

    def hold(self, claim: Claim) -> Step[Outcome]:
        values = (
            claim.payment_hash,
            claim.token_id,
            claim.hold_id,
            claim.uses,
            claim.request,
            encode_endpoint(claim.endpoint),
            claim.msat,
            claim.now,
            claim.lease_until,
            claim.forget_at,
        )
        if next(self._holds) % PRUNE_EVERY:
            return self._step(_outcome, _HOLD, *values)
        return self._step(_outcome, _HOLD_AND_PRUNE, claim.now, PRUNE_MOST, *values)

    def renew(self, payment_hash: bytes, hold_id: bytes, lease_until: float) -> Step[bool]:
        return self._step(_first, _RENEW, payment_hash, hold_id, lease_until)

    def settle(
        self, payment_hash: bytes, hold_id: bytes, now: float, answer: bytes | None, replay_until: float
    ) -> Step[bool]:
        return self._step(_first, _SETTLE, payment_hash, hold_id, now, answer, replay_until)

    def release(self, payment_hash: bytes, hold_id: bytes, now: float) -> Step[None]:
        return self._step(_nothing, _RELEASE, payment_hash, hold_id, now)

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
        return self._step(_totals, _TOTALS, since, until, since, until)

    def history(self, payment_hash: bytes) -> Step[History | None]:
        return self._step(lambda rows: _history(payment_hash, rows), _HISTORY, HISTORY_EVENTS, payment_hash)

    def keep_key(self, candidate: str) -> Step[str]:
        return self._step(_first, _KEEP_KEY, candidate)

    def close(self) -> None:
        self._connections.close()

    def _step(self, read: "Callable[[Rows], T]", query: str, *values: object) -> Step[T]:
        return _Statement(self._connections, read, query, values)


class _Statement(Step[T]):
    """One statement, which is one transaction, and what its rows mean."""

    def __init__(
        self, connections: "Connections", read: "Callable[[Rows], T]", query: str, values: tuple[object, ...]
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
    "SELECT outcome, uses_left, was_confirmed, kept FROM l402.hold("
    "%s, %s, %s, %s::bigint, %s, %s, %s::bigint, %s, %s, %s)"
)
# The prune, in the list of results, runs when the hold has run.
_HOLD_AND_PRUNE = _HOLD.replace(" FROM", ", l402.prune(%s, %s) FROM")
_RENEW = "SELECT l402.renew(%s, %s, %s)"
_SETTLE = "SELECT l402.settle(%s, %s, %s, %s, %s)"
_RELEASE = "SELECT l402.release(%s, %s, %s)"
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
    ) AS both_kinds
    GROUP BY day, endpoint, what
    ORDER BY day, endpoint, what COLLATE "C"
"""
_HISTORY = """
    SELECT token_id, endpoint, msat, uses, settled, at, what
    FROM l402.payments p
    LEFT JOIN LATERAL (
        SELECT e.id, e.at, w.what, w.place
        FROM l402.events e
        CROSS JOIN unnest(e.what) WITH ORDINALITY AS w (what, place)
        WHERE e.payment = p.id
        ORDER BY e.id DESC, w.place DESC
        LIMIT %s
    ) AS newest ON true
    WHERE payment_hash = %s
    ORDER BY newest.id, newest.place
"""
# The update changes nothing; without it, a key that is there already would not be returned.
_KEEP_KEY = (
    "INSERT INTO l402.keys AS k (name, value) VALUES ('secret', %s) "
    "ON CONFLICT (name) DO UPDATE SET value = k.value RETURNING value"
)


def _outcome(rows: "Rows") -> Outcome:
    what, uses_left, confirmed, kept = rows[0][:4]
    match what:
        case "held":
            return Held(uses_left, confirmed)
        case "kept":
            return Kept(kept)
        case "busy":
            return Busy()
        case "spent":
            return Spent()
    return Revoked()


def _first(rows: "Rows") -> Any:
    return rows[0][0]


def _nothing(rows: "Rows") -> None:
    """What is done needs no word."""


def _totals(rows: "Rows") -> list[Total]:
    return [Total(day, decode_endpoint(endpoint), what, count, msat) for day, endpoint, what, count, msat in rows]


def _history(payment_hash: bytes, rows: "Rows") -> History | None:
    if not rows:
        return None
    token_id, endpoint, msat, uses, settled = rows[0][:5]
    events = tuple(Event(at, what) for *_, at, what in rows if what is not None)
    return History(payment_hash, token_id, decode_endpoint(endpoint), msat, uses, settled, events)
