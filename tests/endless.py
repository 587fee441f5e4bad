"""Objects without an end: those that the look into an application has to come back from."""

from typing import Any
from unittest.mock import MagicMock, Mock


class Answering:
    """Gives another of its kind for every name."""

    def __getattr__(self, name: str) -> "Answering":
        return Answering()

    async def __call__(self, *_: Any) -> None: ...


class Wrapping:
    """A proxy that wraps whatever it gives of what it stands for, each time anew."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> "Wrapping":
        return Wrapping(getattr(self._inner, name))

    async def __call__(self, *args: Any) -> None:
        await self._inner(*args)


class Inward:
    """A middleware around another one of its kind, made when it is asked for."""

    @property
    def app(self) -> "Inward":
        return Inward()

    async def __call__(self, *_: Any) -> None: ...


def endless(around: Any) -> list[Any]:
    """One of each kind; a proxy is `around` an application."""
    return [Answering(), Wrapping(around), Inward(), Mock(), MagicMock()]
