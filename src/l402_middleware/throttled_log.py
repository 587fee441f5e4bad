"""Log lines that strangers can cause: a flood of requests must not become a flood of lines."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

LINES: Final = 10
EVERY: Final = 60.0

log = logging.getLogger("l402_middleware")


class ThrottledLog:
    """Logs the first ten lines of a kind in a minute; of the others only how many there were, with the next one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kinds: dict[str, tuple[float, int]] = {}

    def log(self, level: int, message: str, *arguments: object) -> None:
        """Log `message % arguments`; its kind is `message` itself, so that must be one of a few constants."""
        now = self._clock()
        with self._lock:
            since, count = self._kinds.get(message, (now, 0))
            left_out = 0
            if now - since >= EVERY:
                left_out, since, count = max(count - LINES, 0), now, 0
            self._kinds[message] = since, count + 1
        if left_out:
            log.log(level, "%d lines like the next one were left out", left_out)
        if count < LINES:
            log.log(level, message, *arguments)
