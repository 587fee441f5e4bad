"""The ledger for several machines: one Redis server."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from ..core.errors import ConfigurationError
from ..flow import Flow, Step, do
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
    What,
    day_of,
    decode_endpoint,
    encode_endpoint,
)
from .redis_server import Server


class RedisLedger:
    """Units counted on a Redis server, for any number of machines, processes, threads and event loops.

    `address` is a URL (`redis://`, `rediss://` for TLS, `unix://`) or a mapping of the arguments of `redis.Redis`;
    all keys begin with `prefix`. `timeout` bounds, in seconds, what a step waits for the server.

    The first step asks the server for its settings, and fails with `LedgerError` where it evicts keys, or keeps no
    append-only file: a payment that is forgotten can be spent again. `allow_volatile` accepts a server that forgets
    all with a restart; `assume_durable` one that does not tell its settings, as some that are rented. A crash may
    still cost the last second or two with `appendfsync everysec`, its default, and none with `appendfsync always`; a
    failover costs what the replica did not have yet.

    All keys of a ledger live on the same node of a cluster. A Redis keeps no secret keys: configure them.
    """

    keeps_keys = False

    @classmethod
    def from_url(cls, url: str) -> "RedisLedger":
        """Whatever the redis package reads."""
        return cls(url)

    def __init__(
        self,
        address: str | Mapping[str, Any],
        *,
        allow_volatile: bool = False,
        assume_durable: bool = False,
        prefix: str = "l402:",
        timeout: float = 5.0,
    ) -> None:
        self._server = Server(address, prefix, timeout)
        self._allow_volatile = allow_volatile
        self._assume_durable = assume_durable
        self._checked = False
        # The braces make a cluster keep all of a ledger's keys on one node, where one script may touch them.
        self._root = f"{prefix}{{ledger}}:"

    def hold(self, claim: Claim) -> Step[Outcome]:
        return self._server.step(lambda: self._hold(claim))

    def extend(
        self, payment_hash: bytes, hold_id: bytes, more: int, least: int, now: float, lease_until: float
    ) -> Step[int]:
        return self._server.step(lambda: self._run("extend", payment_hash, now, hold_id, more, least, lease_until))

    def renew(self, payment_hash: bytes, hold_id: bytes, lease_until: float) -> Step[bool]:
        return self._server.step(lambda: self._renew(payment_hash, hold_id, lease_until))

    def settle(
        self, payment_hash: bytes, hold_id: bytes, used: int, now: float, answer: bytes | None, replay_until: float
    ) -> Step[bool]:
        return self._server.step(lambda: self._settle(payment_hash, hold_id, used, now, answer, replay_until))

    def release(self, payment_hash: bytes, hold_id: bytes, now: float) -> Step[None]:
        return self._server.step(lambda: self._tell("release", payment_hash, now, hold_id))

    def credit(self, payment_hash: bytes, by: Claim) -> Step[Credit]:
        return self._server.step(lambda: self._credit(payment_hash, by))

    def close_payment(self, payment_hash: bytes, now: float) -> Step[int | None]:
        return self._server.step(lambda: self._run("close", payment_hash, now))

    def confirm(self, payment_hash: bytes, now: float) -> Step[None]:
        return self._server.step(lambda: self._tell("confirm", payment_hash, now))

    def revoke(self, token_id: bytes) -> Step[None]:
        return self._server.step(lambda: self._revoke(token_id))

    def revoked(self) -> Step[frozenset[bytes]]:
        return self._server.step(self._list_revoked)

    def count(self, totals: Sequence[Total]) -> Step[None]:
        return self._server.step(lambda: self._count(totals))

    def totals(self, since: int, until: int) -> Step[list[Total]]:
        return self._server.step(lambda: self._list_totals(since, until))

    def history(self, payment_hash: bytes) -> Step[History | None]:
        return self._server.step(lambda: self._history(payment_hash))

    def payments(self, following: bytes, most: int) -> Step[Page]:
        return self._server.step(lambda: self._list_payments(following, most))

    def keep_key(self, candidate: str) -> Step[str]:
        """Raises `ConfigurationError`: whoever reads the server's memory, files or backups would have the key."""
        raise ConfigurationError(
            "RedisLedger keeps no secret keys: set L402_SECRET_KEYS or secret_keys=[...], the same on every machine; "
            "`l402 keygen` makes one"
        )

    def kept_key(self) -> Step[str | None]:
        return self._server.step(self._no_key)

    def close(self) -> None:
        self._server.close()

    def _hold(self, claim: Claim) -> Flow[Outcome]:
        reply = yield from self._run(
            "hold",
            claim.payment_hash,
            claim.now,
            *_terms(claim),
            claim.hold_id,
            claim.request,
            claim.lease_until,
            claim.most,
            claim.least,
            int(claim.once),
        )
        match reply:
            case [b"held", left, confirmed, units]:
                return Held(None if left == b"" else left, confirmed == 1, units)
            case [b"busy"]:
                return Busy()
            case [b"kept", answer]:
                return Kept(answer)
            case [b"revoked"]:
                return Revoked()
            case _:
                return Spent()

    def _renew(self, payment_hash: bytes, hold_id: bytes, lease_until: float) -> Flow[bool]:
        yield from self._check()
        keys = self._keys(payment_hash, 0)
        renewed: int = yield from self._server.script("renew", keys, hold_id, lease_until)
        return renewed == 1

    def _settle(
        self, payment_hash: bytes, hold_id: bytes, used: int, now: float, answer: bytes | None, replay_until: float
    ) -> Flow[bool]:
        kept = () if answer is None else (answer,)
        settled: int = yield from self._run("settle", payment_hash, now, hold_id, used, replay_until, *kept)
        return settled == 1

    def _credit(self, payment_hash: bytes, by: Claim) -> Flow[Credit]:
        reply = yield from self._run("credit", payment_hash, by.now, *_terms(by), other=by.payment_hash)
        match reply:
            case [b"credited", left]:
                return Credited(left)
            case [b"busy"]:
                return Busy()
            case [b"spent"]:
                return Spent()
            case [b"revoked"]:
                return Revoked()
            case _:
                return Closed()

    def _tell(self, verb: str, payment_hash: bytes, now: float, *arguments: bytes) -> Flow[None]:
        yield from self._run(verb, payment_hash, now, *arguments)

    def _revoke(self, token_id: bytes) -> Flow[None]:
        yield from self._check()
        yield from do(self._server.command("SADD", f"{self._root}revoked", token_id))

    def _list_revoked(self) -> Flow[frozenset[bytes]]:
        yield from self._check()
        return frozenset((yield from do(self._server.command("SMEMBERS", f"{self._root}revoked"))))

    def _count(self, totals: Sequence[Total]) -> Flow[None]:
        yield from self._check()
        if not totals:
            return
        keys = [f"{self._root}days", *(f"{self._root}totals:{total.day}" for total in totals)]
        rows: list[Any] = []
        for total in totals:
            rows += (total.day, total.what, encode_endpoint(total.endpoint), total.count, total.msat)
        yield from self._server.script("count", keys, *rows)

    def _list_totals(self, since: int, until: int) -> Flow[list[Total]]:
        yield from self._check()
        days = yield from do(self._server.command("SMEMBERS", f"{self._root}days"))
        totals = []
        for day in sorted(int(day) for day in days):
            if since <= day <= until:
                sums = yield from do(self._server.command("HGETALL", f"{self._root}totals:{day}"))
                totals += _read_totals(day, sums)
        return totals

    def _history(self, payment_hash: bytes) -> Flow[History | None]:
        yield from self._check()
        found = yield from do(self._server.command("HGETALL", f"{self._root}payment:{payment_hash.hex()}"))
        return _read_history(payment_hash, found) if found else None

    def _list_payments(self, following: bytes, most: int) -> Flow[Page]:
        yield from self._check()
        name = f"{self._root}payment:"
        pattern = re.sub(r"([\\*?\[\]])", r"\\\1", name) + "*"
        scan = self._server.command("SCAN", following or b"0", "MATCH", pattern, "COUNT", most, "TYPE", "hash")
        cursor, keys = yield from do(scan)
        found = []
        for key in keys:
            payment_hash = bytes.fromhex(key.decode()[len(name) :])
            # It may be forgotten meanwhile.
            if (payment := (yield from self._history(payment_hash))) is not None:
                found.append(payment)
        return Page(tuple(found), None if int(cursor) == 0 else b"%d" % int(cursor))

    def _no_key(self) -> Flow[None]:
        yield from self._check()

    def _run(
        self, verb: str, payment_hash: bytes, now: float, *arguments: Any, other: bytes | None = None
    ) -> Flow[Any]:
        """Run a verb that may be noted on the day of `now`."""
        yield from self._check()
        day = day_of(now)
        keys = self._keys(payment_hash, day, other)
        return (yield from self._server.script(verb, keys, now, day, *arguments))

    def _check(self) -> Flow[None]:
        if not self._checked:
            yield from self._server.check(allow_volatile=self._allow_volatile, assume_durable=self._assume_durable)
            self._checked = True

    def _keys(self, payment_hash: bytes, day: int, other: bytes | None = None) -> list[str]:
        root, name = self._root, payment_hash.hex()
        return [
            f"{root}payment:{name}",
            f"{root}answers:{name}",
            f"{root}answer:{name}",
            f"{root}totals:{day}",
            f"{root}days",
            f"{root}revoked",
            *((f"{root}payment:{other.hex()}",) if other is not None else ()),
        ]


def _terms(claim: Claim) -> tuple[Any, ...]:
    """What a payment is remembered by."""
    return (
        claim.token_id,
        "" if claim.bought is None else claim.bought,
        encode_endpoint(claim.endpoint),
        claim.msat,
        claim.forget_at,
        claim.scheme,
        claim.backend,
    )


def _read_totals(day: int, sums: dict[bytes, bytes]) -> list[Total]:
    totals = []
    for name, count in sums.items():
        what, endpoint = name.split(b" ", 1)
        if what != b"msat":
            msat = int(sums.get(b"msat " + name, 0))
            totals.append(Total(day, decode_endpoint(endpoint), cast(What, what.decode()), int(count), msat))
    return sorted(totals, key=lambda total: (total.endpoint, total.what))


def _read_history(payment_hash: bytes, found: dict[bytes, bytes]) -> History:
    last = int(found.get(b"events", 0))
    events = []
    for number in range(max(0, last - HISTORY_EVENTS) + 1, last + 1):
        at, what = found[b"event:%d" % (number % HISTORY_EVENTS)].decode().split()
        events.append(Event(float(at), cast(What, what)))
    at_first = events[0].at if events else 0.0
    return History(
        payment_hash,
        found[b"token_id"],
        decode_endpoint(found[b"endpoint"]),
        int(found[b"msat"]),
        int(found[b"uses"]) if found[b"uses"] else None,
        int(found[b"settled"]),
        float(found.get(b"shown_at", at_first)),
        found.get(b"scheme", b"l402").decode(),
        found.get(b"backend", b"").decode(),
        int(found[b"closed_with"]) if b"closed_with" in found else None,
        tuple(events),
    )
