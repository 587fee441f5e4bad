"""What the tests of both frameworks share: one hole, and what the audit must say of it."""

from collections.abc import Callable, Iterable
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any

from l402_middleware import Paywall
from l402_middleware.audit import Finding, audit
from l402_middleware.providers import DevNode

KEY = "0123456789abcdef" * 4


def paywall() -> Paywall:
    """A paywall of one process."""
    return Paywall(DevNode(), secret_keys=[KEY])


def loses(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that forgot `functools.wraps`."""

    def timed(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    async def async_timed(*args: Any, **kwargs: Any) -> Any:
        return await function(*args, **kwargs)

    return async_timed if iscoroutinefunction(function) else timed


def keeps(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator as it should be."""
    return wraps(function)(loses(function))


class Cache:
    """A decorator that is a class, and keeps nothing of what it wraps."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)


def statuses(findings: Iterable[Finding]) -> dict[str, str]:
    """The status of each route."""
    return {str(finding): finding.verdict.status for finding in findings}


def only(app: object, path: str) -> Finding:
    """The one finding on a path."""
    (found,) = (finding for finding in audit(app) if finding.path == path)
    return found
