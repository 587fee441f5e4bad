"""`import l402_middleware`: it loads what is used, and nothing else."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import l402_middleware

HOMES = {
    alias.name: node.module
    for node in ast.walk(ast.parse(Path(l402_middleware.__file__).read_text()))
    if isinstance(node, ast.ImportFrom) and node.level and node.module != "lazy_imports"
    for alias in node.names
}


def loaded_by(statement: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after `statement`."""
    script = f"import sys; {statement}; print(*sys.modules)"
    return set(
        subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True).stdout.split()
    )


@pytest.mark.parametrize("name", l402_middleware.__all__)
def test_a_name_is_what_type_checkers_take_it_for(name: str) -> None:
    """Each public name is the very object that its own module has under it."""
    home = import_module(f"l402_middleware.{HOMES[name]}")
    assert getattr(l402_middleware, name) is getattr(home, name)


def test_what_is_not_there_is_said_as_python_says_it() -> None:
    """A mistyped name is an `AttributeError`, and an `ImportError` where it is imported."""
    with pytest.raises(AttributeError, match="module 'l402_middleware' has no attribute 'Paywal'"):
        _ = l402_middleware.Paywal  # type: ignore[attr-defined]
    with pytest.raises(ImportError, match="cannot import name 'Paywal'"):
        from l402_middleware import Paywal  # type: ignore[attr-defined]  # noqa: F401


def test_every_name_is_listed() -> None:
    """`dir()` has the public names, loaded or not, and `import *` brings each."""
    assert dir(l402_middleware) == sorted(l402_middleware.__all__)
    names: dict[str, object] = {}
    exec("from l402_middleware import *", names)
    assert set(l402_middleware.__all__) <= set(names)


@pytest.mark.parametrize(
    ("statement", "spared"),
    [
        ("import l402_middleware", {"asyncio", "anyio", "dataclasses", "l402_middleware.core"}),
        ("from l402_middleware import sats, usd, Refusal", {"asyncio", "anyio", "l402_middleware.paywall"}),
        ("import l402_middleware.core.credential", {"asyncio", "pymacaroons"}),
    ],
)
def test_what_is_not_used_is_not_loaded(statement: str, spared: set[str]) -> None:
    """Neither an event loop nor an HTTP client nor NaCl is loaded for what does without them."""
    loaded = loaded_by(statement)
    assert "l402_middleware" in loaded
    assert not loaded & (spared | {"httpx2", "httpcore2", "nacl", "sqlite3"})
