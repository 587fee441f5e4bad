"""From an application to its findings, with whatever framework it is written in."""

import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Final

from ..core.errors import ConfigurationError
from .finding import Finding
from .position import Explorer, Position, explore_or_say

# Each framework, and what explores its applications.
_EXPLORERS: Final = {"starlette": "l402_middleware.audit.starlette", "flask": "l402_middleware.audit.flask"}


def audit(app: object) -> list[Finding]:
    """The findings on every route of `app`, an ASGI or WSGI application, in the order in which they are registered.

    Nothing is called but what the frameworks themselves call to build their routes. Raises `ConfigurationError` where
    `app` is no application.
    """
    if not callable(app) or isinstance(app, type):
        raise ConfigurationError(f"{app!r} is not an application: give the Starlette, FastAPI or Flask object")
    return explore_or_say(app, Position(explorers=tuple(_explorers())))


def _explorers() -> Iterator[Explorer]:
    # Whoever has an application of a framework has imported it; nobody needs the other ones.
    for framework, module in _EXPLORERS.items():
        if framework in sys.modules:
            explore: Explorer = import_module(module).explore
            yield explore
