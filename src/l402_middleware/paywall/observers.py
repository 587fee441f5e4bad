"""Tells the listeners what happens."""

import logging
from collections.abc import Callable, Iterable
from inspect import iscoroutinefunction
from typing import Any, ParamSpec, TypeAlias, get_args

from ..core.errors import ConfigurationError
from ..events import Event
from ..throttled_log import ThrottledLog

Observer: TypeAlias = Callable[[Any], object]
"""A function of an `Event`."""

P = ParamSpec("P")


class Observers:
    """Those who are told: the operator's own of every event, others of the kinds that they listen to.

    An event that nobody listens to is not made. Raises `ConfigurationError` for what cannot be called.
    """

    def __init__(self, observe: Observer | Iterable[Observer] | None = None) -> None:
        given: Any = [] if observe is None else [observe] if callable(observe) else observe
        self._for_all: tuple[Observer, ...] = tuple(given) if isinstance(given, list | tuple) else (given,)
        for each in self._for_all:
            # The coroutine that it gives would never run.
            if not callable(each) or iscoroutinefunction(each) or iscoroutinefunction(type(each).__call__):
                raise ConfigurationError(
                    f"observe must be a plain function of an event, or a list of them, not {each!r}"
                )
        self.anybody = bool(self._for_all)
        """Whether the operator has listeners, who are told of every event."""
        self._for_kind = dict.fromkeys(get_args(Event), self._for_all)
        self._log = ThrottledLog()

    def listen(self, observer: Observer, *kinds: Callable[..., Event]) -> None:
        """Have `observer` told, before the operator's own, of these kinds."""
        for kind in kinds:
            before = self._for_kind[kind]
            self._for_kind[kind] = (observer, *before)

    def tell(self, kind: Callable[P, Event], *args: P.args, **kwargs: P.kwargs) -> None:
        """Tell of an event of that kind. Raises nothing that a listener raises."""
        observers = self._for_kind[kind]
        if not observers:
            return
        event = kind(*args, **kwargs)
        for observer in observers:
            try:
                observer(event)
            except Exception as error:
                # Not its message: that may say anything.
                name = getattr(observer, "__qualname__", type(observer).__qualname__)
                self._log.log(logging.ERROR, "observe: %s raised %s", name, type(error).__name__)
