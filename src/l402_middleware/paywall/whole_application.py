"""What a whole application sells: one offer for every path, but for those that are listed as free."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Final
from urllib.parse import quote

from ..core.errors import ConfigurationError
from .offer import Offer, Price, offer_of
from .request import WHOLE_APPLICATION

# Where middleware keeps what it stands around.
leads_on: Final = {"app", "_app", "application", "wsgi_app", "wsgi_application", "mounts", "__self__"}
"""The attributes by which one gets from an application to its endpoints; each framework adds its own."""

# Far deeper than applications nest. What answers every attribute with a new object, a proxy or a mock, never ends.
_MAX_DEPTH = 200


class WholeApplication:
    """The offer that counts where no decorated endpoint makes one of its own; raises `ConfigurationError`.

    - `default`: an `Offer`, or a price as an offer takes it.
    - `free`: exact paths, decoded, as the application itself sees them: below its mount, without a query. Another
      spelling of one is not free.
    """

    __slots__ = ("free", "offer")

    def __init__(self, default: Price | Offer, free: Iterable[str] = ()) -> None:
        self.offer = default if isinstance(default, Offer) else Offer(default)
        if isinstance(free, str | bytes):
            raise ConfigurationError(f"free must be a list of paths, not {free!r}: free=[{free!r}]")
        self.free = frozenset(_checked(path) for path in free)


def whole_or_none(default: Price | Offer | None, free: Iterable[str]) -> WholeApplication | None:
    """What a middleware sells beside decorated endpoints; None without a default. Raises `ConfigurationError`."""
    if default is not None:
        return WholeApplication(default, free)
    if list(free):
        raise ConfigurationError("free=[...] without default=...: everything is free that nothing prices")
    return None


def endpoint_name(method: str, mount: str, path: str) -> str:
    """The endpoint that a request to a whole application buys: its method (HEAD as GET) and its path.

    No decorated route has such a name: a name of theirs begins with a method, and no method has a bracket in it
    (RFC 9110, section 5.6.2). So what was bought at the default price opens none of them, nor they this.
    """
    method = "GET" if method == "HEAD" else method
    return f"{WHOLE_APPLICATION} {method} {quote(mount, errors='surrogateescape')}|{path}"


def _checked(path: object) -> str:
    if not isinstance(path, str) or not path.startswith("/"):
        raise ConfigurationError(f"free={path!r}: a free path is a string that begins with a slash")
    if "?" in path:
        raise ConfigurationError(f"free={path!r}: a free path has no query: give the path alone")
    return path


def refuse_decorated(app: object) -> None:
    """Raise `ConfigurationError` where an endpoint below `app` makes an offer of its own.

    A middleware that knows no framework cannot tell which requests lead to it, and would sell it at the default
    price first. This looks where frameworks keep what they call; what is kept elsewhere is refused when it is called.
    """
    # With the objects themselves, because the address of one that is gone may be another's.
    seen: dict[int, object] = {}
    found = [(app, 0)]
    while found:
        each, depth = found.pop()
        if id(each) not in seen:
            seen[id(each)] = each
            if depth > _MAX_DEPTH:
                raise ConfigurationError(
                    f"{type(app).__qualname__} has no end to look for @l402_required in: something in it answers to "
                    "any attribute, as proxies and mocks do; give the middleware the application itself"
                )
            for part in (each, *(vars(each).values() if isinstance(each, type) else ())):
                if isinstance(offer_of(part), Offer):
                    raise ConfigurationError(
                        f"@l402_required prices {getattr(part, '__qualname__', part)}, inside a middleware that knows "
                        "only its default price: use l402_middleware.starlette.L402Middleware, or "
                        "l402_middleware.flask.L402, with default=; they leave decorated endpoints their own price"
                    )
            found += ((further, depth + 1) for further in _further(each))


def _further(each: object) -> Iterator[object]:
    if isinstance(each, type):
        yield from each.__bases__
    for name in leads_on:
        # Somebody else's property may fail outside of a request.
        with suppress(Exception):
            value = getattr(each, name)
            yield from value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
