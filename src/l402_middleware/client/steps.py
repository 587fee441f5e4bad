"""What a purchase asks of the HTTP client that it runs in, beside the steps that it can have itself."""

import time
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

import anyio

from ..flow import Step

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Send:
    """Send the request, with this Authorization value beside whatever it has. The result is an `Answer`."""

    authorization: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Drain:
    """Read the last answer's body and be done with it. The result is what came of it within `MAX_BYTES` and `SECONDS`.

    A body that goes on longer is cut off, and the result is empty.
    """

    MAX_BYTES = 64 * 1024
    SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Answer:
    """The head of an answer: `origin` is where it came from, after redirects; `offers` the raw WWW-Authenticate values.

    `retry_after` and `receipt` are the fields Retry-After and Payment-Receipt, where it has them.
    """

    status: int
    origin: str
    offers: tuple[bytes, ...] = field(repr=False)
    retry_after: str | None = None
    receipt: str | None = field(default=None, repr=False)


# A flow that also asks for these.
Trade: TypeAlias = Generator[Step[Any] | Send | Drain, Any, T]


class Sleep(Step[None]):
    """So many seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def block(self) -> None:
        time.sleep(self.seconds)

    async def wait(self) -> None:
        await anyio.sleep(self.seconds)
