"""Mistakes of new users, each refused where it is written, with what to write instead."""

import inspect

from .core.errors import ConfigurationError


def refuse_bare_decorator(price: object) -> None:
    """Raise `ConfigurationError` where `@l402_required` stands without its parentheses, and has an endpoint for price.

    A function of a price takes one argument, a `RequestView`. What takes another number, or a framework's request, is
    an endpoint; of any other function the decorator cannot tell, and the first request says it.
    """
    if not inspect.isroutine(price):
        return
    try:
        parameters = inspect.signature(price).parameters.values()
    except (TypeError, ValueError):
        return
    positional = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    takes_any = any(each.kind is each.VAR_POSITIONAL for each in parameters)
    required = [each for each in parameters if each.default is each.empty and each in positional]
    wants_more = any(each.kind is each.KEYWORD_ONLY and each.default is each.empty for each in parameters)
    fits = len(required) <= 1 and (positional or takes_any) and not wants_more
    if fits and not (required and _is_of_a_framework(required[0].annotation)):
        return
    raise ConfigurationError(
        f"@l402_required without a price on {price.__qualname__.rpartition('<locals>.')[2]}: write "
        "@l402_required(price=...). If it is meant as a function of the price: that takes one argument, a RequestView"
    )


def _is_of_a_framework(annotation: object) -> bool:
    module = str(getattr(annotation, "__module__", ""))
    return module.partition(".")[0] in ("starlette", "fastapi", "flask", "werkzeug")


def missing(extra: str, package: str, error: ImportError) -> ImportError:
    """What to raise where a framework's package is not there, or is older than what `extra` asks for."""
    # Here, because it brings zip files, CSV and e-mail headers, and everybody else would wait for them.
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415

    try:
        there = f"{package} {version(package)} is installed, and is too old or broken ({error})"
    except PackageNotFoundError:
        there = f"{package} is not installed"
    return ImportError(
        f"l402_middleware.{extra} needs more: {there}. Run: pip install 'l402_middleware[{extra}]'",
        name=error.name,
        path=error.path,
    )
