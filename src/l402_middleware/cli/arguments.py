"""What the command's arguments may be."""

import argparse
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

from ..core.errors import ConfigurationError

if TYPE_CHECKING:
    Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def days(text: str) -> int:
    """A number of days."""
    if not re.fullmatch("[1-9][0-9]{0,4}", text):
        raise argparse.ArgumentTypeError("give a number of days from 1 to 99999")
    return int(text)


def small(text: str) -> int:
    """A number of sats or seconds."""
    if not re.fullmatch("[1-9][0-9]{0,5}", text):
        raise argparse.ArgumentTypeError("give a whole number from 1 to 999999")
    return int(text)


def currency(text: str) -> str:
    """A currency's three letters."""
    if not re.fullmatch("[A-Za-z]{3}", text):
        raise argparse.ArgumentTypeError("give a currency as three letters, such as USD")
    return text.upper()


def moment(text: str) -> float:
    """A UTC day, or a moment of it."""
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError("give a day such as 2026-01-31, or 2026-01-31T18:00 (UTC)") from None
    return (given if given.tzinfo else given.replace(tzinfo=UTC)).timestamp()


def thirty_two_bytes(text: str) -> bytes:
    """A hash or an id."""
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) != 32:
        raise argparse.ArgumentTypeError("give 32 bytes as 64 hexadecimal digits")
    return value


def fields(given: list[str]) -> list[tuple[str, str]]:
    """The header fields that `--header` gave. Raises `ConfigurationError` for what is none."""
    found = [re.fullmatch(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~]*)", each) for each in given]
    if None in found:
        # Not repeated: it may hold a key.
        raise ConfigurationError("--header is NAME:VALUE, in ASCII")
    return [(each[1], each[2]) for each in found if each is not None]
