"""A circuit breaker: what failed several times in a row is left alone for a while, and then tried by one request."""

import threading
from collections.abc import Callable
from typing import Final

from ..core.errors import ConfigurationError, ProviderFault


class Attempt:
    """One request that a breaker let through; to be ended with one of the breaker's three methods."""

    __slots__ = ()


class Breaker:
    """Opens after `failures` failures in a row; then lets one probe through every `pause` seconds, until one succeeds.

    `clock` gives seconds that never go back. Any number of threads and event loops may share one. A probe whose end
    is never told, such as one in flight when a worker was forked, holds the next one up for `pause` seconds only.
    Raises `ConfigurationError` for numbers that cannot work.
    """

    def __init__(self, failures: int, pause: float, clock: Callable[[], float]) -> None:
        if type(failures) is not int or failures < 1:
            raise ConfigurationError(f"failures must be a whole number from 1, not {failures!r}")
        if isinstance(pause, bool) or not isinstance(pause, int | float) or not 0 < pause < float("inf"):
            raise ConfigurationError(f"pause must be a number of seconds above 0, not {pause!r}")
        self._limit: Final = failures
        self._pause: Final = pause
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._fault: ProviderFault = "unreachable"
        self._probe_at: float | None = None
        self._probe: Attempt | None = None

    @property
    def is_open(self) -> bool:
        """Whether only probes are let through."""
        return self._probe_at is not None

    @property
    def has_failed(self) -> bool:
        """Whether the last attempt that counted was a failure."""
        return self._failures > 0

    @property
    def fault(self) -> ProviderFault:
        """The kind of the last failure."""
        return self._fault

    def begin(self) -> Attempt | None:
        """An attempt, where there may be one now."""
        with self._lock:
            attempt = Attempt()
            if self._probe_at is not None:
                now = self._clock()
                if now < self._probe_at:
                    return None
                self._probe, self._probe_at = attempt, now + self._pause
            return attempt

    def succeeded(self, attempt: Attempt) -> None:
        """Close: it works, however long ago that attempt began."""
        with self._lock:
            self._failures, self._probe_at, self._probe = 0, None, None

    def failed(self, attempt: Attempt, fault: ProviderFault) -> bool:
        """Count a failure; whether it opened the breaker."""
        with self._lock:
            if self._probe_at is None:
                self._fault = fault
                self._failures += 1
                if self._failures < self._limit:
                    return False
                self._probe_at = self._clock() + self._pause
                return True
            # What began before the breaker opened says nothing new, and must not put the next probe off.
            if attempt is self._probe:
                self._fault, self._probe = fault, None
                self._probe_at = self._clock() + self._pause
            return False

    def abandoned(self, attempt: Attempt) -> None:
        """Count nothing; the next one may be the probe in its place."""
        with self._lock:
            if attempt is self._probe and self._probe_at is not None:
                self._probe, self._probe_at = None, self._clock()
