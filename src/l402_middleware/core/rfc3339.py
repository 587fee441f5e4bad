"""Times as RFC 3339 writes them, from and to unix seconds."""

import re
from datetime import UTC, datetime
from typing import Final

# 9999-12-31T23:59:59Z.
MAX_SECONDS: Final = 253_402_300_799

# RFC 3339, section 5.6; a leap second (":60") has no unix second of its own and is refused.
_DATE_TIME: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def write(seconds: float) -> str:
    """A unix time, in UTC and whole seconds; what is after the year 9999 becomes its last second."""
    return datetime.fromtimestamp(min(int(seconds), MAX_SECONDS), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read(text: str) -> int:
    """The unix second that `text` says, without its fraction. Raises `ValueError` for what is no such time."""
    found = _DATE_TIME.fullmatch(text)
    if found is None:
        raise ValueError("not a time as RFC 3339 has it")
    date, time, zone = found.groups()
    try:
        return int(datetime.fromisoformat(f"{date}T{time}{'+00:00' if zone in 'Zz' else zone}").timestamp())
    except OverflowError:
        raise ValueError("a time that no calendar reaches") from None
