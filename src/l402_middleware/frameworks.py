"""Which versions of the frameworks the adapters need."""

import re
from importlib.metadata import PackageNotFoundError, version
from typing import Final

LOWEST: Final = {"starlette": "0.40", "fastapi": "0.115.3", "flask": "2.3.3"}


def require(framework: str) -> None:
    """Raise `ImportError` where the framework is not installed, or is too old; it says what to install."""
    extra = f"pip install 'l402_middleware[{framework}]'"
    try:
        found = version(framework)
    except PackageNotFoundError:
        raise ImportError(f"l402_middleware.{framework} needs {framework}: {extra}", name=framework) from None
    if _numbers(found) < _numbers(LOWEST[framework]):
        raise ImportError(
            f"l402_middleware.{framework} needs {framework} {LOWEST[framework]} or later, and {found} is installed: "
            f"{extra}",
            name=framework,
        )


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text)[:3])
