"""Names of a package that are loaded when they are first asked for (PEP 562).

Whoever wants a price does not wait for an event loop, and whoever only imports us does not wait for an HTTP client.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module


def lazily(package: str, homes: Mapping[str, Iterable[str]]) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """The `__getattr__` and the `__dir__` of `package`; `homes` are its modules (".core.money") and what each gives.

    Hide them from type checkers, to whom a module with a `__getattr__` has every name, also a mistyped one.
    """
    home_of = {name: home for home, names in homes.items() for name in names}

    def load(name: str) -> object:
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value: object = getattr(import_module(home_of[name], package), name)
        # The next time it is found without asking here.
        setattr(sys.modules[package], name, value)
        return value

    return load, lambda: sorted(home_of)
