"""From `module:app`, as servers take it too, to the application."""

import os
import sys
import traceback
from contextlib import redirect_stdout
from importlib import import_module
from inspect import Parameter, isfunction, signature
from operator import attrgetter
from typing import Any

from ..core.errors import ConfigurationError


class LoadingError(Exception):
    """The application cannot be had; the message says why, and where that was raised."""


def load_application(target: str, *, is_factory: bool = False) -> object:
    """The application that `target`, `module:name` or `module:factory()`, names; modules of this folder come first.

    What is printed meanwhile goes to the standard error. Raises `ConfigurationError` for a target of another form,
    and `LoadingError` where importing or making the application fails.
    """
    module, _, name = target.partition(":")
    is_factory = is_factory or name.endswith("()")
    name = name.removesuffix("()") or "app"
    if not all(part.isidentifier() for part in f"{module}.{name}".split(".")):
        raise ConfigurationError(f'{target!r} is not of the form module:app, as in "shop:app" or "shop:create_app()"')
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    with redirect_stdout(sys.stderr):
        try:
            found: Any = import_module(module)
        except (Exception, SystemExit) as error:
            raise LoadingError(f"{module} cannot be imported: {_said(error)}") from None
        try:
            found = attrgetter(name)(found)
        except AttributeError:
            raise LoadingError(f"{module} has no {name}") from None
        if not is_factory:
            _check(found, target)
            return found
        try:
            return found()
        except (Exception, SystemExit) as error:
            raise LoadingError(f"{name}() fails: {_said(error)}") from None


def _check(found: object, target: str) -> None:
    needed = (
        [part for part in signature(found).parameters.values() if part.default is Parameter.empty]
        if isfunction(found)
        else [None]
    )
    if not needed:
        raise LoadingError(
            f"{target} is a function that needs no arguments: if it makes the application, give --factory"
        )


def _said(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    # The importing itself is nobody's mistake.
    own = [frame for frame in frames if not frame.filename.startswith("<frozen") and "importlib" not in frame.filename]
    where = f" ({own[-1].filename}, line {own[-1].lineno})" if len(own) > 1 else ""
    return f"{type(error).__name__}: {error}{where}"
