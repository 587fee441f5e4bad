"""Every route of an application: what it sells, or why it sells nothing."""

from ..core.errors import ConfigurationError
from .exceptions import Exceptions
from .finding import Finding, Status, Verdict
from .place import Place, explore_or_say

__all__ = ["Exceptions", "Finding", "Status", "Verdict", "audit"]


def audit(app: object) -> list[Finding]:
    """The findings on every route of `app`, an ASGI or WSGI application, in the order in which they are registered.

    Nothing is called but what the frameworks themselves call to build their routes. Raises `ConfigurationError` where
    `app` is no application.
    """
    if not callable(app) or isinstance(app, type):
        raise ConfigurationError(f"{app!r} is not an application: give the Starlette, FastAPI or Flask object")
    return explore_or_say(app, Place())
