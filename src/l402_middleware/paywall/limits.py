"""How many unpaid challenges one peer may have in a while: each costs an invoice at the node.

Peers are counted in a fixed number of slots, which a keyed hash assigns: what a stranger with a million addresses fills
is always the same two megabytes. Two peers in one slot share its limit; the key keeps strangers from choosing whose.
"""

import hmac
import logging
import math
import re
import threading
import time
from array import array
from collections.abc import Callable
from typing import Any, Final

from ..core.callers import address_of, network_of
from ..core.errors import ConfigurationError
from ..core.keys import KeyRing
from ..flow import Call, Flow, Threads, do

SLOTS: Final = 65_536

# An index probes each endpoint by HEAD, GET and POST, hourly and all at once: so a hundred endpoints are probed.
FOR_CRAWLERS: Final = 300

# For a store that hangs: how long one question may take, and how long none is asked after that, in seconds.
STORE_SECONDS: Final = 1.0
STORE_PAUSE: Final = 5.0

# What each kind of store is told that by. One without such a bound would take every thread of a blocking server.
_BOUNDS: Final = {
    "redis": ("socket_timeout", "socket_connect_timeout"),
    "valkey": ("socket_timeout", "socket_connect_timeout"),
    "memcached": ("timeout", "connect_timeout"),
}

# So many questions of an event loop are under way at once.
STORE_THREADS: Final = Threads(4)

_SECONDS: Final = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}

log = logging.getLogger("l402_middleware")


class ChallengeLimit:
    """A rate such as "60/minute" for each peer; IPv6 addresses of one /64 network are one peer.

    Each process counts for itself; with `storage`, a URL that the package `limits` understands, all that name the same
    one count together as well. Where that fails they go on counting for themselves: nobody is served without payment
    for that, and nobody is refused. Where the service `has_crawlers`, each peer may have `FOR_CRAWLERS` an hour beyond
    its rate. Raises `ConfigurationError` for what cannot work.
    """

    _key: bytes

    def __init__(
        self, rate: str, storage: str | None, service: str, clock: Callable[[], float], *, has_crawlers: bool = False
    ) -> None:
        found = re.fullmatch(r"([1-9]\d{0,8}) ?(?:/|per) ?(second|minute|hour|day)", str(rate).strip())
        if not found:
            raise ConfigurationError(
                f'challenge_limit must be a number per second, minute, hour or day, such as "60/minute", not {rate!r}'
            )
        amount, unit = int(found[1]), found[2]
        self._clock = clock
        self._windows = Windows(amount, _SECONDS[unit])
        self._for_crawlers = Windows(FOR_CRAWLERS, _SECONDS["hour"]) if has_crawlers else None
        self._store = None if storage is None else Store(storage, f"{amount}/{unit}", service)

    def use_keys(self, keys: KeyRing) -> None:
        """Have the slots assigned by the newest key: alike on every machine, and known to nobody else."""
        self._key = keys.subkeys("challenge limit")[0]

    def count(self, peer: str | None) -> Flow[int]:
        """Count a challenge for `peer`, unless it has had its share: the seconds until it may have one, otherwise 0."""
        slot = self._slot(peer)
        # What is too much for one process is too much for all: a flood from one peer stops here, without I/O.
        seconds = self._windows.take(slot, self._clock())
        if not seconds and self._store is not None:
            seconds = yield from do(Call[float](self._store.take, slot, threads=STORE_THREADS))
        if seconds and self._for_crawlers is not None and not self._for_crawlers.take(slot, self._clock()):
            return 0
        return math.ceil(seconds)

    def is_well(self) -> bool:
        """Whether what keeps the counts answers."""
        return self._store is None or self._store.is_well()

    def _slot(self, peer: str | None) -> int:
        address = address_of(peer)
        counted = peer or "" if address is None else str(network_of(address))
        digest = hmac.digest(self._key, counted.encode("utf-8", "replace"), "sha256")
        return int.from_bytes(digest[:8]) % SLOTS


class Windows:
    """Counts by slot in sliding windows: the current one, and of the one before the share that is not yet past.

    Any number of threads may share one.
    """

    def __init__(self, amount: int, seconds: int) -> None:
        self._amount = amount
        self._seconds = seconds
        self._lock = threading.Lock()
        self._window = array("q", bytes(8 * SLOTS))
        self._current = array("q", bytes(8 * SLOTS))
        self._before = array("q", bytes(8 * SLOTS))

    def take(self, slot: int, now: float) -> float:
        """Count one in `slot` if it may have one; the seconds until it may, otherwise 0."""
        window, passed = divmod(now, self._seconds)
        with self._lock:
            if behind := int(window) - self._window[slot]:
                self._before[slot] = self._current[slot] if behind == 1 else 0
                self._current[slot] = 0
                self._window[slot] = int(window)
            before, current = self._before[slot], self._current[slot]
            # A share of the window before may be left when this one is full: then the wait goes into the next.
            left = self._seconds - passed
            if current >= self._amount:
                return left + self._seconds * (1 - (self._amount - 1) / current)
            if before * left / self._seconds + current + 1 > self._amount:
                return left - self._seconds * (self._amount - current - 1) / before
            self._current[slot] += 1
            return 0


class Store:
    """Counts that several processes and machines share, kept by the package `limits`."""

    def __init__(self, url: str, rate: str, service: str) -> None:
        try:
            # Only the extra `limits` brings them.
            from limits import errors, parse  # noqa: PLC0415
            from limits.storage import storage_from_string  # noqa: PLC0415
            from limits.strategies import SlidingWindowCounterRateLimiter  # noqa: PLC0415
        except ImportError:
            raise ConfigurationError(
                "limit_storage needs the package limits: pip install 'l402_middleware[limits]'"
            ) from None
        # As a RedisLedger has it.
        url = f"redis+{url}" if url.startswith("unix:") else url
        scheme = url.partition(":")[0]
        bounds = next((names for kind, names in _BOUNDS.items() if scheme.startswith(kind)), ())
        try:
            storage = storage_from_string(url, **dict.fromkeys(bounds, STORE_SECONDS))
            self._limiter: Any = SlidingWindowCounterRateLimiter(storage)
        except (errors.ConfigurationError, ValueError, NotImplementedError, AssertionError) as error:
            # Their messages may repeat the URL, with its password.
            raise ConfigurationError(
                f"limit_storage {scheme}:... cannot be used ({type(error).__name__}): name one that the package "
                "limits supports, and install what it needs; redis://host:port/db needs l402_middleware[limits,redis]"
            ) from None
        self._rate = parse(rate)
        self._service = service
        self._ask_from = float("-inf")
        self._denied_until = array("d", bytes(8 * SLOTS))

    def take(self, slot: int) -> float:
        """Count one in `slot` if it may have one; the seconds until it may, otherwise 0, also where it fails."""
        now = time.monotonic()
        if now < self._ask_from:
            return 0
        # Asked once, not again while the answer holds: a flood must not become a flood of questions.
        if now < self._denied_until[slot]:
            return self._denied_until[slot] - now
        try:
            if self._limiter.hit(self._rate, "l402", self._service, str(slot)):
                return 0
            free_at = self._limiter.get_window_stats(self._rate, "l402", self._service, str(slot)).reset_time
        except Exception as error:
            self._ask_from = time.monotonic() + STORE_PAUSE
            log.warning(
                "challenges are counted by each process for itself: limit_storage failed (%s), asked again in %g s",
                type(error).__name__,
                STORE_PAUSE,
            )
            return 0
        seconds: float = min(max(free_at - time.time(), 0.05), self._rate.get_expiry())
        self._denied_until[slot] = time.monotonic() + seconds
        return seconds

    def is_well(self) -> bool:
        """Count one now, unless it failed just before, and say whether it answered."""
        self.take(0)
        return time.monotonic() >= self._ask_from
