"""The one list of what is sold, from which all documents are written."""

import re
import threading
import time
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final
from weakref import WeakKeyDictionary

from ..core.fiat import Fiat
from ..core.money import Msat
from ..paywall.offer import Offer

# Routes may be added while an application runs; looking for them takes milliseconds, which strangers could ask for.
_SECONDS: Final = 60.0

# {name:convertor} is Starlette's, <convertor(...):name> Flask's.
_PARAMETER: Final = re.compile(r"\{(\w+)(?::[^{}]*)?\}|<(?:[^<>]*:)?(\w+)>")


@dataclass(frozen=True, slots=True)
class Sold:
    """A method of a path that costs something; `path` has its parameters as OpenAPI does: /items/{id}."""

    method: str
    path: str
    offer: Offer

    @property
    def price(self) -> Msat | Fiat | None:
        """The fixed price; None where it depends on the request."""
        return None if callable(self.offer.price) else self.offer.price


@dataclass(frozen=True, slots=True)
class Found:
    """What the audit found at a moment: what is sold, and every path that the application has itself."""

    sold: tuple[Sold, ...]
    paths: frozenset[str]
    at: float


_lock = threading.Lock()
_found: "WeakKeyDictionary[Any, Found]" = WeakKeyDictionary()


def sold_by(app: object) -> tuple[Sold, ...]:
    """What `app` sells, an ASGI or WSGI application or one of our middlewares, in the order of its routes.

    What the audit calls a hole is left out. Raises `ConfigurationError` where `app` is no application.
    """
    return found_in(app).sold


def found_in(app: object) -> Found:
    """What the audit finds in `app`; looked up again after a minute."""
    now = time.monotonic()
    with _lock:
        found = _found.get(app)
    if found is None or now - found.at > _SECONDS:
        # By its name: it knows every adapter, and the adapters know this room.
        findings = import_module("l402_middleware.audit").audit(app)
        priced = [each for each in findings if each.verdict.status == "priced" and each.verdict.offer is not None]
        sold: dict[tuple[str, str], Sold] = {}
        for each in priced:
            method = "GET" if each.method in ("*", "HEAD") else each.method
            path = _template(each.path)
            sold.setdefault((method, path), Sold(method, path, each.verdict.offer))
        found = Found(tuple(sold.values()), frozenset(each.path for each in findings), now)
        with _lock:
            _found[app] = found
    return found


def _template(path: str) -> str:
    """A route's path as OpenAPI writes it, without the host that may stand before it."""
    return _PARAMETER.sub(lambda name: f"{{{name[1] or name[2]}}}", "/" + path.partition("/")[2])
