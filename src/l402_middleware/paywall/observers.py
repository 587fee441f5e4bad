"""Tells the operator's listeners what happens."""

import logging
from collections.abc import Callable, Iterable
from inspect import iscoroutinefunction
from typing import Any, ParamSpec, TypeAlias

from ..core.errors import ConfigurationError
from ..events import Event
from ..throttled_log import ThrottledLog

Observer: TypeAlias = Callable[[Any], object]
"""A function of an `Event`."""

P = ParamSpec("P")


class Observers:
    """Those who are told of every event. Where there is nobody, no event is made.

    Raises `ConfigurationError` for what cannot be called.
    """

    def __init__(self, observe: Observer | Iterable[Observer] | None = None) -> None:
        given: Any = [] if observe is None else [observe] if callable(observe) else observe
        self._observers: tuple[Observer, ...] = tuple(given) if isinstance(given, list | tuple) else (given,)
        for each in self._observers:
            # The coroutine that it gives would never run.
            if not callable(each) or iscoroutinefunction(each) or iscoroutinefunction(type(each).__call__):
                raise ConfigurationError(
                    f"observe must be a plain function of an event, or a list of them, not {each!r}"
                )
        self.anybody = bool(self._observers)
        """Whether there are any."""
        self._log = ThrottledLog()

    def tell(self, kind: Callable[P, Event], *args: P.args, **kwargs: P.kwargs) -> None:
        """Tell of an event of that kind. Raises nothing that a listener raises."""
        if not self._observers:
            return
        event = kind(*args, **kwargs)
        for observer in self._observers:
            try:
                observer(event)
            except Exception as error:
                # Not its message: that may say anything.
                name = getattr(observer, "__qualname__", type(observer).__qualname__)
                self._log.log(logging.ERROR, "observe: %s raised %s", name, type(error).__name__)
