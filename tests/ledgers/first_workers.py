"""Workers of the first version that still run while others have been replaced: the statements that they send."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import psycopg

from l402_middleware.ledgers.ledger import Claim, day_of, encode_endpoint

from .redis_server import RedisServer

SCRIPT = (Path(__file__).parent / "stores" / "first_redis.lua").read_text()


class FirstWorker(Protocol):
    """Takes the two steps of a single use or bundle, as the first version took them."""

    def hold(self, claim: Claim) -> bool: ...

    def settle(self, claim: Claim) -> bool: ...

    def close(self) -> None: ...


class OnRedis:
    """Sends the first version's script."""

    def __init__(self, server: RedisServer) -> None:
        self._client = server.client()

    def hold(self, claim: Claim) -> bool:
        terms = (claim.token_id, claim.bought, claim.request, encode_endpoint(claim.endpoint), claim.msat)
        reply = self._run("hold", claim, claim.hold_id, *terms, claim.lease_until, claim.forget_at)
        return bool(reply[0] == b"held")

    def settle(self, claim: Claim) -> bool:
        return bool(self._run("settle", claim, claim.hold_id, claim.now + 600, b"answer") == 1)

    def close(self) -> None:
        self._client.close()

    def _run(self, verb: str, claim: Claim, *arguments: Any) -> Any:
        root, name, day = "l402:{ledger}:", claim.payment_hash.hex(), day_of(claim.now)
        keys = [f"{root}{key}" for key in (f"payment:{name}", f"answer:{name}", f"totals:{day}", "days", "revoked")]
        return self._client.eval(SCRIPT, len(keys), *keys, verb, claim.now, day, *arguments)


class OnPostgres:
    """Calls the first version's functions, on the connection that it has."""

    def __init__(self, url: str) -> None:
        self._db = psycopg.connect(url, autocommit=True)
        self._lock = threading.Lock()

    def hold(self, claim: Claim) -> bool:
        row = self._ask(
            "SELECT outcome, uses_left, was_confirmed, kept FROM l402.hold("
            "%s, %s, %s, %s::bigint, %s, %s, %s::bigint, %s, %s, %s)",
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
        )
        return bool(row[0] == "held")

    def settle(self, claim: Claim) -> bool:
        values = (claim.payment_hash, claim.hold_id, claim.now, b"answer", claim.now + 600)
        return bool(self._ask("SELECT l402.settle(%s, %s, %s, %s, %s)", *values)[0])

    def close(self) -> None:
        self._db.close()

    def _ask(self, query: str, *values: Any) -> Any:
        with self._lock:
            return self._db.execute(query, values, binary=True).fetchone()


class OnSQLite:
    """Sends the first version's statements, on a file that it opened before."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def hold(self, claim: Claim) -> bool:
        with closing(self._opened()) as db:
            row = db.execute(
                "SELECT uses, settled FROM payments WHERE payment_hash = ?", (claim.payment_hash,)
            ).fetchone()
            if row is None:
                db.execute(
                    "INSERT INTO payments (payment_hash, token_id, endpoint, msat, uses, forget_at)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    (claim.payment_hash, claim.token_id, claim.endpoint, claim.msat, claim.bought, claim.forget_at),
                )
                row = (claim.bought, 0)
            leases = db.execute(
                "SELECT lease_until FROM holds WHERE payment_hash = ?", (claim.payment_hash,)
            ).fetchall()
            held = row[1] + len(leases) < row[0]
            if held:
                db.execute(
                    "INSERT OR REPLACE INTO holds (payment_hash, hold_id, request, lease_until) VALUES (?, ?, ?, ?)",
                    (claim.payment_hash, claim.hold_id, claim.request, claim.lease_until),
                )
            db.execute("COMMIT")
            return bool(held)

    def settle(self, claim: Claim) -> bool:
        hold = (claim.payment_hash, claim.hold_id)
        with closing(self._opened()) as db:
            db.execute(
                "INSERT OR REPLACE INTO answers (payment_hash, request, replay_until, answer)"
                " SELECT payment_hash, request, ?, ? FROM holds WHERE payment_hash = ? AND hold_id = ?",
                (claim.now + 600, b"answer", *hold),
            )
            ((settled, events),) = db.execute(
                "SELECT settled, events FROM payments WHERE payment_hash = ?", (claim.payment_hash,)
            ).fetchall()
            dropped = db.execute("DELETE FROM holds WHERE payment_hash = ? AND hold_id = ?", hold).rowcount == 1
            if dropped:
                happened = ["delivered"] if settled else ["paid", "delivered"]
                lines = [*events.splitlines(), *(f"{claim.now!r} {what}" for what in happened)]
                db.execute(
                    "UPDATE payments SET settled = ?, confirmed = ?, events = ? WHERE payment_hash = ?",
                    (settled + 1, 0, "\n".join(lines), claim.payment_hash),
                )
                db.executemany(
                    "INSERT INTO totals (day, endpoint, what, count, msat) VALUES (?, ?, ?, ?, ?)"
                    " ON CONFLICT DO UPDATE SET count = count + excluded.count, msat = msat + excluded.msat",
                    [
                        (day_of(claim.now), claim.endpoint, what, 1, claim.msat if what == "paid" else 0)
                        for what in happened
                    ],
                )
            db.execute("COMMIT")
            return dropped

    def close(self) -> None:
        """Each step has a connection of its own."""

    def _opened(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, timeout=20, isolation_level=None)
        db.execute("BEGIN IMMEDIATE")
        return db
