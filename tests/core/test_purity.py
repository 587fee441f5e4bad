"""The rule of the folder: no I/O, no clock, no framework; time, randomness and keys are handed in."""

import ast
import sys
from pathlib import Path

import pytest

import l402_middleware.core

FOLDER = Path(l402_middleware.core.__file__).parent
MODULES = sorted(FOLDER.glob("*.py"))
NAMES = {path.stem for path in MODULES}

# All of the standard library that a protocol needs. What is not here touches the world, or has to say why it does not.
STANDARD = {
    "base64", "binascii", "collections.abc", "dataclasses", "decimal", "functools", "hashlib", "hmac", "ipaddress",
    "itertools", "json", "re", "typing",
}  # fmt: skip

# Exceptions, each with its one module and its one reason.
MINTING = {"minting": {"pymacaroons", "pymacaroons.serializers"}}
RANDOMNESS = {"keys": {"secrets"}}
CALENDAR = {"rfc3339": {"datetime"}}

# Built-in functions that read, write, or run what is not in the file.
WORLDLY = {"open", "input", "print", "exec", "eval", "compile", "__import__", "breakpoint", "globals"}


def imports(tree: ast.AST) -> set[str]:
    """The modules that a file imports, our own with a leading dot."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.module is None:
                found |= {"." * node.level + alias.name for alias in node.names}
            else:
                found.add("." * node.level + node.module)
    return found


def parsed(path: Path) -> ast.Module:
    """The file as a tree."""
    return ast.parse(path.read_text(encoding="utf-8"))


def test_the_modules_are_found() -> None:
    """The test sees the folder that it is about."""
    assert {"authorization", "caveats", "challenge", "credential", "invoice", "keys", "macaroon", "money"} <= NAMES
    assert not [path for path in FOLDER.rglob("*.py") if path.parent != FOLDER]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_imports_nothing_of_the_world(path: Path) -> None:
    """Only the named parts of the standard library, the modules beside it, and pymacaroons in one place."""
    allowed = STANDARD | {f".{name}" for name in NAMES}
    allowed |= MINTING.get(path.stem, set()) | RANDOMNESS.get(path.stem, set())
    allowed |= CALENDAR.get(path.stem, set())
    assert imports(parsed(path)) <= allowed


def test_the_list_is_of_the_standard_library() -> None:
    """What is allowed everywhere is standard, and none of it that reads a file, a clock, a socket or chance."""
    assert {name.partition(".")[0] for name in STANDARD} <= sys.stdlib_module_names
    assert not STANDARD & {"os", "io", "pathlib", "time", "datetime", "random", "secrets", "socket", "logging"}


def test_only_a_new_key_is_random() -> None:
    """`secrets` is used once, to make a key; issuing and verifying get their randomness from the caller."""
    (function,) = [
        node
        for node in ast.walk(parsed(FOLDER / "keys.py"))
        if isinstance(node, ast.FunctionDef) and node.name == "generate_key"
    ]
    everywhere = [node for path in MODULES for node in ast.walk(parsed(path)) if is_name(node, "secrets")]
    within = [node for node in ast.walk(function) if is_name(node, "secrets")]
    assert len(everywhere) == len(within) == 1


def is_name(node: ast.AST, name: str) -> bool:
    """Whether this is the use of that name."""
    return isinstance(node, ast.Name) and node.id == name


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_calls_nothing_of_the_world(path: Path) -> None:
    """No built-in that reads, writes or runs anything, no coroutine, and no global that a call changes."""
    for node in ast.walk(parsed(path)):
        assert not any(is_name(node, name) for name in WORLDLY), ast.unparse(node)
        assert not isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.Global | ast.Nonlocal), ast.unparse(node)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_arrows_point_one_way(path: Path) -> None:
    """Inside the folder too no module imports itself in a circle."""
    seen: set[str] = set()
    ahead = [path.stem]
    while ahead:
        for name in imports(parsed(FOLDER / f"{ahead.pop()}.py")):
            if name.startswith(".") and name not in seen:
                seen.add(name)
                ahead.append(name.lstrip("."))
    assert f".{path.stem}" not in seen
